"""Affine augmentation: random rotation, scale, shear and translation of each image, by its seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from translate.errors import TranslateError
from translate.options import Option
from translate.seeds import uniform


def affine(
    *,
    shift: Annotated[float, Option("largest translation, as a share of the side", ge=0, le=1)] = 0.05,
    rotate: Annotated[float, Option("largest rotation in degrees", ge=0, le=180)] = 0.0,
    shear: Annotated[float, Option("largest shear in degrees", ge=0, lt=90)] = 0.0,
    smallest: Annotated[float, Option("smallest scale", gt=0)] = 1.0,
    largest: Annotated[float, Option("largest scale", gt=0)] = 1.0,
    fill: Annotated[float | None, Option("value in [-1, 1] beyond the edge; none: replicate the edge")] = None,
) -> Affine:
    """Build an affine augmentation: images (N, C, H, W) in [-1, 1] and seeds (N,) int64 to images of that shape.

    Translation, rotation, shear and scale are uniform between their limits, about the centre of the image, with one
    bilinear interpolation. An image's change depends on its seed only, not on the batch.

    >>> change = affine(shift=0.5)
    >>> image, seed = torch.rand(1, 3, 8, 8), torch.tensor([7])
    >>> torch.equal(change(image, seed), change(image, seed)), torch.equal(change(image, seed), image)
    (True, False)
    """
    if smallest > largest:
        raise TranslateError(f"affine: the smallest scale, {smallest:g}, is larger than the largest, {largest:g}")
    return Affine(shift, math.radians(rotate), math.radians(shear), (smallest, largest), fill)


@dataclass(frozen=True, slots=True)
class Affine:
    """The augmentation that ``affine`` builds; angles are in radians, ``scale`` the smallest and the largest.

    It moves pixels, so class maps and masks move with their images: by nearest neighbour, and -1 beyond the edge where
    images are filled.
    """

    shift: float
    rotate: float
    shear: float
    scale: tuple[float, float]
    fill: float | None
    geometric: ClassVar[bool] = True

    def __call__(self, images: Tensor, seeds: Tensor, *, nearest: bool = False) -> Tensor:
        """Move each image by its seed."""
        across, down, turn, slant, size = uniform(seeds, 5).to(images.dtype).unbind()
        angle, lean = turn * self.rotate, torch.tan(slant * self.shear)
        smallest, largest = self.scale
        scale = smallest + (size + 1) / 2 * (largest - smallest)
        cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
        # From output to input coordinates, in units of half a side: 2 * shift is a translation by that share.
        moves = 2 * self.shift * across, 2 * self.shift * down
        rows = [cos, sin + lean * cos, moves[0], -sin, cos - lean * sin, moves[1]]
        grid = F.affine_grid(torch.stack(rows, dim=1).view(-1, 2, 3), list(images.shape), align_corners=False)
        base = 0.0 if self.fill is None else -1.0 if nearest else self.fill
        padding, mode = "border" if self.fill is None else "zeros", "nearest" if nearest else "bilinear"
        moved = F.grid_sample(images - base, grid, mode=mode, padding_mode=padding, align_corners=False) + base
        return moved.clamp(-1, 1)
