"""False alarms of the guard: its detectors over what finished runs have left, in their log and their sample grids.

    python -m benchmarks.guard runs/digits/*

A run of today has a ``guard.jsonl``, whose warnings are counted. Of older ones the log is replayed: terms as they are,
and balances out of the terms, as if every discriminator told all pairs apart, so that a count is an upper bound. Sample
grids are cut into their columns again.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from translate.balance import Balance, levels
from translate.columns import Made
from translate.images import read
from translate.options import options_of, parse_calls
from translate.parts import build
from translate.plugins import Catalog, discover
from translate.run import Run
from translate_guard.detectors import DETECTORS, Seen
from translate_guard.guard import FIRST_STEPS, YOUNG
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


def main() -> None:
    """Print the warnings of each run, and how many there are in all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of finished runs that are known to be good")
    folders = [folder for folder in parser.parse_args().runs if (folder / "metrics.jsonl").is_file()]
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
