"""The process between two images: its mean and its variance at each time, what is predicted of it, and its reversal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor

Diffusion = Literal["symmetric", "constant"]
Prediction = Literal["scaled", "difference", "velocity", "target"]
Time = TypeVar("Time", float, Tensor)

LOWEST = 0.1
"""I2SB's diffusion coefficient at both ends."""


@dataclass(frozen=True, slots=True)
class Process:
    """A Brownian bridge from a target x_0 at time 0 to a source x_1 at time 1, by its diffusion coefficient beta(t).

    With ``V = int_0^1 beta`` and the share ``w(t) = int_0^t beta / V``::

        q(x_t | x_0, x_1) = N((1 - w) x_0 + w x_1,  V w (1 - w) I)

    ``constant``: beta is ``highest`` and w = t (BBDM, Li et al. 2023, arXiv:2205.07680, equations 5 and 6: m_t = t / T,
    ``V = 2 s``). ``symmetric``: sqrt(beta) rises linearly to that of ``highest`` at t = 1/2 and falls again, from and
    to that of 0.1, or of a third of ``highest`` where that is less (I2SB, Liu et al. 2023, arXiv:2302.05872, equation
    11: ``w = sigma^2 / (sigma^2 + sigma_bar^2)``). Where ``highest`` is 0, nothing is drawn, and x_t lies on the
    straight line between both images.

    >>> bridge = Process("constant", 2.0)
    >>> bridge.share(0.25), bridge.variance(0.25)
    (0.25, 0.375)
    """

    diffusion: Diffusion
    highest: float

    @property
    def total(self) -> float:
        """V, the variance of the Brownian motion from 0 to 1."""
        if self.diffusion == "constant":
            return self.highest
        end = self._end
        return self.highest * (end * end + end + 1) / 3

    @property
    def _end(self) -> float:
        """The square root of beta at both ends, of which that in the middle is 1."""
        third = math.sqrt(1 / 3)
        return min(third, math.sqrt(LOWEST / self.highest)) if self.highest else third

    def share(self, time: Time) -> Time:
        """w at times in [0, 1]: how much of the source there is in the mean."""
        if self.diffusion == "constant":
            return time
        end = self._end
        if isinstance(time, Tensor):
            early = _area(torch.minimum(time, 1 - time), end)
            return torch.where(time < 0.5, early, 1 - early)
        early = _area(min(time, 1 - time), end)
        return early if time < 0.5 else 1 - early

    def variance(self, share: Time) -> Time:
        """The variance of x_t where the share is w."""
        return share * (1 - share) * self.total

    def between(self, share: Tensor, target: Tensor, source: Tensor, noise: Tensor | None) -> Tensor:
        """x_t for shares (N, 1, 1, 1), images (N, C, H, W) and standard normal noise; its mean without noise."""
        mean = torch.lerp(target, source, share)
        return mean if noise is None else mean + self.variance(share).sqrt() * noise

    def predicted(
        self, prediction: Prediction, share: Tensor, target: Tensor, source: Tensor, noise: Tensor | None
    ) -> Tensor:
        """What a denoiser should answer for ``between`` the same; nothing is divided by the noise of small times.

        ``scaled`` is I2SB's ``(x_t - x_0) / sigma_t`` with sigma_t^2 = V w (equation 12), ``difference`` BBDM's ``x_t -
        x_0`` (equation 11), ``velocity`` is ``x_1 - x_0`` (rectified flow, Liu et al. 2022, arXiv:2209.03003, equation
        1), and ``target`` is x_0.
        """
        if prediction == "target":
            return target
        if prediction == "velocity":
            return source - target
        if prediction == "difference":
            return self.between(share, target, source, noise) - target
        scaled = (share / self.total).sqrt() * (source - target)
        return scaled if noise is None else scaled + (1 - share).sqrt() * noise

    def target(self, prediction: Prediction, share: float, x: Tensor, answer: Tensor) -> Tensor:
        """The x_0 that a denoiser's answer for x_t tells."""
        if prediction == "target":
            return answer
        factors = {"scaled": math.sqrt(self.total * share), "velocity": share, "difference": 1.0}
        return x - factors[prediction] * answer

    def step(
        self, x: Tensor, target: Tensor, source: Tensor, shares: tuple[float, float], noise: Tensor | None
    ) -> Tensor:
        """x_s of an earlier time from x_t and the x_0 that it tells, where the shares are w_t and w_s.

        Without noise it is the mean of x_s given x_0 and x_t, ``x_0 + (w_s / w_t) (x_t - x_0)``: I2SB's reversal
        without its noise, which is Euler's step along the straight line (rectified flow). With noise::

            x_s = m_s + sqrt(v_s) noise                    from the source, where v_t is 0
            x_s = m_s + sqrt(v_s / v_t) (x_t - m_t)        later

        m and v are mean and variance of the bridge between x_0 and x_1. So noise is drawn once and kept (Diffusion
        Bridge Implicit Models, Zheng et al. 2024, arXiv:2405.15885, section 3.2), and each x_s has the bridge's
        distribution, as if it were drawn anew in each step.
        """
        now, later = shares
        if noise is None:
            return torch.lerp(target, x, later / now)
        mean = torch.lerp(target, source, later)
        if now == 1:
            return mean + math.sqrt(self.variance(later)) * noise
        kept = math.sqrt(self.variance(later) / self.variance(now))
        return mean + kept * (x - torch.lerp(target, source, now))


def _area(time: Time, end: float) -> Time:
    """The share of beta's integral from 0 to a time of at most 1/2, where sqrt(beta) rises from ``end`` to 1."""
    return ((end + 2 * (1 - end) * time) ** 3 - end**3) / (2 * (1 - end**3))
