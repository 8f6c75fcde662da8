"""Planes: the decoded image, and checks of arrays that are images or maps of class indices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate.data import Depth
from translate.images.opening import ImageError


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """A decoded image: colour planes ``pixels`` (H, W, C), uint8, uint16 or float32, and ``alpha`` (H, W), same type.

    Integers use their full range; one plane is gray, three are RGB.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None = None


def planes(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Check an array (H, W) or (H, W, C) and copy it as (H, W, C) uint8, uint16 or float32 (signed integers, too)."""
    depth_of(array, name)
    plain = array.dtype.kind == "u" and array.dtype.itemsize <= 2
    dtype = array.dtype.newbyteorder("=") if plain else np.dtype(np.float32)
    if not plain and array.dtype.kind in "iu" and max(-int(array.min()), int(array.max())) > 2**24:
        raise ImageError(f"{name} holds whole numbers beyond 2**24, which float32 cannot tell apart; make them smaller")
    with np.errstate(over="ignore"):
        copied = np.array(array[..., None] if array.ndim == 2 else array, dtype=dtype, order="C", subok=False)
    if copied.dtype.kind == "f" and not np.isfinite(copied).all():
        raise ImageError(f"{name} holds values that are not finite numbers; correct or remove it")
    return copied


def checked(image: Image, name: str) -> Image:
    """Check and copy an image that somebody else has made: its planes, and an alpha plane of their size and type."""
    pixels = planes(np.asarray(image.pixels), name)
    if image.alpha is None:
        return Image(pixels)
    alpha = planes(np.asarray(image.alpha), f"the alpha plane of {name}")[..., 0]
    if alpha.shape != pixels.shape[:2] or alpha.dtype != pixels.dtype:
        raise ImageError(
            f"the alpha plane of {name} is {alpha.shape} {alpha.dtype} where {pixels.shape[:2]} {pixels.dtype} belongs"
        )
    return Image(pixels, alpha)


def indices(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Check a map of class indices (H, W) or (H, W, 1) of any integer type and copy it as (H, W) uint8."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2 or array.dtype.kind not in "bui":
        raise ImageError(
            f"{name} is no map of class indices: it holds {' x '.join(map(str, array.shape))} values of type "
            f"{array.dtype}; store one whole number a pixel, as a gray or palette PNG"
        )
    if array.size and (array.min() < 0 or array.max() > 255):
        worst = int(array.min()) if array.min() < 0 else int(array.max())
        raise ImageError(f"{name} holds the class index {worst}; class indices go from 0 to 255")
    return np.array(array, dtype=np.uint8, order="C", subok=False)


def check_shape(shape: tuple[int, ...], name: str) -> None:
    """Refuse shapes other than (H, W) and (H, W, C)."""
    if len(shape) not in (2, 3) or 0 in shape:
        raise ImageError(
            f"{name} has the shape {shape}; an image is an array (height, width) or (height, width, channels)"
        )


def depth_of(array: NDArray[Any], name: str) -> Depth:
    """The depth that an array (H, W) or (H, W, C) is read with; ``ImageError`` for types and shapes of no image."""
    check_shape(array.shape, name)
    return depth_of_type(array.dtype, name)


def depth_of_type(dtype: np.dtype[Any], name: str) -> Depth:
    """The depth that values of a type are read with; ``ImageError`` for types that no image has."""
    if dtype.kind == "f" and dtype.itemsize <= 8:
        return "float32"
    if dtype.kind == "i" or (dtype.kind == "u" and dtype.itemsize > 2):
        return "float32"
    if dtype.kind == "u":
        return "uint8" if dtype.itemsize == 1 else "uint16"
    raise ImageError(f"{name} holds values of type {dtype}; store them as uint8, uint16 or float32")


def orient(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Apply an EXIF orientation, 1 to 8, to stored pixels (H, W, ...)."""
    if orientation in (2, 3, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7):
        pixels = pixels[::-1]
    if orientation in (5, 7):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (6, 8):
        pixels = np.rot90(pixels, 1 if orientation == 8 else -1)
    return np.ascontiguousarray(pixels)
