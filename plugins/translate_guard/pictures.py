"""Pictures: the detectors that look at the training images, and at what the networks make of the shown examples.

Images are (N, 3, H, W) in [0, 1]; a distance is a root mean square over values. A detector that has too little to go by
says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from translate.columns import Made
from translate_guard.detectors import Seen
from translate_guard.spectrum import checkerboard

Array = NDArray[np.float32]

BLANK = 1.5 / 255
"""A distance below it, or a deviation, is nothing but rounding."""

VARIATION = 0.05
"""Outputs vary as their inputs if their deviation over the rows is at least this share of that of real images."""

SAME, FEW = 0.15, 0.125
"""Pictures nearer than ``SAME`` of the median distance of real ones are one; too few are ``FEW`` of as many as among
real ones."""

COPY = 0.1
"""An output is its input at this share of the domains' distance."""

INVERTED = -0.8
"""A correlation from here to -1."""

STANDS_OUT, TIMES = 0.02, 5.0
"""A checkerboard has that share of the energy, and so many times that of real images."""

SATURATED, MORE = 0.5, 0.35
"""Outputs are saturated with that share of values at an end, and so much more than real images have there."""

MEMORY, FEWEST = 0.2, 16
"""An output repeats a training image at that share of the median distance of training images to their nearest."""

MOST = 256
"""Training images whose distances to one another are taken."""


def look_at_data(examples: Mapping[str, Tensor]) -> dict[str, Seen]:
    """Whether training images are constant, by ``detector:subject``."""
    found = {}
    for name, images in examples.items():
        pictures = _floats(images)
        if len(pictures) < 2:
            continue
        blank = pictures.std((2, 3)).max(1) < BLANK
        equal = _distances(pictures, pictures[:1])[:, 0] < BLANK
        # The first one equals itself.
        share = max(float(blank.mean()), float(equal[1:].mean()))
        found[f"constant:{name}"] = Seen(share, share > 0.9)
    return found


def look_at_outputs(
    images: Mapping[str, Tensor], made: Mapping[str, Made], real: Mapping[str, Tensor], examples: Mapping[str, Tensor]
) -> dict[str, Seen]:
    """What is measured of each network's outputs, by ``detector:direction``."""
    found: dict[str, Seen] = {}
    for direction in dict.fromkeys(each.direction for each in made.values()):
        names = [name for name, each in made.items() if each.direction == direction]
        columns = [_floats(images[name]) for name in names]
        first = made[names[0]]
        seen = _Outputs(columns, first, images, real, examples)
        looks = {
            "variation": seen.variation() if first.given is not None else None,
            "repeats": seen.repeats() if first.given is None else None,
            "copied": seen.copied(),
            "inverted": seen.inverted(),
            "checkerboard": seen.checkerboard(),
            "saturated": seen.saturated(),
            "memorised": seen.memorised(),
        }
        found |= {f"{name}:{direction}": each for name, each in looks.items() if each is not None}
    return found


class _Outputs:
    """The columns of one network, and what they are held against."""

    def __init__(
        self,
        columns: Sequence[Array],
        made: Made,
        images: Mapping[str, Tensor],
        real: Mapping[str, Tensor],
        examples: Mapping[str, Tensor],
    ) -> None:
        self.columns, self.made = columns, made
        self.given = _column(images, made.given)
        self.truth = _column(images, made.truth)
        self.real = _column(real, made.domain)
        self.examples = _column(examples, made.domain)
        self.changes = made.given is not None and made.given != made.domain
        """Whether the outputs shall be other images than the inputs, of another domain."""

    def variation(self) -> Seen | None:
        """The deviation over the rows, over that of the inputs or of real images, whichever is less."""
        spreads = [_spread(each) for each in (self.given, self.real) if each is not None and len(each) > 2]
        if not spreads or min(spreads) < BLANK:
            return None
        value = median(_spread(column) for column in self.columns) / min(spreads)
        return Seen(value, value < VARIATION)

    def repeats(self) -> Seen | None:
        """The share of the samples that differ from all before them, over what it is among real images."""
        if self.examples is None or len(self.examples) < FEWEST or sum(map(len, self.columns)) < 8:
            return None
        pictures = self._small(np.concatenate(self.columns))
        some = self.examples[:MOST]
        apart = float(np.median(_distances(some, some)[np.triu_indices(len(some), 1)]))
        if apart < 2 * BLANK:
            return None
        value = _distinct(pictures, SAME * apart)
        # As many real ones may be few, too.
        usual = _distinct(self.examples[:: -(-len(self.examples) // len(pictures))], SAME * apart)
        return Seen(value, value <= FEW * usual)

    def copied(self) -> Seen | None:
        """The distance of outputs from inputs, over that of real images from inputs."""
        if self.given is None or self.real is None:
            return None
        if self.changes:
            pairs = self.truth if self.truth is not None else self.real
            between = _distances(self.given, pairs)
            apart = float(between.diagonal().mean() if self.truth is not None else between.mean())
        elif len(self.columns) > 1:
            # One column a class: an input's own class may copy it, not all of them.
            apart = _mean(_distances(one[None], other[None])[0, 0] for one, other in combinations(self.real, 2))
        else:
            return None
        if apart < 4 * BLANK:
            return None
        value = max(_mean(_rowwise(column, self.given)) for column in self.columns) / apart
        return Seen(value, value < COPY)

    def inverted(self) -> Seen | None:
        """The correlation with the inputs, unless real images call for the inverse, and with the truth."""
        if not self.changes or self.given is None or self.real is None:
            return None
        value = median(_correlation(column, self.given) for column in self.columns)
        if self.truth is not None:
            if _correlation(self.truth, self.given) < INVERTED / 2:
                # The inverse is what it should be.
                value = 0.0
            value = min(value, median(_correlation(column, self.truth) for column in self.columns))
            return Seen(value, value < INVERTED)
        called_for = _histogram(1 - self.given, self.real) < 0.8 * _histogram(self.given, self.real)
        return Seen(value, value < INVERTED and not called_for)

    def checkerboard(self) -> Seen | None:
        """See ``translate_guard.spectrum``; held against real images."""
        if self.real is None or _spread_within(self.real) < BLANK:
            return None
        value, usual = median(checkerboard(column) for column in self.columns), checkerboard(self.real)
        return Seen(value, value > STANDS_OUT and value > TIMES * usual)

    def saturated(self) -> Seen | None:
        """How many more values lie at black, at white or at either end than in real images."""
        if self.real is None:
            return None
        outputs, usual = np.concatenate(self.columns), self.real
        ends = [
            (_share(outputs <= BLANK), _share(usual <= BLANK)),
            (_share(outputs >= 1 - BLANK), _share(usual >= 1 - BLANK)),
        ]
        ends.append((ends[0][0] + ends[1][0], ends[0][1] + ends[1][1]))
        more, share = max((mine - theirs, mine) for mine, theirs in ends)
        return Seen(more, more > MORE and share > SATURATED)

    def memorised(self) -> Seen | None:
        """The share of outputs that are nearly a training image, where what they should be is not near one."""
        if self.examples is None or len(self.examples) < FEWEST:
            return None
        partner = self.truth if self.changes else self.given
        if partner is not None and not self.made.held_out:
            return None
        some = self.examples[:: -(-len(self.examples) // MOST)]
        # Each is its own nearest.
        apart = float(np.median(np.partition(_distances(some, self.examples), 1, axis=1)[:, 1]))
        if apart < 4 * BLANK:
            return None
        near = np.stack([_distances(self._small(column), self.examples).min(1) for column in self.columns])
        copies = near < MEMORY * apart
        if partner is not None:
            nearest = _distances(self._small(partner), self.examples).min(1)[: near.shape[1]]
            # What should be near one of them anyway, as the next frame of a film, tells nothing.
            copies &= nearest > 2 * MEMORY * apart
        value = float(copies.mean())
        return Seen(value, value >= 0.5)

    def _small(self, pictures: Array) -> Array:
        """Pictures of the size of the training's thumbnails."""
        assert self.examples is not None
        small: Array = F.interpolate(torch.from_numpy(pictures), size=self.examples.shape[2:], mode="area").numpy()
        return small


def _floats(images: Tensor) -> Array:
    values: Array = images.float().div(255).numpy()
    return values


def _column(images: Mapping[str, Tensor], name: str | None) -> Array | None:
    return _floats(images[name]) if name is not None and name in images and len(images[name]) else None


def _spread(pictures: Array) -> float:
    """The root mean square deviation from the mean picture."""
    return float(np.sqrt(pictures.var(0).mean()))


def _spread_within(pictures: Array) -> float:
    return float(pictures.std((2, 3)).mean())


def _distances(one: Array, other: Array) -> Array:
    """Distances (N, M) of all of one to all of another, which have the same shape."""
    flat, others = one.reshape(len(one), -1), other.reshape(len(other), -1)
    squares = (flat**2).sum(1)[:, None] + (others**2).sum(1) - 2 * flat @ others.T
    distances: Array = np.sqrt(np.maximum(squares, 0) / flat.shape[1]).astype(np.float32)
    return distances


def _distinct(pictures: Array, apart: float) -> float:
    """The share of pictures that are at least so far apart from all before them that are."""
    near = _distances(pictures, pictures) < apart
    found: list[int] = []
    for row in range(len(pictures)):
        if not near[row, found].any():
            found.append(row)
    return len(found) / len(pictures)


def _rowwise(one: Array, other: Array) -> list[float]:
    rows = min(len(one), len(other))
    return [float(each) for each in np.sqrt(((one[:rows] - other[:rows]) ** 2).mean((1, 2, 3)))]


def _correlation(one: Array, other: Array) -> float:
    """The median over the rows of the correlation of all values; rows that are flat are left out."""
    found = []
    for first, second in zip(one, other, strict=False):
        a, b = first - first.mean(), second - second.mean()
        if min(a.std(), b.std()) > 4 * BLANK:
            found.append(float((a * b).mean() / (a.std() * b.std())))
    return median(found) if found else 0.0


def _histogram(one: Array, other: Array) -> float:
    """The mean distance of the sorted values of two sets of images (their Wasserstein distance)."""
    points = np.linspace(0, 1, 256)
    return float(np.abs(np.quantile(one, points) - np.quantile(other, points)).mean())


def _share(there: NDArray[np.bool_]) -> float:
    return float(there.mean())


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed) if listed else 0.0
