"""Encoding: colour planes to an image file's bytes, in the format of a suffix."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from translate.images.opening import ImageError, quiet
from translate.images.planes import Image

WRITABLE = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".npy")
"""The suffixes that can be written."""


def encode(image: Image, suffix: str, *, quality: int = 95, name: str = "the image") -> bytes:
    """Encode an image in the format of a suffix; what a format cannot hold is an error, never a silent loss.

    PNG: gray or RGB, 8 or 16 bits, alpha. JPEG: gray or RGB, 8 bits, full colour resolution (4:4:4). WebP: RGB, 8
    bits, alpha, lossless at quality 100. BMP: gray or RGB, 8 bits. TIFF: gray, or RGB with or without alpha, any
    depth. ``.npy``: any number of planes and any depth. ``quality`` goes from 1 to 100.
    """
    suffix = suffix.lower()
    if suffix not in WRITABLE:
        raise ImageError(f"{name} cannot be written: {suffix or 'no suffix'} is none of {', '.join(WRITABLE)}")
    pixels, alpha = image.pixels, image.alpha
    if pixels.ndim != 3 or 0 in pixels.shape or pixels.dtype not in (np.uint8, np.uint16, np.float32):
        raise ImageError(f"{name} is no image: it holds {pixels.shape} values of type {pixels.dtype}")
    if alpha is not None and (alpha.shape != pixels.shape[:2] or alpha.dtype != pixels.dtype):
        raise ImageError(f"{name} has an alpha plane {alpha.shape} {alpha.dtype} that does not fit its colours")
    if suffix == ".npy":
        _refuse(alpha is not None, name, "alpha", suffix, ".png")
        file = io.BytesIO()
        np.save(file, pixels, allow_pickle=False)
        return file.getvalue()
    _refuse(pixels.shape[2] not in (1, 3), name, f"{pixels.shape[2]} channels", suffix, ".npy")
    if suffix in (".tif", ".tiff"):
        _refuse(alpha is not None and pixels.shape[2] == 1, name, "gray with alpha", suffix, ".png")
        return _encode_tiff(pixels, alpha)
    _refuse(pixels.dtype == np.float32, name, "floating-point values", suffix, ".tif or .npy")
    if suffix == ".png":
        return _encode_png(pixels, alpha)
    _refuse(pixels.dtype == np.uint16, name, "16 bits a value", suffix, ".png")
    _refuse(alpha is not None and suffix != ".webp", name, "alpha", suffix, ".png")
    return _encode_bytes(pixels, alpha, suffix, quality, name)


def _refuse(found: bool, name: str, what: str, suffix: str, better: str) -> None:
    if found:
        raise ImageError(f"{name} has {what}, which {suffix} cannot hold; write it as {better}")


def _encode_png(pixels: NDArray[Any], alpha: NDArray[Any] | None) -> bytes:
    if alpha is not None and pixels.shape[2] == 1:
        return _encode_gray_alpha(pixels, alpha)
    # OpenCV's defaults take half the time of its own level 1, for files of the same size.
    return _encode_opencv(".png", pixels, alpha, [])


def _encode_tiff(pixels: NDArray[Any], alpha: NDArray[Any] | None) -> bytes:
    if pixels.dtype == np.uint8:
        # Pillow marks the fourth plane as alpha; OpenCV leaves it unnamed.
        file = io.BytesIO()
        _to_pillow(pixels, alpha).save(file, "TIFF", compression="tiff_adobe_deflate")
        return file.getvalue()
    deflate = 8
    return _encode_opencv(".tiff", pixels, alpha, [cv2.IMWRITE_TIFF_COMPRESSION, deflate])


def _encode_opencv(suffix: str, pixels: NDArray[Any], alpha: NDArray[Any] | None, settings: list[int]) -> bytes:
    stored = pixels[..., ::-1]
    if alpha is not None:
        stored = np.concatenate([stored, alpha[..., None]], axis=2)
    with quiet():
        done, data = cv2.imencode(suffix, np.ascontiguousarray(stored), settings)
    if not done:
        raise ValueError(f"OpenCV could not encode {suffix}")
    return bytes(data.tobytes())


def _encode_gray_alpha(pixels: NDArray[Any], alpha: NDArray[Any]) -> bytes:
    """A PNG of colour type 4, which OpenCV does not write and Pillow only at 8 bits."""
    height, width, _ = pixels.shape
    rows = np.concatenate([pixels, alpha[..., None]], axis=2)
    rows = rows.astype(rows.dtype.newbyteorder(">")).reshape(height, -1).view(np.uint8)
    unfiltered = np.zeros((height, 1), np.uint8)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.dtype.itemsize, 4, 0, 0, 0)
    content = zlib.compress(np.concatenate([unfiltered, rows], axis=1).tobytes(), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def _encode_bytes(pixels: NDArray[Any], alpha: NDArray[Any] | None, suffix: str, quality: int, name: str) -> bytes:
    file = io.BytesIO()
    image = _to_pillow(pixels, alpha)
    if suffix == ".webp":
        longest = 16383
        _refuse(max(image.size) > longest, name, f"a side of more than {longest} pixels", suffix, ".png")
        image = image if image.mode.startswith("RGB") else image.convert("RGBA" if alpha is not None else "RGB")
        # At quality 100 exact keeps the colours under transparent pixels too; method 0 is the fastest lossless.
        lossless = quality >= 100
        effort = {"quality": 0, "method": 0} if lossless else {"quality": quality, "method": 4}
        image.save(file, "WEBP", lossless=lossless, exact=lossless, **effort)
    elif suffix == ".bmp":
        image.save(file, "BMP")
    else:
        longest = 65535
        _refuse(max(image.size) > longest, name, f"a side of more than {longest} pixels", suffix, ".png")
        image.save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()


def _to_pillow(pixels: NDArray[Any], alpha: NDArray[Any] | None) -> PIL.Image.Image:
    stored = pixels if alpha is None else np.concatenate([pixels, alpha[..., None]], axis=2)
    return PIL.Image.fromarray(np.ascontiguousarray(stored[..., 0] if stored.shape[2] == 1 else stored))
