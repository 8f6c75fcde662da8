"""Headers: size, channels and depth of an image file before anything is decoded, or an error of one sentence.

Only the formats listed here are ever opened, whatever a file's name.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import PIL.Image
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
from translate.images.carried import TYPES
from translate.images.npy import ArrayHeader, array_header
from translate.images.opening import ImageError, decoding, open_regular
from translate.images.planes import check_shape, depth_of_type
from translate.images.whole import check_parts
from translate.memory import Budget


@dataclass(frozen=True, slots=True)
class Header:
    """The header of an image file, as displayed: ``channels`` counts the colour planes, without ``alpha``.

    ``whole`` says whether the values are whole numbers, also where they are read as floats since they are signed or of
    32 bits. ``several`` says that further ``frames`` or ``pages`` follow the first. ``decoding`` is how many bytes
    decoding takes at its peak, with the result, from above.
    """

    height: int
    width: int
    channels: int
    depth: Depth
    alpha: bool
    decoding: int = 0
    whole: bool = True
    several: Literal["", "frames", "pages"] = ""


def probe(path: str | Path, *, budget: Budget | None = None) -> Header:
    """Read an image file's header without decoding the image; refuse it by the header if a budget does not allow it."""
    with decoding(path), open_regular(path) as file:
        opened = open_file(file, str(path))
        if opened.array is not None:
            depth_of_type(opened.array.dtype, str(path))
        if budget is not None:
            check_budget(str(path), opened.header, budget)
        return opened.header


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A file whose header has been read, and how it is decoded.

    ``kind`` is the decoder: ``pillow`` for 8 bits a value (``image``), ``png``, ``tiff`` and ``ppm`` for deeper ones,
    and ``npy`` for arrays. ``transparent`` is the colour that a 16-bit PNG declares transparent.
    """

    header: Header
    kind: str = "pillow"
    image: PIL.Image.Image | None = None
    bits: int = 8
    orientation: int = 1
    transparent: tuple[int, ...] | None = None
    premultiplied: bool = False
    profile: bytes | None = None
    largest: int = 65535
    """The value of a 16-bit PPM that is white."""
    array: ArrayHeader | None = None
    """The header of a ``.npy`` file."""
    binary: bool = True
    carried: np.dtype[Any] | None = None
    """The type of a TIFF's values that no decoder knows (``translate.images.carried``)."""


@dataclass(frozen=True, slots=True, eq=False)
class HeldFile:
    """A file whose bytes are in memory and whose header has been read: it is read once for all that it is asked.

    It is decoded once, by one thread at a time.
    """

    name: str
    file: io.BytesIO
    opened: Opened

    @classmethod
    def of(cls, data: bytes, name: str) -> HeldFile:
        """Read the header of a file's bytes; ``name`` names it in an ``ImageError``."""
        file = io.BytesIO(data)
        with decoding(name):
            opened = open_file(file, name)
            if opened.array is not None:
                depth_of_type(opened.array.dtype, name)
            return cls(name, file, opened)

    @property
    def header(self) -> Header:
        """The size, channels and depth of the image."""
        return self.opened.header

    @property
    def is_tiff(self) -> bool:
        """Whether it is a TIFF file."""
        image = self.opened.image
        return self.opened.kind == "tiff" or (image is not None and image.format == "TIFF")


def suffix_of(path: Path) -> str:
    """The usual suffix of a file's format, by its content; raises ``ImageError`` if it is none that is read here."""
    with decoding(path), open_regular(path) as file:
        opened = open_file(file, str(path))
        if opened.kind == "pillow" and opened.image is not None:
            return _usual.get(opened.image.format or "", ".png")
        return {"ppm": ".ppm", "tiff": ".tiff", "npy": ".npy"}.get(opened.kind, ".png")


_usual = {"JPEG": ".jpg", "WEBP": ".webp", "TIFF": ".tiff", "BMP": ".bmp", "GIF": ".gif", "AVIF": ".avif"}


def open_file(file: BinaryIO, name: str) -> Opened:
    """Read the header of an image file in one of the known formats, and foretell what decoding takes."""
    length = file.seek(0, io.SEEK_END)
    file.seek(0)
    opened = _open(file, name)
    return replace(opened, header=replace(opened.header, decoding=length + _bytes(opened)))


def _bytes(opened: Opened) -> int:
    """The bytes that decoding takes beside the file's own, at its peak: counted for each decoder, and rounded up."""
    header, image = opened.header, opened.image
    pixels = header.height * header.width
    if image is not None:
        # Pillow's own image has 1 or 4 bytes a pixel, alpha is split off by copies, and profiles are applied to a copy.
        each = 12 if header.channels == 3 or image.mode not in ("1", "L") else 4
        each += 12 if header.alpha else 0
        each += 4 if image.mode not in ("1", "L", "P", "RGB") or "icc_profile" in image.info else 0
        each += 12 if image.format == "WEBP" else 0  # two canvases and a frame
        return pixels * each
    planes = header.channels + header.alpha
    if opened.array is not None:
        return pixels * planes * (5 if header.depth == "float32" else opened.array.dtype.itemsize)
    stored = pixels * planes * opened.bits // 8
    if opened.carried is not None:
        # The file with another header, decoded values, planes in order, and float32 with the check of their range.
        return 3 * stored + pixels * planes * 9
    if opened.kind == "ppm":
        return 2 * stored if opened.binary else 40 * stored  # numbers as text become objects first
    return (5 if opened.kind == "png" else 4 if opened.premultiplied else 3) * stored


def _open(file: BinaryIO, name: str) -> Opened:
    # The plugins are called directly, so that no format but these can ever be opened.
    start = file.read(1024)
    file.seek(0)
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return _open_png(_png_file(file), start)
    if start.startswith(b"MM\0+"):
        # Neither Pillow nor OpenCV reads what hardly anything writes.
        raise ImageError(f"{name} is a BigTIFF in big-endian order, which is not read here; save it as another TIFF")
    if start.startswith((b"II*\0", b"MM\0*", b"II+\0")):
        return _open_tiff(file, name)
    if re.match(rb"P[1-6]\s", start):
        return _open_ppm(PpmImageFile(file), start)
    if start.startswith(b"\xff\xd8\xff"):
        return _open_plain(JpegImageFile(file))
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return _open_plain(WebPImageFile(file))
    if start.startswith((b"GIF87a", b"GIF89a")):
        return _open_plain(GifImageFile(file))
    if start.startswith(b"BM"):
        return _open_plain(BmpImageFile(file))
    if start.startswith(b"\x93NUMPY"):
        return _open_array(file, name)
    if start[4:8] == b"ftyp":
        return _open_boxed(file, start, name)
    raise ImageError(
        f"{name} is {'empty' if not start else 'no PNG, JPEG, WebP, AVIF, TIFF, BMP, GIF, PPM or .npy file'}; "
        "convert it to PNG or remove it"
    )


_BESIDE = (b"iCCP", b"iTXt", b"tEXt", b"zTXt", b"eXIf")


def _png_file(file: BinaryIO) -> PngImageFile:
    """Pillow's image of a PNG; without profile and texts if these unpack to more than Pillow allows."""
    try:
        return PngImageFile(file)
    except ValueError:
        file.seek(0)
        data = file.read()
    kept, at = [data[:8]], 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] not in _BESIDE:
            kept.append(data[at:end])
        at = end
    return PngImageFile(io.BytesIO(b"".join(kept)))


def _open_array(file: BinaryIO, name: str) -> Opened:
    """The header of a ``.npy`` file, held against the file's length."""
    length = file.seek(0, io.SEEK_END)
    file.seek(0)
    array = array_header(file, name, length)
    check_shape(array.shape, name)
    dtype = array.dtype
    height, width, channels = (*array.shape, 1)[:3]
    # Maps of class indices may have types that no image has.
    image = dtype.kind in "uf" and dtype.itemsize <= (2 if dtype.kind == "u" else 8)
    depth: Depth = depth_of_type(dtype, name) if image else "float32"
    header = Header(height, width, channels, depth, False, whole=dtype.kind in "iub")
    return Opened(header, "npy", array=array)


def _open_boxed(file: BinaryIO, start: bytes, name: str) -> Opened:
    """Open an AVIF or HEIF file: its first box names the brands, major one first (ISO/IEC 23008-12)."""
    box = start[8 : max(16, min(int.from_bytes(start[:4]), len(start)))]
    brands = {box[at : at + 4] for at in range(0, len(box), 4)}
    if brands & {b"avif", b"avis"}:
        if not features.check("avif"):
            raise ImageError(f"{name} is an AVIF file, which the installed Pillow cannot read; convert it to PNG")
        return _open_plain(AvifImageFile(file))
    if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}:
        try:
            from pillow_heif import HeifImageFile
        except ImportError:
            raise ImageError(
                f"{name} is a HEIF file; install pillow-heif to read it (pip install 'image-translate[heif]'), "
                "or convert it to PNG"
            ) from None
        return _open_plain(HeifImageFile(file))
    raise ImageError(f"{name} is a video or of another kind that is not read here; convert it to PNG or remove it")


def _open_plain(image: ImageFile, *, bits: int = 8) -> Opened:
    orientation = orientation_of(image)
    height, width = (image.width, image.height) if orientation >= 5 else (image.height, image.width)
    channels = {"1": 1, "L": 1, "LA": 1, "La": 1}.get(image.mode, 3)
    alpha = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    animated = image.format in ("GIF", "WEBP", "PNG", "AVIF") and getattr(image, "is_animated", False)
    header = Header(height, width, channels, "uint8", alpha, several="frames" if animated else "")
    return Opened(header, image=image, bits=bits, orientation=orientation)


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
    colours = (transparent,) if isinstance(transparent, int) else transparent
    return Opened(
        header, "png", bits=16, orientation=plain.orientation, profile=image.info.get("icc_profile"),
        transparent=colours if colour in (0, 2) else None,
    )  # fmt: skip


def _open_ppm(image: PpmImageFile, start: bytes) -> Opened:
    gap = rb"(?:\s|#[^\n]*\n)+"
    found = re.match(rb"P[2356]" + gap + rb"\d+" + gap + rb"\d+" + gap + rb"(\d+)", start)
    largest = int(found[1]) if found else 1
    if largest < 256:
        return _open_plain(image)
    channels = 1 if start[1:2] in (b"2", b"5") else 3
    header = Header(image.height, image.width, channels, "uint16", False)
    return Opened(header, "ppm", bits=16, largest=largest, binary=start[1:2] in b"56")


_photometric = {
    0: "white-is-zero", 1: "gray", 2: "RGB", 3: "palette", 4: "mask", 5: "CMYK", 6: "YCbCr", 8: "CIELAB", 9: "ICCLab",
    10: "ITULab", 32803: "raw sensor (CFA)", 34892: "linear raw",
}  # fmt: skip
_sample_kinds = {1: "unsigned", 2: "signed", 3: "float", 5: "complex", 6: "complex"}


def _open_tiff(file: BinaryIO, name: str) -> Opened:
    first = file.read(8)
    tags = ImageFileDirectory_v2(first + file.read(8) if first[2:4] in (b"+\0", b"\0+") else first)
    file.seek(tags.next)
    tags.load(file)
    check_parts(tags, name)
    width, height = int(tags[256]), int(tags[257])
    several: Literal["", "pages"] = "pages" if tags.next else ""
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
        header = Header(image.height, image.width, channels, "uint8", alpha, several=several)
        return Opened(header, image=image)
    alike = len(set(bits)) == len(set(kind)) == 1
    carried = TYPES.get((bits[0], kind[0])) if alike else None
    known = carried is not None or (alike and (bits[0], kind[0]) in ((16, 1), (32, 3), (64, 3)))
    photometric = int(tags.get(262, 1))
    # OpenCV gives white-is-zero as it is stored; for floats and signed values it has no meaning.
    colours = {1: (0, 1) if (bits[0], kind[0]) == (16, 1) else (1,), 3: (2,), 4: (2,)}.get(samples, ())
    planar = samples > 1 and tags.get(284, 1) != 1
    # How opaque a signed or 32-bit whole number is, no file says, and a float predictor is of floats alone.
    opaque = carried in (None, "float16") or samples < 4 or (extra == (0,) and carried != "int8")
    if not known or photometric not in colours or planar or not opaque or (carried and tags.get(317, 1) == 3):
        what = _photometric.get(int(photometric or 0), f"colour space {photometric}")
        stored = "/".join(dict.fromkeys(_sample_kinds.get(each, str(each)) for each in kind))
        raise ImageError(
            f"{name} is a TIFF of {samples} channel(s) ({what}{', one plane after the other' if planar else ''}) with "
            f"{bits[0]} {stored} bits each that cannot be read here (gray and RGB, interleaved, of whole numbers or "
            "floats can, with alpha if they are unsigned or floats); store it as .npy"
        )
    if carried:
        # Behind the end of the file its rewritten directory will lie.
        starts, lengths = (tuple(tags.get(tag) or tags.get(tile, ())) for tag, tile in ((273, 324), (279, 325)))
        ends = [start + length for start, length in zip(starts, lengths, strict=True)]
        if not ends or max(ends) > file.seek(0, io.SEEK_END):
            raise ValueError("it is cut off")
    # An extra plane that is not marked as alpha is data (near infrared, for example).
    alpha = samples == 4 and extra != (0,)
    if tags.get(274, 1) in (5, 6, 7, 8):
        height, width = width, height
    depth: Depth = "uint16" if (bits[0], kind[0]) == (16, 1) else "float32"
    header = Header(height, width, samples - alpha, depth, alpha, whole=kind[0] in (1, 2), several=several)
    return Opened(
        header, "tiff", bits=bits[0], carried=np.dtype(carried) if carried else None,
        premultiplied=alpha and extra[:1] == (1,), profile=tags.get(34675),
        largest=0 if photometric == 0 else 65535,
    )  # fmt: skip


def orientation_of(image: PIL.Image.Image) -> int:
    """The EXIF orientation of an image, 1 to 8; 1 without one."""
    try:
        # PNG's own getexif would first decode the whole image, to find EXIF data after it.
        value = PIL.Image.Image.getexif(image).get(274, 1)
    except Exception:  # damaged EXIF data is ignored; the image itself may be sound
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def check_budget(name: str, header: Header, budget: Budget, max_pixels: int | None = None) -> None:
    """Refuse an image of more than ``max_pixels``, by default the budget's, or that takes too much memory to decode."""
    check_size(name, header.height, header.width, budget.max_pixels if max_pixels is None else max_pixels)
    if (reason := budget.too_large(header.decoding)) is not None:
        raise ImageError(f"{name} has {header.width} x {header.height} pixels and {reason}")


def check_size(name: str, height: int, width: int, max_pixels: int) -> None:
    """Refuse an image of more than ``max_pixels``."""
    if height * width > max_pixels:
        raise ImageError(
            f"{name} has {width} x {height} pixels, more than the limit of {max_pixels}; "
            "make it smaller or raise --max-pixels"
        )
