"""Quality of filled holes: parts of photos are cut out and filled, and the fillings are scored on held-out photos.

python -m benchmarks.quality.inpainting run --seeds 0 1 2     train, score, and write one result file for each row
python -m benchmarks.quality.inpainting picture PATH          hole, photo and what each makes of it
python benchmarks/quality/table.py                            the table in docs/results.md, from the result files
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.quality import rivals, squeezenet
from benchmarks.quality.camvid import WEIGHTS, command_of, write
from benchmarks.quality.picture import picture
from benchmarks.quality.scores import Photos
from benchmarks.quality.timing import seconds_of
from translate import images
from translate.benchmark.hardware import machine
from translate.data import Domain
from translate.errors import TranslateError
from translate.layouts import open_dataset
from translate.plugins import discover
from translate.run import Run
from translate.training import fit, resume
from translate.translator import load

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).resolve().parent / "results" / "inpainting"
DATA = ROOT / "../shared/data/photos"
RUNS = ROOT / "runs" / "inpainting"

SIDE, MARGIN, SHORT = 64, 96, 160
"""The side of what is scored and trained on, of the crops that are trained on, and the shorter side of a photo."""

CROPS = 40
"""Crops of each training photo."""

FIFTH = 5
"""Every fifth photo, in the order of folders and names, is held out."""

HOLES = "shape=mixed, smallest=0.25, largest=0.5"
GRAY = 128
"""What an image that has no mask is emptied with."""

COMMON: dict[str, Any] = {
    # Without normalization, which takes the colours away that are to be filled in, and without noise.
    "generator": "unet(width=32, depth=5, norm=none, dropout=0)", "batch": 8,
    "discriminator": "patch(width=32, receptive_field=16)",
    "optimizer": ("generator=adam(lr=0.002)", "discriminator=adam(lr=0.0002)"),
    "size": SIDE, "load_size": MARGIN, "compile": "no", "log_every": 100, "sample_every": 10**6, "save_every": 10**6,
}  # fmt: skip
ROWS: Mapping[str, dict[str, Any]] = {
    "pix2pix": {},
    "pix2pix --mask mask": {"mask": "mask"},
    "pix2pix --mask mask --augment random_holes": {"mask": "mask", "augment": (f"random_holes({HOLES})",)},
}
"""The trained rows; the first gets emptied images as its source, with no mask."""


@dataclass(frozen=True, slots=True)
class Test:
    """What is scored: photos (N, H, W, 3) and their holes (N, H, W)."""

    photos: Photos
    holes: NDArray[np.bool_]

    @property
    def emptied(self) -> Photos:
        """The photos with gray holes."""
        return np.where(self.holes[..., None], np.uint8(GRAY), self.photos)

    def composed(self, filled: Photos) -> Photos:
        """What is filled inside the holes, and the photos elsewhere."""
        return np.where(self.holes[..., None], filled, self.photos)


def cut(photos: Path, folder: Path) -> None:
    """Write crops of photos, once: ``photos/train`` and ``photos/test``, and the former with their holes as pairs."""
    if (folder / "done").exists():
        return
    found = images.find(photos)
    if len(found) < 2 * FIFTH:
        raise TranslateError(f"{photos} has {len(found)} images; give a folder of photos with --data")
    draws = np.random.default_rng(0)
    for number, path in enumerate(found):
        pixels = images.load(path, channels=3).pixels
        scale = SHORT / min(pixels.shape[:2])
        pixels = images.resize(pixels, (round(pixels.shape[0] * scale), round(pixels.shape[1] * scale)))
        height, width = pixels.shape[:2]
        held = number % FIFTH == 0
        side = SIDE if held else MARGIN
        if held:
            places = [(y, x) for y in range(0, height - side + 1, 48) for x in range(0, width - side + 1, 48)]
        else:
            places = [
                (int(draws.integers(height - side + 1)), int(draws.integers(width - side + 1))) for _ in range(CROPS)
            ]
        for place, (y, x) in enumerate(places):
            out = folder / "photos" / ("test" if held else "train") / f"{number:02d}-{place:02d}.png"
            out.parent.mkdir(parents=True, exist_ok=True)
            images.write(out, images.Image(np.ascontiguousarray(pixels[y : y + side, x : x + side])))
    dataset = open_dataset(discover(), str(folder / "photos"), f"holes({HOLES})")
    train = dataset.splits["train"]
    for photo, mask in zip(train["source"], train["mask"], strict=True):
        pixels = images.read_example(photo, dataset.domains["source"])
        hole = images.read_example(mask, dataset.domains["mask"]) > 127
        for side_name, made in (("source", np.where(hole, np.uint8(GRAY), pixels)), ("target", pixels)):
            out = folder / "pairs" / "train" / side_name / f"{photo.name}.png"
            out.parent.mkdir(parents=True, exist_ok=True)
            images.write(out, images.Image(made))
    (folder / "done").write_text("cut\n")


@dataclass(frozen=True)
class Bench:
    """The crops, the held-out photos with their holes, and the network of the distances."""

    folder: Path
    weights: Path
    source: Path

    @cached_property
    def test(self) -> Test:
        """The held-out photos; a hole follows from the photo's name."""
        dataset = open_dataset(discover(), str(self.folder / "photos"), f"holes({HOLES})")
        split = dataset.splits["test"]
        photos = [images.read_example(each, dataset.domains["source"]) for each in split["source"]]
        holes = [images.read_example(each, dataset.domains["mask"])[..., 0] > 127 for each in split["mask"]]
        return Test(np.stack(photos), np.stack(holes))

    @cached_property
    def network(self) -> nn.Module:
        """SqueezeNet."""
        return squeezenet.load(self.weights)

    def features(self, photos: Photos) -> torch.Tensor:
        """Features (N, 169, 512) of unit length."""
        found = squeezenet.features(self.network, torch.from_numpy(photos))
        return nn.functional.normalize(found, dim=2)

    @cached_property
    def real(self) -> torch.Tensor:
        """The features of the held-out photos."""
        return self.features(self.test.photos)

    @cached_property
    def protocol(self) -> dict[str, Any]:
        """What was compared, and how."""
        return {
            "data": f"{len(images.find(self.source))} photos, every fifth held out, shorter side {SHORT} px",
            "train_crops": len(images.find(self.folder / "photos" / "train")),
            "test_crops": len(self.test.photos),
            "size": SIDE,
            "holes": f"holes({HOLES})",
            "hole_share": round(float(self.test.holes.mean()), 4),
            "feature_network": "SqueezeNet 1.0, last fire module, 512 channels",
            "feature_weights": self.weights.name,
            "feature_weights_sha256": squeezenet.fingerprint(self.weights),
            "feature_size": squeezenet.SIDE,
        }

    def scores(self, filled: Photos) -> dict[str, float]:
        """PSNR over the pixels of each hole, and the squared distance of features there, means over the photos.

        All else is the photo's own, whatever was made of it.
        """
        made, holes = self.test.composed(filled), self.test.holes
        wrong = (made.astype(np.float64) - self.test.photos) ** 2
        inside = [max(error[hole].mean(), 1e-9) for error, hole in zip(wrong, holes, strict=True)]
        side = round(self.real.shape[1] ** 0.5)
        share = nn.functional.adaptive_avg_pool2d(torch.from_numpy(holes).float()[:, None], side).flatten(1)
        apart = (self.features(made) - self.real).square().sum(2)
        return {
            "psnr": float(np.mean(10 * np.log10(255**2 / np.array(inside)))),
            "features": float(((apart * share).sum(1) / share.sum(1)).mean()),
        }

    def baselines(self) -> dict[str, Photos]:
        """The fillings that need no training."""
        return {
            "mean colour of the known pixels": np.stack(
                [mean_fill(photo, hole) for photo, hole in zip(self.test.photos, self.test.holes, strict=True)]
            ),
            "nearest known pixel": np.stack(
                [nearest_fill(photo, hole) for photo, hole in zip(self.test.photos, self.test.holes, strict=True)]
            ),
        }

    def filled(self, run: Run, masked: bool) -> Photos:
        """What a run's last translator makes of the held-out photos."""
        translator = load(run.folder)
        tensor = images.normalize(torch.from_numpy(self.test.emptied).permute(0, 3, 1, 2), Domain(3))
        masks = torch.from_numpy(self.test.holes).float()[:, None] * 2 - 1
        given: dict[str, Any] = {"mask": masks} if masked else {}
        return rivals.stored(translator.translate(tensor, given=given).cpu())


def mean_fill(photo: NDArray[np.uint8], hole: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A photo whose hole has the mean colour of all else."""
    mean = np.rint(photo[~hole].mean(0)).astype(np.uint8)
    return np.where(hole[..., None], mean, photo)


def nearest_fill(photo: NDArray[np.uint8], hole: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A photo whose hole has at each pixel the colour of the nearest known one."""
    known = np.argwhere(~hole)
    _, labels = cv2.distanceTransformWithLabels(
        hole.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE, labelType=cv2.DIST_LABEL_PIXEL
    )
    # Labels count the known pixels in their order.
    nearest = known[labels - 1]
    filled: NDArray[np.uint8] = photo[nearest[..., 0], nearest[..., 1]]
    return filled


def trained(bench: Bench, row: str, seed: int, steps: int, runs: Path) -> Run:
    """The run of a row: finished before, gone on with, or begun."""
    folder = runs / f"{row.replace(' --', '-').replace(' ', '-')}-{seed}"
    if (folder / "config.json").exists():
        run = Run.open(folder)
        return run if run.metrics and run.metrics[-1]["step"] >= run.steps else resume(folder)
    options = {**COMMON, **ROWS[row]}
    data, layout = ("photos", f"holes({HOLES})") if "mask" in options else ("pairs", "folders")
    return fit("pix2pix", bench.folder / data, output=folder, layout=layout, steps=steps, seed=seed, **options)


def main(given: Sequence[str] | None = None) -> int:
    """Parse, cut the photos, do what was asked; what the user can mend is told in one sentence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="train and score")
    running.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)} (default: all)")
    running.add_argument("-o", "--output", type=Path, default=RESULTS, help="folder of the result files")
    showing = commands.add_parser("picture", help="a picture for your eyes only: outside the repository")
    showing.add_argument("path", type=Path)
    showing.add_argument("--count", type=int, default=6, help="photos to show")
    for command in (running, showing):
        command.add_argument("--seeds", nargs="+", type=int, default=[0], help="of the trainings")
        command.add_argument("--steps", type=int, default=4000, help="of a training")
        command.add_argument("--data", type=Path, default=DATA, help="a folder of photos")
        command.add_argument("--weights", type=Path, default=WEIGHTS, help="SqueezeNet 1.0's weights")
        command.add_argument("--runs", type=Path, default=RUNS, help="folder of crops and runs")
    arguments = parser.parse_args(given)
    try:
        cut(arguments.data, arguments.runs / "data")
        bench = Bench(arguments.runs / "data", arguments.weights, arguments.data)
        if arguments.command == "run":
            run_rows(bench, arguments)
        else:
            show(bench, arguments)
    except TranslateError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def run_rows(bench: Bench, arguments: argparse.Namespace) -> None:
    """Write a result file for each baseline, and for each row and seed."""
    if unknown := [row for row in arguments.rows if row not in ROWS]:
        raise TranslateError(f"there is no row {unknown[0]!r}; there are {', '.join(ROWS)}")
    common = {"machine": machine(), "protocol": bench.protocol}
    command = "python -m benchmarks.quality.inpainting run --seeds " + " ".join(map(str, arguments.seeds))
    command += f" --steps {arguments.steps}"
    for row, filled in bench.baselines().items():
        baseline = {"row": row, "kind": "baseline", "seed": None, "steps": 0, "commands": [command]}
        write(arguments.output, row, {**baseline, **common, "scores": bench.scores(filled)})
    for row in arguments.rows or ROWS:
        for seed in arguments.seeds:
            run = trained(bench, row, seed, arguments.steps, arguments.runs)
            facts: dict[str, Any] = {
                "row": row,
                "kind": "run",
                "seed": seed,
                "steps": run.steps,
                "batch": run.config.batch,
                "seconds": round(seconds_of(run), 1),
                "commands": [command, command_of(run.config)],
            }
            scores = bench.scores(bench.filled(run, "mask" in ROWS[row]))
            write(arguments.output, f"{row.replace(' --', '-')} {seed}", {**facts, **common, "scores": scores})


def show(bench: Bench, arguments: argparse.Namespace) -> None:
    """Write a picture of some held-out photos, evenly spread: emptied, whole, and as each row fills them."""
    columns = bench.baselines()
    for row in ROWS:
        run = trained(bench, row, arguments.seeds[0], arguments.steps, arguments.runs)
        columns[row] = bench.test.composed(bench.filled(run, "mask" in ROWS[row]))
    emptied = images.normalize(torch.from_numpy(bench.test.emptied).permute(0, 3, 1, 2), Domain(3))
    rows = np.linspace(0, len(bench.test.photos) - 1, arguments.count).round().astype(int).tolist()
    picture(
        arguments.path,
        rivals.Pairs(emptied, bench.test.photos),
        Domain(3),
        columns,
        rows,
        refused=ROOT,
        first="emptied",
    )


if __name__ == "__main__":
    sys.exit(main())
