"""Display: images of any kind as 8-bit gray or RGB to look at, reduced, and laid beside each other."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate.data import Depth, Domain
from translate.images.opening import ImageError
from translate.images.pixels import LARGEST, as_channels, as_depth, resize
from translate.images.planes import Image


def colours(count: int) -> tuple[tuple[int, int, int], ...]:
    """Distinct colours for classes: hues a golden angle apart, the lightness alternating.

    >>> len(set(colours(64)))
    64
    """
    chosen = []
    for index in range(count):
        red, green, blue = colorsys.hls_to_rgb((index * 0.618034) % 1, (0.5, 0.68, 0.34)[index % 3], 0.72)
        chosen.append((round(255 * red), round(255 * green), round(255 * blue)))
    return tuple(chosen)


def displayed(image: Image, domain: Domain) -> Image:
    """An image of a domain as people look at it: gray or RGB, uint8, with its alpha.

    Class indices become the palette's colours or distinct ones, and black where they are ignored or unknown. What the
    domain maps to [-1, 1] is shown from black to white. Two planes become red and green, of more than three the first
    three are taken, and a domain's alpha plane becomes alpha.

    >>> twelve_bits = Domain(1, "uint16", 0, 4095, ranged=True)
    >>> displayed(Image(np.array([[[0], [4095]]], np.uint16)), twelve_bits).pixels.tolist()
    [[[0], [255]]]
    """
    pixels, alpha = image.pixels, image.alpha
    if domain.classes:
        table = np.zeros((256, 3), np.uint8)
        table[: domain.classes] = domain.palette or colours(domain.classes)
        if domain.ignore is not None:
            table[domain.ignore] = 0
        return Image(table[pixels[..., 0]])
    own: Depth = str(pixels.dtype)  # type: ignore[assignment]
    limits = domain.at(own).limits
    if alpha is not None:
        alpha = as_depth(alpha[..., None], "uint8")[..., 0]
    elif domain.alpha == "plane" and pixels.shape[2] == domain.channels:
        alpha = in_limits(pixels[..., -1:], limits, "uint8", (0.0, 255.0))[..., 0]
        pixels = pixels[..., :-1]
    if pixels.shape[2] == 2:
        pixels = np.concatenate([pixels, np.zeros_like(pixels[..., :1])], axis=2)
    return Image(in_limits(pixels[..., :3], limits, "uint8", (0.0, 255.0)), alpha)


def in_limits(
    pixels: NDArray[Any], own: tuple[float, float], depth: Depth, wanted: tuple[float, float]
) -> NDArray[Any]:
    """Pixels (H, W, C) whose values ``own`` are black and white, at a depth where ``wanted`` are; integers are clipped.

    >>> in_limits(np.array([[[0], [4095]]], np.uint16), (0.0, 4095.0), "float32", (-1.0, 1.0)).tolist()
    [[[-1.0], [1.0]]]
    """
    if pixels.dtype == np.dtype(depth) and own == wanted:
        return np.ascontiguousarray(pixels)
    share = (pixels.astype(np.float32) - np.float32(own[0])) / np.float32(own[1] - own[0])
    values: NDArray[np.float32] = share * np.float32(wanted[1] - wanted[0]) + np.float32(wanted[0])
    if depth == "float32":
        return values
    return np.rint(np.clip(values, 0, LARGEST[depth])).astype(depth)


def reduced(image: Image, longest: int) -> Image:
    """An image whose longer side has at most ``longest`` pixels, with its aspect; a smaller one as it is.

    Colours are weighted by alpha, so that those of transparent pixels do not bleed into others.
    """
    height, width = image.pixels.shape[:2]
    if max(height, width) <= longest:
        return image
    scale = longest / max(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    if image.alpha is None:
        return Image(resize(image.pixels, size))
    alpha = resize(image.alpha[..., None], size)
    opacity = image.alpha[..., None].astype(np.float32)
    weight = resize(opacity, size)
    colours_ = resize(image.pixels.astype(np.float32) * opacity, size) / np.maximum(weight, np.float32(1e-6))
    if image.pixels.dtype.kind == "u":
        colours_ = np.rint(np.clip(colours_, 0, np.iinfo(image.pixels.dtype).max))
    return Image(colours_.astype(image.pixels.dtype), alpha[..., 0])


def beside(parts: Sequence[Image], gap: int, *, white: float, name: str = "the images") -> Image:
    """Images of one depth beside each other, from left to right, with a gap of ``white`` between.

    All get the height of the last one, with their aspect. Where one is RGB, gray ones become RGB; where one has alpha,
    the others are opaque and the gap is transparent. Raises ``ImageError`` where their planes differ otherwise.
    """
    height = parts[-1].pixels.shape[0]
    channels = max(part.pixels.shape[2] for part in parts)
    transparent = any(part.alpha is not None for part in parts)
    dtype = parts[-1].pixels.dtype
    opaque = 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)
    colour: list[NDArray[Any]] = []
    alphas: list[NDArray[Any]] = []
    for part in parts:
        own, width = part.pixels.shape[:2]
        size = (height, width if own == height else max(1, round(width * height / own)))
        if part.pixels.dtype != dtype:
            raise ImageError(f"{name} are of two depths, {part.pixels.dtype} and {dtype}, and cannot lie side by side")
        if colour:
            colour.append(np.full((height, gap, channels), white, dtype))
            alphas.append(np.zeros((height, gap), dtype))
        colour.append(resize(as_channels(part.pixels, channels, name), size))
        if part.alpha is None:
            alphas.append(np.full(size, opaque, dtype))
        else:
            alphas.append(resize(part.alpha[..., None], size)[..., 0])
    return Image(np.concatenate(colour, axis=1), np.concatenate(alphas, axis=1) if transparent else None)
