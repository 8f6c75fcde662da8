"""Quality on CamVid: label maps to street photos, scored on the test pairs. CamVid is free for academic use only.

python -m benchmarks.quality.camvid score RUN...           one result file for each trained run
python -m benchmarks.quality.camvid score RUN --set passes=4   with options of its network
python -m benchmarks.quality.camvid baselines              one for each answer that needs no training
python -m benchmarks.quality.camvid picture PATH RUN...    label map, photo and what each makes of it
python benchmarks/quality/table.py                         the table in docs/results.md, from the result files
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.quality import rivals, scores, squeezenet
from benchmarks.quality.picture import picture
from benchmarks.quality.scores import Photos
from benchmarks.quality.timing import seconds_of
from translate.assignments import typed_pairs
from translate.benchmark.hardware import machine
from translate.data import Dataset
from translate.errors import TranslateError
from translate.layouts import open_dataset
from translate.plugins import Catalog, discover
from translate.run import Config, Run
from translate.sizes import parse_size
from translate.translator import load
from translate_metrics.distances import frechet
from translate_metrics.kernels import kernel_distance

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).resolve().parent / "results"
DATA = ROOT / "../shared/data/paired/camvid"
WEIGHTS = ROOT / "../shared/data/weights/squeezenet1_0/squeezenet1_0_deepcompression.pth"


@dataclass(frozen=True, slots=True)
class Bench:
    """The data at one size, the network of the distances, and the real photos' features, all read once.

    ``real`` (N, positions, 512) is divided by ``scale``, the root mean square of the features of the real photos: their
    unit is arbitrary, and the kernel's is not.
    """

    catalog: Catalog
    dataset: Dataset
    train: rivals.Pairs
    test: rivals.Pairs
    network: nn.Module
    real: torch.Tensor
    scale: float
    protocol: Mapping[str, Any]

    @classmethod
    def open(cls, data: Path, weights: Path, size: tuple[int, int]) -> Bench:
        """Read the training and test pairs and the weights."""
        network = squeezenet.load(weights)
        catalog = discover()
        dataset = open_dataset(catalog, str(data))
        for split in ("train", "test"):
            if split not in dataset.splits:
                raise TranslateError(f"{data} has no {split} split; give the CamVid folder with --data")
        train, test = (rivals.pairs(dataset, split, size) for split in ("train", "test"))
        real = squeezenet.features(network, torch.from_numpy(test.photos))
        scale = real.square().mean().sqrt().item()
        protocol = {
            "data": "CamVid, label to photo",
            "layout": dataset.layout,
            "train_pairs": len(train.photos),
            "test_pairs": len(test.photos),
            "size": list(size),
            "resize": "stretch (label maps nearest, photos mean over the area)",
            "feature_network": "SqueezeNet 1.0, last fire module, 512 channels",
            "feature_weights": weights.name,
            "feature_weights_sha256": squeezenet.fingerprint(weights),
            "feature_size": squeezenet.SIDE,
            "feature_scale": f"1 / {scale:.4g}, so that the real test photos' mean square is 1",
            "frechet_samples": real.shape[0] * real.shape[1],
            "kernel_samples": len(test.photos),
        }
        return cls(catalog, dataset, train, test, network, real / scale, scale, protocol)

    def scores(self, fakes: Photos) -> dict[str, float]:
        """All scores of photos (N, H, W, 3) made from the test sources, in their order.

        ``frechet`` takes every position of the feature map of every image as a sample, since so few images do not
        span a covariance of 512 channels; ``kernel`` compares the images' mean features.
        """
        fake, real = squeezenet.features(self.network, torch.from_numpy(fakes)) / self.scale, self.real
        kernel, error = kernel_distance(fake.mean(1).numpy(), real.mean(1).numpy(), paired=True)
        return {
            "l1": scores.l1(fakes, self.test.photos),
            "psnr": scores.psnr(fakes, self.test.photos),
            "ssim": scores.ssim(fakes, self.test.photos),
            "frechet": frechet(fake.flatten(0, 1).numpy(), real.flatten(0, 1).numpy()),
            "kernel": kernel,
            "kernel_error": error,
        }

    def translated(self, folder: Path, given: Mapping[str, Any] | None = None) -> Photos:
        """What a run's last translator makes of the test sources, each with noise of its own; ``given`` are options."""
        translator = load(folder)
        size = tuple(self.test.sources.shape[-2:])
        if tuple(translator.size) != size:
            raise TranslateError(f"{folder} was trained at {translator.size}, the scores are taken at {size}")
        if (translator.source, translator.target) != (self.dataset.domains["source"], self.dataset.domains["target"]):
            raise TranslateError(f"{folder} was trained on other domains than {self.dataset.layout}")
        answers = torch.cat(
            [
                translator.translate(each, given=given or {}, seed=range(5 * part, 5 * part + len(each))).cpu()
                for part, each in enumerate(self.test.sources.split(5))
            ]
        )
        return rivals.stored(answers)

    def baselines(self, seeds: Sequence[int]) -> dict[tuple[str, int | None], Photos]:
        """The answers that need no training, by row and seed."""
        source, target = self.dataset.domains["source"], self.dataset.domains["target"]
        found: dict[tuple[str, int | None], Photos] = {}
        for seed in seeds:
            found["untrained generator", seed] = rivals.untrained(self.catalog, source, target, self.test, seed)
        found["mean training photo", None] = rivals.mean_photo(self.train, self.test)
        found["nearest label map's photo", None] = rivals.nearest(self.train, self.test)
        for seed in seeds:
            found["random training photos", seed] = rivals.drawn(self.train, self.test, seed)
        return found


def row_of(config: Config) -> str:
    """How the table names a run: its method with the options that were given, and bf16 where that was its arithmetic.

    >>> row_of(Config("pix2pix", "photos", {"gan": 0.0}))
    'pix2pix --gan 0'
    """
    fewer_bits = ["--precision bf16"] if config.precision == "bf16" else []
    return " ".join([config.method, *_flags(config.options), *fewer_bits])


def command_of(config: Config) -> str:
    """The command that trains what a config asks for; data is told relative to the repository, or by its folder's name.

    >>> command_of(Config("pix2pix", "demo", {"gan": 0.0}, steps=9, size=(128, 128), flip=False, augment=("jitter()",)))
    "translate fit pix2pix demo --gan 0 --steps 9 --size 128 --no-flip --augment 'jitter()'"
    """
    data = config.data
    if Path(data).exists():
        near = Path(os.path.relpath(data, ROOT)).as_posix()
        # Where else it lies is a matter of one machine.
        data = Path(data).name if near.startswith("../../") else near
    asked = {
        entry.name: getattr(config, entry.name)
        for entry in dataclasses.fields(config)
        if entry.name not in ("method", "data", "options") and getattr(config, entry.name) != entry.default
    }
    plugins = [part for plugin in asked.pop("plugins", ()) for part in ("-p", shlex.quote(plugin))]
    words = ["translate", *plugins, "fit", config.method, shlex.quote(data)]
    return " ".join([*words, *_flags(config.options), *_flags(asked)])


def _flags(options: Mapping[str, Any]) -> list[str]:
    words: list[str] = []
    for name, value in options.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif name in ("size", "load_size"):
            words += [f"--{flag}", "x".join(str(side) for side in dict.fromkeys(value))]
        else:
            for each in value if isinstance(value, (tuple, list)) else (value,):
                words += [f"--{flag}", f"{each:g}" if isinstance(each, float) else shlex.quote(str(each))]
    return words


def write(folder: Path, name: str, result: Mapping[str, Any]) -> None:
    """Write a result file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name.replace(' ', '-').replace(chr(39), '')}.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"{name}: " + "  ".join(f"{key} {value:.4g}" for key, value in result["scores"].items()))


def score(bench: Bench, runs: Sequence[Path], output: Path, given: Mapping[str, Any] = {}) -> None:
    """Score trained runs by what they hold after their last step; ``given`` are options of their networks."""
    how = [f"{name}={value}" for name, value in given.items()]
    for folder in runs:
        run = Run.open(folder)
        done = run.metrics[-1]["step"] if run.metrics else 0
        if done < run.steps:
            raise TranslateError(f"{folder} has done {done} of {run.steps} steps; let it finish before it is scored")
        facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        trained = {key: facts[key] for key in ("versions", "plugin", "device", "threads", "data") if key in facts}
        write(
            output,
            " ".join([folder.resolve().name, *how]),
            {
                "row": " ".join([row_of(run.config), *(f"--set {each}" for each in how)]),
                "kind": "run",
                "seed": run.config.seed,
                "steps": run.steps,
                "batch": run.config.batch * run.config.accumulate,
                "seconds": round(seconds_of(run), 1),
                "commands": [
                    command_of(run.config),
                    " ".join(
                        [
                            f"python -m benchmarks.quality.camvid score {shlex.quote(folder.resolve().name)}",
                            *(f"--set {shlex.quote(each)}" for each in how),
                        ]
                    ),
                ],
                "trained": trained,
                "machine": machine(),
                "protocol": bench.protocol,
                "scores": bench.scores(bench.translated(folder, given)),
            },
        )


def baselines(bench: Bench, seeds: Sequence[int], output: Path) -> None:
    """Score the answers that need no training."""
    for (row, seed), fakes in bench.baselines(seeds).items():
        write(
            output,
            row if seed is None else f"{row} {seed}",
            {
                "row": row,
                "kind": "baseline",
                "seed": seed,
                "steps": 0,
                "commands": ["python -m benchmarks.quality.camvid baselines --seeds " + " ".join(map(str, seeds))],
                "machine": machine(),
                "protocol": bench.protocol,
                "scores": bench.scores(fakes),
            },
        )


def show(bench: Bench, path: Path, runs: Sequence[Path], count: int) -> None:
    """Write a picture of some test images, evenly spread: label map, photo, each run and each baseline."""
    columns = {folder.resolve().name: bench.translated(folder) for folder in runs}
    columns |= {row: fakes for (row, _), fakes in bench.baselines([0]).items() if row != "random training photos"}
    rows = np.linspace(0, len(bench.test.photos) - 1, count).round().astype(int)
    picture(path, bench.test, bench.dataset.domains["source"], columns, rows.tolist(), refused=ROOT)


def main(given: Sequence[str] | None = None) -> int:
    """Parse, read the data, do what was asked; what the user can mend is told in one sentence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    scoring = commands.add_parser("score", help="score trained runs")
    scoring.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    scoring.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="given", help="option of the networks"
    )
    standing = commands.add_parser("baselines", help="score the answers that need no training")
    standing.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of the answers that are drawn")
    showing = commands.add_parser("picture", help="a picture for your eyes only: outside the repository")
    showing.add_argument("path", type=Path)
    showing.add_argument("runs", nargs="*", type=Path, metavar="RUN")
    showing.add_argument("--count", type=int, default=6, help="test images to show")
    for command in (scoring, standing, showing):
        command.add_argument("--data", type=Path, default=DATA, help="the CamVid folder")
        command.add_argument("--weights", type=Path, default=WEIGHTS, help="SqueezeNet 1.0's weights")
        command.add_argument("--size", default="128", help="size of everything, as the runs were trained")
    for command in (scoring, standing):
        command.add_argument("-o", "--output", type=Path, default=RESULTS, help="folder of the result files")
    arguments = parser.parse_args(given)
    try:
        bench = Bench.open(arguments.data, arguments.weights, parse_size(arguments.size))
        if arguments.command == "score":
            score(bench, arguments.runs, arguments.output, typed_pairs(arguments.given, "--set", "score"))
        elif arguments.command == "baselines":
            baselines(bench, arguments.seeds, arguments.output)
        else:
            show(bench, arguments.path, arguments.runs, arguments.count)
    except TranslateError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
