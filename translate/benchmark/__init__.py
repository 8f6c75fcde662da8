"""Benchmark: what the machine at hand makes of a method, against what one writes by hand, as ratios with spread."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from translate.benchmark import commands, cost, feeding, steps
from translate.benchmark.hardware import described, machine
from translate.benchmark.limits import limits
from translate.benchmark.timing import Ratio
from translate.devices import pick_device
from translate.errors import TranslateError, nearest
from translate.images import find
from translate.run import Config

WHAT = ("steps", "cost", "feeding", "conversion", "beginning")


@dataclass(frozen=True, slots=True)
class Row:
    """One rival: the median of its seconds, and how many times faster it is than the one that it is held against."""

    name: str
    seconds: float
    ratio: Ratio | None
    note: str = ""


@dataclass(slots=True)
class Report:
    """What was measured, by part, and on which machine."""

    machine: Mapping[str, Any]
    asked: Mapping[str, Any]
    parts: dict[str, list[Row]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def add(
        self, part: str, seconds: Mapping[str, Sequence[float]], against: str | None, notes: Mapping[str, str]
    ) -> None:
        """Add the rivals of a part, each compared with one of them, if any."""
        rows = []
        for name, values in seconds.items():
            ratio = None if against in (None, name) else Ratio.of(seconds[str(against)], values)
            rows.append(Row(name, sorted(values)[len(values) // 2], ratio, notes.get(name, "")))
        self.parts[part] = rows

    def lines(self) -> list[str]:
        """Tell it as lines of text for a terminal."""
        told = [described(dict(self.machine))]
        for part, rows in self.parts.items():
            told += ["", part]
            width = max(len(row.name) for row in rows)
            for row in rows:
                ratio = str(row.ratio) if row.ratio is not None else ""
                told.append(f"  {row.name:<{width}}  {_time(row.seconds):>9}  {ratio:<24}{row.note}".rstrip())
        return told + (["", *(f"{name}: {fact}" for name, fact in self.facts.items())] if self.facts else [])

    def to_json(self) -> dict[str, Any]:
        """Tell it as JSON values."""
        parts = {part: [asdict(row) for row in rows] for part, rows in self.parts.items()}
        return {"machine": dict(self.machine), "asked": dict(self.asked), "parts": parts, "facts": self.facts}


def bench(
    method: str,
    *,
    what: Sequence[str] = WHAT,
    data: str | Path | None = None,
    size: int = 256,
    batch: int = 1,
    rounds: int = 10,
    images: int = 100,
    rival: Sequence[str] = (),
    device: str = "auto",
    **options: Any,
) -> Report:
    """Measure a method on the machine: its step, what that costs, feeding, conversion, how fast a command begins.

    ``data`` is a folder of pairs or of two domains; without, photographs of 640 x 480 are made up. ``options`` are the
    method's own and those of the training. ``rounds`` is how often each rival has its turn, ``images`` how many a
    conversion converts, ``rival`` in which ways: all that the machine has, unless some are named.
    """
    for each in what:
        if each not in WHAT:
            raise TranslateError(f"bench measures no {each!r}; {nearest(each, WHAT)}")
    for each in rival:
        if each not in commands.RIVALS:
            raise TranslateError(f"bench converts in no way {each!r}; {nearest(each, commands.RIVALS)}")
    if min(size, batch, rounds) < 1 or images < commands.HALF:
        raise TranslateError(f"size, batch and rounds must be at least 1, and images {commands.HALF}")
    place = pick_device(device)
    asked: dict[str, Any] = {"method": method, "what": list(what), "size": size, "batch": batch, "rounds": rounds}
    asked |= {"images": images, "rival": list(rival), "options": options}
    ways = list(rival) or commands.available(place)
    report = Report(machine(place), asked)
    with _photos(data, images) as photos, tempfile.TemporaryDirectory() as scratch:
        values = {**options, "method": method, "data": str(photos), "size": size, "batch": batch, "device": device}
        config = Config.from_values({"steps": 10**6, **values}, "bench")
        if "steps" in what:
            _steps(report, config, rounds)
        if "cost" in what:
            seconds, memory = cost.cost(values, Path(scratch), steps=max(rounds // 3, 1))
            report.add(f"cost of a step of {method}", seconds, None, memory)
        if "feeding" in what:
            paths = find(photos)
            timed = feeding.feeding(paths, batch=batch, size=size, device=place, rounds=rounds, steps=20)
            speed = {name: f"{2 * batch / sorted(each)[len(each) // 2]:,.0f} images/s" for name, each in timed.items()}
            report.add(f"feeding, batches of {batch} sources and targets", timed, feeding.PLAIN, speed)
        if "conversion" in what:
            run = commands.untrained(config, Path(scratch))
            squares = feeding.made_up(_made(Path(scratch) / "in"), images, (size, size))
            found = commands.conversion(run, squares[0].parent, Path(scratch), max(rounds // 3, 1), ways, place)
            told = {name: _converted(each, found[commands.PLAIN]) for name, each in found.items()}
            timed = {name: each.seconds for name, each in found.items()}
            report.add(f"conversion of {images} images, whole command", timed, commands.PLAIN, told)
        if "beginning" in what:
            timed = commands.beginning(method, photos, Path(scratch), size, max(rounds // 3, 1))
            least = min(timed["python -c pass"])
            more = {name: f"{min(each) - least:.2f} s more than Python at best" for name, each in timed.items()}
            report.add("beginning", timed, None, more)
    return report


def _steps(report: Report, config: Config, rounds: int) -> None:
    """Time the step, and hold it against what the machine can do."""
    found = steps.measure_steps(config, rounds=rounds)
    notes = {name: f"{found.memory[name] / 2**20:,.0f} MiB" for name in found.memory}
    reach = limits(pick_device(config.device))
    for name, precision in found.precision.items():
        if found.flops is not None and name in found.seconds:
            rate = found.flops / sorted(found.seconds[name])[len(found.seconds[name]) // 2]
            share = f"{rate / reach.flops[precision]:.0%} of the {precision} peak"
            notes[name] = ", ".join(part for part in (notes.get(name, ""), share) if part)
    title = f"step of {config.method}, {config.size[0]}x{config.size[1]}, batch {config.batch}"
    if config.compile == "yes":
        title += ", networks compiled"
    report.add(title, found.seconds, steps.PLAIN, notes)
    report.facts |= {
        "operations of a step": "not known" if found.flops is None else f"{found.flops / 1e9:,.1f} GFLOP",
        "peak of matrix products": ", ".join(f"{name} {rate / 1e9:,.0f} GFLOP/s" for name, rate in reach.flops.items()),
        "peak of memory": f"{reach.bandwidth / 1e9:,.1f} GB/s",
        "waiting for data": "{:.1%} of a step ({:.1%} to {:.1%})".format(*found.waiting),
        "where the step's time goes": ", ".join(f"{kind} {share:.0%}" for kind, share in found.shares.items()),
    }


def _converted(rival: commands.Converted, plain: commands.Converted) -> str:
    """What a rival takes for an image, and how far its answers lie from the plain loop's."""
    told = f"{1000 * rival.each:.0f} ms for each image"
    if rival.few:
        many = commands.MANY
        told = f"{1000 * rival.each:.0f} ms for each further image"
        told += f", {plain.whole(many) / rival.whole(many):.2f}x at {many:,} images in proportion"
    return told if rival is plain else f"{told}, {rival.apart:.0f} dB to the loop's"


@contextmanager
def _photos(data: str | Path | None, count: int) -> Iterator[Path]:
    """The folder of images: the user's, or one of made-up pairs."""
    if data is not None:
        yield Path(data)
        return
    with tempfile.TemporaryDirectory() as folder:
        for side in ("source", "target"):
            feeding.made_up(_made(Path(folder) / "train" / side), min(count, 64))
        yield Path(folder)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.2f} ms"
