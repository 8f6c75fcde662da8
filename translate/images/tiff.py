"""TIFF pages: one taken out of a file, and files written page by page, of any depth, with all metadata of a page.

Pillow writes no 16-bit colours and OpenCV no metadata, while the format itself is simple: strips of rows, packed by
zlib, and a directory of tags for each page.
"""

from __future__ import annotations

import io
import struct
import zlib
from fractions import Fraction
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from translate.images.directories import Directory, Value, write_directory
from translate.images.embedding import Embedded
from translate.images.exif import UNIT, X_RESOLUTION, Y_RESOLUTION
from translate.images.headers import check_size
from translate.images.opening import ImageError

_STRIP = 1 << 18  # bytes of a strip before it is packed
_LEVEL = 6
LARGEST = 2**32 - 2**24
"""The bytes of pixels from which on a file needs offsets of 64 bits (BigTIFF)."""


_POINTERS = (330, 34665, 34853, 40965, 700, 33723, 34377)
"""Tags that a page needs no more once it stands alone: offsets of further directories, and what is read otherwise."""


def single_page(file: BinaryIO, page: Directory, big: bool, max_pixels: int, name: str) -> bytes:
    """A TIFF file of one page of another: its tags and its strips or tiles, as they are stored.

    Raises ``ImageError`` for a page of more than ``max_pixels``, or that is cut off or damaged.
    """
    check_size(name, page.number(257), page.number(256), max_pixels)
    start, count = (324, 325) if 324 in page.tags else (273, 279)
    starts, lengths = page.numbers(start), page.numbers(count)
    end = file.seek(0, io.SEEK_END)
    if len(lengths) == 0 and len(starts) == 1:
        lengths = (end - starts[0],)
    sound = len(starts) == len(lengths) > 0 and sum(lengths) <= end
    if not sound or any(at + length > end for at, length in zip(starts, lengths, strict=True)):
        raise ImageError(f"{name} is damaged or truncated; restore or remove its file")
    order = page.order
    mark = b"II" if order == "<" else b"MM"
    head = 16 if big else 8
    pieces, places, at = [], [], head
    for here, length in zip(starts, lengths, strict=True):
        file.seek(here)
        pieces.append(file.read(length) + bytes(length % 2))
        places.append(at)
        at += len(pieces[-1])
    alone = Directory(order, {tag: value for tag, value in page.tags.items() if tag not in _POINTERS})
    alone.put(start, 16 if big else 4, *places)
    alone.put(count, 16 if big else 4, *lengths)
    numbers = (43, 8, 0, at) if big else (42, at)
    return b"".join(
        (mark, struct.pack(order + ("HHHQ" if big else "HI"), *numbers), *pieces, write_directory(alone, at, big=big))
    )


class TiffPages:
    """Writes a TIFF file to an open one, page by page; each page's pixels and tags are on the file once appended.

    ``order`` is the byte order, ``<`` or ``>``, that makers' notes in EXIF data rely on. ``big`` makes a BigTIFF.
    """

    def __init__(self, file: IO[bytes], *, order: str = "<", big: bool = False) -> None:
        self._file, self._order, self._big = file, order, big
        mark = b"II" if order == "<" else b"MM"
        file.write(mark + struct.pack(order + ("HHHQ" if big else "HI"), *((43, 8, 0, 0) if big else (42, 0))))
        self._link = file.tell() - (8 if big else 4)
        self._pages = 0

    def append(self, pixels: NDArray[Any], alpha: NDArray[Any] | None, embedded: Embedded, *, pages: int = 1) -> None:
        """Append a page (H, W, C) of uint8, uint16 or float32; ``pages`` is how many there will be."""
        height, width, channels = pixels.shape
        planes = channels + (alpha is not None)
        whole = pixels.dtype.kind == "u"
        rows = max(1, _STRIP // (width * planes * pixels.dtype.itemsize))
        starts, lengths = [], []
        for first in range(0, height, rows):
            strip = pixels[first : first + rows]
            if alpha is not None:
                strip = np.concatenate([strip, alpha[first : first + rows, :, None]], axis=2)
            if whole:  # each value as its difference from the one to the left
                strip = np.concatenate([strip[:, :1], strip[:, 1:] - strip[:, :-1]], axis=1)
            packed = zlib.compress(
                strip.astype(f"{self._order}{strip.dtype.kind}{strip.dtype.itemsize}").tobytes(), _LEVEL
            )
            starts.append(self._file.tell())
            lengths.append(len(packed))
            self._file.write(packed)
        page = self._described(embedded)
        page.put(256, 4, width)
        page.put(257, 4, height)
        page.put(258, 3, *[8 * pixels.dtype.itemsize] * planes)
        page.put(259, 3, 8)
        page.put(262, 3, 2 if channels == 3 else 1)
        offset = 16 if self._big else 4
        page.put(273, offset, *starts)
        page.put(277, 3, planes)
        page.put(278, 4, rows)
        page.put(279, 4, *lengths)
        page.put(284, 3, 1)
        if whole:
            page.put(317, 3, 2)
        if alpha is not None:
            page.put(338, 3, 2)
        page.put(339, 3, *[1 if whole else 3] * planes)
        if pages > 1:
            page.put(254, 4, 2)
            page.put(297, 3, min(self._pages, 65535), min(pages, 65535))
        self._link_to(page)

    def _described(self, embedded: Embedded) -> Directory:
        """A page's tags that say nothing of how its pixels are stored."""
        page = Directory(self._order)
        given = embedded.directory
        if given is not None and given.order == self._order:
            page.tags |= {tag: value for tag, value in given.tags.items() if tag != 274}
            page.inner |= given.inner
        if embedded.dpi is not None:
            for tag, dpi in zip((X_RESOLUTION, Y_RESOLUTION), embedded.dpi, strict=True):
                ratio = Fraction(dpi).limit_denominator(2000)
                page.tags[tag] = Value(5, 1, struct.pack(self._order + "II", ratio.numerator, ratio.denominator))
            page.put(UNIT, 3, 2)
        if embedded.xmp:
            page.tags[700] = Value(1, len(embedded.xmp), embedded.xmp)
        if embedded.iptc:
            page.tags[33723] = Value(7, len(embedded.iptc), embedded.iptc)
        if embedded.geo is not None:
            for tag, value in embedded.geo.tags.items():
                page.tags[tag] = value.reordered(embedded.geo.order, self._order)
        if embedded.profile:
            page.tags[34675] = Value(7, len(embedded.profile), embedded.profile)
        return page

    def _link_to(self, page: Directory) -> None:
        """Write a page's directory at the end of the file, and its offset where the one before it ends."""
        end = self._file.seek(0, io.SEEK_END)
        if end % 2:
            self._file.write(b"\0")
            end += 1
        self._file.write(write_directory(page, end, big=self._big))
        offset = "Q" if self._big else "I"
        self._file.seek(self._link)
        self._file.write(struct.pack(self._order + offset, end))
        tags = len({*page.tags, *page.inner})
        self._link = end + (8 + 20 * tags if self._big else 2 + 12 * tags)
        self._file.seek(0, io.SEEK_END)
        self._pages += 1
