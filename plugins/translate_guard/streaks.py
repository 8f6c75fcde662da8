"""Streaks: how long a sign has been there, so that a warning comes once, and not for a moment's sake."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a sign must be there, or be gone: in so many looks in a row, over so many steps, and that share of all.

    >>> Patience(rows=10, steps=100, share=0.1).steps_of(50_000)
    5000.0
    """

    rows: int
    steps: int = 0
    share: float = 0.0

    def steps_of(self, steps: int) -> float:
        """The steps between the first and the last of the looks in a training of ``steps``."""
        return max(self.steps, self.share * steps)


class Streak:
    """Counts the looks in a row at which one sign was there, or was not; ``warned`` after a warning until it went."""

    def __init__(self) -> None:
        self.warned = False
        self._sign = False
        self._rows = 0
        self._first = 0

    def add(self, sign: bool, step: int, steps: int, patience: Patience) -> int | None:
        """Count a look; return for how many steps the sign has been there if that is to be told now.

        >>> streak = Streak()
        >>> [streak.add(sign, step, 100, Patience(rows=2)) for step, sign in enumerate([True, True, True, False, True])]
        [None, 1, None, None, None]
        """
        if sign != self._sign or not self._rows:
            self._sign, self._rows, self._first = sign, 0, step
        self._rows += 1
        lasted = step - self._first
        if self._rows < patience.rows or lasted < patience.steps_of(steps):
            return None
        if not sign:
            self.warned = False
            return None
        if self.warned:
            return None
        self.warned = True
        return lasted
