"""Decoding: image files to colour planes as they are displayed, or an error of one sentence.

Pillow decodes 8-bit files (palettes, ICC profiles, CMYK), OpenCV 16-bit and float ones, which Pillow would silently
reduce to 8 bits; ``.npy`` files hold any number of planes. A file's size is known from its header before anything is
decoded.
"""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import cv2.utils.logging
import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageCms

from translate.images.headers import (
    MAX_PIXELS,
    ImageError,
    Opened,
    check_size,
    decoding,
    depth_of,
    open_array,
    open_file,
)

# A bad file raises an ImageError; OpenCV would also write its own lines into the progress bar.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """A decoded image: colour planes ``pixels`` (H, W, C), uint8, uint16 or float32, and ``alpha`` (H, W), same type.

    Integers use their full range; one plane is gray, three are RGB.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None = None


def read(path: Path, *, max_pixels: int = MAX_PIXELS) -> Image:
    """Decode a file as it is displayed, at its own depth.

    The orientation in EXIF is applied, palettes are expanded, CMYK becomes RGB, 8-bit colours with an ICC profile are
    converted to sRGB (profiles of 16-bit and float files are ignored), and of an animation the first frame is taken.
    An image of more than ``max_pixels`` is refused by its header.
    """
    with decoding(path):
        if path.suffix.lower() == ".npy":
            array = open_array(path)
            check_size(path, array.shape[0], array.shape[1], max_pixels)
            return Image(planes(array, str(path)))
        with path.open("rb") as file:
            opened = open_file(file, path)
            check_size(path, opened.header.height, opened.header.width, max_pixels)
            if opened.deep:
                file.seek(0)
                image = _decode_deep(file.read(), opened, path)
            else:
                image = _decode_bytes(opened.image)
            alpha = None if image.alpha is None else _orient(image.alpha, opened.orientation)
            return Image(_orient(image.pixels, opened.orientation), alpha)


def read_indices(path: Path, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Read a map of class indices (H, W) as stored: a palette is not expanded, few-bit grays are not stretched."""
    with decoding(path):
        if path.suffix.lower() == ".npy":
            array = open_array(path)
            check_size(path, array.shape[0], array.shape[1], max_pixels)
            return indices(array, str(path))
        with path.open("rb") as file:
            opened = open_file(file, path)
            check_size(path, opened.header.height, opened.header.width, max_pixels)
            if opened.deep:
                file.seek(0)
                stored = _decode_deep(file.read(), opened, path).pixels
            else:
                opened.image.load()
                stored = np.asarray(opened.image)
                if opened.image.mode == "L" and opened.bits < 8:
                    stored = stored // (255 // (2**opened.bits - 1))
            return indices(_orient(stored, opened.orientation), str(path))


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
        raise ImageError(f"{name} holds the class index {_worst(array)}; class indices go from 0 to 255")
    return np.array(array, dtype=np.uint8, order="C", subok=False)


def _worst(array: NDArray[Any]) -> int:
    return int(array.min()) if array.min() < 0 else int(array.max())


# --- from bytes to planes ---------------------------------------------------------------------------------------------


def _decode_bytes(image: PIL.Image.Image) -> Image:
    image.load()
    profile = image.info.get("icc_profile")
    if "transparency" in image.info and image.mode in ("1", "L", "P", "RGB"):
        image = image.convert("RGBA" if image.mode in ("P", "RGB") else "LA")
    elif image.mode in ("1", "P", "PA", "La", "RGBa"):
        image = image.convert({"1": "L", "P": "RGB", "PA": "RGBA", "La": "LA", "RGBa": "RGBA"}[image.mode])
    alpha = None
    if image.mode in ("LA", "RGBA"):
        alpha = np.array(image.getchannel("A"))
        # Dropping the last plane keeps the colours; convert() would apply its transparency rules.
        bands = image.split()[:-1]
        image = PIL.Image.merge("RGB", bands) if len(bands) == 3 else bands[0]
    pixels = np.array(_to_srgb(image, profile))
    return Image(pixels[..., None] if pixels.ndim == 2 else pixels, alpha)


def _to_srgb(image: PIL.Image.Image, profile: bytes | None) -> PIL.Image.Image:
    """Convert an L, RGB, CMYK ... image to L or RGB in sRGB; one without a usable profile is taken to be sRGB."""
    if profile and image.mode in ("L", "RGB", "CMYK"):
        try:
            stored = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            srgb = ImageCms.createProfile("sRGB")
            transform = ImageCms.buildTransform(stored, srgb, image.mode, "RGB")
            if not _is_identity(transform, image.mode):
                colours = ImageCms.applyTransform(image, transform)
                if colours is not None:
                    return colours.getchannel("G") if image.mode == "L" else colours
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a transform changes sample colours by rounding only: then pixels stay as stored."""
    steps = range(0, 256, 51)
    if mode == "L":
        colours = PIL.Image.frombytes("L", (256, 1), bytes(range(256)))
    elif mode == "RGB":
        cube = bytes(itertools.chain.from_iterable(itertools.product(steps, repeat=3)))
        colours = PIL.Image.frombytes("RGB", (216, 1), cube)
    else:
        return False
    changed = ImageCms.applyTransform(colours, transform)
    difference = np.asarray(changed, dtype=np.int16) - np.asarray(colours.convert("RGB"), dtype=np.int16)
    return bool(np.abs(difference).max() <= 1)


def _decode_deep(data: bytes, opened: Opened, path: Path) -> Image:
    """Decode a file of 16 bits or floats; OpenCV's planes are B, G, R."""
    if data.startswith(b"\x89PNG"):
        _check_png(data, path)
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    header = opened.header
    sides = (header.width, header.height) if opened.orientation >= 5 else (header.height, header.width)
    if decoded is None or decoded.shape[:2] != sides:
        raise ImageError(f"{path} cannot be decoded; it is damaged or truncated, restore or remove it")
    decoded = planes(decoded, str(path))
    if decoded.dtype != np.dtype(header.depth):
        raise ImageError(f"{path} stores its values in an unusual way; convert it to a plain PNG or to .npy")
    if decoded.shape[2] >= 3:
        decoded = np.concatenate([decoded[..., 2::-1], decoded[..., 3:]], axis=2)
    alpha = None
    if opened.transparent is not None:
        alpha = np.where(decoded[..., 0] == opened.transparent, 0, 65535).astype(np.uint16)
    elif header.alpha:
        decoded, alpha = decoded[..., :-1], np.ascontiguousarray(decoded[..., -1])
    return Image(np.ascontiguousarray(decoded[..., : header.channels]), alpha)


def _check_png(data: bytes, path: Path) -> None:
    """Check every chunk's CRC: on a bad one, libpng as OpenCV calls it writes to the terminal."""
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 12 + length
        if end > len(data) or data[end - 4 : end] != struct.pack(">I", zlib.crc32(memoryview(data)[at + 4 : end - 4])):
            break
        if data[at + 4 : at + 8] == b"IEND":
            return
        at = end
    raise ImageError(f"{path} is damaged or truncated; restore or remove it")


def _orient(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
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
