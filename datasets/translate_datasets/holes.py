"""Photos with drawn holes: each is source and target, and has a mask of what is to be filled."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from translate import images
from translate.data import Dataset, Domain, Example
from translate.errors import TranslateError
from translate.options import Call, Option
from translate_datasets.domains import describe
from translate_datasets.listing import HoldOut, files, hold_out, is_folder, paths_of
from translate_datasets.side_by_side import split_folders
from translate_datasets.values import Background, Bits, High, Low, Values

Shape = Annotated[
    Literal["mixed", "box", "strokes"], Option("box, strokes of a brush, or mixed: either, equally often")
]
Smallest = Annotated[float, Option("least side of a box, as a share of the image's; a brush has a quarter", gt=0, le=1)]
Largest = Annotated[float, Option("greatest side of a box, as a share of the image's", gt=0, le=1)]

SIDE = 512
"""The longer side at which a hole is drawn; a larger photo's is enlarged."""


@dataclass(frozen=True, slots=True)
class Holes:
    """How holes are drawn; raises ``TranslateError`` if the smallest are larger than the largest."""

    shape: str = "mixed"
    smallest: float = 0.2
    largest: float = 0.5

    def __post_init__(self) -> None:
        if self.smallest > self.largest:
            raise TranslateError(
                f"holes: the smallest, {self.smallest:g}, is larger than the largest, {self.largest:g}; exchange them"
            )


def holes(
    root: Path,
    *,
    shape: Shape = "mixed",
    smallest: Smallest = 0.2,
    largest: Largest = 0.5,
    seed: Annotated[int, Option("seed of the holes", ge=0)] = 0,
    holdout: HoldOut = 0.1,
    low: Low = None,
    high: High = None,
    bits: Bits = None,
    background: Background = "white",
) -> Dataset:
    """List photos, SPLIT/NAME or NAME, as source and target, with the aligned stream ``mask``: a drawn hole for each.

    A photo's hole follows from the seed and its name. Masks are as large as their photos.
    """
    if not is_folder(root):
        raise TranslateError(f"there is no folder {root}; check its name")
    how = Holes(shape, smallest, largest)
    problems: list[str] = []
    notes: list[str] = []
    values = Values(low, high, bits, None, background, None)
    splits: dict[str, dict[str, list[Example]]] = {}
    for split, folder in split_folders(root).items():
        listed = files(folder, problems)
        held = hold_out(list(listed), holdout) if not split else set()
        for name, kept in ((split or "train", listed.keys() - held), ("val", held)):
            if kept or name == (split or "train"):
                splits[name] = _examples({stem: path for stem, path in listed.items() if stem in kept}, how, seed)
    first = (splits.get("train") or next(iter(splits.values())))["source"]
    if not any(sides["source"] for sides in splits.values()):
        problems.append(f"{root} has no training images; put photos into it")
    photos = describe({"source": paths_of(first)}, problems, notes, call=Call("holes"), values=values)["source"]
    domains = {"source": photos, "target": photos, "mask": Domain(1)}
    asked = {"shape": shape, "smallest": smallest, "largest": largest, "seed": seed}
    layout = str(Call("holes", asked | values.options()))
    return Dataset(
        root.resolve().name, layout, True, domains, splits, tuple(problems), tuple(notes), aligned={"mask": "source"}
    )


def _examples(photos: dict[str, Path], how: Holes, seed: int) -> dict[str, list[Example]]:
    return {
        "source": [Example(path, stem) for stem, path in photos.items()],
        "target": [Example(path, stem) for stem, path in photos.items()],
        "mask": [Example(partial(draw, how, _seed_of(seed, stem), path), stem) for stem, path in photos.items()],
    }


def _seed_of(seed: int, name: str) -> int:
    digest = hashlib.blake2b(f"{seed}/{name}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


def draw(how: Holes, seed: int, path: Path) -> NDArray[np.uint8]:
    """The mask (H, W, 1) of a photo, 255 where it is to be filled; raises ``ImageError`` if that cannot be read."""
    # Imported here, so that data is listed without torch.
    import torch

    from translate_datasets.drawing import draw_holes

    header = images.probe(path)
    scale = min(1.0, SIDE / max(header.height, header.width))
    size = max(1, round(header.height * scale)), max(1, round(header.width * scale))
    drawn = draw_holes(how, torch.tensor([seed]), size)[0, 0].numpy()
    mask = np.where(drawn, 255, 0).astype(np.uint8)[..., None]
    return images.resize(mask, (header.height, header.width), nearest=True)
