"""Pixel arrays: conversion of size, channels and depth, and the pixels of an example."""

from __future__ import annotations

from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from translate.data import Depth, Domain, Example
from translate.errors import TranslateError
from translate.images.formats import Source, load, load_indices
from translate.images.opening import ImageError
from translate.images.planes import Image
from translate.memory import Budget, spending
from translate.sizes import Size
from translate.terminal import printable

LARGEST: dict[Depth, int] = {"uint8": 255, "uint16": 65535}
"""The value that becomes 1 in [-1, 1]."""


OVERSHOOT = 0.5
"""How far floats may leave [0, 1] before they are no image in that range: filters and bright lights do so by less."""


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
    with a background, the last plane is alpha. Where a domain is alpha alone, that is the one plane.
    """
    pixels, alpha = image.pixels, image.alpha
    if domain.alpha == "only":
        return _opacity(pixels, alpha, domain)
    colours = domain.channels - (domain.alpha == "plane")
    if alpha is None and domain.alpha != "dropped" and colours in (1, 3) and pixels.shape[2] == colours + 1:
        pixels, alpha = pixels[..., :-1], pixels[..., -1]
    pixels = as_channels(pixels, colours, name)
    _check_range(pixels, domain, name)
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


def _check_range(pixels: NDArray[Any], domain: Domain, name: str) -> None:
    """Refuse floats that are far outside of [0, 1] where a domain of integers says nothing of their range."""
    if pixels.dtype != np.float32 or domain.depth == "float32" or domain.ranged or not pixels.size:
        return
    lowest, highest = float(pixels.min()), float(pixels.max())
    if lowest < -OVERSHOOT or highest > 1 + OVERSHOOT:
        bits = "8" if domain.depth == "uint8" else "16"
        raise ImageError(
            f"{name} holds values from {lowest:g} to {highest:g}, and among images of {bits} bits signed and float "
            f"values go from 0 to 1; scale them, or store whole numbers of {bits} bits"
        )


def _opacity(pixels: NDArray[Any], alpha: NDArray[Any] | None, domain: Domain) -> NDArray[Any]:
    """Alpha alone, (H, W, 1) at the domain's depth; of two or four planes it is the last, and without one all is 1."""
    if alpha is None and pixels.shape[2] in (2, 4):
        alpha = pixels[..., -1]
    share = np.ones(pixels.shape[:2], np.float32)
    if alpha is not None:
        share = _share(alpha, *domain.at(str(alpha.dtype)).limits)  # type: ignore[arg-type]
    low, high = domain.limits
    plane = (share * np.float32(high - low) + np.float32(low))[..., None]
    return plane if domain.depth == "float32" else np.rint(plane).astype(domain.depth)


def is_opaque(alpha: NDArray[Any]) -> bool:
    """Whether no pixel of an alpha plane is transparent."""
    return bool(alpha.min(initial=_opaque(alpha.dtype)) == _opaque(alpha.dtype))


def opaque_inside(alpha: NDArray[Any], hole: NDArray[np.bool_]) -> NDArray[Any]:
    """An alpha plane of an image whose hole is filled: opaque there."""
    return np.where(hole, np.asarray(_opaque(alpha.dtype), alpha.dtype), alpha)


def _opaque(dtype: np.dtype[Any]) -> float:
    return 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)


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
    result: NDArray[Any] = np.clip(np.rint(stored), 0, LARGEST[domain.depth]).astype(domain.depth)
    return result


def made(example: Example, *, budget: Budget | None = None) -> Source:
    """What an example's pixels are: a file, the bytes of one, or a decoded image; a function is called, once.

    What the function decodes stays within the ``budget``. Raises ``ImageError`` for whatever the function raises, but
    for Ctrl-C, and for what is no image at all.
    """
    try:
        with spending(budget):
            given: Any = example.pixels() if callable(example.pixels) else example.pixels
        known = (Path, bytes, bytearray, memoryview, PIL.Image.Image, np.ndarray, Image)
        found: Source = given if isinstance(given, known) else np.asarray(given)
        if isinstance(found, np.ndarray) and found.dtype == object:
            raise ImageError(f"{example.name} cannot be made by its dataset: a {type(given).__name__} is no image")
        return found
    except BaseException as error:
        # Signals reach the main thread alone.
        if isinstance(error, KeyboardInterrupt) and current_thread() is main_thread():
            raise
        if not isinstance(error, ImageError):
            raise ImageError(f"{example.name} cannot be made by its dataset: {_reason(error)}") from error
        if example.name in str(error):
            raise
        raise ImageError(f"{example.name}: {error}") from error


def _reason(error: BaseException) -> str:
    """A stranger's error in one short line."""
    try:
        text = " ".join(str(error).split()).rstrip(".")
    except Exception:
        text = ""
    kind = "" if isinstance(error, TranslateError) and text else type(error).__name__
    return printable(": ".join(each for each in (kind, text) if each), 200)


def read_example(example: Example, domain: Domain, *, budget: Budget | None = None) -> NDArray[Any]:
    """Read an example's pixels (H, W, C) with the domain's depth and planes; class maps as (H, W, 1) uint8 indices.

    A file is decoded within the ``budget``, if there is one, and refused by its header if it does not fit. Raises
    ``ImageError`` for an image that cannot be used, whatever a data set's function raises.
    """
    pixels = made(example, budget=budget)
    name = str(pixels) if isinstance(pixels, Path) else example.name
    if domain.classes:
        stored = load_indices(pixels, name=name, budget=budget)
        known = stored if domain.ignore is None else stored[stored != domain.ignore]
        largest = int(known.max(initial=0))
        if largest >= domain.classes:
            raise ImageError(
                f"{name} holds the class index {largest}, but there are {domain.classes} classes; "
                f"correct it or set classes={largest + 1}{', or ignore=255' if largest == 255 else ''}"
            )
        return _region(stored[..., None], example)
    planes = domain.channels if domain.alpha == "dropped" else None
    image = load(pixels, name=name, channels=planes, budget=budget)
    alpha = None if image.alpha is None else _region(image.alpha, example)
    return _to_domain(seen(Image(_region(image.pixels, example), alpha), domain, name), domain)


def _region(pixels: NDArray[Any], example: Example) -> NDArray[Any]:
    if example.region == "whole":
        return pixels
    half = pixels.shape[1] // 2
    if half == 0:
        raise ImageError(f"{example.name} is one pixel wide and has no {example.region} half; remove it")
    # Of an odd width the middle column belongs to neither half.
    return np.ascontiguousarray(pixels[:, :half] if example.region == "left" else pixels[:, -half:])
