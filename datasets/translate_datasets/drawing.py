"""Drawn holes: a box, or the strokes of a brush, by a seed for each image."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from translate.seeds import uniform
from translate_datasets.holes import Holes

SEGMENTS = 6
"""How many strokes a brush makes, each from where the last one ended."""

_numbers = 8 + 2 * SEGMENTS


def draw_holes(how: Holes, seeds: Tensor, size: tuple[int, int]) -> Tensor:
    """Holes (N, 1, H, W), true inside, for N int64 seeds; each depends on its seed and the size alone.

    A box has sides that are uniform between their limits, and lies anywhere inside. A brush of a round tip, with a
    quarter of the width, makes strokes in random directions and of random lengths up to the largest side, as in
    free-form inpainting (Yu et al. 2019, arXiv:1806.03589); it stays within the image.
    """
    shares = (uniform(seeds, _numbers) + 1) / 2
    if how.shape == "box":
        return _boxes(how, shares, size)
    strokes = _strokes(how, shares, size)
    if how.shape == "strokes":
        return strokes
    return torch.where((shares[0] < 0.5)[:, None, None, None], _boxes(how, shares, size), strokes)


def _between(how: Holes, share: Tensor) -> Tensor:
    return how.smallest + (how.largest - how.smallest) * share


def _boxes(how: Holes, shares: Tensor, size: tuple[int, int]) -> Tensor:
    inside = []
    for side, length, place in zip(size, shares[1:3], shares[3:5], strict=True):
        length = (_between(how, length) * side).round().clamp(1, side)
        first = (place * (side - length + 1)).floor()
        at = torch.arange(side, device=shares.device)
        inside.append((at >= first[:, None]) & (at < (first + length)[:, None]))
    down, across = inside
    return torch.logical_and(down[:, None, :, None], across[:, None, None, :])


def _strokes(how: Holes, shares: Tensor, size: tuple[int, int]) -> Tensor:
    least = min(size)
    radius = (_between(how, shares[5]) * least / 8).clamp(min=0.5)[:, None, None]
    down = torch.arange(size[0], device=shares.device, dtype=torch.float32)[None, :, None]
    across = torch.arange(size[1], device=shares.device, dtype=torch.float32)[None, None, :]
    y, x = shares[6] * (size[0] - 1), shares[7] * (size[1] - 1)
    found = torch.zeros(shares.shape[1], *size, dtype=torch.bool, device=shares.device)
    for turn, length in zip(shares[8 : 8 + SEGMENTS], shares[8 + SEGMENTS :], strict=True):
        angle, reach = 2 * math.pi * turn, how.largest * least * length
        end_y = (y + reach * angle.sin()).clamp(0, size[0] - 1)
        end_x = (x + reach * angle.cos()).clamp(0, size[1] - 1)
        along_y, along_x = (end_y - y)[:, None, None], (end_x - x)[:, None, None]
        from_y, from_x = down - y[:, None, None], across - x[:, None, None]
        nearest = (from_y * along_y + from_x * along_x) / (along_y.square() + along_x.square()).clamp(min=1e-6)
        nearest = nearest.clamp(0, 1)
        apart = (from_y - nearest * along_y).square() + (from_x - nearest * along_x).square()
        found |= apart <= radius.square()
        y, x = end_y, end_x
    return found[:, None]
