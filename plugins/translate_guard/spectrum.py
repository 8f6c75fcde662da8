"""Spectrum: how much of an image's energy stands out at the frequencies of a network's strides."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

NEIGHBOURS = 4
"""How many bins around a frequency are its surroundings; the nearest two are left out, into which a window leaks."""


def checkerboard(images: Array) -> float:
    """The energy at the periods of 2 and 4 pixels that exceeds what lies around them, over all but the mean.

    ``images`` (N, C, H, W). The power spectrum of the gray images, under a Hann window, is averaged over them. At each
    of the eight frequencies (a, b) with a and b of 0, 1/4 and 1/2 but (0, 0), as strides of 2 leave them (Odena et al.
    2016, doi:10.23915/distill.00003; Durall et al. 2020, arXiv:2003.01826), the energy of the 3 x 3 bins there is held
    against nine times the median of the bins around them. 0 for images of fewer than 16 pixels in height or width.

    >>> waves = np.indices((1, 1, 32, 32)).sum(0).astype(np.float32)
    >>> round(checkerboard(waves % 2), 2), round(checkerboard(np.sin(waves / 5)), 4)
    (1.0, 0.0)
    """
    height, width = images.shape[2:]
    if min(height, width) < 16:
        return 0.0
    gray = images.mean(1)
    window = np.hanning(height + 1)[:-1, None] * np.hanning(width + 1)[:-1]
    weights = window / window.sum()
    centred = gray - (gray * weights).sum((1, 2), keepdims=True)
    power = (np.abs(np.fft.fft2(centred * window)) ** 2).mean(0)
    total = float(power.sum())
    if total <= 1e-6 * window.sum() ** 2:
        return 0.0
    excess = 0.0
    # Frequencies are symmetric: (-1/4, b) is counted as it is, so all of the energy is.
    for down in {0, height // 4, height // 2, -(height // 4)}:
        for across in {0, width // 4, width // 2, -(width // 4)}:
            if not down and not across:
                continue
            excess += _excess(power, down, across)
    return excess / total


def _excess(power: NDArray[np.float64], down: int, across: int) -> float:
    reach = np.arange(-NEIGHBOURS, NEIGHBOURS + 1)
    rows, columns = (down + reach) % power.shape[0], (across + reach) % power.shape[1]
    patch = power[np.ix_(rows, columns)]
    distance = np.maximum(np.abs(reach)[:, None], np.abs(reach))
    around = float(np.median(patch[distance > 2]))
    return max(0.0, float(patch[distance <= 1].sum()) - 9 * around)
