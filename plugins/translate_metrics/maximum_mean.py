"""CMMD: the maximum mean discrepancy of normalized features, with a Gaussian kernel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from translate.errors import TranslateError
from translate.method import Parts
from translate.options import Option
from translate_metrics.extraction import Extraction
from translate_metrics.kernels import Counts, Discrepancy, mean_of

SIDES = ("fake", "target")

ENOUGH = 100
"""Images of a set from which on the estimate's bias, which falls with their number, is small beside usual distances."""


class CMMD:
    """The discrepancy of CMMD (Jayasumana et al. 2024, arXiv:2401.09603): features of length 1, a Gaussian kernel.

    ``1000 (E k(x, x') + E k(y, y') - 2 E k(x, y))`` with ``k(x, y) = exp(-|x - y|^2 / 2 sigma^2)`` and sigma 10, as
    published: the biased estimate, in which each image is compared with itself, too, so that it is never below 0. With
    ``biased=no`` it is the unbiased one, in which a translation is not compared with its own target. The paper's
    features are those of CLIP; with others, distances cannot be compared with its.
    """

    needs = frozenset(SIDES)
    better: ClassVar = {"cmmd": "lower"}

    def __init__(
        self,
        parts: Parts,
        *,
        extractor: Annotated[str, Option("feature extractor, or the run of a classifier", part="feature_extractors")],
        sigma: Annotated[float, Option("width of the kernel", gt=0)] = 10.0,
        scale: Annotated[float, Option("factor of the distance", gt=0)] = 1000.0,
        normalized: Annotated[
            bool, Option("divide each image's features by their length, as those of CLIP are")
        ] = True,
        biased: Annotated[bool, Option("compare images with themselves, too, as published")] = True,
    ) -> None:
        self._features = Extraction(parts, extractor)
        self._sigma, self._scale, self._normalized, self._biased = sigma, scale, normalized, biased
        self._rows: dict[str, list[Tensor]] = {side: [] for side in SIDES}
        self._paired = True
        self._found: Discrepancy | None = None
        self._value = 0.0

    @property
    def any_size(self) -> bool:
        """Whether images of several sizes can be compared."""
        return self._features.any_size

    @property
    def protocol(self) -> str:
        """The extractor, the kernel, the estimator and the number of images."""
        fakes, reals = self._counts
        length = "of length 1" if self._normalized else "as they are"
        return (
            f"{self._features.description}, pooled, {length}; sigma {self._sigma:g}, scale {self._scale:g}, "
            f"{'biased' if self._biased else 'unbiased'}; {fakes} translated, {reals} real images"
        )

    @property
    def warnings(self) -> list[str]:
        """What is told of few images."""
        fewest = min(self._counts)
        if fewest >= ENOUGH or not self._biased:
            return []
        return [
            f"cmmd rests on {fewest} images, and is too large with fewer than {ENOUGH}: compare it only with distances "
            "of as many images, or use biased=no"
        ]

    @property
    def _counts(self) -> tuple[int, int]:
        fakes, reals = (sum(map(len, self._rows[side])) for side in SIDES)
        return fakes, reals

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """Add a batch's translations, real images or both; a batch with both is taken as pairs."""
        self._paired &= all(side in batch for side in SIDES)
        for side in SIDES:
            if side in batch:
                rows = self._features.pooled(batch[side]).double()
                if self._normalized:
                    rows = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-12)
                self._rows[side].append(rows.cpu())

    def result(self) -> Mapping[str, float]:
        """The distance."""
        fakes, reals = self._counts
        if min(fakes, reals) < 2:
            raise TranslateError(f"cmmd needs at least 2 images of each set, and here are {fakes} and {reals}")
        x, y = (torch.cat(self._rows[side]).numpy() for side in SIDES)
        self._found = Discrepancy(x, y, self._kernel, paired=self._paired)
        self._value = self._found.value
        if self._biased:
            self._value = mean_of(self._kernel, x, x) + mean_of(self._kernel, y, y) - 2 * mean_of(self._kernel, x, y)
        return {"cmmd": self._scale * self._value}

    def resampled(self, counts: Mapping[str, Counts]) -> Mapping[str, NDArray[np.float64]]:
        """The distance of each resample."""
        assert self._found is not None
        draws = self._found.resampled((counts["fake"], counts["target"]))
        return {"cmmd": self._scale * (draws - self._found.value + self._value)}

    def _kernel(self, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
        squares = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * x @ y.T
        values: NDArray[np.float64] = np.exp(-np.maximum(squares, 0) / (2 * self._sigma**2))
        return values
