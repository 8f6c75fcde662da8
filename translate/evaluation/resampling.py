"""Bootstrap: scores of images drawn again with replacement, the same images for every run that is compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from translate.errors import TranslateError
from translate.seeds import key

if TYPE_CHECKING:
    from translate.evaluation import Metric

LEVEL = 95
"""The percentage of the draws within an interval."""

DEFAULT = 1000
"""Resamples where several runs are compared and none are asked for."""

FEWEST = 30
"""Images below which the percentiles of a resampled mean are known to lie too close to it."""

BLOCK = 100
"""Resamples that are held in float64 at a time."""

Draws = NDArray[np.float64]
"""(B,): a score of each resample."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """The images that values belong to: ``names`` of all that are drawn together, and the ``rows`` of them in order.

    Images with one ``unit`` are drawn together, as those of a pair are. ``domain`` is what a table calls them.
    """

    unit: str
    domain: str
    names: Sequence[str]
    rows: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """The values of a score for each image, of which it is the mean; NaN for images that it leaves out."""

    place: Place
    values: NDArray[np.float64]


@dataclass(slots=True)
class Resamples:
    """``count`` resamples of each unit's images, by a seed; those of a unit are drawn once."""

    count: int
    seed: int
    _drawn: dict[tuple[str, int], NDArray[np.int32]] = field(default_factory=dict)

    def counts(self, place: Place) -> NDArray[np.int32]:
        """How often each of a place's images is drawn in each resample, (count, rows)."""
        size = len(place.names)
        if (place.unit, size) not in self._drawn:
            generator = np.random.Generator(np.random.PCG64(key(self.seed, *place.unit.encode(), size)))
            drawn = np.empty((self.count, size), np.int32)
            for row in drawn:
                row[:] = np.bincount(generator.integers(0, size, size), minlength=size)
            self._drawn[place.unit, size] = drawn
        return self._drawn[place.unit, size][:, place.rows]

    def means(self, found: Values) -> Draws:
        """The mean of the values in each resample, (count,); NaN where none of the images has a value.

        >>> place = Place("pairs", "source", ["a", "b"], np.arange(2))
        >>> sorted(set(Resamples(50, 0).means(Values(place, np.array([1.0, 3.0]))).tolist()))
        [1.0, 2.0, 3.0]
        """
        counts, there = self.counts(found.place), ~np.isnan(found.values)
        values = np.where(there, found.values, 0.0)
        drawn = [counts[start : start + BLOCK].astype(np.float64) for start in range(0, self.count, BLOCK)]
        with np.errstate(invalid="ignore", divide="ignore"):
            means: Draws = np.concatenate([each @ values / (each @ there.astype(np.float64)) for each in drawn])
        return means


def values_of(text: str, metric: Metric, places: Mapping[str, Place]) -> dict[str, Values]:
    """The values for each image that a metric gives, by score; ``places`` are of the kinds of images.

    Raises ``TranslateError`` for a metric that does not give one for each image.
    """
    give = getattr(metric, "per_image", None)
    found: dict[str, Values] = {}
    for kind, scores in (give() if give is not None else {}).items():
        for name, given in scores.items():
            values = np.asarray(given, np.float64)
            if kind not in places or values.shape != (len(places[kind].rows),):
                raise TranslateError(
                    f"{text} gives {len(values)} values of {name} for the {kind!r:.40} images, of which there are "
                    f"{len(places[kind].rows) if kind in places else 'none'}; its per_image must give one for each"
                )
            found[name] = Values(places[kind], values)
    return found


def draws_of(
    text: str, metric: Metric, scores: Mapping[str, float], values: Mapping[str, Values],
    places: Mapping[str, Place], resamples: Resamples,
) -> dict[str, Draws]:  # fmt: skip
    """The scores of a metric in each resample, by name, for those that can be resampled.

    A distance of sets has another bias on a resample, which holds fewer different images: its draws are moved so that
    their mean is the score.
    """
    found = {name: resamples.means(each) for name, each in values.items() if name in scores}
    again = getattr(metric, "resampled", None)
    if again is not None:
        for name, given in again({kind: resamples.counts(place) for kind, place in places.items()}).items():
            draws = np.asarray(given, np.float64)
            if draws.shape != (resamples.count,) or name not in scores:
                raise TranslateError(
                    f"{text} gives {draws.shape} resampled values of {name!r:.60}; its resampled must give one of each "
                    f"of its scores for each of {resamples.count} resamples"
                )
            there = draws[np.isfinite(draws)]
            found[name] = draws + (scores[name] - there.mean() if len(there) else 0.0)
    return {name: draws for name, draws in found.items() if np.isfinite(scores[name])}


def interval(draws: Draws) -> tuple[float, float] | None:
    """The interval that holds ``LEVEL`` percent of the draws; None if fewer than half of them are finite.

    >>> interval(np.arange(1001.0))
    (25.0, 975.0)
    """
    there = draws[np.isfinite(draws)]
    if 2 * len(there) < len(draws):
        return None
    low, high = np.percentile(there, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return float(low), float(high)


def facts(resamples: Resamples) -> dict[str, Any]:
    """The protocol's entry of the intervals."""
    return {
        "resamples": resamples.count,
        "seed": resamples.seed,
        "interval": f"{LEVEL} % of the resamples of the images; draws of set distances centred on the score",
    }
