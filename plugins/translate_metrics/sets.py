"""Distances between the set of translations and the set of real images, in the features of an extractor."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from translate.errors import TranslateError
from translate.method import Parts
from translate.options import Option
from translate_metrics.distances import Moments, frechet_of_factors, weighted_factor
from translate_metrics.extraction import Extraction
from translate_metrics.kernels import Discrepancy, cubic_discrepancy

log = logging.getLogger("translate")

SIDES = ("fake", "target")

LONG = 1
"""Minutes from which on it is told how long resamples take."""

PER_FEATURE = 10
"""Samples for each feature from which on the bias of the Frechet distance is below about 5 % of the variance."""


class Frechet:
    """The Frechet distance of two Gaussians fitted to features (Heusel et al. 2017, arXiv:1706.08500).

    ``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))`` of the features' means and covariances. It needs more samples than
    there are features. It is biased: more samples give a smaller distance. Its unit depends on the extractor, so only
    distances with the same extractor and the same number of samples can be compared. ``fid`` is this distance in
    Inception's features.
    """

    needs = frozenset(SIDES)
    name: ClassVar = "frechet"
    better: ClassVar[Mapping[str, str]] = {"frechet": "lower"}

    def __init__(
        self,
        parts: Parts,
        *,
        extractor: Annotated[str, Option("feature extractor, or the run of a classifier", part="feature_extractors")],
        positions: Annotated[bool, Option("use each position of the feature map as a sample, for few images")] = False,
    ) -> None:
        self._features = Extraction(parts, extractor)
        self._positions = positions
        self._moments = {side: Moments() for side in SIDES}
        self._kept: dict[str, list[Tensor]] | None = None

    @property
    def any_size(self) -> bool:
        """Whether images of several sizes can be compared."""
        return self._features.any_size

    @property
    def protocol(self) -> str:
        """The extractor and the number of samples."""
        fakes, reals = (self._moments[side].count for side in SIDES)
        unit = "positions of features" if self._positions else "images, features pooled"
        return f"{self._features.description}; {fakes} translated, {reals} real {unit}"

    @property
    def warnings(self) -> list[str]:
        """What is told of few samples: two sets of one distribution seem d / 2n of its variance apart."""
        fewest, width = self._sizes
        if fewest >= PER_FEATURE * width:
            return []
        return [
            f"frechet rests on {fewest} samples of {width} features, and is too large with fewer than "
            f"{PER_FEATURE * width}: compare it only with distances of as many samples, or use kid"
        ]

    def prepare_resampling(self) -> None:
        """Keep the features of all images from now on, which are needed to draw them again."""
        self._kept = {side: [] for side in SIDES}

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """Add a batch's translations, real images or both."""
        for side in SIDES:
            if side in batch:
                features = self._features.positions(batch[side])
                rows = features.flatten(0, 1) if self._positions else features.mean(1)
                self._moments[side].update(rows.cpu().numpy())
                if self._kept is not None:
                    self._kept[side].append(features.cpu() if self._positions else rows[:, None].cpu())

    def result(self) -> Mapping[str, float]:
        """The squared distance."""
        self._refuse_few()
        fake, real = (self._moments[side] for side in SIDES)
        return {self.name: frechet_of_factors(fake.mean, fake.factor, real.mean, real.factor)}

    @property
    def _sizes(self) -> tuple[int, int]:
        """The number of samples of the smaller set, and that of features."""
        return min(each.count for each in self._moments.values()), len(self._moments["target"].mean)

    def _refuse_few(self) -> None:
        """Raise ``TranslateError`` for too few samples."""
        fewest, width = self._sizes
        if fewest <= width:
            instead = "use kid, which does not" if self._positions else "use kid, or frechet with positions=yes"
            raise TranslateError(
                f"frechet needs more samples than the extractor has features ({width}) to know their covariance, "
                f"and here are {fewest}; {instead}"
            )

    def resampled(self, counts: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[np.float64]]:
        """The distance of each resample; all positions of an image are drawn together."""
        assert self._kept is not None
        kept = {side: torch.cat(self._kept[side]) for side in SIDES}
        rows = {side: each.flatten(0, 1).numpy() for side, each in kept.items()}
        draws: list[float] = []
        began = time.monotonic()
        for drawn in zip(*(counts[side] for side in SIDES), strict=True):
            fake, real = (
                weighted_factor(rows[side], np.repeat(times, kept[side].shape[1]))
                for side, times in zip(SIDES, drawn, strict=True)
            )
            draws.append(frechet_of_factors(*fake, *real))
            minutes = (time.monotonic() - began) * len(counts["fake"]) / 60
            if len(draws) == 1 and minutes > LONG:
                log.warning(
                    "the interval of %s takes about %d minutes; --bootstrap 100 takes less", self.name, minutes + 1
                )
        return {self.name: np.array(draws)}


class KID:
    """The kernel distance KID (Binkowski et al. 2018, arXiv:1801.01401): unbiased squared MMD of features.

    Kernel ``(x . y / d + 1)^3``. All pairs of samples are used, no random subsets; the variance estimate behind the
    standard error is unbiased, too. The distance may be negative; its expectation for two sets of one distribution is
    0 for any number of samples.
    """

    needs = frozenset(SIDES)
    better: ClassVar = {"kid": "lower"}

    def __init__(
        self,
        parts: Parts,
        *,
        extractor: Annotated[str, Option("feature extractor, or the run of a classifier", part="feature_extractors")],
        scaled: Annotated[
            bool, Option("divide features by the root mean square of the real ones, if their unit is arbitrary")
        ] = False,
    ) -> None:
        self._features = Extraction(parts, extractor)
        self._scaled = scaled
        self._paired = True
        self._rows: dict[str, list[Tensor]] = {side: [] for side in SIDES}
        self._found: Discrepancy | None = None

    @property
    def any_size(self) -> bool:
        """Whether images of several sizes can be compared."""
        return self._features.any_size

    @property
    def protocol(self) -> str:
        """The extractor, the number of samples and the estimator."""
        fakes, reals = (sum(map(len, self._rows[side])) for side in SIDES)
        scale = "scaled to the real ones' mean square of 1" if self._scaled else "as they are"
        pairs = ", a translation is not compared with its own target" if self._paired else ""
        return f"{self._features.description}; {fakes} translated, {reals} real images, pooled features {scale}{pairs}"

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """Add a batch's translations, real images or both; a batch with both is taken as pairs."""
        self._paired &= all(side in batch for side in SIDES)
        for side in SIDES:
            if side in batch:
                self._rows[side].append(self._features.pooled(batch[side]).cpu())

    def result(self) -> Mapping[str, float]:
        """The squared discrepancy and its standard error."""
        fake, real = self._scaled_rows()
        if min(len(fake), len(real)) < 4:
            raise TranslateError(f"kid needs at least 4 images of each set, and here are {len(fake)} and {len(real)}")
        self._found = cubic_discrepancy(fake, real, paired=self._paired)
        return {"kid": self._found.value, "kid_standard_error": self._found.error}

    def resampled(self, counts: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[np.float64]]:
        """The discrepancy of each resample, divided by the scale of all real images."""
        assert self._found is not None
        return {"kid": self._found.resampled((counts["fake"], counts["target"]))}

    def _scaled_rows(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The features of translations and of real images, in float64."""
        fake, real = (torch.cat(self._rows[side]).double().numpy() for side in SIDES)
        scale = (math.sqrt(float(np.square(real).mean())) or 1.0) if self._scaled else 1.0
        return fake / scale, real / scale
