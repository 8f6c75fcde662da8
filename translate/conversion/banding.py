"""Banding: a TIFF file as the pixels of an image, read in bands when they are asked for, and one as its output.

So an image that is translated in parts is in memory in parts only. All that is done to pixels beside resizing is done
to each by itself, so bands have the pixels of the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from translate import images
from translate.conversion.algorithms import algorithm_for, parts_of
from translate.data import Depth
from translate.sizes import Size

if TYPE_CHECKING:
    from translate.conversion.batch import Decoded, Work
    from translate.conversion.plan import Task

Adapt = Callable[[images.Image], tuple[NDArray[Any], NDArray[Any] | None]]
"""What is made of a decoded image: the pixels (H, W, C) for the network, and the alpha plane (H, W) for the output."""


def bands_of(task: Task, work: Work) -> images.Bands | None:
    """The bands of an image's file, if it is translated in parts; None if it is read as a whole.

    So it must be where it is resized or shown.
    """
    source = work.translator.source
    if work.showing is not None or work.samples is not None or parts_of(work) is None:
        return None
    if (held := work.sources.held(task.source)) is not None and not held.is_tiff:
        return None

    def wanted(size: Size) -> bool:
        return min(size) > 1 and work.resizing.of(size) == size and algorithm_for(work, size) != "whole"

    return images.open_bands(
        task.source, max_pixels=work.max_pixels, indices=source.classes > 0, wanted=wanted,
        channels=source.channels if source.alpha == "dropped" and not source.classes else None,
    )  # fmt: skip


class BandedPixels:
    """Stored values (H', W', C) of a file in bands, padded at the lower and right edge by reflection.

    It is sliced like an array, by rows and columns. The bands of the last rows that were asked for are kept. Every band
    is decoded once when it is made, so that a damaged file is refused before it is translated. ``opaque`` says whether
    no pixel is transparent.
    """

    def __init__(self, bands: images.Bands, adapt: Adapt, multiple: int) -> None:
        self._bands, self._adapt = bands, adapt
        self._kept: dict[int, tuple[NDArray[Any], NDArray[Any] | None]] = {}
        self._wanted = range(0)
        self.opaque = True
        for number in range(bands.count):
            pixels, alpha = adapt(bands.read(number))
            if alpha is not None and self.opaque:
                self.opaque = images.is_opaque(alpha)
        self.has_alpha = alpha is not None
        self.dtype: np.dtype[Any] = pixels.dtype
        self._rows, self._columns = (
            np.pad(np.arange(side), (0, -side % multiple), mode="reflect") for side in (bands.height, bands.width)
        )
        self.shape: tuple[int, int, int] = (len(self._rows), len(self._columns), pixels.shape[2])

    def __getitem__(self, part: tuple[slice, slice]) -> NDArray[Any]:
        rows, columns = self._rows[part[0]], self._columns[part[1]]
        # Without padding, columns follow each other, and a slice copies nothing.
        inside = len(columns) == int(columns[-1]) - int(columns[0]) + 1
        taken: Any = slice(int(columns[0]), int(columns[-1]) + 1) if inside else columns
        found = np.empty((len(rows), len(columns), self.shape[2]), self.dtype)
        for number in self._numbers(int(rows.min()), int(rows.max()) + 1, keep=True):
            pixels, first = self._band(number)[0], number * self._bands.rows
            # Padding takes rows once more.
            here = np.flatnonzero((rows >= first) & (rows < first + len(pixels)))
            found[here] = pixels[:, taken][rows[here] - first]
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:, :], dtype)

    def alpha(self, first: int, last: int) -> NDArray[Any]:
        """Some rows of the alpha plane (h, W)."""
        parts = []
        for number in self._numbers(first, last, keep=False):
            alpha, begin = self._band(number)[1], number * self._bands.rows
            assert alpha is not None
            parts.append(alpha[max(first - begin, 0) : last - begin])
        return np.concatenate(parts)

    def _numbers(self, first: int, last: int, *, keep: bool) -> range:
        """The bands of some rows; the others are forgotten, ``keep`` says that these are not."""
        numbers = range(first // self._bands.rows, (last - 1) // self._bands.rows + 1)
        self._wanted = numbers if keep else self._wanted
        self._kept = {number: kept for number, kept in self._kept.items() if number in self._wanted}
        return numbers

    def _band(self, number: int) -> tuple[NDArray[Any], NDArray[Any] | None]:
        found = self._kept.get(number)
        if found is None:
            found = self._adapt(self._bands.read(number))
            if number in self._wanted:
                self._kept[number] = found
        return found


class BandedAlpha:
    """The alpha plane (H, W) of a file in bands, at the depth of the output; sliced like an array, by rows.

    It is opaque inside ``hole`` (H, W), if there is one.
    """

    def __init__(self, pixels: BandedPixels, height: int, depth: Depth, hole: NDArray[np.bool_] | None = None) -> None:
        self._pixels, self._height, self._depth, self._hole = pixels, height, depth, hole

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        first, last, _ = rows.indices(self._height)
        found = images.as_depth(self._pixels.alpha(first, last)[..., None], self._depth)[..., 0]
        return found if self._hole is None else images.opaque_inside(found, self._hole[first:last])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype)


class OrderedRows:
    """Parts of an output (H, W, C) on their way to a file: bands of rows are handed on when they are complete.

    Values are assigned to it as to an array, by rows and columns. Parts of one band have the same rows.
    """

    def __init__(self, width: int, channels: int, depth: Depth, write: Callable[[int, NDArray[Any]], None]) -> None:
        self._width, self._channels, self._depth, self._write = width, channels, depth, write
        self._next = 0
        self._waiting: dict[int, tuple[NDArray[Any], int]] = {}

    def __setitem__(self, part: tuple[slice, slice], values: NDArray[Any]) -> None:
        rows, columns = part
        if rows.start not in self._waiting:
            shape = (rows.stop - rows.start, self._width, self._channels)
            self._waiting[rows.start] = np.empty(shape, self._depth), 0
        band, filled = self._waiting[rows.start]
        band[:, columns] = values
        self._waiting[rows.start] = band, filled + columns.stop - columns.start
        while self._next in self._waiting and self._waiting[self._next][1] == self._width:
            band, _ = self._waiting.pop(self._next)
            self._write(self._next, band)
            self._next += len(band)


def writes_rows(task: Task, work: Work, *, alpha: bool) -> bool:
    """Whether the output of an image with or without alpha is written row by row."""
    target = work.translator.target
    plane = not target.classes and target.alpha == "plane"
    channels = 1 if target.classes else target.channels - plane
    alone = work.showing is None and len(task.outputs) == 1
    return alone and images.takes_rows(task.outputs[0], channels, alpha=alpha or plane)


@contextmanager
def output_rows(decoded: Decoded, work: Work) -> Iterator[tuple[OrderedRows, images.RowsFile] | None]:
    """What takes an image's output row by row, and the file that it is written to with the block's end.

    None if the output is written as a whole.
    """
    task, alpha, target = decoded.task, decoded.alpha, work.translator.target
    if not writes_rows(task, work, alpha=alpha is not None):
        yield None
        return
    plane = not target.classes and target.alpha == "plane"
    planes = 1 if target.classes else target.channels
    height, width = decoded.size
    path = task.outputs[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    opened = images.writing_rows(
        path, (height, width, planes - plane), np.dtype(decoded.depth), alpha=plane or alpha is not None,
        metadata=decoded.metadata,
    )  # fmt: skip
    with opened as file:

        def write(first: int, rows: NDArray[Any]) -> None:
            if plane:
                file.write(rows[..., :-1], rows[..., -1])
            else:
                file.write(rows, None if alpha is None else alpha[first : first + len(rows)])

        yield OrderedRows(width, planes, decoded.depth, write), file
