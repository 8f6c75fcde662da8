"""Interval: the detectors that look at a log interval, its terms, gradients and balances, and at what came before."""

from __future__ import annotations

import math
from bisect import insort
from collections import deque
from collections.abc import Collection, Mapping
from statistics import median

from translate.balance import Balance
from translate_guard.detectors import Seen

ADVANTAGE, ACCURACY = 0.88, 0.99
"""A discriminator has won where its advantage and its accuracy are at least these, and its generator gains nothing."""

GAIN, RECENT = 0.2, 10
"""The generator gains where its loss is that share below the median of so many log intervals before."""

LEVEL, FOOLED = 0.02, 0.35
"""It has lost where its advantage is at most ``LEVEL`` at an accuracy of at most 0.55, or its accuracy ``FOOLED``."""

GROWTH, FIRST, LEAST, EARLIER = 100.0, 10.0, 0.01, 20
"""A term explodes beyond ``GROWTH`` times its median (or ``LEAST``) and ``FIRST`` times the most of its first half; it
needs ``EARLIER`` values before."""

VANISHED, NOTHING = 1e-7, 1e-12
"""A gradient has vanished below that share of the median of its player's norms, or below ``NOTHING``."""


class Past:
    """The values of one number at the earlier log intervals: their median, and the most of their first half."""

    def __init__(self) -> None:
        self._sorted: list[float] = []
        self._most: list[float] = []

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, value: float) -> None:
        """Add a value; one that is not finite is left out."""
        if math.isfinite(value):
            insort(self._sorted, value)
            self._most.append(max(value, self._most[-1]) if self._most else value)

    @property
    def median(self) -> float:
        """The (upper) median; there must be a value."""
        return self._sorted[len(self._sorted) // 2]

    @property
    def most_of_first_half(self) -> float:
        """The largest of the older half of the values."""
        return self._most[(len(self._most) - 1) // 2]


class Interval:
    """Looks at log intervals one after the other."""

    def __init__(self) -> None:
        self._terms: dict[str, Past] = {}
        self._norms: dict[str, Past] = {}
        self._generators: dict[str, deque[float]] = {}

    def look(
        self, terms: Mapping[str, float], norms: Mapping[str, float], balances: Mapping[str, Balance]
    ) -> dict[str, Seen]:
        """What is measured at a log interval, by ``detector:subject``; the interval is then one of the past."""
        found: dict[str, Seen] = {}
        for name, balance in balances.items():
            recent = self._generators.setdefault(name, deque(maxlen=RECENT))
            found[f"won:{name}"] = _won(balance, recent)
            found[f"lost:{name}"] = _lost(balance)
            recent.append(balance.generator)
        for name, value in terms.items():
            past = self._terms.setdefault(name, Past())
            if len(past) >= EARLIER:
                found[f"explosion:{name}"] = _explosion(abs(value), past)
            past.add(abs(value))
        for name, norm in norms.items():
            past = self._norms.setdefault(name, Past())
            found[f"gradient:{name}"] = _gradient(norm, past)
            past.add(norm)
        return found


def _won(balance: Balance, recent: Collection[float]) -> Seen:
    advantage = balance.advantage
    usual = median(recent) if recent else balance.generator
    gains = balance.generator < usual - GAIN * abs(usual)
    there = advantage is not None and advantage >= ADVANTAGE and balance.accuracy >= ACCURACY and not gains
    return Seen(balance.accuracy if advantage is None else advantage, there)


def _lost(balance: Balance) -> Seen:
    advantage = balance.advantage
    level = advantage is not None and advantage <= LEVEL and balance.accuracy <= 0.55
    return Seen(balance.accuracy, level or balance.accuracy <= FOOLED)


def _explosion(value: float, past: Past) -> Seen:
    usual = max(past.median, LEAST)
    return Seen(value / usual, value > GROWTH * usual and value > FIRST * past.most_of_first_half)


def _gradient(norm: float, past: Past) -> Seen:
    usual = past.median if past else 0.0
    return Seen(norm, norm < max(NOTHING, VANISHED * usual))
