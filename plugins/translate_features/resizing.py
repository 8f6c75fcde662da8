"""Resizing of images to a square by the rules of published measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Resize = Literal["clean", "legacy_pytorch", "legacy_tensorflow"]

SUPPORT = 2
"""Pixels on each side that the cubic kernel reaches, of the coarser of the two images."""


class Taps(NamedTuple):
    """Which places of a line (K, side) are summed for each new one, and their weights (K, side) in float64."""

    places: Tensor
    weights: Tensor


def resized_clean(image: Tensor, side: int) -> Tensor:
    """Resize (C, H, W) with values from 0 to 255 to (C, side, side) as Pillow's bicubic filter does floats.

    First across, then down, both with sums in float64 in Pillow's order, so that float32 values are the same to the
    last bit. Values beyond 0 and 255, as at sharp edges, are cut off.
    """
    height, width = image.shape[-2:]
    across = _summed(image, cubic_taps(width, side), dim=2)
    return _summed(across, cubic_taps(height, side), dim=1).clamp(0, 255)


def resized_pytorch(image: Tensor, side: int) -> Tensor:
    """Resize (C, H, W) to (C, side, side) by torch's bilinear interpolation, which is not antialiased."""
    return F.interpolate(image[None], (side, side), mode="bilinear", align_corners=False)[0]


def resized_tensorflow(image: Tensor, side: int) -> Tensor:
    """Resize (C, H, W) to (C, side, side) as TensorFlow 1 did: bilinear, from the upper left corners of pixels."""
    height, width = image.shape[-2:]
    return _summed(_summed(image, corner_taps(width, side), dim=2), corner_taps(height, side), dim=1)


RESIZES: Mapping[Resize, Callable[[Tensor, int], Tensor]] = {
    "clean": resized_clean,
    "legacy_pytorch": resized_pytorch,
    "legacy_tensorflow": resized_tensorflow,
}


@lru_cache(maxsize=64)
def cubic_taps(length: int, side: int) -> Taps:
    """The cubic kernel of Keys (1981) with a = -1/2, widened by the scale where an image shrinks.

    >>> cubic_taps(2, 4).weights.sum(0).round(decimals=12).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    scale = length / side
    wide = max(scale, 1.0)
    centres = (np.arange(side) + 0.5) * scale
    first = np.maximum((centres - SUPPORT * wide + 0.5).astype(np.int64), 0)
    last = np.minimum((centres + SUPPORT * wide + 0.5).astype(np.int64), length)
    places = first + np.arange(int((last - first).max()))[:, None]
    weights = np.where(places < last, _cubic((places - centres + 0.5) * (1 / wide)), 0.0)
    total = np.zeros(side)
    for each in weights:  # one after another: another order has another rounding
        total += each
    return Taps(torch.from_numpy(np.minimum(places, length - 1)), torch.from_numpy(weights / total))


@lru_cache(maxsize=64)
def corner_taps(length: int, side: int) -> Taps:
    """The two pixels around ``i * length / side``, which measures from the corner of an image.

    >>> corner_taps(2, 4).weights.tolist()
    [[1.0, 0.5, 1.0, 0.5], [0.0, 0.5, 0.0, 0.5]]
    """
    where = np.arange(side) * (length / side)
    lower = where.astype(np.int64)
    share = where - lower
    places = np.stack([lower, np.minimum(lower + 1, length - 1)])
    return Taps(torch.from_numpy(places), torch.from_numpy(np.stack([1 - share, share])))


def _cubic(x: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * -0.5
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _summed(image: Tensor, taps: Taps, dim: int) -> Tensor:
    """The weighted sums of an image (C, H, W) along one axis, in its own type."""
    places, weights = (each.to(image.device) for each in taps)
    shape = [1, -1, 1] if dim == 1 else [1, 1, -1]
    sums = torch.zeros((), dtype=torch.float64, device=image.device)
    for place, weight in zip(places, weights, strict=True):
        sums = sums + image.index_select(dim, place).double() * weight.view(shape)
    return sums.to(image.dtype)
