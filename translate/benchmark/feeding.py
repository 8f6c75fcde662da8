"""Data loading: images per second from the caches, against Pillow decoding, resizing and cropping in every step.

The rivals do the same work on the same files and cores: resize to 286/256 of the size, random crop, random horizontal
flip, float32 in [-1, 1], one source and one target per row.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from translate.benchmark.timing import in_turn
from translate.data import Domain, Example
from translate.images import find
from translate.loader import Cache, Loader
from translate.machine import cores, keep_memory
from translate.method import Needs

Pair = tuple[Tensor, Tensor]


class PillowImages(Dataset[Pair]):
    """Unpaired images; Pillow decodes, resizes, crops and mirrors an image on each access."""

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
    """Load one batch after the other in the training's thread."""

    def step() -> object:
        rows = [images[random.randrange(len(images))] for _ in range(batch)]
        return [torch.stack(side).to(device) for side in zip(*rows, strict=True)]

    return step


def data_loader(images: PillowImages, batch: int, workers: int, device: torch.device) -> Callable[[], list[Tensor]]:
    """torch's ``DataLoader`` with worker processes, in one endless epoch; with pinned memory on a GPU."""
    sampler = torch.utils.data.RandomSampler(images, replacement=True, num_samples=10**9)
    pinned = device.type == "cuda"
    batches: Iterator[Pair] = iter(DataLoader(images, batch, sampler=sampler, num_workers=workers, pin_memory=pinned))
    return lambda: [side.to(device, non_blocking=pinned) for side in next(batches)]


def ours(loader: Loader) -> Callable[[], object]:
    """Load the next batch from our loader."""
    numbers = iter(range(10**9))
    return lambda: loader.batch(next(numbers))


def made_up(folder: Path, count: int, size: tuple[int, int] = (480, 640)) -> list[Path]:
    """Write JPEG files of smooth noise, (height, width), which take about as long to decode as photographs."""
    generator = np.random.default_rng(0)
    for number in range(count):
        coarse = Pillow.fromarray(generator.integers(0, 256, (size[0] // 8, size[1] // 8, 3), np.uint8))
        coarse.resize(size[::-1], Pillow.Resampling.BICUBIC).save(folder / f"{number:04}.jpg", quality=92)
    return find(folder)


CACHES: tuple[Cache, ...] = ("stream", "host", "device")
PLAIN = "Pillow, plain loop"


def feeding(
    paths: list[Path], *, batch: int, size: int, device: torch.device, rounds: int, steps: int
) -> dict[str, list[float]]:
    """The seconds per batch of each rival, one value per round of ``steps`` steps (fast rivals: 10 times as many)."""
    images, workers = PillowImages(paths, size), cores()
    if device.type == "cpu":
        # A training does this, too.
        keep_memory()
    rivals = {
        PLAIN: plain_loop(images, batch, device),
        f"Pillow, DataLoader with {workers} workers": data_loader(images, batch, workers, device),
    }
    listed = {name: [Example(path, path.name) for path in paths] for name in ("source", "target")}
    with ExitStack() as stack:
        for cache in CACHES:
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
            rivals[f"translate, {cache} cache"] = ours(stack.enter_context(loader))
        # Fast rivals need more steps to be timed precisely.
        counts = {name: steps * (10 if name.endswith(("device cache", "host cache")) else 1) for name in rivals}
        timed = in_turn(
            {name: partial(_repeat, rival, counts[name]) for name, rival in rivals.items()},
            rounds,
            device,
            # First consume the batches that a rival has prefetched during the others' turns.
            before=lambda name: _repeat(rivals[name], 2 * workers + 4),
        )
    return {name: [each / counts[name] for each in values] for name, values in timed.items()}


def _repeat(step: Callable[[], object], count: int) -> None:
    for _ in range(count):
        step()
