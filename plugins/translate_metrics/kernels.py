"""Kernel discrepancies of two sets of samples (n, d), their standard errors and resamples, in float64 on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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

Rows = Callable[[slice], NDArray[np.float64]]
"""Some rows of a kernel matrix."""

Kernel = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""A symmetric kernel of samples (m, d) and (n, d): (m, n)."""


def kernel_distance(first: Samples, second: Samples, *, paired: bool) -> tuple[float, float]:
    """The discrepancy of KID (Binkowski et al. 2018, arXiv:1801.01401), kernel ``(x . y / d + 1)^3``, and its error.

    Both are nan for fewer than two samples, and the error for fewer than four.
    """
    if min(len(first), len(second)) < 2:
        return float("nan"), float("nan")
    found = cubic_discrepancy(first, second, paired=paired)
    return found.value, found.error


def cubic_discrepancy(first: Samples, second: Samples, *, paired: bool) -> Discrepancy:
    """The discrepancy by the cubic kernel of KID of samples (m, d) and (n, d)."""
    return Discrepancy(np.asarray(first, np.float64), np.asarray(second, np.float64), cubic, paired=paired)


class Discrepancy:
    """The squared maximum mean discrepancy of samples (m, d) and (n, d), unbiased, with its standard error.

    ``value``, for independent sets: the mean of ``k(x_i, x_j)`` over i != j, plus that of ``k(y_i, y_j)``, less twice
    the mean of ``k(x_i, y_j)`` (Gretton et al. 2012). If x_i and y_i depend on each other, as a translation and its
    target do, ``paired`` leaves out ``k(x_i, y_i)``, which would bias the estimate (Gretton et al. 2008,
    arXiv:0805.2368).

    The variance estimate is unbiased: ``U^2`` minus the mean of products of kernels without a common sample, which
    estimates ``(E U)^2`` (Sutherland 2019, arXiv:1906.02104). It is the sum of a first-order term, the variance of a
    sample's mean kernel, and a second-order term. For sets of one distribution the first is 0; a jackknife counts the
    second twice, so its standard error is 1.4 times too large. If the estimate is below half of the second-order term,
    that half is used. ``error`` is nan for fewer than four samples.
    """

    def __init__(self, x: NDArray[np.float64], y: NDArray[np.float64], kernel: Kernel, *, paired: bool) -> None:
        m, n = len(x), len(y)
        kernel = _centred(kernel, np.concatenate([x, y]).mean(0, keepdims=True))
        orders: tuple[float, float] | None = None
        if paired:
            pairs: Rows = lambda rows: (  # noqa: E731
                kernel(x[rows], x) + kernel(y[rows], y) - kernel(x[rows], y) - kernel(y[rows], x)
            )
            both = Sums(m, m, pairs, without_diagonal=True)
            self.value = both.mean
            self._linear = {0: both.effects}
            self._forms = [_Form(0, 0, pairs, 1.0, both)]
            orders = both.orders() if m >= 4 else None
        else:
            within: list[Rows] = [lambda rows, z=z: kernel(z[rows], z) for z in (x, y)]  # type: ignore[misc]
            across: Rows = lambda rows: kernel(x[rows], y)  # noqa: E731
            xx, yy = (Sums(len(z), len(z), each, without_diagonal=True) for z, each in zip((x, y), within, strict=True))
            xy = Sums(m, n, across)
            self.value = xx.mean + yy.mean - 2 * xy.mean
            self._linear = {0: xx.effects - (xy.rows / n - xy.mean), 1: yy.effects - (xy.columns / m - xy.mean)}
            self._forms = [
                _Form(0, 0, within[0], 1.0, xx),
                _Form(1, 1, within[1], 1.0, yy),
                _Form(0, 1, across, -2.0, xy),
            ]
            orders = _orders_of_two(xx, yy, xy) if min(m, n) >= 4 else None
        self._variances: tuple[float, float] | None = None
        self.error = float("nan")
        if orders is not None:
            first, second = orders
            total = max(first + second, second / 2, 0.0)
            self._variances = min(max(first, 0.0), total), total - min(max(first, 0.0), total)
            self.error = float(np.sqrt(total))

    def resampled(self, counts: tuple[Counts, Counts]) -> NDArray[np.float64]:
        """The discrepancies (B,) where samples are drawn so often, (B, m) and (B, n).

        A resample has two parts: what each sample adds to all of its pairs, its effect, and what is left of the pairs.
        Effects are estimates, whose noise a resample takes for differences of the samples: for sets of one
        distribution, of which all effects are 0, that makes the variance of the sum three times too large. So each part
        is given the variance that the unbiased estimate has for it, and the draws lie as far apart as ``error`` says.
        """
        linear = np.zeros(len(counts[0]))
        for side, effects in self._linear.items():
            deviations = _deviations(counts[side])
            linear += 2 * deviations @ effects / len(effects)
        quadratic = np.zeros(len(linear))
        for form in self._forms:
            quadratic += form.of(counts)
        if self._variances is not None:
            linear, quadratic = (
                _scaled(part, variance) for part, variance in zip((linear, quadratic), self._variances, strict=True)
            )
        draws: NDArray[np.float64] = self.value + linear + quadratic
        return draws


def mean_of(kernel: Kernel, x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """The mean of a kernel over all pairs of samples (m, d) and (n, d)."""
    return Sums(len(x), len(y), lambda rows: kernel(x[rows], y)).mean


def _deviations(counts: Counts) -> NDArray[np.float64]:
    """By how much each sample is drawn more often than once, (B, n), each row with the sum 0."""
    drawn = counts.astype(np.float64)
    deviations: NDArray[np.float64] = drawn * (drawn.shape[1] / np.maximum(drawn.sum(1, keepdims=True), 1)) - 1
    return deviations


def _scaled(draws: NDArray[np.float64], variance: float) -> NDArray[np.float64]:
    """Draws with this variance about 0, if they have any."""
    found = float(np.square(draws).mean())
    return draws * np.sqrt(variance / found) if found > 0 else draws


@dataclass(frozen=True, slots=True, eq=False)
class _Form:
    """What pairs of samples add to a discrepancy: ``weight`` times the mean of their kernel, less the samples' effects.

    ``first`` and ``second`` say of which of the two sets they are.
    """

    first: int
    second: int
    rows: Rows
    weight: float
    sums: Sums

    def of(self, counts: tuple[Counts, Counts]) -> NDArray[np.float64]:
        """The sums over pairs of different samples of the products of deviations and kernel, (B,)."""
        one, two, same = counts[self.first], counts[self.second], self.first == self.second
        found = np.zeros(len(one))
        for start in range(0, one.shape[1], BLOCK):
            values = self.rows(slice(start, start + BLOCK))
            if same:
                values[np.arange(len(values)), start + np.arange(len(values))] = 0
            for begin in range(0, len(one), RESAMPLES):
                some = slice(begin, begin + RESAMPLES)
                left = _deviations(one[some])
                right = left if same else _deviations(two[some])
                found[some] += ((left[:, start : start + BLOCK] @ values) * right).sum(1)
        if same:
            # Without the diagonal what is left of a kernel's mean and of its samples' effects does not add up to 0.
            for begin in range(0, len(one), RESAMPLES):
                some = slice(begin, begin + RESAMPLES)
                found[some] += np.square(_deviations(one[some])) @ (2 * self.sums.effects + self.sums.mean)
        return self.weight * found / self.sums.pairs


class Sums:
    """The sums of a kernel matrix (m, n) that its U-statistics are made of; optionally without the diagonal."""

    # Sums of values that no image has may be infinite; then so are the scores.
    @np.errstate(over="ignore", invalid="ignore")
    def __init__(self, m: int, n: int, kernel: Rows, *, without_diagonal: bool = False) -> None:
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
        self.pairs = m * (n - 1 if without_diagonal else n)
        self.mean = self.total / self.pairs

    @property
    def effects(self) -> NDArray[np.float64]:
        """Of a matrix (n, n) without diagonal, the a_i (n,) of ``k_ij = mean + a_i + a_j + rest``.

        The rest adds up to 0 in each row.
        """
        effects: NDArray[np.float64] = (self.rows - self.mean * (self.n - 1)) / max(self.n - 2, 1)
        return effects

    @np.errstate(over="ignore", invalid="ignore")
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


def _centred(kernel: Kernel, centre: NDArray[np.float64]) -> Kernel:
    """``k(x, y) - k(x, c) - k(c, y) + k(c, c)`` with c (1, d) the mean of all samples.

    A discrepancy and its variance are the same as for k, and sums of this kernel suffer less from cancellation.
    """
    half = kernel(centre, centre) / 2

    def centred(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        values = kernel(x, y)
        values -= kernel(x, centre) - half
        values -= kernel(centre, y) - half
        return values

    return centred


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


def cubic(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """The kernel ``(x . y / d + 1)^3`` of KID."""
    values: NDArray[np.float64] = x @ y.T / x.shape[1] + 1
    return values * values * values  # np.power is several times slower
