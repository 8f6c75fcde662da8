"""A canvas of two planes: what is where, and how light it is drawn there."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from translate_datasets.exact import circle
from translate_datasets.landscapes.materials import CODE

Point = tuple[float, float]

_shift = 4  # vertices lie on sixteenths of a pixel
_disc = np.array(circle(24))


class Canvas:
    """Materials and tones, (side, side) uint8 each; coordinates are shares of the side, x to the right and y down.

    Polygons with whole numbers as vertices are filled by whole numbers alone.
    """

    def __init__(self, side: int) -> None:
        self.side = side
        self.material: NDArray[np.uint8] = np.full((side, side), CODE["sky"], np.uint8)
        self.tone: NDArray[np.uint8] = np.full((side, side), 128, np.uint8)

    def fill(self, points: Sequence[Point], material: str, tone: float = 0.5) -> None:
        """Fill a polygon with a material of a tone, from 0 in the shade to 1 in the light."""
        self._fill(np.array(points), material, tone)

    def shade(self, points: Sequence[Point], tone: float) -> None:
        """Give a polygon another tone, whatever it is made of."""
        cv2.fillPoly(self.tone, [self._vertices(np.array(points))], _tone(tone), shift=_shift)

    def disc(self, centre: Point, radii: Point, material: str, tone: float = 0.5) -> None:
        """Fill an ellipse."""
        self._fill(_disc * radii + centre, material, tone)

    def box(self, left: float, top: float, right: float, bottom: float, material: str, tone: float = 0.5) -> None:
        """Fill an upright rectangle."""
        self.fill([(left, top), (right, top), (right, bottom), (left, bottom)], material, tone)

    def below(self, line: NDArray[np.float32], material: str, tone: float = 0.5) -> None:
        """Fill all that lies below a line, which has a height for each column."""
        where = np.arange(self.side, dtype=np.float32)[:, None] > line * np.float32(self.side)
        self.material[where] = CODE[material]
        self.tone[where] = _tone(tone)

    def _fill(self, points: NDArray[np.float64], material: str, tone: float) -> None:
        vertices = self._vertices(points)
        cv2.fillPoly(self.material, [vertices], CODE[material], shift=_shift)
        cv2.fillPoly(self.tone, [vertices], _tone(tone), shift=_shift)

    def _vertices(self, points: NDArray[np.float64]) -> NDArray[np.int32]:
        # Far beyond the edge nothing is seen, and whole numbers of 32 bits end somewhere.
        inside = np.clip(points, -2.0, 3.0)
        return np.floor(inside * (self.side << _shift) + 0.5).astype(np.int32)


def _tone(tone: float) -> int:
    return int(min(max(tone, 0.0), 1.0) * 255 + 0.5)
