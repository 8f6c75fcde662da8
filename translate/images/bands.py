"""Bands: a TIFF file read in bands of rows, each as it would be read with the whole file.

A band of a TIFF is a TIFF of its own: the same tags, with fewer strips or tiles and another height. So every band goes
the way of any file, whatever its compression, depth, colours and profile.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from translate.images.directories import Directory, start_of
from translate.images.formats import load, load_indices
from translate.images.headers import Opened, check_size, open_file, orientation_of
from translate.images.opening import ImageError, decoding, open_regular
from translate.images.planes import Image
from translate.images.tiff import Range, page_file, pieces_of, read_page
from translate.sizes import Size

_BAND = 1 << 21  # bytes of a band's values, unless its strips or tiles ask for more
_LEAST = 4  # bands; where there are fewer, little is saved

_NEEDED = frozenset(
    (256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 280, 281, 284, 290, 291, 292, 293, 317, 320, 322, 323, 324,
     325, 332, 334, 336, 338, 339, 340, 341, 347, 529, 530, 531, 532, 32995, 32996, 34675, 50674)
)  # fmt: skip
"""The tags that the decoding of strips and tiles depends on."""

_COMPRESSIONS = (1, 2, 3, 4, 5, 7, 8, 32773, 32946, 34925, 50000)
"""Those that pack each strip or tile by itself: none, CCITT, LZW, JPEG, Deflate, PackBits, LZMA and Zstandard."""

_NONE, _YCBCR = 1, 6


@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """A TIFF file of one page in bands of ``rows`` rows, the last of which may have fewer.

    ``height`` and ``width`` are the image's, and ``decoding`` is how many bytes decoding a band takes at its peak.
    """

    path: Path
    height: int
    width: int
    rows: int
    decoding: int
    _page: Directory
    _big: bool
    _plain: bool
    _state: tuple[int, ...]
    _indices: bool
    _channels: int | None

    @property
    def count(self) -> int:
        """How many bands there are."""
        return -(-self.height // self.rows)

    def read(self, number: int) -> Image:
        """Decode a band, from 0 on, as it is displayed; maps of class indices as one plane.

        Raises ``ImageError`` where the file is damaged, or another than it was.
        """
        first = number * self.rows
        last = min(first + self.rows, self.height)
        name = str(self.path)
        with decoding(name):
            with open_regular(self.path) as file:
                if _state_of(file) != self._state:
                    raise ImageError(f"{name} has changed while it was read; convert it again")
                data = page_file(file, self._shortened(last - first), self._big, self._pieces(first, last))
            pixels = (last - first) * self.width
            if self._indices:
                image = Image(load_indices(data, name=name, max_pixels=pixels)[..., None])
            else:
                image = load(data, name=name, max_pixels=pixels, channels=self._channels)
        if image.pixels.shape[:2] != (last - first, self.width):
            raise ImageError(f"{name} cannot be decoded; it is damaged or truncated, restore or remove it")
        return image

    def _shortened(self, rows: int) -> Directory:
        page = Directory(self._page.order, dict(self._page.tags))
        page.put(257, 4, rows)
        if self._plain:
            page.put(278, 4, rows)
        return page

    def _pieces(self, first: int, last: int) -> list[list[Range]]:
        """The strips or tiles of some rows, each as the stretches of the file that it lies in."""
        page = self._page
        places, lengths = (page.numbers(tag) for tag in pieces_of(page))
        across, step = _grid(page)
        found: list[list[Range]] = []
        for plane in range(_planes(page)):
            begin = plane * across * -(-self.height // step)
            numbers = range(begin + first // step * across, begin + -(-last // step) * across)
            if not self._plain:
                found += [[(places[number], lengths[number])] for number in numbers]
                continue
            # Unpacked rows follow each other, so those of several strips, or a part of one, are a strip as well.
            length = _row_bytes(page)
            strip: list[Range] = []
            for number in numbers:
                top = (number - begin) * step
                start, stop = max(first, top), min(last, top + step)
                strip.append((places[number] + (start - top) * length, (stop - start) * length))
            found.append(strip)
        return found


def open_bands(
    path: Path,
    *,
    max_pixels: int,
    indices: bool = False,
    channels: int | None = None,
    wanted: Callable[[Size], bool] = lambda _: True,
) -> Bands | None:
    """A TIFF file to be read in bands of rows; None for any other, and for one that can only be read as a whole.

    These are files of several pages, of pixels that are turned, whose strips are tall and packed, or that are damaged;
    the reading of the whole says what is wrong. ``wanted`` may refuse a (height, width). ``indices`` reads maps of
    class indices, and ``channels`` is for ``translate.images.load``.
    """
    with decoding(path), open_regular(path) as file:
        start = start_of(file.read(16))
        if start is None:
            return None
        order, big, offset = start
        page = read_page(file, order, big, offset, only=_NEEDED)
        if page.damaged or page.following or page.number(259, 1) not in _COMPRESSIONS:
            return None
        height, width = page.number(257), page.number(256)
        if not height or not width or not wanted((height, width)) or not _is_sound(page, file.seek(0, io.SEEK_END)):
            return None
        check_size(str(path), height, width, max_pixels)
        opened = open_file(file, str(path))
        header = opened.header
        if (header.height, header.width) != (height, width) or _is_turned(page, opened):
            return None
        plain = _is_plain(page)
        step = 1 if plain else _grid(page)[1]
        values = width * (header.channels + header.alpha) * {"uint8": 1, "uint16": 2, "float32": 4}[header.depth]
        rows = step * max(1, min(_BAND // values, height // (2 * _LEAST)) // step)
        if rows * _LEAST > height:
            return None
        share = -(-(header.decoding - file.seek(0, io.SEEK_END)) * rows // height)
        return Bands(
            path, height, width, rows, 2 * share, page, big, plain, _state_of(file), indices, channels
        )  # fmt: skip


def _state_of(file: BinaryIO) -> tuple[int, ...]:
    """What tells a file from another one, or from itself once it is written to."""
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _is_turned(page: Directory, opened: Opened) -> bool:
    """Whether pixels are displayed otherwise than they are stored; an XMP packet may say so as well."""
    return page.number(274, 1) != 1 or (opened.image is not None and orientation_of(opened.image) != 1)


def _planes(page: Directory) -> int:
    """How many planes follow one another in the file."""
    return page.number(277, 1) if page.number(284, 1) == 2 else 1


def _grid(page: Directory) -> tuple[int, int]:
    """How many strips or tiles lie beside each other, and how many rows each has."""
    height, width = page.number(257), page.number(256)
    if 324 in page.tags:
        return -(-width // max(page.number(322), 1)), page.number(323)
    return 1, min(page.number(278) or height, height)


def _is_sound(page: Directory, end: int) -> bool:
    """Whether there are as many strips or tiles as there must be, and all of them lie in the file."""
    across, step = _grid(page)
    tiled = 324 in page.tags
    if not step or (tiled and (not page.number(322) or 273 in page.tags)) or tiled != (322 in page.tags):
        return False
    starts, lengths = (page.numbers(tag) for tag in pieces_of(page))
    if len(starts) != len(lengths) or len(starts) != _planes(page) * across * -(-page.number(257) // step):
        return False
    # Strips that share their bytes would be read once for each.
    within = all(length > 0 and at + length <= end for at, length in zip(starts, lengths, strict=True))
    return within and sum(lengths) <= end


def _row_bytes(page: Directory) -> int:
    """The bytes of a row of unpacked pixels, of one plane if planes follow one another."""
    bits = page.numbers(258) or (1,)
    return -(-page.number(256) * (bits[0] if _planes(page) > 1 else sum(bits)) // 8)


def _is_plain(page: Directory) -> bool:
    """Whether rows lie in the file as they are, so that any of them can be read."""
    bits = page.numbers(258) or (1,)
    if page.number(259, 1) != _NONE or 324 in page.tags or page.number(262) == _YCBCR:
        return False
    if len(bits) != page.number(277, 1) or len(set(bits)) != 1:
        return False
    height, (_, step) = page.number(257), _grid(page)
    count = -(-height // step)
    rows = [min(step, height - number % count * step) for number in range(count * _planes(page))]
    return all(length >= each * _row_bytes(page) for length, each in zip(page.numbers(279), rows, strict=True))
