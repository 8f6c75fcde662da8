"""Timing: rivals take turns and are compared pair by pair, so that other load on the machine slows all alike."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times faster one rival is than another: the median of the pairs' ratios, and its 95 % interval."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, theirs: Sequence[float], ours: Sequence[float]) -> Ratio:
        """Compare seconds, pair by pair.

        >>> Ratio.of([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
        Ratio(median=2.0, low=2.0, high=2.0)
        """
        ratios = [their / our for their, our in zip(theirs, ours, strict=True)]
        return cls(statistics.median(ratios), *median_interval(ratios))

    def __str__(self) -> str:
        """The ratio with its interval: ``2.00x (1.90 to 2.10)``."""
        return f"{self.median:.2f}x ({self.low:.2f} to {self.high:.2f})"


def in_turn(
    rivals: Mapping[str, Callable[[], object]],
    rounds: int,
    device: torch.device,
    before: Callable[[str], object] | None = None,
) -> dict[str, list[float]]:
    """The seconds that each rival takes, once per round; the order is reversed from round to round.

    ``before`` is called with a rival's name before its turn, and is not timed.
    """
    found: dict[str, list[float]] = {name: [] for name in rivals}
    # A garbage collection would be charged to the rival that happens to run.
    gc.collect()
    gc.disable()
    try:
        for number in range(rounds):
            for name in list(rivals) if number % 2 == 0 else list(rivals)[::-1]:
                if before is not None:
                    before(name)
                found[name].append(seconds(rivals[name], device))
    finally:
        gc.enable()
    return found


def seconds(action: Callable[[], object], device: torch.device) -> float:
    """How long an action takes in seconds, including its work on the device."""
    _wait(device)
    started = time.perf_counter()
    action()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """A 95 % confidence interval of the median from order statistics: distribution-free, for independent values.

    The ranks are the largest k with P(Binomial(n, 1/2) < k) <= 2.5 %, and its mirror image; the range of few values.

    >>> median_interval(range(1, 101))
    (40, 61)
    """
    ordered, count = sorted(values), len(values)
    below, rank = 0, 0
    while (below + math.comb(count, rank)) * 40 <= 2**count:
        below += math.comb(count, rank)
        rank += 1
    if rank == 0:
        return ordered[0], ordered[-1]
    return ordered[rank - 1], ordered[count - rank]
