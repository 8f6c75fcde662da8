"""The implementation of ``bench``: run the requested benchmarks and collect their results in a report."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from translate.benchmark import commands, cost, feeding, steps
from translate.benchmark.hardware import machine
from translate.benchmark.limits import limits
from translate.benchmark.report import Report
from translate.devices import pick_device
from translate.errors import TranslateError, nearest
from translate.images import find
from translate.overview import is_there
from translate.run import Config


def measure(method: str, asked: Mapping[str, Any], options: Mapping[str, Any]) -> Report:
    """Measure with the checked options of ``bench``."""
    for each in asked["rival"]:
        if each not in commands.RIVALS:
            raise TranslateError(f"bench converts in no way {each!r}; {nearest(each, commands.RIVALS)}")
    what, size, batch, rounds, images = (asked[name] for name in ("what", "size", "batch", "rounds", "images"))
    device = pick_device(asked["device"])
    kept = {name: value for name, value in asked.items() if name not in ("data", "device")}
    kept = {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}
    ways = list(asked["rival"]) or commands.available(device)
    report = Report(machine(device), {"method": method, **kept, "options": dict(options)})
    with _photos(asked["data"], images) as photos, tempfile.TemporaryDirectory() as scratch:
        values = {
            **options,
            "method": method,
            "data": str(photos),
            "size": size,
            "batch": batch,
            "device": asked["device"],
        }
        config = Config.from_values({"steps": 10**6, **values}, "bench")
        if "steps" in what:
            _steps(report, config, rounds)
        if "cost" in what:
            seconds, memory = cost.cost(values, Path(scratch), steps=max(rounds // 3, 1))
            report.add(f"cost of a step of {method}", seconds, None, memory)
        if "feeding" in what:
            paths = find(photos)
            timed = feeding.feeding(paths, batch=batch, size=size, device=device, rounds=rounds, steps=20)
            speed = {name: f"{2 * batch / sorted(each)[len(each) // 2]:,.0f} images/s" for name, each in timed.items()}
            report.add(f"feeding, batches of {batch} sources and targets", timed, feeding.PLAIN, speed)
        if "conversion" in what:
            run = commands.untrained(config, Path(scratch))
            squares = feeding.made_up(_make_folder(Path(scratch) / "in"), images, (size, size))
            found = commands.conversion(run, squares[0].parent, Path(scratch), max(rounds // 3, 1), ways, device)
            lines = {name: _converted(each, found[commands.PLAIN]) for name, each in found.items()}
            timed = {name: each.seconds for name, each in found.items()}
            report.add(f"conversion of {images} images, whole command", timed, commands.PLAIN, lines)
        if "beginning" in what:
            timed = commands.beginning(method, photos, Path(scratch), size, max(rounds // 3, 1))
            least = min(timed["python -c pass"])
            more = {name: f"{min(each) - least:.2f} s more than Python at best" for name, each in timed.items()}
            report.add("beginning", timed, None, more)
    return report


def _steps(report: Report, config: Config, rounds: int) -> None:
    """Time the training step, and compare it with the limits of the machine."""
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
    """A rival's time per image, and the PSNR of its outputs against the plain loop's."""
    lines = f"{1000 * rival.each:.0f} ms for each image"
    if rival.few:
        many = commands.MANY
        lines = f"{1000 * rival.each:.0f} ms for each further image"
        lines += f", {plain.whole(many) / rival.whole(many):.2f}x at {many:,} images in proportion"
    return lines if rival is plain else f"{lines}, {rival.apart:.0f} dB to the loop's"


@contextmanager
def _photos(data: str | Path | None, count: int) -> Iterator[Path]:
    """The folder of images: the user's, or a temporary one of synthetic images in two domains."""
    if data is not None:
        if not (is_there(Path(data)) and Path(data).is_dir()):
            raise TranslateError(f"bench: there is no folder {data}; name a folder of images, or leave out --data")
        yield Path(data)
        return
    with tempfile.TemporaryDirectory() as folder:
        for side in ("source", "target"):
            feeding.made_up(_make_folder(Path(folder) / "train" / side), min(count, 64))
        yield Path(folder)


def _make_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
