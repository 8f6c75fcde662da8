"""Feeding: images a second from our caches against Pillow decoding, resizing and cropping for every step.

The rivals do the same work on the same files and cores: resize to 286/256 of the size, random crop, random mirroring,
float32 in [-1, 1], one source and one target a row. They are timed in turn, round after round, and compared within a
round, so that a busy machine slows all alike. What the cache costs once, decoding everything, is told beside.

    python benchmarks/feeding.py [--data FOLDER] [--batch 1] [--size 256] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from translate.cache import cores
from translate.data import Domain, Example
from translate.images import find
from translate.loader import Cache, Loader
from translate.method import Needs

Pair = tuple[Tensor, Tensor]


class PillowImages(Dataset[Pair]):
    """Unpaired images, decoded, resized, cropped and mirrored by Pillow each time one is asked for."""

    def __init__(self, paths: list[Path], size: int) -> None:
        self.paths, self.size, self.load = paths, size, round(size * 286 / 256)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Pair:
        return self.image(self.paths[index]), self.image(random.choice(self.paths))

    def image(self, path: Path) -> Tensor:
        with Pillow.open(path) as file:
            image = file.convert("RGB").resize((self.load, self.load), Pillow.Resampling.BICUBIC)
        left, top = (random.randint(0, self.load - self.size) for _ in range(2))
        image = image.crop((left, top, left + self.size, top + self.size))
        if random.random() < 0.5:
            image = image.transpose(Pillow.Transpose.FLIP_LEFT_RIGHT)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div_(127.5).sub_(1)


def plain_loop(images: PillowImages, batch: int, device: torch.device) -> Callable[[], object]:
    """One batch after the other in the training's own thread."""

    def step() -> object:
        rows = [images[random.randrange(len(images))] for _ in range(batch)]
        return [torch.stack(side).to(device) for side in zip(*rows, strict=True)]

    return step


def data_loader(images: PillowImages, batch: int, workers: int, device: torch.device) -> Callable[[], object]:
    """torch's DataLoader with worker processes, kept alive from epoch to epoch."""
    sampler = torch.utils.data.RandomSampler(images, replacement=True, num_samples=10**9)
    pinned = device.type == "cuda"
    batches: Iterator[Pair] = iter(DataLoader(images, batch, sampler=sampler, num_workers=workers, pin_memory=pinned))
    return lambda: [side.to(device, non_blocking=pinned) for side in next(batches)]


def ours(loader: Loader) -> Callable[[], object]:
    """The next batch of ours."""
    numbers = iter(range(10**9))
    return lambda: loader.batch(next(numbers))


def made_up(folder: Path, count: int) -> list[Path]:
    """Photographs, as JPEG files of 640 x 480: smooth noise, which takes about as long to decode as a real photo."""
    generator = np.random.default_rng(0)
    for number in range(count):
        coarse = Pillow.fromarray(generator.integers(0, 256, (60, 80, 3), np.uint8))
        coarse.resize((640, 480), Pillow.Resampling.BICUBIC).save(folder / f"{number:03}.jpg", quality=92)
    return find(folder)


def seconds(step: Callable[[], object], steps: int, device: torch.device) -> float:
    """How long so many steps take, after as many as a rival may have made ready while the others had their turn."""
    for _ in range(2 * cores() + 4):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    for _ in range(steps):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def measure(paths: list[Path], arguments: argparse.Namespace) -> dict[str, object]:
    """Time all rivals in turn; ratios are against the plain loop of the same round."""
    device, batch, size, workers = torch.device(arguments.device), arguments.batch, arguments.size, cores()
    images = PillowImages(paths, size)
    rivals = {
        "Pillow, plain loop": plain_loop(images, batch, device),
        f"Pillow, DataLoader with {workers} workers": data_loader(images, batch, workers, device),
    }
    listed = {name: [Example(path, path.name) for path in paths] for name in ("source", "target")}
    built: dict[str, float] = {}
    loaders: list[Loader] = []
    kinds: tuple[Cache, ...] = ("stream", "host", "device")
    for cache in kinds:
        started = time.perf_counter()
        loader = Loader(
            listed,
            dict.fromkeys(listed, Domain(3)),
            paired=False,
            needs=Needs(),
            batch=batch,
            size=(size, size),
            load_size=None,
            resize="stretch",
            flip=True,
            cache=cache,
            device=device,
        )
        built[f"translate, {cache} cache"] = time.perf_counter() - started
        rivals[f"translate, {cache} cache"] = ours(loader)
        loaders.append(loader)

    times: dict[str, list[float]] = {name: [] for name in rivals}
    for number in range(arguments.rounds):
        order = list(rivals) if number % 2 == 0 else list(rivals)[::-1]
        for name in order:
            steps = arguments.steps * (10 if name.endswith((" device cache", " host cache")) else 1)
            times[name].append(seconds(rivals[name], steps, device) / steps)
    for loader in loaders:
        loader.close()

    first = times["Pillow, plain loop"]
    rows = {}
    for name, each in times.items():
        ratios = sorted(base / own for base, own in zip(first, each, strict=True))
        rows[name] = {
            "images_per_second": 2 * batch / statistics.median(each),
            "milliseconds_per_batch": 1000 * statistics.median(each),
            "ratio": statistics.median(ratios),
            "ratio_low": ratios[0],
            "ratio_high": ratios[-1],
            "decoding_once_seconds": built.get(name, 0.0) if "stream" not in name else 0.0,
        }
    return {
        "files": len(paths),
        "batch": batch,
        "size": size,
        "rounds": arguments.rounds,
        "cores": workers,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "rows": rows,
    }


def show(found: dict[str, object]) -> None:
    """Print what was measured as a table."""
    print("{files} files, batch {batch}, {size} px, {cores} cores, {device}, torch {torch}".format(**found))
    print(f"{'':36}{'images/s':>10}{'ms/batch':>10}{'ratio':>8}  {'(range)':14}{'once, s':>8}")
    rows = found["rows"]
    assert isinstance(rows, dict)
    for name, row in rows.items():
        spread = f"({row['ratio_low']:.2f}-{row['ratio_high']:.2f})"
        print(
            f"{name:36}{row['images_per_second']:10.0f}{row['milliseconds_per_batch']:10.2f}"
            f"{row['ratio']:8.2f}  {spread:14}{row['decoding_once_seconds']:8.2f}"
        )


def main() -> int:
    """Parse, measure, show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of RGB photos (default: 64 made-up JPEG files of 640 x 480)")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument(
        "--steps", type=int, default=30, help="batches a round (ten times as many where images are kept)"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cores", type=int, help="how many cores to use (default: all that this process may use)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path, help="file to write the numbers to")
    arguments = parser.parse_args()
    if arguments.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    torch.set_num_threads(cores())
    random.seed(0)
    with tempfile.TemporaryDirectory() as folder:
        paths = find(arguments.data) if arguments.data else made_up(Path(folder), 64)
        found = measure(paths, arguments)
    show(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
