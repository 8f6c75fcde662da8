"""Headers: size, channels and depth of an image file before anything is decoded, or an error of one sentence.

Only the formats listed here are ever opened, whatever a file's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import features
from PIL.AvifImagePlugin import AvifImageFile
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
"""Height times width of the largest image that is decoded by default."""

# check_size replaces Pillow's own limit, which warns at a third of ours and cannot be set for one call.
PIL.Image.MAX_IMAGE_PIXELS = None


class ImageError(TranslateError):
    """An image cannot be read, written or used as asked; the sentence names it."""


@dataclass(frozen=True, slots=True)
class Header:
    """The header of an image file, as displayed: ``channels`` counts the colour planes, without ``alpha``."""

    height: int
    width: int
    channels: int
    depth: Depth
    alpha: bool


def probe(path: Path) -> Header:
    """Read an image file's header without decoding the image."""
    with decoding(path):
        if path.suffix.lower() == ".npy":
            array = open_array(path)
            height, width, channels = (*array.shape, 1)[:3]
            return Header(height, width, channels, depth_of(array, str(path)), False)
        with path.open("rb") as file:
            return open_file(file, path).header


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A file whose header has been read: ``image`` decodes it unless it is ``deep`` (more than 8 bits a value)."""

    image: PIL.Image.Image
    header: Header
    deep: bool = False
    bits: int = 8
    orientation: int = 1
    transparent: int | None = None
    """The gray value that a 16-bit gray PNG declares transparent."""


def open_file(file: BinaryIO, path: Path) -> Opened:
    """Read the header of an image file in one of the known formats."""
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
    if start[4:8] == b"ftyp":
        return _open_boxed(file, start, path)
    raise ImageError(
        f"{path} is {'empty' if not start else 'no PNG, JPEG, WebP, AVIF, TIFF, BMP, GIF, PPM or .npy file'}; "
        "convert it to PNG or remove it"
    )


def _open_boxed(file: BinaryIO, start: bytes, path: Path) -> Opened:
    """Open an AVIF or HEIF file: its first box names the brands, major one first (ISO/IEC 23008-12)."""
    box = start[8 : max(16, min(int.from_bytes(start[:4]), len(start)))]
    brands = {box[at : at + 4] for at in range(0, len(box), 4)}
    if brands & {b"avif", b"avis"}:
        if not features.check("avif"):
            raise ImageError(f"{path} is an AVIF file, which the installed Pillow cannot read; convert it to PNG")
        return _open_plain(AvifImageFile(file))
    if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}:
        try:
            from pillow_heif import HeifImageFile
        except ImportError:
            raise ImageError(
                f"{path} is a HEIF file; install pillow-heif to read it (pip install 'image-translate[heif]'), "
                "or convert it to PNG"
            ) from None
        return _open_plain(HeifImageFile(file))
    raise ImageError(f"{path} is a video or of another kind that is not read here; convert it to PNG or remove it")


def _open_plain(image: ImageFile, *, bits: int = 8) -> Opened:
    orientation = _orientation(image)
    height, width = (image.width, image.height) if orientation >= 5 else (image.height, image.width)
    channels = {"1": 1, "L": 1, "LA": 1, "La": 1}.get(image.mode, 3)
    alpha = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    return Opened(image, Header(height, width, channels, "uint8", alpha), bits=bits, orientation=orientation)


def _open_png(image: PngImageFile, start: bytes) -> Opened:
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
    return Opened(image, header, deep=True, bits=16, orientation=plain.orientation, transparent=gray)


def _open_ppm(image: PpmImageFile, start: bytes, path: Path) -> Opened:
    gap = rb"(?:\s|#[^\n]*\n)+"
    found = re.match(rb"P[2356]" + gap + rb"\d+" + gap + rb"\d+" + gap + rb"(\d+)", start)
    largest = int(found[1]) if found else 1
    if largest < 256:
        return _open_plain(image)
    if largest != 65535:
        raise ImageError(f"{path} counts to {largest}, neither 8 nor 16 bits a value; convert it to PNG")
    channels = 1 if start[1:2] in (b"2", b"5") else 3
    return Opened(image, Header(image.height, image.width, channels, "uint16", False), deep=True, bits=16)


def _open_tiff(file: BinaryIO, path: Path) -> Opened:
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
        # Pillow and OpenCV both apply a TIFF's orientation tag, and Pillow gives the size after it.
        image = TiffImageFile(file)
        channels = {"1": 1, "L": 1, "LA": 1, "La": 1}.get(image.mode, 3)
        alpha = image.mode in ("LA", "La", "PA", "RGBA", "RGBa")
        return Opened(image, Header(image.height, image.width, channels, "uint8", alpha))
    known = (set(bits), set(kind)) in (({16}, {1}), ({32}, {3}), ({64}, {3}))
    colours = {1: (1,), 3: (2,), 4: (2,)}.get(samples, ())
    if not known or tags.get(262) not in colours or (samples > 1 and tags.get(284, 1) != 1):
        raise ImageError(
            f"{path} is a TIFF of {samples} channel(s) with {bits[0]} bits each that cannot be read here "
            "(gray and RGB with or without alpha, interleaved, 8-bit, 16-bit or float can); store it as .npy"
        )
    # An extra plane that is not marked as alpha is data (near infrared, for example).
    alpha = samples == 4 and extra != (0,)
    if tags.get(274, 1) in (5, 6, 7, 8):
        height, width = width, height
    depth: Depth = "uint16" if bits[0] == 16 else "float32"
    header = Header(height, width, samples - alpha, depth, alpha)
    return Opened(PIL.Image.Image(), header, deep=True, bits=bits[0])


def _orientation(image: PIL.Image.Image) -> int:
    try:
        # PNG's own getexif would first decode the whole image, to find EXIF data after it.
        value = PIL.Image.Image.getexif(image).get(274, 1)
    except Exception:  # damaged EXIF data is ignored; the image itself may be sound
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def check_size(path: Path, height: int, width: int, max_pixels: int) -> None:
    """Refuse an image of more than ``max_pixels``."""
    if height * width > max_pixels:
        raise ImageError(
            f"{path} has {width} x {height} pixels, more than the limit of {max_pixels}; "
            "make it smaller or raise --max-pixels"
        )


# --- arrays and errors ----------------------------------------------------------------------------------------------


def open_array(path: Path) -> NDArray[Any]:
    """Open a ``.npy`` file (H, W) or (H, W, C) of any type, without reading its values."""
    array = np.lib.format.open_memmap(path, mode="r")
    _check_shape(array, str(path))
    return array


def _check_shape(array: NDArray[Any], name: str) -> None:
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise ImageError(
            f"{name} has the shape {array.shape}; an image is an array (height, width) or (height, width, channels)"
        )


def depth_of(array: NDArray[Any], name: str) -> Depth:
    """The depth that an array (H, W) or (H, W, C) is read with; ``ImageError`` for types and shapes of no image."""
    _check_shape(array, name)
    if array.dtype.kind == "f" and array.dtype.itemsize <= 8:
        return "float32"
    if array.dtype.kind == "i" or (array.dtype.kind == "u" and array.dtype.itemsize > 2):
        return "float32"
    if array.dtype.kind == "u":
        return "uint8" if array.dtype.itemsize == 1 else "uint16"
    raise ImageError(f"{name} holds values of type {array.dtype}; store them as uint8, uint16 or float32")


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn any error inside the block into an ``ImageError``; decoders raise nearly every type of error."""
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
