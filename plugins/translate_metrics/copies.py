"""Copies of the training images: how near made images are to them, beside real images that no training has seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from translate.errors import TranslateError
from translate.method import Parts
from translate_metrics.averages import Average
from translate_metrics.extraction import Comparison, Extraction
from translate_metrics.neighbours import nearest

SIDES = ("fake", "target")

NEAR = 5
"""The percentage of the held-out real images that count as near to a training image."""

ENOUGH = 100
"""Images of each kind from which on ``NEAR`` percent are several."""


class CopyDistance:
    """The distance of made images to the nearest training image, over that of held-out real ones: below 1 for copies.

    ``copy_distance_made`` and ``copy_distance_real`` are the mean distances, Euclidean in an extractor's pooled
    features, or else in pixels, as root mean squares. ``copies`` is the percentage of made images that are nearer to a
    training image than 95 % of the real ones are: about 5 if nothing is copied. Real images must be held out.
    """

    needs = frozenset({*SIDES, "training"})
    better: ClassVar = {"copies": "lower"}

    def __init__(
        self,
        parts: Parts,
        *,
        extractor: Comparison = "",
    ) -> None:
        self._features = Extraction(parts, extractor) if extractor else None
        self._rows: dict[str, list[Tensor]] = {side: [] for side in SIDES}
        self._seen = 0
        self._distances: dict[str, Tensor] = {}

    @property
    def protocol(self) -> str:
        """What was compared, and the numbers of images."""
        where = "pixels in [-1, 1]" if self._features is None else f"pooled features of {self._features.description}"
        made, real, seen = self._counts
        return f"root mean square of differences of {where}; {made} made, {real} real, {seen} training images"

    @property
    def warnings(self) -> list[str]:
        """What is told of few images, and of real ones that are copies themselves."""
        fewest, told = min(self._counts[:2]), []
        if fewest < ENOUGH:
            told.append(f"copies rests on {NEAR} % of {fewest} images, which are few; give at least {ENOUGH}")
        if not self._near:
            same = int((self._distances["target"] == 0).sum())
            told.append(
                f"{same} of {self._counts[1]} real images are among those of the training, so copies is 0 whatever was "
                "made; measure on held-out images that are no copies"
            )
        return told

    @property
    def _counts(self) -> tuple[int, int, int]:
        made, real = (sum(map(len, self._rows[side])) for side in SIDES)
        return made, real, self._seen

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """Add the made and the real images (N, C, H, W) of a batch, or compare them with some of the training.

        Those are not kept, since they may be many.
        """
        for side, rows in self._rows.items():
            if side in batch:
                assert not self._seen, "the images of the training come after all others"
                rows.append(self._rows_of(batch[side]))
        if "training" in batch and all(self._rows.values()):
            seen = self._rows_of(batch["training"])
            self._seen += len(seen)
            for side, parts in self._rows.items():
                parts[:] = [torch.cat(parts)]
                found = nearest(parts[0], seen).distances.double() / seen.shape[1] ** 0.5
                known = self._distances.get(side, found)
                self._distances[side] = torch.minimum(known, found)

    def _rows_of(self, images: Tensor) -> Tensor:
        found = images.flatten(1) if self._features is None else self._features.pooled(images)
        return found.float().cpu()

    def result(self) -> Mapping[str, float]:
        """The ratio, the two distances with their standard errors, and the share of copies."""
        if not all(self._counts):
            raise TranslateError("copy_distance needs made, real and training images; give data with all of them")
        means: dict[str, float] = {}
        for side, name in zip(SIDES, ("copy_distance_made", "copy_distance_real"), strict=True):
            average = Average(name)
            average.add(self._distances[side])
            means |= average.result()
        made, real = (self._distances[side].mean().item() for side in SIDES)
        shares = Average("copies")
        shares.add(self._copied)
        return {"copy_distance": _ratio(made, real), **means, **shares.result()}

    @property
    def _near(self) -> float:
        """The distance below which ``NEAR`` percent of the real images lie."""
        return float(torch.quantile(self._distances["target"], NEAR / 100))

    @property
    def _copied(self) -> Tensor:
        """100 for each made image that is nearer to a training image than most real ones, else 0."""
        return 100.0 * (self._distances["fake"] < self._near).double()

    def per_image(self) -> Mapping[str, Mapping[str, Tensor]]:
        """The distance of each image to the training's nearest, and which of them are copies."""
        made = {"copy_distance_made": self._distances["fake"], "copies": self._copied}
        return {"fake": made, "target": {"copy_distance_real": self._distances["target"]}}

    def resampled(self, counts: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[np.float64]]:
        """The ratio in each resample of the made and the real images; the training images stay."""
        made, real = (counts[side] @ self._distances[side].numpy() / counts[side].sum(1) for side in SIDES)
        with np.errstate(invalid="ignore", divide="ignore"):
            return {"copy_distance": made / real}


def _ratio(made: float, real: float) -> float:
    return made / real if real else float("inf") if made else 1.0
