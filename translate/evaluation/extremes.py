"""Extremes: the images of an evaluation for which a score is highest and lowest, as one small picture to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from translate import images
from translate.evaluation.resampling import Values
from translate.evaluation.subjects import Subject

EACH = 6
"""The images shown at either end of a score."""

MOST = 36
"""The images shown in all, those of the first scores."""

LONGEST = 128
"""The longer side of an image in the picture, in pixels."""

GAP = 2
WHITE = 255


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Cells of ``height`` x ``width`` pixels, a row an image and a column a kind, with a gap after each cell."""

    pixels: NDArray[np.uint8]
    columns: Sequence[str]
    rows: Sequence[tuple[str, str]]
    """The domain and the name of each row's image, as the table of scores by image has them."""
    height: int
    width: int

    def layout(self) -> dict[str, object]:
        """How it is laid out, as JSON values."""
        return {
            "columns": list(self.columns), "rows": [list(row) for row in self.rows], "height": self.height,
            "width": self.width, "gap": GAP,
        }  # fmt: skip


def extremes(values: Mapping[str, Values]) -> list[tuple[str, int]]:
    """The domain and the row of each image that has one of the ``EACH`` highest or lowest values of a score.

    >>> from translate.evaluation.resampling import Place
    >>> place = Place("pairs", "source", [*"abcdefghij"], np.arange(10))
    >>> [row for _, row in extremes({"psnr": Values(place, np.array([5.0, 4, 3, 2, 1, 0, 9, 8, 7, np.nan]))})]
    [5, 4, 3, 2, 1, 0, 6, 7, 8]
    """
    found: dict[tuple[str, int], None] = {}
    for each in values.values():
        order = np.argsort(each.values, kind="stable")
        order = order[~np.isnan(each.values[order])]
        for row in [*order[:EACH], *order[::-1][:EACH]]:
            found.setdefault((each.place.domain, int(each.place.rows[row])))
    return list(found)[:MOST]


def pictures_of(subject: Subject, values: Mapping[str, Values]) -> Pictures | None:
    """The extremes of all scores of a subject; None if the data has no images of them."""
    names = {side: name for name, side in reversed(subject.sides.items())}
    places = {each.place.domain: each.place for each in values.values()}
    chosen: dict[str, list[int]] = {}
    for domain, row in extremes(values):
        if domain in names and names[domain] in subject.examples:
            chosen.setdefault(domain, []).append(row)
    kinds: dict[str, list[NDArray[np.uint8]]] = {}
    rows: list[tuple[str, str]] = []
    for domain, listed in chosen.items():
        found = subject.pictures(names[domain], listed)
        for kind in [*kinds, *(each for each in found if each not in kinds)]:
            cells = kinds.setdefault(kind, [])
            cells += [_blank()] * (len(rows) - len(cells))
            if kind in found:
                cells += [_small(np.asarray(each)) for each in found[kind].permute(0, 2, 3, 1).numpy()]
        rows += [(domain, places[domain].names[row]) for row in listed]
    if not rows:
        return None
    height, width = (max(cell.shape[axis] for cells in kinds.values() for cell in cells) for axis in (0, 1))
    sheet = np.full((len(rows) * (height + GAP), len(kinds) * (width + GAP), 3), WHITE, np.uint8)
    for column, cells in enumerate(kinds.values()):
        for row, cell in enumerate(cells):
            top, left = row * (height + GAP), column * (width + GAP)
            sheet[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
    return Pictures(sheet, list(kinds), rows, height, width)


def _blank() -> NDArray[np.uint8]:
    return np.full((1, 1, 3), WHITE, np.uint8)


def _small(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = images.reduced(images.Image(np.ascontiguousarray(pixels)), LONGEST).pixels
    return found
