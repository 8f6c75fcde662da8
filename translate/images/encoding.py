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
from PIL import features

from translate.images.chunks import SIGNATURE, chunk
from translate.images.embedding import Embedded, jpeg_segments, with_chunks
from translate.images.opening import ImageError, quiet
from translate.images.planes import Image
from translate.images.tiff import TIFF, TiffPages, is_large

AVIF = features.check("avif")
"""Whether the installed Pillow reads and writes AVIF files."""

WRITABLE = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".npy") + ((".avif",) if AVIF else ())
"""The suffixes that can be written."""


def encode(
    image: Image,
    suffix: str,
    *,
    quality: int = 95,
    name: str = "the image",
    embedded: Embedded | None = None,
) -> bytes:
    """Encode an image in the format of a suffix; what a format cannot hold is an error, never a silent loss.

    PNG: gray or RGB, 8 or 16 bits, alpha. JPEG: gray or RGB, 8 bits, full colour resolution (4:4:4). WebP: RGB, 8
    bits, alpha, lossless at quality 100. AVIF, where Pillow has it: gray or RGB, 8 bits, alpha, lossy. BMP: gray or
    RGB, 8 bits. TIFF: gray or RGB, alpha, any depth, but gray with alpha of 8 bits alone. ``.npy``: any number of
    planes and any depth. ``quality`` goes from 1 to 100. ``embedded`` are the metadata that the file shall hold.
    """
    suffix = suffix.lower()
    if suffix not in WRITABLE:
        raise ImageError(f"{name} cannot be written: {suffix or 'no suffix'} is none of {', '.join(WRITABLE)}")
    embedded = embedded or Embedded()
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
    if suffix in TIFF:
        # Deeper ones nothing here reads back.
        deep = alpha is not None and pixels.shape[2] == 1 and pixels.dtype != np.uint8
        _refuse(deep, name, "gray with alpha of more than 8 bits", suffix, ".png")
        return _encode_tiff(pixels, alpha, embedded)
    _refuse(pixels.dtype == np.float32, name, "floating-point values", suffix, ".tif or .npy")
    if suffix == ".png":
        return with_chunks(_encode_png(pixels, alpha), embedded)
    _refuse(pixels.dtype == np.uint16, name, "16 bits a value", suffix, ".png")
    _refuse(alpha is not None and suffix not in (".webp", ".avif"), name, "alpha", suffix, ".png")
    return _encode_bytes(pixels, alpha, suffix, quality, name, embedded)


def _refuse(found: bool, name: str, what: str, suffix: str, better: str) -> None:
    if found:
        raise ImageError(f"{name} has {what}, which {suffix} cannot hold; write it as {better}")


def _encode_png(pixels: NDArray[Any], alpha: NDArray[Any] | None) -> bytes:
    if alpha is not None and pixels.shape[2] == 1:
        return _encode_gray_alpha(pixels, alpha)
    # OpenCV's defaults take half the time of its own level 1, for files of the same size.
    return _encode_opencv(".png", pixels, alpha, [])


def _encode_tiff(pixels: NDArray[Any], alpha: NDArray[Any] | None, embedded: Embedded) -> bytes:
    file = io.BytesIO()
    order = "<" if embedded.directory is None else embedded.directory.order
    TiffPages(file, order=order, big=is_large(pixels, alpha)).append(pixels, alpha, embedded)
    return file.getvalue()


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
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.dtype.itemsize, 4, 0, 0, 0)
    content = zlib.compress(np.concatenate([unfiltered, rows], axis=1).tobytes(), 1)
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def _encode_bytes(
    pixels: NDArray[Any], alpha: NDArray[Any] | None, suffix: str, quality: int, name: str, embedded: Embedded
) -> bytes:
    file = io.BytesIO()
    image = _to_pillow(pixels, alpha)
    beside: dict[str, Any] = {}
    if embedded.exif:
        beside["exif"] = b"Exif\0\0" + embedded.exif if suffix != ".webp" else embedded.exif
    if embedded.xmp:
        beside["xmp"] = embedded.xmp
    if embedded.profile:
        beside["icc_profile"] = embedded.profile
    if embedded.dpi:
        beside["dpi"] = embedded.dpi
    if suffix == ".webp":
        longest = 16383
        _refuse(max(image.size) > longest, name, f"a side of more than {longest} pixels", suffix, ".png")
        image = image if image.mode.startswith("RGB") else image.convert("RGBA" if alpha is not None else "RGB")
        # At quality 100 exact keeps the colours under transparent pixels too; method 0 is the fastest lossless.
        lossless = quality >= 100
        effort = {"quality": 0, "method": 0} if lossless else {"quality": quality, "method": 4}
        image.save(file, "WEBP", lossless=lossless, exact=lossless, **effort, **beside)
    elif suffix == ".avif":
        longest = 65536
        _refuse(max(image.size) > longest, name, f"a side of more than {longest} pixels", suffix, ".png")
        # One thread: images are encoded side by side, and the bytes shall not depend on the number of cores.
        image.save(file, "AVIF", quality=quality, subsampling="4:4:4", max_threads=1, **beside)
    elif suffix == ".bmp":
        image.save(file, "BMP", **beside)
    else:
        longest = 65535
        _refuse(max(image.size) > longest, name, f"a side of more than {longest} pixels", suffix, ".png")
        image.save(file, "JPEG", quality=quality, subsampling=0, extra=jpeg_segments(embedded), **beside)
    return file.getvalue()


def _to_pillow(pixels: NDArray[Any], alpha: NDArray[Any] | None) -> PIL.Image.Image:
    stored = pixels if alpha is None else np.concatenate([pixels, alpha[..., None]], axis=2)
    return PIL.Image.fromarray(np.ascontiguousarray(stored[..., 0] if stored.shape[2] == 1 else stored))
