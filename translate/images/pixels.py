"""Pixel arrays: conversion of size, channels and depth, and the pixels of an example."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from translate.data import Depth, Domain, Example
from translate.images.formats import load, load_indices
from translate.images.opening import ImageError
from translate.memory import Budget
from translate.sizes import Size

LARGEST: dict[Depth, int] = {"uint8": 255, "uint16": 65535}
"""The value that becomes 1 in [-1, 1]."""


def resize(pixels: NDArray[Any], size: Size, *, nearest: bool = False) -> NDArray[Any]:
    """Resize (H, W, C) to a (height, width): area averaging to shrink, bicubic to enlarge.

    Floats are clipped to the range of the image. ``nearest`` takes the value at each centre, for class indices.

    >>> resize(np.array([[[0], [9]]], np.uint8), (1, 4), nearest=True)[0, :, 0].tolist()
    [0, 0, 9, 9]
    """
    height, width, channels = pixels.shape
    if (height, width) == tuple(size):
        return pixels
    if nearest:
        rows = (np.arange(size[0]) * 2 + 1) * height // (2 * size[0])
        columns = (np.arange(size[1]) * 2 + 1) * width // (2 * size[1])
        return np.ascontiguousarray(pixels[rows[:, None], columns[None, :]])
    if channels > 4:  # OpenCV's bicubic filter takes at most four planes
        groups = [resize(pixels[..., first : first + 4], size) for first in range(0, channels, 4)]
        return np.concatenate(groups, axis=2)
    resized = np.ascontiguousarray(pixels)
    smaller = (min(height, size[0]), min(width, size[1]))
    if smaller != (height, width):
        resized = cv2.resize(resized, smaller[::-1], interpolation=cv2.INTER_AREA)
    if smaller != tuple(size):
        resized = cv2.resize(resized, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    if pixels.dtype == np.float32:
        resized = np.clip(resized, pixels.min(), pixels.max())
    return resized.reshape(size[0], size[1], channels)


def as_channels(pixels: NDArray[Any], channels: int, name: str) -> NDArray[Any]:
    """Bring (H, W, C) to a number of planes: gray is repeated to RGB, RGB becomes luma (Rec. 601); else an error."""
    stored = pixels.shape[2]
    if stored == channels:
        return pixels
    if stored == 1 and channels == 3:
        return np.repeat(pixels, 3, axis=2)
    if stored == 3 and channels == 1:
        luma = pixels.astype(np.float32) @ np.array([[0.299], [0.587], [0.114]], np.float32)
        return luma if pixels.dtype == np.float32 else np.rint(luma).astype(pixels.dtype)
    raise ImageError(f"{name} has {stored} channel(s) where {channels} are expected; convert it or leave it out")


def as_depth(pixels: NDArray[Any], depth: Depth, low: float = 0.0, high: float = 1.0) -> NDArray[Any]:
    """Bring pixels to a depth; floats from ``low`` to ``high`` correspond to an integer's full range.

    >>> as_depth(np.array([[[0, 128, 255]]], np.uint8), "uint16").tolist()
    [[[0, 32896, 65535]]]
    """
    if pixels.dtype == np.dtype(depth):
        return pixels
    share: NDArray[Any] = pixels.astype(np.float32)
    share = (share - low) / (high - low) if pixels.dtype == np.float32 else share / np.iinfo(pixels.dtype).max
    if depth == "float32":
        return np.asarray(share * (high - low) + low, dtype=np.float32)
    return np.rint(np.clip(share, 0, 1) * LARGEST[depth]).astype(depth)


def read_example(example: Example, domain: Domain, *, budget: Budget | None = None) -> NDArray[Any]:
    """Read an example's pixels (H, W, C) with the domain's depth and planes; class maps as (H, W, 1) uint8 indices.

    A file is decoded within the ``budget``, if there is one, and refused by its header if it does not fit.
    """
    pixels: Any = example.pixels() if callable(example.pixels) else example.pixels
    if not isinstance(pixels, (Path, PIL.Image.Image, np.ndarray)):
        pixels = np.asarray(pixels)
    name = str(pixels) if isinstance(pixels, Path) else example.name
    if domain.classes:
        stored = load_indices(pixels, name=name, budget=budget)
        largest = int(stored.max(initial=0))
        if largest >= domain.classes:
            raise ImageError(
                f"{name} holds the class index {largest}, but there are {domain.classes} classes; "
                f"correct it or set classes={largest + 1}"
            )
        return _region(stored[..., None], example)
    image = _region(load(pixels, name=name, channels=domain.channels, budget=budget).pixels, example)
    return as_depth(as_channels(image, domain.channels, name), domain.depth, domain.low, domain.high)


def _region(pixels: NDArray[Any], example: Example) -> NDArray[Any]:
    if example.region == "whole":
        return pixels
    half = pixels.shape[1] // 2
    if half == 0:
        raise ImageError(f"{example.name} is one pixel wide and has no {example.region} half; remove it")
    # Of an odd width the middle column belongs to neither half.
    return np.ascontiguousarray(pixels[:, :half] if example.region == "left" else pixels[:, -half:])
