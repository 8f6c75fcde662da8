"""Frechet distance of two sets of samples (n, d), one sample per row, in float64 on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[Any]
"""(n, d): one sample a row."""


class Moments:
    """Running mean and covariance of samples that come in batches of any size (Chan et al. 1982)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: NDArray[np.float64] = np.zeros(0)
        self._scatter: NDArray[np.float64] = np.zeros((0, 0))
        self._kept: list[NDArray[np.float64]] = []

    def update(self, samples: Samples) -> Moments:
        """Add samples (n, d)."""
        rows = np.asarray(samples, np.float64)
        if not len(rows):
            return self
        # Of fewer samples than features the samples themselves are kept, which is a smaller factor.
        self._kept = [*self._kept, rows] if self.count + len(rows) < rows.shape[1] else []
        mean = rows.mean(0)
        rows = rows - mean
        if self.count == 0:
            self.mean, self._scatter = np.zeros_like(mean), np.zeros((len(mean), len(mean)))
        shift, total = mean - self.mean, self.count + len(rows)
        self._scatter += rows.T @ rows + np.outer(shift, shift) * (self.count * len(rows) / total)
        self.mean = self.mean + shift * (len(rows) / total)
        self.count = total
        return self

    @property
    def covariance(self) -> NDArray[np.float64]:
        """The unbiased covariance (d, d); zeros for fewer than two samples."""
        return self._scatter / max(self.count - 1, 1)

    @property
    def factor(self) -> NDArray[np.float64]:
        """A with ``A A'`` the covariance (d, d): (d, d), or with fewer columns if the covariance is singular."""
        if not self._kept:
            return _factor(self.covariance)
        factor: NDArray[np.float64] = (np.concatenate(self._kept) - self.mean).T / max(self.count - 1, 1) ** 0.5
        return factor


def frechet(first: Samples, second: Samples) -> float:
    """The squared Frechet distance of two Gaussians with the mean and covariance of the samples (n, d) and (m, d).

    ``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))`` (Dowson & Landau 1982; Heusel et al. 2017, arXiv:1706.08500).
    """
    one, two = Moments().update(first), Moments().update(second)
    return frechet_of_factors(one.mean, one.factor, two.mean, two.factor)


def weighted_factor(samples: Samples, weights: Samples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean (d,) of samples (n, d) that are there so often each (n,), and A with ``A A'`` their unbiased covariance.

    >>> weighted_factor(np.array([[0.0], [3.0]]), np.array([2, 1]))
    (array([1.]), array([[1.73...]]))
    """
    there = weights > 0
    rows, times = np.asarray(samples[there], np.float64), np.asarray(weights[there], np.float64)
    total = times.sum()
    mean = times @ rows / total
    rows = (rows - mean) * np.sqrt(times / max(total - 1, 1))[:, None]
    # Of fewer samples than features the samples themselves are the smaller factor.
    return mean, rows.T if len(rows) < rows.shape[1] else _factor(rows.T @ rows)


def frechet_of_gaussians(
    mean1: NDArray[Any], covariance1: NDArray[Any], mean2: NDArray[Any], covariance2: NDArray[Any]
) -> float:
    """The squared Frechet distance of two Gaussians given by means (d,) and covariances (d, d).

    >>> round(frechet_of_gaussians(np.zeros(2), np.eye(2), np.ones(2), 4 * np.eye(2)), 12)
    4.0
    """
    return frechet_of_factors(mean1, _factor(covariance1), mean2, _factor(covariance2))


def frechet_of_factors(
    mean1: NDArray[Any], factor1: NDArray[np.float64], mean2: NDArray[Any], factor2: NDArray[np.float64]
) -> float:
    """The squared Frechet distance of Gaussians with means (d,) and covariances ``A A'`` and ``B B'``.

    A is (d, k) and B (d, l). ``tr (S1 S2)^(1/2)`` is the sum of the singular values of ``A' B``. That is more accurate
    than square roots of the eigenvalues of ``S1 S2``, where a rounding error of 1e-16 becomes 1e-8. A result below 0 by
    rounding, possible for equal sets, is clamped to 0.
    """
    between = np.linalg.svd(factor1.T @ factor2, compute_uv=False).sum()
    spread = np.square(factor1).sum() + np.square(factor2).sum() - 2 * between
    return float(((mean1 - mean2) ** 2).sum() + max(spread, 0.0))


def _factor(covariance: NDArray[Any]) -> NDArray[np.float64]:
    """A with ``A A' = covariance`` (d, d): the Cholesky factor, or one with fewer columns if singular."""
    try:
        lower: NDArray[np.float64] = np.linalg.cholesky(np.asarray(covariance, np.float64))
        return lower
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        positive = values > values[-1].clip(0) * len(values) * np.finfo(np.float64).eps
        root: NDArray[np.float64] = vectors[:, positive] * np.sqrt(values[positive])
        return root
