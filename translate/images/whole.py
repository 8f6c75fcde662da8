"""Whole files: those that end early, but in the way their format ends, are told from whole ones.

Decoders fill what such a file lacks with black, gray, or what lay in memory, and say nothing. A file that is cut off is
noticed by the decoders; here are those whose end was put on again, or which list fewer parts than there must be.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO

import PIL.Image
from PIL.JpegImagePlugin import JpegImageFile

from translate.images.opening import ImageError

_PIECE = 1 << 16
_STEPS = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def check_whole(image: PIL.Image.Image, file: BinaryIO, name: str) -> None:
    """Raise ``ImageError`` if a decoded PNG or JPEG file holds less than its whole picture.

    What is missing has left traces in the picture: black in a PNG's last row, one colour in a JPEG's last corner. Only
    where these are found the file is looked at again.
    """
    if image.format == "PNG":
        height, width = image.height, image.width
        last = image.crop((0, height - 1, width, height))
        if image.info.get("interlace") or not last.getbbox(alpha_only=False):
            _check_png(file, name)
    elif image.format == "JPEG":
        width, height = image.size
        bounds = image.crop((max(width - 4, 0), max(height - 4, 0), width, height)).getextrema()
        pairs = bounds if isinstance(bounds[0], tuple) else (bounds,)
        if "progressive" in image.info or all(low == high for low, high in pairs):
            _check_jpeg(file, name)


def check_parts(tags: Mapping[int, Any], name: str) -> None:
    """Raise ``ImageError`` if a TIFF's directory lists fewer strips or tiles than its picture has, or empty ones."""
    width, height = int(tags[256]), int(tags[257])
    planes = int(tags.get(277, 1)) if tags.get(284, 1) == 2 else 1
    if 322 in tags and 323 in tags:
        across, down = max(int(tags[322]), 1), max(int(tags[323]), 1)
        kind, starts, lengths = "tiles", tags.get(324, tags.get(273)), tags.get(325, tags.get(279))
    else:
        across, down = width, min(max(int(tags.get(278, height)), 1), max(height, 1))
        kind, starts, lengths = "strips", tags.get(273), tags.get(279)
    wanted = planes * -(-width // max(across, 1)) * -(-height // down)
    if starts is None or lengths is None:  # some old files leave out the lengths of their one strip
        return
    there = sum(length > 0 for _, length in zip(starts, lengths, strict=False))
    if there < wanted:
        raise _cut(name, f"it holds {there} of {wanted} {kind}")


def _cut(name: str, what: str) -> ImageError:
    return ImageError(f"{name} is damaged or truncated: {what}; restore or remove it")


# --- PNG ------------------------------------------------------------------------------------------------------------


def _check_png(file: BinaryIO, name: str) -> None:
    """Count the bytes of all rows: a stream that has ended properly may hold fewer."""
    file.seek(16)
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", file.read(13))
    pixel = bits * _CHANNELS[colour]
    steps = _STEPS if interlaced else ((0, 0, 1, 1),)
    wanted = 0
    for left, top, across, down in steps:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            wanted += rows * (1 + -(-columns * pixel // 8))
    found, stream = 0, zlib.decompressobj()
    file.seek(8)
    while found < wanted and len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IDAT":
            data = file.read(length)
            while data and found < wanted and not stream.eof:
                found += len(stream.decompress(data, _PIECE))
                data = stream.unconsumed_tail
            file.seek(4, io.SEEK_CUR)
        else:
            file.seek(length + 4, io.SEEK_CUR)
    if found < wanted:
        raise _cut(name, f"its rows have {found} of {wanted} bytes")


# --- JPEG -----------------------------------------------------------------------------------------------------------


def _check_jpeg(file: BinaryIO, name: str) -> None:
    """Put other bits before the end: where the picture changes, it was not complete there.

    A decoder reads no further than to the last block, and takes what is missing for zeros. Of a progressive file, whose
    scans each refine the whole picture, the scans are counted instead.
    """
    file.seek(0)
    data = file.read()
    scans = _scans(data)
    if scans is None:  # a structure that the decoder has read, and that is not understood here
        return
    progressive, coarse, first = scans
    if progressive:
        if coarse:
            raise _cut(name, "the last of its scans are missing")
        return
    end = data.find(b"\xff\xd9", first)
    if end >= 0 and _coarse(data[: end + 2]) != _coarse(data[:end] + b"\x5a" * 256 + b"\xff\xd9"):
        raise _cut(name, "its picture ends before its last row")


def _coarse(data: bytes) -> bytes:
    """The picture at an eighth of its sides, in gray, which is quickly decoded."""
    image = JpegImageFile(io.BytesIO(data))
    image.draft("L", (1, 1))
    return image.tobytes()


def _scans(data: bytes) -> tuple[bool, bool, int] | None:
    """Whether a file is progressive and a coefficient lacks its last bits, and where the first scan's bits begin."""
    at, first, progressive = 2, -1, False
    shifts: dict[tuple[int, int], int] = {}
    components: set[int] = set()
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        kind = data[at + 1]
        if kind == 0xFF:
            at += 1
            continue
        if kind == 0xD9:
            break
        if 0xD0 <= kind <= 0xD8 or kind == 1:
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        content = data[at + 4 : at + 2 + length]
        at += 2 + length
        if kind in (0xC0, 0xC1, 0xC2):
            progressive = kind == 0xC2
            components = {content[6 + 3 * number] for number in range(content[5])}
        if kind != 0xDA:
            continue
        first = at if first < 0 else first
        if not progressive:
            return False, False, first
        count = content[0]
        start, stop, shift = content[1 + 2 * count : 4 + 2 * count]
        for number in range(count):
            for coefficient in range(start, stop + 1):
                shifts[content[1 + 2 * number], coefficient] = shift & 15
        while at + 1 < len(data) and not (data[at] == 0xFF and data[at + 1] != 0 and not 0xD0 <= data[at + 1] <= 0xD7):
            found = data.find(b"\xff", at + (data[at] == 0xFF))
            if found < 0:
                return None
            at = found
    if first < 0 or not components:
        return None
    coarse = any(shifts.get((component, number), 1) for component in components for number in range(64))
    return progressive, coarse, first
