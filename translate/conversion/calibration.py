"""Calibration: the images that a runtime such as int8's is calibrated on, kept with the outputs.

They are chosen once, evenly spaced in the plan, and named in ``.translate/`` of the outputs' folder. So shards, several
devices and later conversions answer alike, whatever was added since. If one of them is gone or has changed, others are
chosen; which ones an output was made with is part of its ``Making``.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from translate import atomic
from translate.conversion.batch import Translating, Work, decode
from translate.conversion.fitting import Account
from translate.conversion.lines import line_of, read_lines
from translate.conversion.manifest import FOLDER, unwritable
from translate.conversion.plan import Task
from translate.conversion.stamps import Stamp
from translate.conversion.stored_plan import alone
from translate.errors import TranslateError
from translate.programs import ArrayTranslator
from translate.terminal import printable

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("translate")

COUNT = 32
"""How many images a runtime is calibrated on, if it needs calibration."""

FILE = "calibration.jsonl"


@dataclass(frozen=True, slots=True)
class Calibration:
    """The images to calibrate on; ``key`` names their bytes, and is empty where nothing is calibrated."""

    tasks: tuple[Task, ...] = ()
    key: str = ""

    @property
    def options(self) -> dict[str, Any]:
        """What a ``Making`` says of it."""
        return {"calibration": self.key} if self.key else {}


_Pick = tuple[Task, Stamp]
"""An image that was chosen, and what its file is known by."""


def calibration_for(
    tasks: Sequence[Task], target: Path | None, work: Work, *, store: bool = True, share: bool = False, silent: bool
) -> Calibration:
    """The images to calibrate a conversion's translator on, out of all ``tasks`` of the plan.

    Those that the folder ``target`` keeps are taken if they are all unchanged; the last choice that is whole counts.
    Otherwise up to ``COUNT`` are chosen that can be read and for which there is memory, and, with ``store``, kept; that
    former ones are left is logged unless ``silent``. Without a ``target`` nothing is kept. ``share`` says that another
    process has seen to the memory. Raises ``TranslateError`` where the folder cannot be written.
    """
    translator = work.translator
    if isinstance(translator, ArrayTranslator) or not _needs(translator, work):
        return Calibration(key=_calibrated_before(translator))
    if target is None:
        return _calibration(_choose(tasks, work))
    path = target / FOLDER / FILE
    account = Account(work)

    def is_usable(task: Task, stamp: Stamp) -> bool:
        return stamp.fits(task.source) and (share or account.fits(task))

    try:
        with alone(path.parent) if store else nullcontext():
            lines = list(read_lines(path))
            wrong: list[str] = []
            for line in reversed(lines):
                picks = _kept(line, tasks, target)
                if not picks:
                    continue
                bad = next((task for task, stamp in picks if not is_usable(task, stamp)), None)
                if bad is None:
                    return _calibration(picks)
                wrong.append(bad.name)
            chosen = _choose(tasks, work)
            if wrong and not silent:
                log.warning(
                    "%s, which outputs were calibrated on, is gone, has changed or needs too much memory, so other "
                    "images are chosen, and what was made with the former ones is converted anew",
                    printable(wrong[0]),
                )
            if store and chosen:
                fields = {"picks": [_fields(*pick) for pick in chosen], "at": time.time_ns()}
                atomic.write(path, b"".join(map(line_of, [*lines, fields])))
    except OSError as error:
        raise unwritable(target, error) from None
    return _calibration(chosen)


def calibrate(calibration: Calibration, work: Work) -> None:
    """Calibrate a conversion's translator, if it needs it.

    Raises ``TranslateError`` if an image cannot be read any more: with fewer of them the outputs would differ.
    """
    translator = work.translator
    if not isinstance(translator, ArrayTranslator) and _needs(translator, work):
        further: list[Any] = [work.given.options] if work.given.options else []
        translator.calibrate(_batches(calibration.tasks, replace(work, showing=None)), *further)
        _calibrated[translator] = calibration.key


def _needs(translator: Translating, work: Work) -> bool:
    """Whether a translator must be calibrated for the options that it is given."""
    needs = getattr(translator, "needs_calibration_for", None)
    return bool(needs(work.given.options)) if needs is not None and work.given.options else translator.needs_calibration


_calibrated: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
"""What the translators of this process have been calibrated on."""


def _calibrated_before(translator: Any) -> str:
    found = _calibrated.get(translator)
    if found is None and getattr(translator, "precision", "") == "int8":
        # By its owner, and nobody can tell on what.
        return secrets.token_hex(8)
    return found or ""


def _batches(tasks: Sequence[Task], work: Work) -> Iterator[Tensor]:
    # Imported here, so that what is converted without torch does not import it.
    from translate.conversion.on_tensors import calibration_image

    for task in tasks:
        try:
            batch = calibration_image(task, work)
        except (TranslateError, OSError, MemoryError) as error:
            reason = " ".join(str(error).split())[:300]
            raise TranslateError(
                f"{task.source} cannot be read any more, and outputs are calibrated on it; run the same command again "
                f"({reason})"
            ) from None
        yield batch


def _choose(tasks: Sequence[Task], work: Work) -> list[_Pick]:
    """Up to ``COUNT`` evenly spaced images; others replace those that cannot be read, or for which is no memory."""
    work = replace(work, showing=None)
    fits = Account(work).fits
    picked = dict.fromkeys(number * len(tasks) // COUNT for number in range(COUNT)) if tasks else {}
    others = (number for number in range(len(tasks)) if number not in picked)
    chosen: list[_Pick] = []
    for number in chain(picked, islice(others, 7 * COUNT)):
        task = tasks[number]
        if not fits(task):
            continue
        try:
            stamp = Stamp.of(task.source)
            decode(task, work)
        except (TranslateError, OSError, MemoryError):
            # The conversion itself reports it.
            continue
        if stamp.hash:
            chosen.append((task, stamp))
        if len(chosen) == COUNT:
            break
    return chosen


def _calibration(picks: Sequence[_Pick]) -> Calibration:
    digest = hashlib.blake2b(digest_size=8)
    for _, stamp in picks:
        digest.update(stamp.hash.encode() + b"\n")
    # Actors of another machine find them by absolute paths.
    return Calibration(tuple(replace(task, source=task.source.absolute()) for task, _ in picks), digest.hexdigest())


def _fields(task: Task, stamp: Stamp) -> list[Any]:
    return [task.name, str(task.source.absolute()), stamp.size, stamp.mtime, stamp.hash]


def _kept(line: Mapping[str, Any], tasks: Sequence[Task], target: Path) -> list[_Pick]:
    """The images of a kept choice: those of the plan by their names, others where they lay; none of another line."""
    named = {task.name: task for task in tasks}
    found: list[_Pick] = []
    try:
        for name, source, size, mtime, digest in line["picks"]:
            if b"\0" in os.fsencode(str(source)):
                return []
            # PNG holds whatever the network is given.
            other = Task(Path(str(source)), str(name), (target / "calibration.png",))
            found.append((named.get(str(name), other), Stamp(int(size), int(mtime), str(digest))))
    except (KeyError, TypeError, ValueError, OverflowError):
        return []
    return found
