"""Learning-rate schedules: pure functions from (step, steps) to a factor in [0, 1] of the learning rate.

``step`` counts from 0; steps after ``steps`` have the factor of ``steps``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

from translate.options import Option

Schedule = Callable[[int, int], float]


def none() -> Schedule:
    """A constant learning rate.

    >>> none()(7, 10)
    1.0
    """
    return lambda _step, _steps: 1.0


def linear(
    *, constant: Annotated[float, Option("share of the training at the full learning rate", ge=0, le=1)] = 0.5
) -> Schedule:
    """Constant first, then linear decay to 0 at ``steps`` (CycleGAN, arXiv:1703.10593, section 4).

    >>> [linear()(step, 8) for step in (0, 4, 6, 8)]
    [1.0, 1.0, 0.5, 0.0]
    """

    def factor(step: int, steps: int) -> float:
        if constant == 1:
            return 1.0
        return min(1.0, (1 - _done(step, steps)) / (1 - constant))

    return factor


def cosine(*, floor: Annotated[float, Option("final factor", ge=0, le=1)] = 0.0) -> Schedule:
    """Cosine decay from 1 to ``floor`` (Loshchilov & Hutter 2017, arXiv:1608.03983, without restarts).

    >>> [round(cosine()(step, 4), 4) for step in range(5)]
    [1.0, 0.8536, 0.5, 0.1464, 0.0]
    """

    def factor(step: int, steps: int) -> float:
        fall = (1 + math.cos(math.pi * _done(step, steps))) / 2
        return floor + (1 - floor) * fall

    return factor


def step(
    *,
    every: Annotated[float, Option("share of the training between two drops", gt=0, le=1)] = 0.25,
    factor: Annotated[float, Option("factor of each drop", ge=0, le=1)] = 0.5,
) -> Schedule:
    """Step decay: multiply by ``factor`` after each share ``every`` of the training.

    >>> [step()(at, 8) for at in (0, 1, 2, 4, 7)]
    [1.0, 1.0, 0.5, 0.25, 0.125]
    """

    def multiplied(step: int, steps: int) -> float:
        # A rounding error of the division must not delay a drop by one step.
        return float(factor ** math.floor(_done(step, steps) / every + 1e-9))

    return multiplied


def _done(step: int, steps: int) -> float:
    """The completed share of the training, in [0, 1]."""
    return min(step / steps, 1.0) if steps > 0 else 0.0
