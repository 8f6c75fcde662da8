"""Tiles: a cover of an image by rectangles, each with a margin of real neighbours around what is taken from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from translate.sizes import Size


@dataclass(frozen=True, slots=True)
class Span:
    """A tile along one side: pixels ``start`` to ``stop`` are read, ``first`` to ``last`` are taken from the output."""

    start: int
    stop: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of an image, read with its halo."""

    rows: Span
    columns: Span

    @property
    def size(self) -> Size:
        """Height and width of what is read."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


def spans(length: int, inner: int, halo: int, multiple: int) -> Iterator[Span]:
    """Cover a side: every pixel is taken once; all ends are multiples of ``multiple``, and none lies outside.

    ``length`` must be a multiple; ``inner`` and ``halo`` are rounded up to multiples.

    >>> list(spans(16, 6, 3, 4))
    [Span(start=0, stop=12, first=0, last=8), Span(start=4, stop=16, first=8, last=16)]
    """
    inner, halo = (-(-each // multiple) * multiple for each in (max(inner, 1), halo))
    for first in range(0, length, inner):
        last = min(first + inner, length)
        yield Span(max(0, first - halo), min(length, last + halo), first, last)


def tiles(size: Size, inner: int, halo: Size, multiple: int) -> Iterator[Tile]:
    """Cover an image (height, width), whose sides are multiples, by tiles; ``halo`` is for rows and for columns."""
    for rows in spans(size[0], inner, halo[0], multiple):
        for columns in spans(size[1], inner, halo[1], multiple):
            yield Tile(rows, columns)
