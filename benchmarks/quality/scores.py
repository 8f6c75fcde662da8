"""Scores of translated photos against real ones: distances of pairs, and distances of two sets of features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

Photos = NDArray[np.uint8]
"""(N, H, W, 3)."""

Samples = NDArray[Any]
"""(n, d): one sample a row."""


def l1(fakes: Photos, reals: Photos) -> float:
    """The mean absolute difference of pairs, in units of [0, 255].

    >>> l1(np.zeros((1, 2, 2, 3), np.uint8), np.full((1, 2, 2, 3), 3, np.uint8))
    3.0
    """
    return float(np.abs(fakes.astype(np.int16) - reals).mean())


def psnr(fakes: Photos, reals: Photos) -> float:
    """The mean over pairs of ``10 log10(255^2 / mean squared difference)``, in decibels."""
    pairs = zip(reals, fakes, strict=True)
    return float(np.mean([peak_signal_noise_ratio(real, fake, data_range=255) for real, fake in pairs]))


def ssim(fakes: Photos, reals: Photos) -> float:
    """The mean over pairs of the structural similarity (Wang et al. 2004), 7 x 7 windows, mean of the channels."""
    pairs = zip(reals, fakes, strict=True)
    return float(np.mean([structural_similarity(real, fake, channel_axis=2, data_range=255) for real, fake in pairs]))


def frechet(first: Samples, second: Samples) -> float:
    """The squared Frechet distance of two Gaussians with the mean and covariance of the samples (n, d) and (m, d).

    ``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))`` (Dowson & Landau 1982; Heusel et al. 2017, arXiv:1706.08500).
    """
    return frechet_of_gaussians(*moments(first), *moments(second))


def moments(samples: Samples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (d,) and unbiased covariance (d, d) of samples (n, d)."""
    rows = np.asarray(samples, np.float64)
    return rows.mean(0), np.atleast_2d(np.cov(rows, rowvar=False))


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


def kernel_distance(first: Samples, second: Samples) -> tuple[float, float]:
    """The squared maximum mean discrepancy of paired samples (n, d), unbiased, and its standard error.

    Kernel ``(x . y / d + 1)^3`` (KID: Binkowski et al. 2018, arXiv:1801.01401); estimator ``1 / (n (n - 1))`` times the
    sum over i != j of ``k(x_i, x_j) + k(y_i, y_j) - k(x_i, y_j) - k(x_j, y_i)`` (Gretton et al. 2008, arXiv:0805.2368),
    which stays unbiased where x_i and y_i belong together, as a translation and its photo do. The standard error is the
    jackknife's: the spread of the answers with one pair left out.
    """
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    count, width = x.shape
    across = (x @ y.T / width + 1) ** 3
    terms = (x @ x.T / width + 1) ** 3 + (y @ y.T / width + 1) ** 3 - across - across.T
    np.fill_diagonal(terms, 0)
    total, rows = terms.sum(), terms.sum(1)
    without = (total - 2 * rows) / ((count - 1) * (count - 2))
    error = np.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum())
    return float(total / (count * (count - 1))), float(error)
