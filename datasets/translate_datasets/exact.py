"""Arithmetic that is the same on every machine: draws by whole numbers, waves and noise of +, -, * and / alone.

Sines, exponentials, blurs and means differ in their last bits between processors and versions of libraries; what is
drawn by these lines does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

_T = TypeVar("_T")


class Draws:
    """Random numbers that follow from some whole numbers, one after the other.

    They are made of the raw output of PCG64, which numpy promises to keep, unlike that of its distributions.

    >>> Draws(3, 1).number() == Draws(3, 1).number(), Draws(3, 1).number() == Draws(1, 3).number()
    (True, False)
    """

    def __init__(self, *numbers: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(numbers))

    def number(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high)."""
        return low + (high - low) * ((int(self._bits.random_raw()) >> 11) / 2**53)

    def whole(self, low: int, high: int) -> int:
        """A whole number in [low, high]."""
        return low + int(self.number() * (high - low + 1))

    def chance(self, share: float) -> bool:
        """Whether something happens that happens in this share of all cases."""
        return self.number() < share

    def one(self, options: Sequence[_T]) -> _T:
        """One of some options, each equally often."""
        return options[self.whole(0, len(options) - 1)]

    def plane(self, rows: int, columns: int) -> Plane:
        """Numbers (rows, columns) in [-1, 1)."""
        raw = np.asarray(self._bits.random_raw(rows * columns), np.uint64)
        return ((raw >> np.uint64(40)).astype(np.float32) / np.float32(2**23) - np.float32(1)).reshape(rows, columns)

    def grain(self, side: int, down: int, across: int) -> Plane:
        """Smooth noise (side, side) in [-1, 1) with so many grains down and across."""
        return _between(_between(self.plane(down + 1, across + 1), side).T, side).T


def _between(values: Plane, count: int) -> Plane:
    """Rows between the given ones, ``count`` in all, by a smooth step from each to the next."""
    at = (np.arange(count) * 2 + 1) * (len(values) - 1) / (2 * count)
    first = at.astype(np.int64)
    share = (at - first).astype(np.float32)
    share = (share * share * (3 - 2 * share))[:, None]
    return np.asarray(values[first] + (values[first + 1] - values[first]) * share, np.float32)


def wave(turns: NDArray[np.float64]) -> NDArray[np.float64]:
    """A wave like a sine, of parabolas, in [-1, 1] with the period 1.

    >>> wave(np.array([0.25, 0.625, 0.75])).tolist()
    [1.0, -0.75, -1.0]
    """
    twice = (turns - np.floor(turns)) * 2
    inside = twice - np.floor(twice)
    return np.asarray(np.where(twice < 1, 4, -4) * inside * (1 - inside))


def circle(points: int) -> list[tuple[float, float]]:
    """Points on the unit circle, all around; a multiple of four.

    >>> circle(4)
    [(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)]
    """
    halves = [number / (points // 4) for number in range(points // 4)]
    quarter = [((1 - half * half) / (1 + half * half), 2 * half / (1 + half * half)) for half in halves]
    found = quarter
    for _ in range(3):
        quarter = [(0.0 - y, x) for x, y in quarter]
        found = found + quarter
    return found


def softened(plane: Plane, reach: int) -> Plane:
    """Means over squares of 2 reach + 1 pixels of a plane in [0, 1], twice; exact, by sums of whole numbers."""
    whole = (plane * 255).astype(np.int64)
    for _ in range(2):
        for axis in (0, 1):
            padded = np.pad(whole, [(reach + 1, reach) if each == axis else (0, 0) for each in (0, 1)], mode="edge")
            sums = np.cumsum(padded, axis=axis)
            count = plane.shape[axis]
            window = 2 * reach + 1
            whole = (np.take(sums, range(window, window + count), axis) - np.take(sums, range(count), axis)) // window
    return (whole / 255).astype(np.float32)
