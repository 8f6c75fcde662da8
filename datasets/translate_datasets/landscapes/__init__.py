"""Landscapes: scenes that follow from a seed, as photos, maps, sketches and masks, the same on every machine."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from translate_datasets.exact import Draws
from translate_datasets.landscapes.composing import Scene, compose, light_of
from translate_datasets.landscapes.materials import CLASS_OF, CLASSES, SEASONS, TIMES, WEATHERS
from translate_datasets.landscapes.painting import FINE, paint
from translate_datasets.landscapes.sketching import sketch as drawn

__all__ = ["CLASSES", "SEASONS", "TIMES", "WEATHERS", "Landscape"]

Pixels = NDArray[np.uint8]

_luminance = (299, 587, 114)


@dataclass(frozen=True, slots=True)
class Landscape:
    """A landscape: number ``index`` of a seed, in a season, a weather, at a time of day, some frames after the first.

    The place is that of the seed and the index alone, so that landscapes that differ in the rest only are pairs. All
    pictures are uint8 of ``size`` pixels a side.
    """

    size: int
    seed: int
    index: int
    season: str = "summer"
    weather: str = "clear"
    time: str = "day"
    moment: int = 0

    def at(self, **changed: object) -> Landscape:
        """The same place under other conditions."""
        return replace(self, **changed)  # type: ignore[arg-type]

    def photo(self) -> Pixels:
        """The landscape as one sees it, (size, size, 3)."""
        return paint(
            self._scene(), Draws(self.seed, self.index, 8), season=self.season, weather=self.weather, time=self.time
        )

    def gray(self) -> Pixels:
        """The luminance of the photo, (size, size, 1)."""
        photo = self.photo().astype(np.int64)
        return np.asarray((photo * np.array(_luminance)).sum(axis=2, keepdims=True) // 1000, np.uint8)

    def classes(self) -> Pixels:
        """What is where, (size, size, 1): indices into ``CLASSES``."""
        return CLASS_OF[self._scene().canvas.material[FINE // 2 :: FINE, FINE // 2 :: FINE]][..., None]

    def sketch(self) -> Pixels:
        """A pencil drawing, (size, size, 1)."""
        return drawn(self._scene().canvas, Draws(self.seed, self.index, 9))

    def sky(self) -> Pixels:
        """Where the sky is seen, (size, size, 1): 255, and 0 elsewhere."""
        return np.asarray((self.classes() == list(CLASSES).index("sky")) * 255, np.uint8)

    def described(self) -> NDArray[np.float32]:
        """Five numbers: a one for its time of day, and where the sun or moon is, x and y.

        >>> Landscape(16, 0, 0, time="night").described()[:3].tolist()
        [0.0, 0.0, 1.0]
        """
        one_hot = [float(self.time == time) for time in TIMES]
        return np.array([*one_hot, *light_of(self.seed, self.index, self.time)], np.float32)

    def _scene(self) -> Scene:
        return compose(
            self.size * FINE, self.seed, self.index, time=self.time, weather=self.weather, moment=self.moment
        )
