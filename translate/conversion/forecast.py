"""Forecast of a conversion: what it would do, in which time and space, without writing anything."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from translate.conversion.batch import Work
from translate.conversion.fitting import Account, plan_memory
from translate.conversion.pipeline import convert_all
from translate.conversion.plan import Task
from translate.conversion.standing import Standing
from translate.gallery import Gallery
from translate.inputs import Inputs
from translate.memory import in_words

TIMED = 3
"""How many images are converted for the forecast, after one that only warms up."""

TRIED = 12
"""How many images are tried at most to find so many that can be converted."""

PROBED = 1000
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a conversion would do.

    ``images`` are to be converted and ``kept`` are done already; ``read`` are the bytes of their files and ``written``
    those of their outputs, about; ``memory`` is what the largest image needs. ``seconds`` and ``written`` come from
    three converted images, and are None if none was found that can be. ``failed`` are those that were tried and could
    not be converted, with reasons: there may be more. ``renamed`` are outputs whose plain name another one
    has. ``names`` maps each image to its outputs.
    """

    target: str
    images: int
    kept: int
    read: int
    written: int | None
    free: int
    memory: int
    seconds: float | None
    renamed: tuple[str, ...]
    left_out: tuple[str, ...]
    names: dict[str, tuple[str, ...]]
    failed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The forecast as JSON values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The forecast in words."""
        done = f", {self.kept} {'is' if self.kept == 1 else 'are'} done already" if self.kept else ""
        images = f"{self.images} image{'s' if self.images != 1 else ''}"
        found = [f"{images} of {in_words(self.read)} would be converted into {self.target}{done}"]
        shown = list(self.names.items())[:SHOWN]
        found += [f"  {name} -> {', '.join(outputs)}" for name, outputs in shown]
        if len(self.names) > SHOWN:
            found.append(f"  ... and {len(self.names) - SHOWN} more")
        if self.renamed:
            more = f" and {len(self.renamed) - SHOWN} more" if len(self.renamed) > SHOWN else ""
            found.append(f"named otherwise, since the plain name is taken: {', '.join(self.renamed[:SHOWN])}{more}")
        if self.left_out:
            more = f" and {len(self.left_out) - SHOWN} more" if len(self.left_out) > SHOWN else ""
            found.append(f"left out: {', '.join(self.left_out[:SHOWN])}{more}")
        found += [f"cannot be converted: {reason}" for reason in self.failed]
        if not self.images:
            # Nothing is written, needed or timed.
            return found
        written = "unknown" if self.written is None else f"about {in_words(self.written)}"
        found.append(f"outputs: {written}; free on that disk: {in_words(self.free)}")
        if self.written is not None and self.written > self.free:
            found.append("the disk is too small for all outputs")
        found.append(f"memory: up to {in_words(self.memory)} for the largest image")
        unknown = "unknown, since none of the images that were to be timed could be converted"
        found.append(f"time: {unknown if self.seconds is None else _duration(self.seconds)}")
        return found


def forecast(
    inputs: Inputs, standing: Standing, target: Path, work: Work, *, batch: int, workers: int, gallery: bool
) -> Forecast:
    """Foretell a conversion; three images are converted into a temporary folder to time them.

    ``gallery`` says that their previews are made, too.
    """
    tasks = standing.todo
    sizes = {task.name: _size(task.source) for task in tasks}
    by_size = sorted(tasks, key=lambda task: sizes[task.name])
    picked, seconds, written, failed = _timed(by_size, work, batch, workers, gallery=gallery)
    account = Account(work)
    step = max(1, len(by_size) // PROBED)
    probed = dict.fromkeys([*by_size[-100:], *by_size[::step]])
    needs = {task: plan_memory(task, work) for task in probed}
    refused = (account.refusal(task, need) for task, need in needs.items())
    failed += tuple(reason for reason in refused if reason is not None and reason not in failed)
    failed += tuple(_too_long(tasks, _existing(target)))
    read = sum(sizes.values())
    picked_size = sum(sizes[task.name] for task in picked)
    return Forecast(
        target=str(target),
        images=len(tasks),
        kept=len(standing.kept),
        read=read,
        written=int(written * read / max(picked_size, 1)) if picked else None,
        free=shutil.disk_usage(_existing(target)).free,
        memory=max((account.needed(need) for need in needs.values()), default=0),
        seconds=seconds * len(tasks) / len(picked) if picked else None,
        renamed=tuple(str(task.outputs[0]) for task in tasks if _is_renamed(task)),
        left_out=tuple(map(str, (*inputs.left_out, *(path for path, _ in (*inputs.closed, *inputs.missing))))),
        names={task.name: tuple(str(output) for output in task.outputs) for task in tasks},
        failed=failed,
    )


def _timed(
    by_size: Sequence[Task], work: Work, batch: int, workers: int, *, gallery: bool
) -> tuple[list[Task], float, int, tuple[str, ...]]:
    """Evenly spaced images, the seconds that they took and the bytes of their outputs, and why others failed.

    Others stand in for those that cannot be converted, as long as there are some to try.
    """
    # Those that are wanted come first, then the ones between them.
    places = [*_evenly(TIMED, len(by_size)), *_evenly(TRIED, len(by_size))]
    waiting = [by_size[place] for place in dict.fromkeys(places)]
    good: list[Task] = []
    failed: list[str] = []
    seconds, warm = 0.0, False
    with tempfile.TemporaryDirectory(prefix="translate-") as folder, ExitStack() as stack:
        made = None
        if gallery and work.showing is not None:
            made = Gallery(Path(folder))
            stack.callback(made.close)
            work = replace(work, showing=replace(work.showing, gallery=made))
        while waiting and len(good) < TIMED:
            picked = [*good, *waiting[: TIMED - len(good)]]
            del waiting[: TIMED - len(good)]
            here = [
                replace(task, outputs=tuple(Path(folder) / f"{number}-{path.name[-80:]}" for path in task.outputs))
                for number, task in enumerate(picked)
            ]
            for each in (here,) if warm else (here[:1], here):
                begun = time.perf_counter()
                with closing(convert_all(each, work, batch=batch, workers=workers, alone=len(each) == 1)) as outcomes:
                    bad = {task.name: reason for task, reason in outcomes if reason is not None}
                seconds, warm = time.perf_counter() - begun, True
            failed += bad.values()
            good = [task for task in picked if task.name not in bad]
        written = sum(_size(path) for task in here if task.name not in bad for path in task.outputs) if by_size else 0
        written += 0 if made is None else made.size
    return good, seconds, written, tuple(failed)


def _too_long(tasks: Sequence[Task], place: Path) -> Iterator[str]:
    """What is wrong with images whose outputs have longer names than the file system of a folder takes."""
    if not hasattr(os, "pathconf"):
        return
    most = os.pathconf(place, "PC_NAME_MAX")
    for task in tasks:
        longest = max(len(os.fsencode(path.name)) for path in task.outputs)
        if longest > most:
            yield f"{task.source}: the name of its output has {longest} bytes, and that disk takes {most}; shorten it"


def _evenly(most: int, length: int) -> list[int]:
    count = min(most, length)
    return [(2 * number + 1) * length // (2 * count) for number in range(count)]


def _is_renamed(task: Task) -> bool:
    """Whether an output keeps its image's old suffix before the new one, since another has the plain name."""
    name = PurePosixPath(task.name).name
    return task.outputs[0].name != name and task.outputs[0].name.startswith(name)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _existing(path: Path) -> Path:
    place = path.absolute()
    while not place.exists():
        place = place.parent
    return place


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"about {seconds:.0f} s" if seconds >= 1 else "less than a second"
    minutes = round(seconds / 60)
    return f"about {minutes} min" if minutes < 100 else f"about {minutes / 60:.1f} h"
