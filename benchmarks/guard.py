"""The guard: its false alarms, over what finished runs have left in their logs and sample grids, and its cost.

    python -m benchmarks.guard runs/digits/*
    python -m benchmarks.guard --cost pix2pix --size 256 --batch 1

A run of today has a ``guard.jsonl``, whose warnings are counted. Of older ones the log is replayed: terms as they are,
and balances out of the terms, as if every discriminator told all pairs apart, so that a count is an upper bound. Sample
grids are cut into their columns again.

The cost is that of each thing which the guard adds, at the intervals of a default training: the numbers of a step, a
look at the log, a look at a grid, and the pictures at the start.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from translate.adversary import Adversary
from translate.balance import Balance, levels
from translate.columns import Made
from translate.images import read
from translate.loader import thumbnails
from translate.options import options_of, parse_calls
from translate.parts import build
from translate.plugins import Catalog, discover
from translate.run import Config, Run, Scalars
from translate.setup import Setup
from translate_guard.detectors import DETECTORS, Seen
from translate_guard.guard import FIRST_STEPS, YOUNG, Guard
from translate_guard.interval import Interval
from translate_guard.pictures import look_at_data, look_at_outputs
from translate_guard.streaks import Streak

GAP, HEADER = 2, 16
"""Of a sample grid; see ``translate_samples.grid``."""

COLUMNS = {
    3: ("source", "fake", "target"),
    4: ("source", "fake", "target", "fake backward"),
    8: tuple(f"sample {number}" for number in range(1, 9)),
    12: ("source", "fake", "target", "fake backward", *(f"sample {number}" for number in range(1, 9))),
}


class Replay:
    """The warnings that a run would have had."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.warnings: list[str] = []
        self.nearest: dict[str, float] = {}
        self.looks: Counter[str] = Counter()
        self._streaks: dict[str, Streak] = {}

    def note(self, step: int, seen: dict[str, Seen]) -> None:
        """Count a look."""
        for key, each in seen.items():
            detector = key.partition(":")[0]
            self.looks[detector] += 1
            patience, steps = DETECTORS[detector].patience, self.run.steps
            if self._streaks.setdefault(key, Streak()).add(each.sign, step, steps, patience) is not None:
                self.warnings.append(f"{key} at step {step}: {each.value:.3g}")


def replay(run: Run, catalog: Catalog) -> Replay:
    """Replay a run's log and its sample grids."""
    found = Replay(run)
    interval, sides = Interval(), adversarial_levels(run, catalog)
    for row in run.metrics:
        terms = {name: value for name, value in row.items() if "/" in name and not name.startswith("learning_rate/")}
        found.note(row["step"], interval.look(terms, {}, balances(terms, sides)))
    examples = examples_of(run)
    found.note(0, look_at_data(examples))
    for path in sorted(run.samples.glob("step-*.png")):
        step = int(path.stem.partition("-")[2])
        if step >= max(YOUNG * run.steps, FIRST_STEPS) and (images := columns_of(path, run)):
            found.note(step, look_at_outputs(images, made_of(images), images, examples))
    return found


def adversarial_levels(run: Run, catalog: Catalog) -> tuple[float, float | None] | None:
    """Chance and floor of the run's adversarial loss; None if its method has none."""
    declared = options_of(catalog.offer("methods", run.config.method).load())
    if "adversarial" not in declared:
        return None
    name = run.config.options.get("adversarial", declared["adversarial"].default)
    call = parse_calls(name)[0]
    return levels(build(catalog, "adversarial_losses", str(call))) if name else None


def balances(terms: dict[str, float], sides: tuple[float, float | None] | None) -> dict[str, Balance]:
    """Each adversarial term of a discriminator with those of the other players, at an accuracy of 1."""
    if sides is None:
        return {}
    adversarial = {name: value for name, value in terms.items() if name.endswith(("adversarial", "realness"))}
    others = [value for name, value in adversarial.items() if not name.startswith("discriminator")]
    chance, floor = sides
    return {
        name: Balance(1.0, value, max(others, default=0.0), chance, floor)
        for name, value in adversarial.items()
        if name.startswith("discriminator")
    }


def examples_of(run: Run) -> dict[str, Tensor]:
    """Training images out of a run's npz file, as the guard gets them; none of other data."""
    path = Path(run.config.data)
    if path.suffix != ".npz" or not path.is_file():
        return {}
    found = {}
    with np.load(path) as file:
        for name in ("source", "target"):
            key = next((key for key in (name, f"train_{name}", f"{name}_train") if key in file), None)
            if key is None:
                continue
            pixels = file[key]
            pixels = pixels[:: -(-len(pixels) // 512)]
            pixels = pixels[:, None] if pixels.ndim == 3 else np.moveaxis(pixels, -1, 1)
            images = torch.from_numpy(np.ascontiguousarray(pixels)).float()
            small = torch.nn.functional.interpolate(images, size=run.config.size, mode="bilinear").round()
            found[name] = small.to(torch.uint8).expand(-1, 3, -1, -1) if small.shape[1] == 1 else small.to(torch.uint8)
    return found


def columns_of(path: Path, run: Run) -> dict[str, Tensor]:
    """The columns of a sample grid; none of a grid with others than are known here."""
    pixels = read(path).pixels
    height, width = run.config.size
    count, rows = (pixels.shape[1] + GAP) // (width + GAP), (pixels.shape[0] - HEADER) // (height + GAP)
    if count not in COLUMNS or count * (width + GAP) - GAP != pixels.shape[1]:
        return {}
    found = {}
    for number, name in enumerate(COLUMNS[count]):
        left = number * (width + GAP)
        cells = [
            pixels[HEADER + GAP + row * (height + GAP) :, left : left + width][:height, :, :3] for row in range(rows)
        ]
        found[name] = torch.from_numpy(np.stack(cells)).permute(0, 3, 1, 2).contiguous()
    return found


def made_of(columns: dict[str, Tensor]) -> dict[str, Made]:
    """What the columns stand for, of data that is not paired."""
    made = {
        "fake": Made("forward", "source", "target", None, held_out=True),
        "fake backward": Made("backward", "target", "source", None, held_out=True),
    }
    made |= {name: Made("sample", None, "target", None, held_out=True) for name in COLUMNS[8]}
    return {name: each for name, each in made.items() if name in columns}


def told(run: Run) -> list[str] | None:
    """The warnings of a run that the guard has watched."""
    try:
        lines = (run.folder / "guard.jsonl").read_text().splitlines()
    except OSError:
        return None
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return [f"{row['warning']}:{row['subject']} at step {row['step']}" for row in rows if "warning" in row]


def cost(method: str, size: int, batch: int, steps: int) -> None:
    """Print the share of a step that the guard takes, from the medians of each of its parts."""
    config = Config.from_values({"method": method, "data": f"demo(size={size})", "size": (size, size), "batch": batch})
    setup = Setup.make(replace(config, steps=steps))
    with setup.loader() as loader:
        step = _seconds(lambda: setup.engine.step([loader.batch(0)]), 3)
        pictures = _seconds(lambda: thumbnails(loader.decoded, setup.dataset.domains, {}), 3)
    adversaries = [each for each in setup.method.modules() if isinstance(each, Adversary)]
    logits = torch.randn(batch, 1, size // 8, size // 8)
    noting = len(adversaries) * _seconds(
        lambda: adversaries[0]._note_discriminator((logits,), (logits + 0.1,), torch.zeros(())), 200
    )
    numbers = _seconds(lambda: (setup.engine.gradient_norms(), setup.take_balances()), 5)
    shown = {name: (torch.rand(4, 3, size, size) * 255).to(torch.uint8) for name in ("source", "target", "fake")}
    made = {"fake": Made("forward", "source", "target", "target", held_out=True)}
    small = {name: (torch.rand(200, 3, 32, 32) * 255).to(torch.uint8) for name in ("source", "target")}
    look = _seconds(lambda: look_at_outputs(shown, made, shown, small), 5)
    with TemporaryDirectory() as folder:
        run = Run(Path(folder), setup.config, steps=steps)
        guard = Guard(run, {})
        scalars = Scalars(
            1, setup.engine.fetch(), 1.0, 1.0, 1, gradient_norms=setup.engine.gradient_norms(),
            balances=setup.take_balances(),
        )  # fmt: skip
        row = _seconds(lambda: guard.log(run, scalars), 50)
    each = noting + (numbers + row) / config.log_every + look * 10 / steps + pictures / steps
    print(f"{method}, {size} px, batch {batch}, {steps} steps: a step takes {step * 1e3:.1f} ms; the guard adds")
    print(f"  {noting * 1e6:.0f} us to each for the balance, {(numbers + row) * 1e3:.2f} ms to each log interval,")
    print(f"  {look * 1e3:.1f} ms to each of ten grids, {pictures * 1e3:.1f} ms at the start:")
    print(f"  {each * 1e3:.3f} ms a step, {each / step:.2%}")


def _seconds(job: Callable[[], object], times: int) -> float:
    job()
    taken = []
    for _ in range(times):
        # Of the process, so that others on the machine do not count.
        begun = time.process_time()
        job()
        taken.append(time.process_time() - begun)
    return median(taken)


def main() -> None:
    """Print the warnings of each run, and how many there are in all; or the cost."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="*", type=Path, help="folders of finished runs that are known to be good")
    parser.add_argument("--cost", metavar="METHOD", help="measure the cost for a method instead")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=20_000)
    asked = parser.parse_args()
    if asked.cost:
        cost(asked.cost, asked.size, asked.batch, asked.steps)
        return
    folders = [folder for folder in asked.runs if (folder / "metrics.jsonl").is_file()]
    catalog, looks, alarms = discover(), Counter[str](), 0
    for folder in folders:
        run = Run.open(folder)
        found = replay(run, catalog)
        warnings = told(run)
        warnings = found.warnings if warnings is None else warnings
        looks.update(found.looks)
        alarms += len(warnings)
        print(f"{folder.name}: {'; '.join(warnings) or 'silent'}")
    print(f"{len(folders)} runs, {alarms} warnings; looks: {', '.join(f'{each} {looks[each]}' for each in DETECTORS)}")


if __name__ == "__main__":
    main()
