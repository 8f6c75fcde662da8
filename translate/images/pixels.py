"""Pixel arrays: conversion of size, channels and depth, and the pixels of an example."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from translate.data import Depth, Domain, Example
from translate.images.formats import Image, indices, planes, read, read_indices
from translate.images.headers import ImageError
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


def seen(image: Image, domain: Domain, name: str) -> NDArray[Any]:
    """The planes (H, W, domain.channels) that a network sees of an image, at the image's own depth.

    Transparent images are laid on the domain's background, so that colours under transparent pixels are not seen, or
    get their alpha as the last plane (opaque where there is none). Of an array with one plane too many for a domain
    with a background, the last plane is alpha.
    """
    pixels, alpha = image.pixels, image.alpha
    colours = domain.channels - (domain.alpha == "plane")
    if alpha is None and domain.alpha != "dropped" and colours in (1, 3) and pixels.shape[2] == colours + 1:
        pixels, alpha = pixels[..., :-1], pixels[..., -1]
    pixels = as_channels(pixels, colours, name)
    if domain.alpha == "dropped":
        return pixels
    low, high = domain.at(str(pixels.dtype)).limits  # type: ignore[arg-type]
    if domain.alpha == "plane":
        # Alpha uses the full range of integers; the network sees it in the range of the colours.
        share = np.ones(pixels.shape[:2], np.float32) if alpha is None else _share(alpha, low, high)
        plane = share[..., None] * (high - low) + low
        plane = plane if pixels.dtype == np.float32 else np.rint(plane)
        return np.concatenate([pixels, plane.astype(pixels.dtype)], axis=2)
    if alpha is None:
        return pixels
    ground = {"white": high, "black": low, "gray": (low + high) / 2}[domain.alpha]
    share = _share(alpha, low, high)[..., None]
    laid: NDArray[Any] = pixels.astype(np.float32) * share + np.float32(ground) * (1 - share)
    return laid if pixels.dtype == np.float32 else np.rint(laid).astype(pixels.dtype)


def _share(alpha: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    """Opacity in [0, 1]: integers from their full range, floats from that of the colours."""
    if alpha.dtype.kind == "f":
        found: NDArray[np.float32] = np.clip((alpha - np.float32(low)) / np.float32(high - low), 0, 1)
        return found
    return alpha.astype(np.float32) / np.float32(np.iinfo(alpha.dtype).max)


def _to_domain(pixels: NDArray[Any], domain: Domain) -> NDArray[Any]:
    """Bring pixels to the domain's depth: its range corresponds to other integers' full range, floats keep values."""
    if not domain.ranged or pixels.dtype == np.dtype(domain.depth):
        return as_depth(pixels, domain.depth, domain.low, domain.high)
    stored: NDArray[Any] = pixels.astype(np.float32)
    if pixels.dtype.kind == "u":
        stored = stored / np.float32(np.iinfo(pixels.dtype).max) * np.float32(domain.high - domain.low) + domain.low
    return np.asarray(np.clip(np.rint(stored), 0, LARGEST[domain.depth]), dtype=domain.depth)


def read_example(example: Example, domain: Domain) -> NDArray[Any]:
    """Read an example's pixels (H, W, C) with the domain's depth and planes; class maps as (H, W, 1) uint8 indices."""
    pixels = example.pixels
    if domain.classes:
        stored = read_indices(pixels) if isinstance(pixels, Path) else indices(_to_array(pixels), example.name)
        known = stored if domain.ignore is None else stored[stored != domain.ignore]
        largest = int(known.max(initial=0))
        if largest >= domain.classes:
            where = pixels if isinstance(pixels, Path) else example.name
            raise ImageError(
                f"{where} holds the class index {largest}, but there are {domain.classes} classes; "
                f"correct it or set classes={largest + 1}{', or ignore=255' if largest == 255 else ''}"
            )
        return _region(stored[..., None], example)
    image = read(pixels) if isinstance(pixels, Path) else Image(planes(_to_array(pixels), example.name))
    alpha = None if image.alpha is None else _region(image.alpha, example)
    name = str(pixels) if isinstance(pixels, Path) else example.name
    return _to_domain(seen(Image(_region(image.pixels, example), alpha), domain, name), domain)


def _to_array(pixels: Any) -> NDArray[Any]:
    return np.asarray(pixels() if callable(pixels) else pixels)


def _region(pixels: NDArray[Any], example: Example) -> NDArray[Any]:
    if example.region == "whole":
        return pixels
    half = pixels.shape[1] // 2
    if half == 0:
        raise ImageError(f"{example.name} is one pixel wide and has no {example.region} half; remove it")
    # Of an odd width the middle column belongs to neither half.
    return np.ascontiguousarray(pixels[:, :half] if example.region == "left" else pixels[:, -half:])
