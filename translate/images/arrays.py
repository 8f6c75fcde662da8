"""Arrays of images: stored values to [-1, 1] and back, as ``tensors`` does it, where no tensors are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate.data import Depth, Domain
from translate.images.pixels import LARGEST

ONE, TWO = np.float32(1), np.float32(2)


def normalize_array(stored: NDArray[Any], domain: Domain) -> NDArray[np.float32]:
    """Convert stored images (N, C, H, W) to float32 in [-1, 1]; the twin of ``normalize``.

    >>> normalize_array(np.array([[[[0, 255]]]], np.uint8), Domain(1)).tolist()
    [[[[-1.0, 1.0]]]]
    """
    if domain.one_hot:
        found = stored == np.arange(domain.classes).reshape(1, -1, 1, 1)
        if domain.ignore is not None:
            found &= stored != domain.ignore
        planes: NDArray[np.float32] = found.astype(np.float32) * TWO - ONE
        return planes
    if domain.palette:
        table = np.array(domain.palette, np.float32) / np.float32(127.5) - ONE
        index = stored[:, 0].astype(np.int64)
        if domain.ignore is not None:
            table = np.concatenate([table, np.full_like(table[:1], -1)])
            index[index == domain.ignore] = domain.classes
        return np.ascontiguousarray(table[index].transpose(0, 3, 1, 2))
    values: NDArray[np.float32] = stored.astype(np.float32)
    if domain.depth == "float32" or domain.ranged:
        return (values - np.float32(domain.low)) * np.float32(2 / (domain.high - domain.low)) - ONE
    return values / np.float32(LARGEST[domain.depth] / 2) - ONE


def array_to_stored(images: NDArray[np.float32], domain: Domain, depth: Depth) -> NDArray[Any]:
    """Convert a network's outputs (N, C, H, W) in [-1, 1] to what a file stores; the twin of ``to_stored``.

    >>> array_to_stored(np.array([[[[-1, 0, 1, 1.5]]]], np.float32), Domain(1), "uint8").tolist()
    [[[[0, 128, 255, 255]]]]
    """
    if domain.one_hot:
        largest: NDArray[Any] = images.argmax(1)[:, None].astype(np.uint8)
        return largest
    if domain.palette:
        return _nearest_colours(images, domain)
    share = images + ONE
    own = domain.at(depth)
    if own.ranged:
        values = share * np.float32((own.high - own.low) / 2) + np.float32(own.low)
        return _rounded(values, max(0.0, own.low), own.high, depth)
    if depth == "float32":
        scaled = share * np.float32((domain.high - domain.low) / 2) + np.float32(domain.low)
        return scaled.clip(np.float32(domain.low), np.float32(domain.high))
    return _rounded(share * np.float32(LARGEST[depth] / 2), 0, LARGEST[depth], depth)


def _rounded(values: NDArray[np.float32], low: float, high: float, depth: Depth) -> NDArray[Any]:
    # What is not finite is told by its own check, and has no integer.
    finite = np.nan_to_num(values.round(), copy=False)
    return finite.clip(np.float32(low), np.float32(high)).astype(np.uint8 if depth == "uint8" else np.uint16)


def _nearest_colours(images: NDArray[np.float32], domain: Domain) -> NDArray[Any]:
    palette = np.array(domain.palette, np.float32) / np.float32(127.5) - ONE
    best = np.full_like(images[:, :1], np.inf)
    index = np.zeros_like(best, np.uint8)
    for number, colour in enumerate(palette):
        distance = np.square(images - colour[:, None, None]).sum(1, keepdims=True)
        nearer = distance < best
        index[nearer] = number
        best = np.minimum(distance, best)
    return index
