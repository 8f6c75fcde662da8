"""TIFF pages: one taken out of a file, and files written page by page and row by row, of any depth, with metadata.

Pillow writes no 16-bit colours and OpenCV no metadata, while the format itself is simple: strips of rows, packed by
zlib, and a directory of tags for each page.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Container, Sequence
from fractions import Fraction
from functools import partial
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from translate.images.directories import Directory, Value, read_directory, write_directory
from translate.images.embedding import Embedded
from translate.images.exif import UNIT, X_RESOLUTION, Y_RESOLUTION
from translate.images.headers import check_size
from translate.images.opening import ImageError

_STRIP = 1 << 18  # bytes of a strip before it is packed
_LEVEL = 6
LARGEST = 2**32 - 2**24
"""The bytes of pixels from which on a file needs offsets of 64 bits (BigTIFF)."""

TIFF = (".tif", ".tiff")
"""The suffixes of TIFF files."""


def is_large(pixels: NDArray[Any], alpha: NDArray[Any] | None) -> bool:
    """Whether the file of an image needs offsets of 64 bits."""
    return pixels.nbytes + (0 if alpha is None else alpha.nbytes) > LARGEST


_POINTERS = (330, 34665, 34853, 40965, 700, 33723, 34377)
"""Tags that a page needs no more once it stands alone: offsets of further directories, and what is read otherwise."""


Range = tuple[int, int]
"""The offset and the length of a stretch of a file."""

_MOST_TAGS = 1 << 26  # bytes of a page's tags, such as the offsets of its strips


def read_page(file: BinaryIO, order: str, big: bool, offset: int, *, only: Container[int] | None = None) -> Directory:
    """The directory of a page at an offset, with all tags or ``only`` some."""

    def read(at: int, length: int) -> bytes:
        file.seek(at)
        return file.read(length)

    return read_directory(read, order, offset, big=big, most=_MOST_TAGS, only=only)


def pieces_of(page: Directory) -> tuple[int, int]:
    """The tags of a page that hold the offsets and the lengths of its tiles, or of its strips."""
    return (324, 325) if 324 in page.tags else (273, 279)


def single_page(file: BinaryIO, page: Directory, big: bool, max_pixels: int, name: str) -> bytes:
    """A TIFF file of one page of another: its tags and its strips or tiles, as they are stored.

    Raises ``ImageError`` for a page of more than ``max_pixels``, or that is cut off or damaged.
    """
    check_size(name, page.number(257), page.number(256), max_pixels)
    start, count = pieces_of(page)
    starts, lengths = page.numbers(start), page.numbers(count)
    end = file.seek(0, io.SEEK_END)
    if len(lengths) == 0 and len(starts) == 1:
        lengths = (end - starts[0],)
    sound = len(starts) == len(lengths) > 0 and sum(lengths) <= end
    if not sound or any(at + length > end for at, length in zip(starts, lengths, strict=True)):
        raise ImageError(f"{name} is damaged or truncated; restore or remove its file")
    return page_file(file, page, big, [[piece] for piece in zip(starts, lengths, strict=True)])


def page_file(file: BinaryIO, page: Directory, big: bool, pieces: Sequence[Sequence[Range]]) -> bytes:
    """A TIFF file of a page's tags and of strips or tiles, each put together from stretches of another file."""
    order = page.order
    mark = b"II" if order == "<" else b"MM"
    at = 16 if big else 8
    stored, places, lengths = [], [], []
    for piece in pieces:
        places.append(at)
        lengths.append(sum(length for _, length in piece))
        for here, length in piece:
            file.seek(here)
            stored.append(file.read(length))
        stored.append(bytes(lengths[-1] % 2))
        at += lengths[-1] + lengths[-1] % 2
    start, count = pieces_of(page)
    alone = Directory(order, {tag: value for tag, value in page.tags.items() if tag not in _POINTERS})
    alone.put(start, 16 if big else 4, *places)
    alone.put(count, 16 if big else 4, *lengths)
    numbers = (43, 8, 0, at) if big else (42, at)
    return b"".join(
        (mark, struct.pack(order + ("HHHQ" if big else "HI"), *numbers), *stored, write_directory(alone, at, big=big))
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
        page = self.begin(pixels.shape, pixels.dtype, embedded, alpha=alpha is not None, pages=pages)
        page.write(pixels, alpha)
        page.end()

    def begin(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], embedded: Embedded, *, alpha: bool = False, pages: int = 1
    ) -> PageRows:
        """Begin a page of a shape (H, W, C) that is written in bands of rows; only one at a time."""
        return PageRows(self._file, self._order, shape, dtype, alpha, partial(self._end, embedded, pages))

    def _end(self, embedded: Embedded, pages: int, stored: Directory, starts: Sequence[int]) -> None:
        """Write the directory of a page whose strips begin at ``starts``."""
        page = self._described(embedded)
        page.tags |= stored.tags
        page.put(273, 16 if self._big else 4, *starts)
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


class PageRows:
    """A page of a TIFF file that is written row by row, from the top; it is on the file after ``end``."""

    def __init__(
        self,
        file: IO[bytes],
        order: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        alpha: bool,
        ended: Callable[[Directory, Sequence[int]], None],
    ) -> None:
        self._file, self._order, self._shape, self._dtype, self._alpha = file, order, shape, dtype, alpha
        self._ended = ended
        _, width, channels = shape
        self._rows = max(1, _STRIP // (width * (channels + alpha) * dtype.itemsize))
        self._held: list[NDArray[Any]] = []
        self._waiting = self._written = 0
        self._starts: list[int] = []
        self._lengths: list[int] = []

    def write(self, pixels: NDArray[Any], alpha: NDArray[Any] | None = None) -> None:
        """Append rows (h, W, C), and those of the alpha plane (h, W) if there is one."""
        at = 0
        while at < len(pixels):
            end = min(at + self._rows - self._waiting, len(pixels))
            some = pixels[at:end]
            if alpha is not None:
                some = np.concatenate([some, alpha[at:end, :, None]], axis=2)
            self._held.append(some)
            self._waiting += end - at
            at = end
            if self._waiting == self._rows:
                self._pack()
        # The caller may use its array for the next rows.
        self._held = [np.concatenate(self._held)] if self._held else []

    def end(self) -> None:
        """Write what is left, and the page's directory."""
        if self._held:
            self._pack()
        height, width, channels = self._shape
        if self._written != height:
            raise ValueError(f"{self._written} of {height} rows are there")
        planes, whole = channels + self._alpha, self._dtype.kind == "u"
        page = Directory(self._order)
        page.put(256, 4, width)
        page.put(257, 4, height)
        page.put(258, 3, *[8 * self._dtype.itemsize] * planes)
        page.put(259, 3, 8)
        page.put(262, 3, 2 if channels == 3 else 1)
        page.put(277, 3, planes)
        page.put(278, 4, self._rows)
        page.put(279, 4, *self._lengths)
        page.put(284, 3, 1)
        if whole:
            page.put(317, 3, 2)
        if self._alpha:
            page.put(338, 3, 2)
        page.put(339, 3, *[1 if whole else 3] * planes)
        self._ended(page, self._starts)

    def _pack(self) -> None:
        """Write a strip; whole numbers are stored as their differences from the ones to the left."""
        strip = np.concatenate(self._held) if len(self._held) > 1 else self._held[0]
        self._held, self._waiting = [], 0
        self._written += len(strip)
        if self._dtype.kind == "u":
            strip = np.concatenate([strip[:, :1], strip[:, 1:] - strip[:, :-1]], axis=1)
        values = strip.astype(f"{self._order}{strip.dtype.kind}{strip.dtype.itemsize}").tobytes()
        packed = zlib.compress(values, _LEVEL)
        self._starts.append(self._file.tell())
        self._lengths.append(len(packed))
        self._file.write(packed)
