"""Image files: from an image file's bytes to colour planes as they are displayed, or one sentence on why not.

Pillow decodes 8-bit files (palettes, ICC profiles, CMYK), OpenCV 16-bit and float ones, which Pillow would silently
reduce to 8 bits; ``.npy`` files hold any number of planes. Only the formats listed here are ever opened, whatever a
file is called, and a file's size is known from its header before anything is decoded.
"""

from __future__ import annotations

import io
import itertools
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import cv2.utils.logging
import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageCms
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from translate.data import Depth
from translate.errors import TranslateError

MAX_PIXELS = 2**28
"""Height times width of the largest image that is decoded unless more is asked for."""

# A bad file is told in an ImageError; OpenCV would write its own lines into the progress bar besides.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

# Pillow's own limit warns at a third of ours and cannot be chosen for one call; _check_size stands in its place.
PIL.Image.MAX_IMAGE_PIXELS = None


class ImageError(TranslateError):
    """An image cannot be read, written or used as asked; the sentence names it."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of its image, as displayed: ``channels`` counts the colour planes, without ``alpha``."""

    height: int
    width: int
    channels: int
    depth: Depth
    alpha: bool


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """A decoded image: colour planes ``pixels`` (H, W, C), uint8, uint16 or float32, and ``alpha`` (H, W), same type.

    Integers use their full range; one plane is gray, three are RGB.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None = None


def probe(path: Path) -> Header:
    """Read what a file says of its image, without decoding it."""
    with _decoding(path):
        if path.suffix.lower() == ".npy":
            array = _open_array(path)
            height, width, channels = (*array.shape, 1)[:3]
            return Header(height, width, channels, _depth_of(array, str(path)), False)
        with path.open("rb") as file:
            return _open(file, path).header


def read(path: Path, *, max_pixels: int = MAX_PIXELS) -> Image:
    """Decode a file as it is displayed, at its own depth.

    The orientation in EXIF is applied, palettes are expanded, CMYK becomes RGB, 8-bit colours with an ICC profile are
    converted to sRGB (profiles of 16-bit and float files are left aside), and of an animation the first frame counts.
    An image of more than ``max_pixels`` is refused from its header.
    """
    with _decoding(path):
        if path.suffix.lower() == ".npy":
            array = _open_array(path)
            _check_size(path, array.shape[0], array.shape[1], max_pixels)
            return Image(planes(array, str(path)))
        with path.open("rb") as file:
            opened = _open(file, path)
            _check_size(path, opened.header.height, opened.header.width, max_pixels)
            if opened.deep:
                file.seek(0)
                image = _decode_deep(file.read(), opened, path)
            else:
                image = _decode_bytes(opened.image)
            alpha = None if image.alpha is None else _orient(image.alpha, opened.orientation)
            return Image(_orient(image.pixels, opened.orientation), alpha)


def read_indices(path: Path, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Read a map of class indices (H, W) as stored: a palette is not expanded, few-bit grays are not stretched."""
    with _decoding(path):
        if path.suffix.lower() == ".npy":
            array = _open_array(path)
            _check_size(path, array.shape[0], array.shape[1], max_pixels)
            return indices(array, str(path))
        with path.open("rb") as file:
            opened = _open(file, path)
            _check_size(path, opened.header.height, opened.header.width, max_pixels)
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
    """Check an array (H, W) or (H, W, C) and copy it as (H, W, C) uint8, uint16 or float32."""
    _depth_of(array, name)
    dtype = np.dtype(np.float32) if array.dtype.kind == "f" else array.dtype.newbyteorder("=")
    with np.errstate(over="ignore"):
        copied = np.array(array[..., None] if array.ndim == 2 else array, dtype=dtype, order="C", subok=False)
    if copied.dtype.kind == "f" and not np.isfinite(copied).all():
        raise ImageError(f"{name} holds values that are not finite numbers; mend or remove it")
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


# --- the header -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Opened:
    """A file whose header is read: ``image`` decodes it unless it is ``deep`` (more than 8 bits a value)."""

    image: PIL.Image.Image
    header: Header
    deep: bool = False
    bits: int = 8
    orientation: int = 1
    transparent: int | None = None
    """The gray value that a 16-bit gray PNG declares transparent."""


def _open(file: BinaryIO, path: Path) -> _Opened:
    # The plugins are called directly, so that no format but these can ever be opened.
    start = file.read(1024)
    file.seek(0)
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return _open_png(PngImageFile(file), start)
    if start.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return _open_tiff(file, path)
    if re.match(rb"P[1-6]\s", start):
        return _open_ppm(PpmImageFile(file), start, path)
    if start.startswith(b"\xff\xd8\xff"):
        return _open_plain(JpegImageFile(file))
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return _open_plain(WebPImageFile(file))
    if start.startswith((b"GIF87a", b"GIF89a")):
        return _open_plain(GifImageFile(file))
    if start.startswith(b"BM"):
        return _open_plain(BmpImageFile(file))
    raise ImageError(
        f"{path} is {'empty' if not start else 'no PNG, JPEG, WebP, TIFF, BMP, GIF, PPM or .npy file'}; "
        "convert it to PNG or remove it"
    )


def _open_plain(image: ImageFile, *, bits: int = 8) -> _Opened:
    orientation = _orientation(image)
    height, width = (image.width, image.height) if orientation >= 5 else (image.height, image.width)
    channels = {"1": 1, "L": 1, "LA": 1, "La": 1}.get(image.mode, 3)
    alpha = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    return _Opened(image, Header(height, width, channels, "uint8", alpha), bits=bits, orientation=orientation)


def _open_png(image: PngImageFile, start: bytes) -> _Opened:
    bits, colour = start[24], start[25]
    plain = _open_plain(image, bits=bits)
    if bits < 16:
        return plain
    transparent = image.info.get("transparency")
    header = Header(
        plain.header.height,
        plain.header.width,
        1 if colour in (0, 4) else 3,
        "uint16",
        colour in (4, 6) or transparent is not None,
    )
    gray = transparent if colour == 0 and isinstance(transparent, int) else None
    return _Opened(image, header, deep=True, bits=16, orientation=plain.orientation, transparent=gray)


def _open_ppm(image: PpmImageFile, start: bytes, path: Path) -> _Opened:
    gap = rb"(?:\s|#[^\n]*\n)+"
    found = re.match(rb"P[2356]" + gap + rb"\d+" + gap + rb"\d+" + gap + rb"(\d+)", start)
    largest = int(found[1]) if found else 1
    if largest < 256:
        return _open_plain(image)
    if largest != 65535:
        raise ImageError(f"{path} counts to {largest}, neither 8 nor 16 bits a value; convert it to PNG")
    channels = 1 if start[1:2] in (b"2", b"5") else 3
    return _Opened(image, Header(image.height, image.width, channels, "uint16", False), deep=True, bits=16)


def _open_tiff(file: BinaryIO, path: Path) -> _Opened:
    first = file.read(8)
    tags = ImageFileDirectory_v2(first + file.read(8) if first[2:4] in (b"+\0", b"\0+") else first)
    file.seek(tags.next)
    tags.load(file)
    width, height = int(tags[256]), int(tags[257])
    bits = tuple(tags.get(258, (1,)))
    kind = tuple(tags.get(339, (1,)))
    samples = int(tags.get(277, 1))
    extra = tuple(tags.get(338, ()))
    if max(bits) <= 8 and set(kind) <= {1, 4} and samples <= 4 and not (samples == 4 and extra == (0,)):
        file.seek(0)
        # Pillow and OpenCV both turn a TIFF as its orientation tag says, and Pillow's size is the turned one.
        image = TiffImageFile(file)
        channels = {"1": 1, "L": 1, "LA": 1, "La": 1}.get(image.mode, 3)
        alpha = image.mode in ("LA", "La", "PA", "RGBA", "RGBa")
        return _Opened(image, Header(image.height, image.width, channels, "uint8", alpha))
    known = (set(bits), set(kind)) in (({16}, {1}), ({32}, {3}), ({64}, {3}))
    colours = {1: (1,), 3: (2,), 4: (2,)}.get(samples, ())
    if not known or tags.get(262) not in colours or (samples > 1 and tags.get(284, 1) != 1):
        raise ImageError(
            f"{path} is a TIFF of {samples} channel(s) with {bits[0]} bits each that cannot be read here "
            "(gray and RGB with or without alpha, interleaved, 8-bit, 16-bit or float can); store it as .npy"
        )
    # An extra plane that is said to be no alpha is data (near infrared, say).
    alpha = samples == 4 and extra != (0,)
    if tags.get(274, 1) in (5, 6, 7, 8):
        height, width = width, height
    depth: Depth = "uint16" if bits[0] == 16 else "float32"
    header = Header(height, width, samples - alpha, depth, alpha)
    return _Opened(PIL.Image.Image(), header, deep=True, bits=bits[0])


def _orientation(image: PIL.Image.Image) -> int:
    try:
        # PNG's own getexif would decode the whole image first, to look behind it.
        value = PIL.Image.Image.getexif(image).get(274, 1)
    except Exception:  # damaged EXIF data says nothing; the image itself may be sound
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _check_size(path: Path, height: int, width: int, max_pixels: int) -> None:
    if height * width > max_pixels:
        raise ImageError(
            f"{path} has {width} x {height} pixels, more than the limit of {max_pixels}; "
            "make it smaller or raise --max-pixels"
        )


# --- the pixels -----------------------------------------------------------------------------------------------------


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
        # Dropping the last plane keeps the colours; convert() would do, were it not for its transparency rules.
        bands = image.split()[:-1]
        image = PIL.Image.merge("RGB", bands) if len(bands) == 3 else bands[0]
    pixels = np.array(_to_srgb(image, profile))
    return Image(pixels[..., None] if pixels.ndim == 2 else pixels, alpha)


def _to_srgb(image: PIL.Image.Image, profile: bytes | None) -> PIL.Image.Image:
    """An L, RGB, CMYK ... image as L or RGB in sRGB; what has no usable profile is taken to be sRGB already."""
    if profile and image.mode in ("L", "RGB", "CMYK"):
        try:
            stored = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            srgb = ImageCms.createProfile("sRGB")
            transform = ImageCms.buildTransform(stored, srgb, image.mode, "RGB")
            if not _changes_nothing(transform, image.mode):
                colours = ImageCms.applyTransform(image, transform)
                if colours is not None:
                    return colours.getchannel("G") if image.mode == "L" else colours
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a transform is sRGB to sRGB but for rounding, judged by a few colours: such pixels stay as stored."""
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


def _decode_deep(data: bytes, opened: _Opened, path: Path) -> Image:
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
    """Check every chunk's sum: libpng, as OpenCV calls it, writes to the terminal on meeting a bad one."""
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
    """Turn stored pixels (H, W, ...) as EXIF's orientation, 1 to 8, asks for."""
    if orientation in (2, 3, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7):
        pixels = pixels[::-1]
    if orientation in (5, 7):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (6, 8):
        pixels = np.rot90(pixels, 1 if orientation == 8 else -1)
    return np.ascontiguousarray(pixels)


# --- arrays and errors ----------------------------------------------------------------------------------------------


def _open_array(path: Path) -> NDArray[Any]:
    array = np.lib.format.open_memmap(path, mode="r")
    _check_shape(array, str(path))
    return array


def _check_shape(array: NDArray[Any], name: str) -> None:
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise ImageError(
            f"{name} has the shape {array.shape}; an image is an array (height, width) or (height, width, channels)"
        )


def _depth_of(array: NDArray[Any], name: str) -> Depth:
    _check_shape(array, name)
    if array.dtype.kind == "f" and array.dtype.itemsize <= 8:
        return "float32"
    if array.dtype.kind == "u" and array.dtype.itemsize <= 2:
        return "uint8" if array.dtype.itemsize == 1 else "uint16"
    raise ImageError(f"{name} holds values of type {array.dtype}; store them as uint8, uint16 or float32")


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """Tell whatever goes wrong inside in one sentence; decoders raise nearly every type of error there is."""
    try:
        yield
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(f"there is no file {path}; check its name") from None
    except MemoryError:
        raise ImageError(f"{path} needs more memory than there is; make it smaller") from None
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            raise ImageError(f"{path} cannot be read: {error.strerror}; check the file and its permissions") from None
        reason = " ".join(str(error).split())[:120].rstrip(".") or type(error).__name__
        raise ImageError(
            f"{path} cannot be decoded ({reason}); it is damaged or truncated, restore or remove it"
        ) from None
