"""Quality on digits: USPS and MNIST, translated into one another, recognized from few labels, inverted and back.

python -m benchmarks.quality.digits list                      the rows, each with its training command
python -m benchmarks.quality.digits run ROW... --seeds 0 1 2  train and score; one result file for each row and seed
python benchmarks/quality/table.py                            the tables in docs/results.md, from the result files

USPS is translated from its 7,291 training images and scored on its 2,007 test images. Of MNIST's training file the
first 50,000 digits train and the last 10,000 are held out for scoring. All are resized to 32 px, or as a row says.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.quality import three_domains
from benchmarks.quality.asked import read_right
from benchmarks.quality.rows import ROWS, Row
from benchmarks.quality.timing import seconds_of
from translate.benchmark.hardware import machine
from translate.errors import TranslateError
from translate.evaluation import evaluate
from translate.reshaping import resized
from translate.run import Run
from translate.training import fit, resume
from translate.translator import load

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).resolve().parent / "results" / "digits"
DATA = ROOT / "../shared/data/labelled"
WORK = ROOT / "runs" / "digits"


Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Digits:
    """The two sets, each as images (N, H, W) uint8 and labels (N,), for training and for scoring."""

    usps: tuple[Arrays, Arrays]
    mnist: tuple[Arrays, Arrays]

    @classmethod
    def read(cls, data: Path) -> Digits:
        """Read ``usps/usps.npz`` and ``mnist/mnist.npz`` of a folder."""
        try:
            usps = dict(np.load(data / "usps" / "usps.npz", allow_pickle=False))
            mnist = dict(np.load(data / "mnist" / "mnist.npz", allow_pickle=False))
        except OSError:
            raise TranslateError(
                f"{data} lacks usps/usps.npz or mnist/mnist.npz; give their folder with --data"
            ) from None
        images, labels = mnist["x_train"], mnist["y_train"]
        return cls(
            (
                {"image": usps["x_train"], "label": usps["y_train"]},
                {"image": usps["x_test"], "label": usps["y_test"]},
            ),
            (
                {"image": images[:50000], "label": labels[:50000]},
                {"image": images[50000:], "label": labels[50000:]},
            ),
        )


def inverted(images: NDArray[Any]) -> NDArray[Any]:
    """Black for white."""
    return 255 - images


def rotated(images: NDArray[Any]) -> NDArray[Any]:
    """A quarter turn to the left."""
    return np.ascontiguousarray(np.rot90(images, axes=(1, 2)))


def blurred(images: NDArray[Any]) -> NDArray[Any]:
    """The mean of 3 x 3 neighbours, black beyond the edge."""
    padded = np.pad(images.astype(np.float32), ((0, 0), (1, 1), (1, 1)))
    height, width = images.shape[1:]
    total = sum(padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3))
    mean: NDArray[Any] = np.rint(np.asarray(total) / 9).astype(np.uint8)
    return mean


CHANGES = {"inverted": inverted, "rotated": rotated, "blurred": blurred}


def prepared(name: str, digits: Digits, folder: Path) -> Path:
    """The file of a task's arrays, made on its first use: ``usps-mnist``, ``mnist``, ``mnist-inverted`` ...

    ``mnistten`` is MNIST of which the first ten training images of each class have labels, and the others none.
    """
    path = folder / f"{name}.npz"
    if path.exists():
        return path
    black = tuple({**split, "image": inverted(split["image"])} for split in digits.mnist)
    if name.startswith("domains"):
        of_domains = {"usps": digits.usps, "mnist": digits.mnist, "inverted": (black[0], black[1])}
        return three_domains.prepare(name, of_domains, folder)
    first, _, second = name.partition("-")
    labels = digits.mnist[0]["label"]
    first_ten = np.concatenate([np.flatnonzero(labels == each)[:10] for each in range(10)])
    few = np.full(len(labels), -1)
    few[first_ten] = labels[first_ten]
    sets = {
        "usps": digits.usps,
        "mnist": digits.mnist,
        "inverted": black,
        "mnistten": ({**digits.mnist[0], "label": few}, digits.mnist[1]),
    }
    arrays: dict[str, NDArray[Any]] = {}

    def put(split: str, side: str, images: NDArray[Any], labels: NDArray[Any]) -> None:
        arrays[f"{side or 'x'}_{split}"] = images
        arrays[f"{side}_label_{split}" if side else f"y_{split}"] = labels.astype(np.int64)

    for place, split in enumerate(("train", "test")):
        own = sets[first][place]
        put(split, "source" if second else "", own["image"], own["label"])
        if second in sets:
            other = sets[second][place]
            put(split, "target", other["image"], other["label"])
        elif second:
            put(split, "target", CHANGES[second](own["image"]), own["label"])
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f"{name}.part.npz"
    np.savez(beside, allow_pickle=False, **arrays)
    beside.replace(path)
    return path


@dataclass(slots=True)
class Bench:
    """The digits, where runs go, and what has been trained so far."""

    digits: Digits
    work: Path
    results: Path

    def trained(self, name: str, seed: int) -> Run:
        """The finished run of a row; trained, or gone on with, where it is not finished yet."""
        row = ROWS[name]
        folder = self.work / f"{name}-{seed}"
        if (folder / "config.json").exists():
            run = Run.open(folder)
            done = int(run.checkpoints[-1].stem.partition("-")[2]) if run.checkpoints else 0
            if done < run.steps:
                run = resume(folder)
        else:
            run = fit(
                row.method,
                prepared(row.data, self.digits, self.work / "data"),
                output=folder,
                seed=seed,
                **self.filled(row.options, seed),
            )
        return run

    def filled(self, options: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Options with the run of another row in place of ``{row}``."""
        found: dict[str, Any] = {}
        for name, value in options.items():
            if isinstance(value, str) and value.startswith("{"):
                value = str(self.trained(value.strip("{}"), seed).folder)
            found[name] = value.replace("SEED", str(seed)) if isinstance(value, str) else value
        return found

    def data_of(self, value: Any) -> Any:
        """The path of data in place of its name in braces; any other value as it is."""
        if isinstance(value, str) and value.startswith("{"):
            return prepared(value.strip("{}"), self.digits, self.work / "data")
        return value

    def score(self, name: str, seed: int) -> Path:
        """Train a row, score the weights of its last step, and write its result file."""
        row = ROWS[name]
        run = self.trained(name, seed)
        data = prepared(row.data, self.digits, self.work / "data")
        scores: dict[str, Any] = {}
        protocol: dict[str, Any] = {}
        for direction, metrics in row.metrics.items():
            # Judges are trained once, with seed 0, and the same for all.
            asked = [metric.format_map(_Judges(self)) for metric in metrics]
            found = evaluate(run.folder, str(data), metrics=asked, direction=direction or None).to_json()
            prefix = f"{direction} " if direction else ""
            scores |= {f"{prefix}{metric}": value for metric, value in found["scores"].items()}
            protocol[direction] = {key: value for key, value in found.items() if key not in ("scores", "run", "data")}
        for prefix, each in row.measured.items():
            asked = [metric.format_map(_Judges(self)) for metric in each.metrics]
            given = {key: self.data_of(value) for key, value in each.given.items()}
            where = self.data_of(f"{{{each.data or row.data}}}")
            found = evaluate(run.folder, str(where), metrics=asked, given=given).to_json()
            scores |= {
                f"{prefix} {metric.replace('content_accuracy', each.called)}": value
                for metric, value in found["scores"].items()
            }
            protocol[prefix] = {key: value for key, value in found.items() if key not in ("scores", "run", "data")}
        if row.cycle:
            scores |= cycle_errors(run.folder, data)
        if row.asked:
            scores |= read_right(run.folder, self.trained("classifier-mnist", 0).folder)
        result = {
            "row": name,
            "method": row.method,
            "about": row.about,
            "seed": seed,
            "steps": run.steps,
            "command": command(row, seed),
            "options": dict(row.options),
            "seconds": round(seconds_of(run), 1),
            "scores": scores,
            "protocol": protocol,
            "machine": machine(),
        }
        self.results.mkdir(parents=True, exist_ok=True)
        path = self.results / f"{name}-{seed}.json"
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        return path


def cycle_errors(folder: Path, data: Path, size: int = 32) -> dict[str, float]:
    """How far digits of the test splits come back from, in [-1, 1]: the mean and the largest |B(A(x)) - x|.

    As floats of 32 and of 64 bits, and with the translation rounded to 8 bits in between, as a file holds it.
    """
    found: dict[str, float] = {}
    with np.load(data, allow_pickle=False) as arrays:
        sides = {side: torch.from_numpy(arrays[f"{side}_test"])[:, None] for side in ("source", "target")}
    for direction, side in (("forward", "source"), ("backward", "target")):
        there = load(folder, direction=direction)
        back = load(folder, direction="backward" if direction == "forward" else "forward")
        errors: dict[str, list[torch.Tensor]] = {"": [], " in float64": [], " by 8 bits": []}
        for part in resized(sides[side].float() / 127.5 - 1, (size, size)).split(256):
            made = there.translate(part)
            stored = ((made.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1
            exact = there.translate(part.double())
            for name, given in (("", made), (" in float64", exact), (" by 8 bits", stored)):
                errors[name].append((back.translate(given) - part).abs())
        for name, each in errors.items():
            all_errors = torch.cat(each)
            found[f"{direction} cycle{name}, mean"] = all_errors.mean().item()
            found[f"{direction} cycle{name}, largest"] = all_errors.max().item()
    return found


class _Judges(dict[str, str]):
    """Fills ``{mnist}`` in a metric with the run of the judge of that name."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench = bench

    def __missing__(self, name: str) -> str:
        return str(self.bench.trained(f"classifier-{name}", 0).folder)


def command(row: Row, seed: int) -> str:
    """The training of a row as a command line."""
    flags: list[str] = []
    for name, value in row.options.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(flag if value else "--no-" + flag[2:])
            continue
        for each in value if isinstance(value, (list, tuple)) else (value,):
            text = f"runs/digits/{each.strip('{}')}-SEED" if str(each).startswith("{") else str(each)
            flags.append(f'{flag} "{text}"' if set(text) & set(" (={") else f"{flag} {text}")
    return f"translate fit {row.method} {row.data}.npz {' '.join(flags)} --seed {seed}".replace("SEED", str(seed))


def main(given: Sequence[str] | None = None) -> int:
    """List the rows, or train and score some."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="the rows, each with its training command")
    running = actions.add_parser("run", help="train and score rows")
    running.add_argument("rows", nargs="+", choices=sorted(ROWS), metavar="ROW")
    running.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    running.add_argument("--data", type=Path, default=DATA, help="folder of usps/usps.npz and mnist/mnist.npz")
    running.add_argument("--work", type=Path, default=WORK, help="where runs go")
    running.add_argument("--results", type=Path, default=RESULTS, help="where result files go")
    running.add_argument("--threads", type=int, default=1, help="torch's threads")
    arguments = parser.parse_args(given)
    if arguments.action == "list":
        for name, row in ROWS.items():
            print(f"{name}: {row.about}\n    {command(row, 0)}")
        return 0
    torch.set_num_threads(arguments.threads)
    bench = Bench(Digits.read(arguments.data), arguments.work, arguments.results)
    try:
        for seed in arguments.seeds:
            for name in arguments.rows:
                path = bench.score(name, seed)
                scores = json.loads(path.read_text(encoding="utf-8"))["scores"]
                told = "  ".join(f"{key} {value:.4g}" for key, value in scores.items() if isinstance(value, float))
                print(f"{name}, seed {seed}: {told}", flush=True)
    except TranslateError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
