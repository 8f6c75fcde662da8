"""Estimate: how long a training will take, from its first steps."""

from __future__ import annotations

import time
from collections.abc import Callable

STEPS, SECONDS = 5, 5.0
"""The fewest steps and seconds that are measured; the first step, which is slow, is none of them."""


class Estimate:
    """Measures the steps of a run until it can say how long the rest takes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: tuple[int, float] | None = None

    def seconds_left(self, step: int, steps: int) -> float | None:
        """The seconds that the rest of ``steps`` takes, once enough steps are measured."""
        now = self._clock()
        if self._first is None:
            self._first = step, now
        done, passed = step - self._first[0], now - self._first[1]
        return passed / done * (steps - step) if done >= STEPS and passed >= SECONDS else None
