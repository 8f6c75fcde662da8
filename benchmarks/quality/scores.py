"""Scores of translated photos against real ones as files store them, in 8 bits: distances of pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

Photos = NDArray[np.uint8]
"""(N, H, W, 3)."""


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
