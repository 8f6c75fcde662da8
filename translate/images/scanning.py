"""Scanning: what image files say beside their pixels: EXIF data, an XMP packet, an ICC profile and the resolution.

They are found by the file's own structure, without decoding it, and within bounds. Whatever is damaged is left out and
named: no metadata make an image fail.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from translate.images import iptc
from translate.images.directories import INNER, Directory, read_directory, start_of
from translate.images.exif import DESCRIBING, block, parse, resolution
from translate.images.headers import HeldFile, open_file
from translate.images.opening import ImageError, decoding, open_regular

MOST_BYTES = 1 << 20
"""The most bytes of EXIF data, and of an XMP packet."""

MOST_PROFILE = 1 << 22
"""The most bytes of an ICC profile."""

_MOST_PARTS = 10_000

DAMAGED = "damaged EXIF data are left out"
FURTHER = "further pictures in the file (gain map, preview, MPF) are not kept"
RESOURCES = "Photoshop's resources (paths, layers, settings) are not kept"
GDAL = "GDAL's metadata and its value of missing pixels are not kept, since they hold for the old pixels"
COMMENTS = "comments in the file are not kept"
ARRANGEMENT = "how a TIFF's values are arranged (ImageJ, OME, tifffile) is not kept, since it holds for the old pixels"
GEOTIFF = (33550, 33922, 34264, 34735, 34736, 34737)
"""The tags of a GeoTIFF's position and projection."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What an image file says beside its pixels, as it is stored: raw bytes, empty where there are none.

    ``exif`` is the first directory of EXIF data, with those in it. ``dpi`` is the resolution in pixels an inch, across
    and down, of the stored pixels. ``srgb`` is a PNG's mark that its colours are sRGB. ``converted`` says whether the
    colours are converted to sRGB as they are read, which floats are not. ``texts`` are a PNG's, each its kind of chunk
    and content, ``comments`` a JPEG's. ``iptc`` are IPTC's records. ``geo`` are the tags of a GeoTIFF's position, with
    the page's size and orientation. ``gps`` says whether positions may be kept. ``lost`` are sentences about what no
    output can keep.
    """

    exif: Directory | None = None
    xmp: bytes = b""
    profile: bytes = b""
    dpi: tuple[float, float] | None = None
    srgb: bool = False
    converted: bool = True
    texts: tuple[tuple[bytes, bytes], ...] = ()
    comments: tuple[bytes, ...] = ()
    iptc: bytes = b""
    geo: Directory | None = None
    gps: bool = False
    lost: tuple[str, ...] = ()


def metadata(path: str | Path | HeldFile, *, gps: bool = False) -> Metadata:
    """Read a file's metadata without decoding it; with ``gps`` its position may be written again.

    Raises ``ImageError`` if the file itself cannot be read.
    """
    name = path.name if isinstance(path, HeldFile) else str(path)
    with decoding(name), nullcontext(path.file) if isinstance(path, HeldFile) else open_regular(path) as file:
        return replace(read_metadata(file, name), gps=gps)


def read_metadata(file: BinaryIO, name: str) -> Metadata:
    """The metadata of an open file; nothing but a sentence where its structure is damaged."""
    file.seek(0)
    head = file.read(16)
    found = _Found()
    try:
        if head.startswith(b"\xff\xd8"):
            _jpeg(file, found)
        elif head.startswith(b"\x89PNG\r\n\x1a\n"):
            _png(file, found)
        elif head.startswith(b"RIFF") and head[8:12] == b"WEBP":
            _webp(file, found)
        elif (start := start_of(head)) is not None:
            tiff_metadata(file, *start, found=found)
        elif head.startswith(b"BM"):
            _bmp(file, found)
        elif head[4:8] == b"ftyp" or head.startswith(b"GIF8"):
            file.seek(0)
            _by_pillow(open_file(file, name).image, found)
    except ImageError:
        raise
    except Exception:  # whatever a strange file brings about: its pixels may be sound
        found.tell("damaged metadata are left out")
    return found.metadata()


class _Found:
    """Metadata as they are being found, each kind the first time, within its bounds."""

    def __init__(self) -> None:
        self.exif = self.xmp = self.profile = self.iptc = b""
        self.geo: Directory | None = None
        self.comments: list[bytes] = []
        self.dpi: tuple[float, float] | None = None
        self.srgb, self.converted = False, True
        self.texts: list[tuple[bytes, bytes]] = []
        self.lost: dict[str, None] = {}

    def tell(self, sentence: str) -> None:
        self.lost[sentence] = None

    def keep(self, kind: str, data: bytes) -> None:
        most = MOST_PROFILE if kind == "profile" else MOST_BYTES
        if len(data) > most:
            name = _names[kind]
            self.tell(f"{name} of more than {most >> 20} MB are left out")
        elif data and not getattr(self, kind):
            setattr(self, kind, data)

    def resources(self, data: bytes) -> None:
        """IPTC's records among Photoshop's resources; the others are told."""
        records, others = iptc.taken_from(data)
        self.keep("iptc", records)
        if others:
            self.tell(RESOURCES)

    def resolution(self, across: float, down: float) -> None:
        if self.dpi is None and 0 < across < 1e6 and 0 < down < 1e6:
            self.dpi = (across, down)

    def per_metre(self, across: int, down: int) -> None:
        """A resolution in whole pixels a metre, of which each whole number an inch has one."""
        inches = (each * 0.0254 for each in (across, down))
        self.resolution(*(float(round(each)) if abs(each - round(each)) < 0.0128 else each for each in inches))

    def metadata(self) -> Metadata:
        exif = self.exif.removeprefix(b"Exif\0\0")
        directory = parse(exif) if exif else None
        if exif and directory is None:
            self.tell(DAMAGED)
        if self.dpi is None and directory is not None:
            self.dpi = resolution(directory)
        records = iptc.clean_records(self.iptc)
        if records is None:
            self.tell("damaged IPTC data are left out")
        return Metadata(
            directory, self.xmp, self.profile, self.dpi, self.srgb, self.converted, tuple(self.texts),
            tuple(self.comments), records or b"", self.geo, lost=tuple(self.lost),
        )  # fmt: skip


_names = {"exif": "EXIF data", "xmp": "XMP packets", "profile": "ICC profiles", "iptc": "IPTC data"}


# --- JPEG -----------------------------------------------------------------------------------------------------------

_XMP, _EXTENSION = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"


def _jpeg(file: BinaryIO, found: _Found) -> None:
    profile: dict[int, bytes] = {}
    resources = b""
    for marker, content in _segments(file):
        if marker == 0xE0 and content[:5] == b"JFIF\0" and len(content) >= 12:
            unit, across, down = struct.unpack_from(">BHH", content, 7)
            if unit in (1, 2):
                factor = 1.0 if unit == 1 else 2.54
                found.resolution(across * factor, down * factor)
        elif marker == 0xE1 and content[:6] == b"Exif\0\0":
            found.keep("exif", content)
        elif marker == 0xE1 and content.startswith(_XMP):
            found.keep("xmp", content[len(_XMP) :])
        elif marker == 0xE1 and content.startswith(_EXTENSION):
            found.tell("the extension of an XMP packet that is too long for one is not kept")
        elif marker == 0xE2 and content[:12] == b"ICC_PROFILE\0" and len(content) > 14:
            profile[content[12]] = content[14:]
        elif marker == 0xE2 and content[:4] == b"MPF\0":
            found.tell(FURTHER)
        elif marker == 0xEB and content[:2] == b"JP":
            found.tell("content credentials (C2PA) are not kept, since they hold for the old pixels")
        elif marker == 0xED and content.startswith(iptc.SIGNATURE) and len(resources) <= MOST_BYTES:
            # What is too long for one segment goes on in the next.
            resources += content[len(iptc.SIGNATURE) :]
        elif marker == 0xFE and sum(map(len, found.comments)) <= MOST_BYTES:
            found.comments.append(content)
    found.resources(resources)
    found.keep("profile", b"".join(profile[number] for number in sorted(profile)))


def _segments(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The marker and content of the segments before a JPEG's pixels."""
    file.seek(2)
    for _ in range(_MOST_PARTS):
        marker = file.read(2)
        while marker[:1] == b"\xff" and marker[1:] == b"\xff":
            marker = b"\xff" + file.read(1)
        if len(marker) < 2 or marker[0] != 0xFF or marker[1] in (0xD9, 0xDA):
            return
        if marker[1] == 1 or 0xD0 <= marker[1] <= 0xD7:
            continue
        (length,) = struct.unpack(">H", file.read(2))
        if 0xE0 <= marker[1] <= 0xEF or marker[1] == 0xFE:
            yield marker[1], file.read(length - 2)
        else:
            file.seek(length - 2, io.SEEK_CUR)


# --- PNG ------------------------------------------------------------------------------------------------------------


_CHUNKS = (b"IHDR", b"acTL", b"eXIf", b"iCCP", b"pHYs", b"sRGB", b"iTXt", b"tEXt", b"zTXt")


def _png(file: BinaryIO, found: _Found) -> None:
    file.seek(8)
    deep = False
    for _ in range(_MOST_PARTS * 100):
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            return
        length, kind = struct.unpack(">I4s", head)
        if kind not in _CHUNKS or length > 2 * MOST_PROFILE:
            file.seek(length + 4, io.SEEK_CUR)
            continue
        content = file.read(length)
        file.seek(4, io.SEEK_CUR)
        if kind == b"IHDR":
            deep = content[8:9] == b"\x10"
        elif kind == b"acTL" and deep:
            found.tell("further frames of 16-bit PNG files are not kept")
        elif kind == b"eXIf":
            found.keep("exif", content)
        elif kind == b"iCCP":
            found.keep("profile", _unpacked(content.partition(b"\0")[2][1:], MOST_PROFILE))
        elif kind == b"sRGB":
            found.srgb = True
        elif kind == b"pHYs" and length == 9 and content[8] == 1:
            across, down = struct.unpack_from(">II", content)
            found.per_metre(across, down)
        elif kind in (b"iTXt", b"tEXt", b"zTXt"):
            _text(kind, content, found)


def _text(kind: bytes, content: bytes, found: _Found) -> None:
    keyword, _, rest = content.partition(b"\0")
    if kind == b"iTXt" and keyword == b"XML:com.adobe.xmp":
        packed, text = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
        found.keep("xmp", _unpacked(text, MOST_BYTES) if packed else text)
    elif keyword in (b"Raw profile type exif", b"Raw profile type APP1"):
        # As some programs store it: a name, the length, and hexadecimal digits.
        text = _unpacked(rest[1:], 4 * MOST_BYTES) if kind == b"zTXt" else rest
        digits = b"".join(text.split()[2:])
        raw = bytes.fromhex(digits.decode("ascii")) if re.fullmatch(rb"(?:[0-9a-fA-F]{2})+", digits) else b""
        if raw.startswith(_XMP):
            found.keep("xmp", raw[len(_XMP) :])
        else:
            found.keep("exif", raw)
    elif not keyword.startswith((b"Raw profile type", b"exif:", b"Thumb::")):
        if sum(len(text) for _, text in found.texts) + len(content) <= MOST_BYTES:
            found.texts.append((kind, content))
        else:
            found.tell(f"texts in PNG files beyond {MOST_BYTES >> 20} MB are left out")


def _unpacked(data: bytes, most: int) -> bytes:
    """Data that zlib has packed, up to one byte more than ``most``."""
    return zlib.decompressobj().decompress(data, most + 1)


# --- WebP, BMP, and what Pillow opens --------------------------------------------------------------------------------


def _webp(file: BinaryIO, found: _Found) -> None:
    file.seek(12)
    kinds = {b"EXIF": "exif", b"XMP ": "xmp", b"ICCP": "profile"}
    for _ in range(_MOST_PARTS * 10):
        head = file.read(8)
        if len(head) < 8:
            return
        kind, length = struct.unpack("<4sI", head)
        if kind in kinds:
            found.keep(kinds[kind], file.read(min(length, MOST_PROFILE + 1)))
            file.seek(max(0, length - MOST_PROFILE - 1) + length % 2, io.SEEK_CUR)
        else:
            file.seek(length + length % 2, io.SEEK_CUR)


def _bmp(file: BinaryIO, found: _Found) -> None:
    file.seek(14)
    head = file.read(40)
    if len(head) == 40 and struct.unpack_from("<I", head)[0] >= 40:
        across, down = struct.unpack_from("<ii", head, 24)
        found.per_metre(across, down)


def _by_pillow(image: Any, found: _Found) -> None:
    info = {} if image is None else image.info
    for kind, key in (("exif", "exif"), ("xmp", "xmp"), ("profile", "icc_profile")):
        value = info.get(key)
        if isinstance(value, bytes):
            found.keep(kind, value)
    if info.get("comment"):
        found.tell(COMMENTS)


# --- TIFF -----------------------------------------------------------------------------------------------------------


def _tells_arrangement(description: bytes) -> bool:
    """Whether a TIFF's description is one by which tifffile, ImageJ and OME-TIFF say what the pages hold."""
    begin = description[:4096].lstrip()
    if begin.startswith(b"<"):
        return re.search(rb"<(?:\w{1,20}:)?OME[\s>]", begin) is not None
    return begin.startswith((b"ImageJ=", b'{"shape"'))


def tiff_metadata(file: BinaryIO, order: str, big: bool, offset: int, *, found: _Found | None = None) -> Metadata:
    """The metadata of the page of a TIFF file whose directory lies at an offset."""
    found = _Found() if found is None else found

    def read(at: int, length: int) -> bytes:
        file.seek(at)
        return file.read(length)

    page = read_directory(read, order, offset, big=big, inner=INNER, most=16 * MOST_PROFILE)
    for tag, kind in ((700, "xmp"), (34675, "profile")):
        if tag in page.tags:
            found.keep(kind, page.tags[tag].data)
    describing = Directory(
        order,
        {tag: value for tag, value in page.tags.items() if tag in DESCRIBING and value.kind not in (16, 17, 18)},
        page.inner,
    )
    if (title := describing.tags.get(270)) is not None and _tells_arrangement(title.data):
        del describing.tags[270]
        found.tell(ARRANGEMENT)
    if (dpi := resolution(page)) is not None:
        found.resolution(*dpi)
    if describing.tags.keys() - {256, 257, 274, 282, 283, 296} or describing.inner or page.number(274, 1) != 1:
        found.keep("exif", block(describing))
    found.converted = page.number(339, 1) not in (2, 3) and page.number(258, 1) <= 16
    if 33723 in page.tags:
        records = page.tags[33723].data
        if records[3:4] == b"\x1c" and records[:1] != b"\x1c":  # numbers of 32 bits in the other order
            records = b"".join(records[at : at + 4][::-1] for at in range(0, len(records), 4))
        found.keep("iptc", records)
    if 34377 in page.tags:
        found.resources(page.tags[34377].data)
    if any(tag in page.tags for tag in GEOTIFF):
        found.geo = Directory(order, {tag: page.tags[tag] for tag in (*GEOTIFF, 256, 257, 274) if tag in page.tags})
    for tags, sentence in (
        ((37724,), RESOURCES),
        ((42112, 42113), GDAL),
        ((50838, 50839), ARRANGEMENT),
        ((330,), "pictures inside of pages (previews, pyramids) are not kept"),
    ):
        if any(tag in page.tags for tag in tags):
            found.tell(sentence)
    return found.metadata()
