"""Distances of two sets of samples (n, d), one sample a row: the mathematics, in float64 on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[Any]
"""(n, d): one sample a row."""

BLOCK = 1024
"""Rows of a kernel matrix that are in memory at once."""


class Moments:
    """The mean and covariance of samples that come in parts (Chan et al. 1982, for parts of any size)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: NDArray[np.float64] = np.zeros(0)
        self._scatter: NDArray[np.float64] = np.zeros((0, 0))

    def update(self, samples: Samples) -> Moments:
        """Take samples (n, d)."""
        rows = np.asarray(samples, np.float64)
        if not len(rows):
            return self
        mean = rows.mean(0)
        rows = rows - mean
        if self.count == 0:
            self.mean, self._scatter = np.zeros_like(mean), np.zeros((len(mean), len(mean)))
        apart, total = mean - self.mean, self.count + len(rows)
        self._scatter += rows.T @ rows + np.outer(apart, apart) * (self.count * len(rows) / total)
        self.mean = self.mean + apart * (len(rows) / total)
        self.count = total
        return self

    @property
    def covariance(self) -> NDArray[np.float64]:
        """The unbiased covariance (d, d); of fewer than two samples zeros."""
        return self._scatter / max(self.count - 1, 1)


def frechet(first: Samples, second: Samples) -> float:
    """The squared Frechet distance of two Gaussians with the mean and covariance of the samples (n, d) and (m, d).

    ``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))`` (Dowson & Landau 1982; Heusel et al. 2017, arXiv:1706.08500).
    """
    one, two = Moments().update(first), Moments().update(second)
    return frechet_of_gaussians(one.mean, one.covariance, two.mean, two.covariance)


def frechet_of_gaussians(
    mean1: NDArray[Any], covariance1: NDArray[Any], mean2: NDArray[Any], covariance2: NDArray[Any]
) -> float:
    """The squared Frechet distance of two Gaussians given by means (d,) and covariances (d, d).

    ``tr (S1 S2)^(1/2)`` is taken from the eigenvalues of ``S1^(1/2) S2 S1^(1/2)``, which is symmetric.

    >>> round(frechet_of_gaussians(np.zeros(2), np.eye(2), np.ones(2), 4 * np.eye(2)), 12)
    4.0
    """
    values, vectors = np.linalg.eigh(covariance1)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    between = np.sqrt(np.linalg.eigvalsh(root @ covariance2 @ root).clip(0)).sum()
    return float(((mean1 - mean2) ** 2).sum() + np.trace(covariance1) + np.trace(covariance2) - 2 * between)


def kernel_distance(first: Samples, second: Samples, *, paired: bool) -> tuple[float, float]:
    """The squared maximum mean discrepancy of samples (m, d) and (n, d), unbiased, and its standard error.

    Kernel ``(x . y / d + 1)^3`` (KID: Binkowski et al. 2018, arXiv:1801.01401). Of independent sets: the mean of
    ``k(x_i, x_j)`` over i != j, plus that of ``k(y_i, y_j)``, less twice the mean of ``k(x_i, y_j)`` (Gretton et al.
    2012). Where x_i and y_i belong together, as a translation and its target do, ``paired`` leaves out
    ``k(x_i, y_i)``, which would bias it (Gretton et al. 2008, arXiv:0805.2368). The standard error is the jackknife's:
    the spread of the answers with one sample, or one pair, left out; nan for fewer than three.
    """
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    m, n = len(x), len(y)
    if min(m, n) < 2:
        return float("nan"), float("nan")
    of_x, of_y = _without_itself(x), _without_itself(y)
    by_x, by_y = np.zeros(m), np.zeros(n)
    for start in range(0, m, BLOCK):
        across = _kernel(x[start : start + BLOCK], y)
        if paired:
            across[np.arange(len(across)), start + np.arange(len(across))] = 0
        by_x[start : start + BLOCK] = across.sum(1)
        by_y += across.sum(0)
    within_x, within_y, between = of_x.sum(), of_y.sum(), by_x.sum()
    if paired:
        rows = of_x + of_y - by_x - by_y
        found = rows.sum() / (n * (n - 1))
        left_out = [(rows.sum() - 2 * rows) / ((n - 1) * (n - 2))] if n > 2 else []
    else:
        found = within_x / (m * (m - 1)) + within_y / (n * (n - 1)) - 2 * between / (m * n)
        left_out = []
        if min(m, n) > 2:
            left_out = [
                (within_x - 2 * of_x) / ((m - 1) * (m - 2)) - 2 * (between - by_x) / ((m - 1) * n),
                (within_y - 2 * of_y) / ((n - 1) * (n - 2)) - 2 * (between - by_y) / (m * (n - 1)),
            ]
    if not left_out:
        return float(found), float("nan")
    error = np.sqrt(sum((len(each) - 1) / len(each) * ((each - each.mean()) ** 2).sum() for each in left_out))
    return float(found), float(error)


def _kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    values: NDArray[np.float64] = x @ y.T / x.shape[1] + 1
    return values * values * values  # a power would be several times as slow


def _without_itself(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each sample the sum of the kernel with all others (n,)."""
    sums = np.zeros(len(x))
    for start in range(0, len(x), BLOCK):
        values = _kernel(x[start : start + BLOCK], x)
        values[np.arange(len(values)), start + np.arange(len(values))] = 0
        sums[start : start + BLOCK] = values.sum(1)
    return sums
