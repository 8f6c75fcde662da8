"""Intervals: at which steps samples and checkpoints are due, the early ones included."""

from __future__ import annotations

SHARE = 10
"""Where no interval is asked for, it is this part of all steps."""


def interval_of(asked: int | None, steps: int) -> int:
    """The steps between two samples or checkpoints: what was asked for, or a tenth of all."""
    return asked or max(1, steps // SHARE)


def is_early(step: int, every: int) -> bool:
    """Whether a step is 1, 10, 100 ... and comes before the first regular one.

    >>> [step for step in range(2001) if is_early(step, 1000)]
    [1, 10, 100]
    """
    return 0 < step < every and step == 10 ** (len(str(step)) - 1)


def is_due(step: int, every: int) -> bool:
    """Whether samples or a checkpoint are due after ``step`` steps: regularly, or early.

    >>> [step for step in range(31) if is_due(step, 15)]
    [1, 10, 15, 30]
    """
    return (step > 0 and step % every == 0) or is_early(step, every)


def outdated(steps: list[int], every: int, keep: int) -> list[int]:
    """Which checkpoints go, of those of these ascending ``steps``: all regular ones but the last ``keep``.

    An early one goes as soon as any newer one is there.

    >>> outdated([10, 100], 1000, keep=2), outdated([100, 1000], 1000, keep=2), outdated([500, 1000], 500, keep=1)
    ([10], [100], [500])
    """
    early = [step for step in steps[:-1] if is_early(step, every)]
    regular = [step for step in steps if step not in early]
    return sorted([*early, *regular[:-keep]])


NORM_STEPS = 7
"""How often the norms of gradients are taken at most; a prime, so that no period of the updates hides a player."""


def norms_are_due(step: int, log_every: int) -> bool:
    """Whether a log interval that ends at ``step`` is the first of ``NORM_STEPS`` steps.

    To read all gradients in each step would cost 1 % of it.

    >>> [step for step in range(1, 22) if norms_are_due(step, 1)], [norms_are_due(step, 10) for step in (10, 20)]
    ([7, 14, 21], [True, True])
    """
    return step % NORM_STEPS < log_every
