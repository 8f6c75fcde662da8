"""Precision and recall of a set of images: how many lie where the other set's features do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from translate.errors import TranslateError
from translate.method import Parts
from translate.options import Option
from translate_metrics.averages import Average
from translate_metrics.extraction import Extraction
from translate_metrics.neighbours import BLOCK, distances, nearest

SIDES = ("fake", "target")

ENOUGH = 1000
"""Images of a set from which on its neighbours say where its distribution lies."""


class PrecisionRecall:
    """Precision and recall in features (Kynkaanniemi et al. 2019, arXiv:1904.06991), in percent.

    A set's manifold is the union of balls around its features, each as large as the distance to the k-th nearest other
    one. ``precision`` is the share of translations in the manifold of the real images: how good they are. ``recall`` is
    the share of real images in that of the translations: how much of the variety they have. Both depend on the number
    of images.
    """

    needs = frozenset(SIDES)
    better: ClassVar = {"precision": "higher", "recall": "higher"}

    def __init__(
        self,
        parts: Parts,
        *,
        extractor: Annotated[str, Option("feature extractor, or the run of a classifier", part="feature_extractors")],
        k: Annotated[int, Option("which neighbour a ball reaches", ge=1)] = 3,
    ) -> None:
        self._features, self._k = Extraction(parts, extractor), k
        self._rows: dict[str, list[Tensor]] = {side: [] for side in SIDES}
        self._shares = {"fake": Average("precision"), "target": Average("recall")}

    @property
    def any_size(self) -> bool:
        """Whether images of several sizes can be compared."""
        return self._features.any_size

    @property
    def protocol(self) -> str:
        """The extractor, the neighbour and the number of images."""
        fakes, reals = self._counts
        return f"percent; {self._features.description}, pooled, k = {self._k}; {fakes} translated, {reals} real images"

    @property
    def warnings(self) -> list[str]:
        """What is told of few images."""
        fewest = min(self._counts)
        if fewest >= ENOUGH:
            return []
        return [
            f"precision and recall rest on the neighbours of {fewest} images; they are rough with fewer than "
            f"{ENOUGH:,}, and only sets of as many images can be compared"
        ]

    @property
    def _counts(self) -> tuple[int, int]:
        fakes, reals = (sum(map(len, self._rows[side])) for side in SIDES)
        return fakes, reals

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """Add a batch's translations, real images or both."""
        for side in SIDES:
            if side in batch:
                self._rows[side].append(self._features.pooled(batch[side]).cpu())

    def result(self) -> Mapping[str, float]:
        """Both shares with their standard errors."""
        if min(self._counts) <= self._k:
            fakes, reals = self._counts
            raise TranslateError(
                f"precision_recall with k={self._k} needs more than {self._k} images of each set, and here are {fakes} "
                f"and {reals}"
            )
        rows = {side: torch.cat(self._rows[side]).double() for side in SIDES}
        radii = {side: nearest(each, each, self._k, itself=True).distances for side, each in rows.items()}
        for side, other in (SIDES, SIDES[::-1]):
            average = self._shares[side] = Average(self._shares[side].name)
            average.add(100.0 * within(rows[side], rows[other], radii[other]).double())
        return {**self._shares["fake"].result(), **self._shares["target"].result()}

    def per_image(self) -> Mapping[str, Mapping[str, Tensor]]:
        """100 for each image in the manifold of the other set, else 0; that set is held as it is."""
        return {side: {average.name: average.each} for side, average in self._shares.items()}


def within(rows: Tensor, others: Tensor, radii: Tensor) -> Tensor:
    """Which rows (N, D) lie in a ball around one of the others (M, D), with radii (M,).

    >>> within(torch.tensor([[0.0], [2.0]]), torch.tensor([[0.5], [5.0]]), torch.tensor([0.5, 1.0])).tolist()
    [True, False]
    """
    return torch.cat([(distances(part, others) <= radii).any(1) for part in rows.split(BLOCK)])
