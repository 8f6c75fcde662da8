"""The kernel distance of two sets of samples (n, d) and its standard error, in float64 on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[Any]
"""(n, d): one sample per row."""

BLOCK = 1024
"""Rows of a kernel matrix that are held in memory at a time."""

RESAMPLES = 100
"""Resamples that are summed at a time."""

Counts = NDArray[Any]
"""(B, n): how often each sample is drawn in each resample."""

Kernel = Callable[[slice], NDArray[np.float64]]
"""Rows of a kernel matrix."""


def kernel_distance(first: Samples, second: Samples, *, paired: bool) -> tuple[float, float]:
    """The squared maximum mean discrepancy of samples (m, d) and (n, d), unbiased, and its standard error.

    Kernel ``(x . y / d + 1)^3`` (KID: Binkowski et al. 2018, arXiv:1801.01401). For independent sets: the mean of
    ``k(x_i, x_j)`` over i != j, plus that of ``k(y_i, y_j)``, less twice the mean of ``k(x_i, y_j)`` (Gretton et al.
    2012). If x_i and y_i depend on each other, as a translation and its target do, ``paired`` leaves out
    ``k(x_i, y_i)``, which would bias the estimate (Gretton et al. 2008, arXiv:0805.2368).

    The variance estimate is unbiased: ``U^2`` minus the mean of products of kernels without a common sample, which
    estimates ``(E U)^2`` (Sutherland 2019, arXiv:1906.02104). It is the sum of a first-order term, the variance of a
    sample's mean kernel, and a second-order term. For sets of one distribution the first is 0; a jackknife counts the
    second twice, so its standard error is 1.4 times too large. If the estimate is below half of the second-order term,
    that half is used. The error is nan for fewer than four samples.
    """
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if min(len(x), len(y)) < 2:
        return float("nan"), float("nan")
    k = _Centred(x, y)
    if paired:
        pairs = Sums(len(x), len(x), lambda rows: k.pairs(x, y, rows), without_diagonal=True)
        found = pairs.mean
        orders = None if len(x) < 4 else pairs.orders()
    else:
        xx, yy = (Sums(len(z), len(z), lambda rows, z=z: k(z[rows], z), without_diagonal=True) for z in (x, y))  # type: ignore[misc]
        xy = Sums(len(x), len(y), lambda rows: k(x[rows], y))
        found = xx.mean + yy.mean - 2 * xy.mean
        orders = None if min(len(x), len(y)) < 4 else _orders_of_two(xx, yy, xy)
    if orders is None:
        return found, float("nan")
    first_order, second_order = orders
    return found, float(np.sqrt(max(first_order + second_order, second_order / 2, 0.0)))


def resampled_kernel_distance(
    first: Samples, second: Samples, counts: tuple[Counts, Counts], *, paired: bool
) -> NDArray[np.float64]:
    """The squared discrepancy (B,) of samples that are drawn so often, (B, m) and (B, n), in each resample.

    Only kernels of different samples are summed: ``k(x, x)`` of one that is drawn twice would bias the distance.
    """
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    k = _Centred(x, y)
    if paired:
        return weighted_mean(counts[0], counts[0], lambda rows: k.pairs(x, y, rows), without_diagonal=True)
    xx = weighted_mean(counts[0], counts[0], lambda rows: k(x[rows], x), without_diagonal=True)
    yy = weighted_mean(counts[1], counts[1], lambda rows: k(y[rows], y), without_diagonal=True)
    return xx + yy - 2 * weighted_mean(*counts, lambda rows: k(x[rows], y))


def weighted_mean(
    first: Counts, second: Counts, kernel: Kernel, *, without_diagonal: bool = False
) -> NDArray[np.float64]:
    """The means (B,) of a kernel matrix (m, n) with row i and column j counted (B, m) and (B, n) times."""
    total = np.zeros(len(first))
    for start in range(0, first.shape[1], BLOCK):
        rows = slice(start, start + BLOCK)
        values = kernel(rows)
        if without_diagonal:
            values[np.arange(len(values)), start + np.arange(len(values))] = 0
        for begin in range(0, len(first), RESAMPLES):
            some = slice(begin, begin + RESAMPLES)
            left, right = (each[some].astype(np.float64) for each in (first[:, rows], second))
            total[some] += ((left @ values) * right).sum(1)
    pairs = first.sum(1, dtype=np.float64) * second.sum(1, dtype=np.float64)
    if without_diagonal:
        pairs -= np.square(first.astype(np.float64)).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        means: NDArray[np.float64] = total / pairs
    return means


class Sums:
    """The sums of a kernel matrix (m, n) that its U-statistics are made of; optionally without the diagonal."""

    def __init__(self, m: int, n: int, kernel: Kernel, *, without_diagonal: bool = False) -> None:
        self.m, self.n = m, n
        self.rows, self.columns, self.squares = np.zeros(m), np.zeros(n), 0.0
        for start in range(0, m, BLOCK):
            values = kernel(slice(start, start + BLOCK))
            if without_diagonal:
                values[np.arange(len(values)), start + np.arange(len(values))] = 0
            self.rows[start : start + BLOCK] = values.sum(1)
            self.columns += values.sum(0)
            self.squares += float(np.square(values).sum())
        self.total = float(self.rows.sum())
        self.mean = self.total / (m * (n - 1 if without_diagonal else n))

    def moments(self) -> tuple[float, float, float]:
        """The means of k(x_1, x_2)^2, k(x_1, x_2) k(x_1, x_3) and k(x_1, x_2) k(x_3, x_4) over distinct samples."""
        n, total, squares = self.n, self.total, self.squares
        rows = float(np.square(self.rows).sum())
        pairs = n * (n - 1)
        disjoint = (total * total - 4 * rows + 2 * squares) / (pairs * (n - 2) * (n - 3))
        return squares / pairs, (rows - squares) / (pairs * (n - 2)), disjoint

    def orders(self) -> tuple[float, float]:
        """The first- and the second-order term of the variance of the mean."""
        n = self.n
        squares, shared, disjoint = self.moments()
        return 4 / n * (shared - disjoint), 2 / (n * (n - 1)) * (squares - 2 * shared + disjoint)


class _Centred:
    """``k(x, y) - k(x, c) - k(c, y) + k(c, c)`` with c the mean of all samples.

    The distance and its variance are the same as for k, and sums of this kernel suffer less from cancellation.
    """

    def __init__(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        self.centre = np.concatenate([x, y]).mean(0, keepdims=True)
        self.half = _kernel(self.centre, self.centre) / 2

    def __call__(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        values = _kernel(x, y)
        values -= _kernel(x, self.centre) - self.half
        values -= _kernel(self.centre, y) - self.half
        return values

    def pairs(self, x: NDArray[np.float64], y: NDArray[np.float64], rows: slice) -> NDArray[np.float64]:
        """The kernel of two pairs: ``k(x_i, x_j) + k(y_i, y_j) - k(x_i, y_j) - k(x_j, y_i)``, for some i and all j."""
        values = _kernel(x[rows], x)
        values -= _kernel(x[rows], y)
        values += _kernel(y[rows], y)
        values -= _kernel(y[rows], x)
        return values


def _orders_of_two(xx: Sums, yy: Sums, xy: Sums) -> tuple[float, float]:
    """The first- and the second-order term of the variance of the discrepancy of independent sets."""
    m, n = xy.m, xy.n
    by_x, by_y = float(np.square(xy.rows).sum()), float(np.square(xy.columns).sum())
    same_x = (by_x - xy.squares) / (m * n * (n - 1))
    same_y = (by_y - xy.squares) / (m * n * (m - 1))
    disjoint = (xy.total**2 - by_x - by_y + xy.squares) / (m * (m - 1) * n * (n - 1))
    first_order = second_order = 0.0
    for own, across, count, other, shared in ((xx, xy.rows, m, n, same_x), (yy, xy.columns, n, m, same_y)):
        squares, own_shared, own_disjoint = own.moments()
        both = float(own.rows @ across)
        mixed_shared = both / (count * (count - 1) * other)
        mixed_disjoint = (own.total * xy.total - 2 * both) / (count * (count - 1) * (count - 2) * other)
        first_order += (
            4 / count * (own_shared - 2 * mixed_shared + shared - (own_disjoint - 2 * mixed_disjoint + disjoint))
        )
        second_order += 2 / (count * (count - 1)) * (squares - 2 * own_shared + own_disjoint)
    second_order += 4 / (m * n) * (xy.squares / (m * n) - same_x - same_y + disjoint)
    return first_order, second_order


def _kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    values: NDArray[np.float64] = x @ y.T / x.shape[1] + 1
    return values * values * values  # np.power is several times slower
