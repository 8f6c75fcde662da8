"""Multi-scale structural similarity of pairs of images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from translate.errors import TranslateError
from translate_metrics.pixels import WINDOW, Pairwise

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""The exponents of the scales, from fine to coarse (Wang et al. 2003)."""

SMALLEST = (WINDOW - 1) * 2 ** (len(WEIGHTS) - 1) + 1
"""The smallest side: one on which the window fits at the coarsest scale."""

SIGMA = 1.5


class MSSSIM(Pairwise):
    """The multi-scale structural similarity (Wang et al. 2003, doi:10.1109/ACSSC.2003.1292216), averaged over images.

    The product of the contrast and structure of five scales, each the mean over its positions, and of the luminance of
    the coarsest, with the exponents 0.0448, 0.2856, 0.3001, 0.2363 and 0.1333. A scale is the mean of 2 x 2 pixels of
    the one before. Window and constants are those of ``ssim``. A scale whose mean is below 0 counts as 0, since it has
    no power. Sides of at least 161 pixels; 1 for equal images.
    """

    name = "ms_ssim"
    better = {"ms_ssim": "higher"}  # noqa: RUF012 - as the other metrics of pairs have it
    protocol = (
        "Gaussian window 11 x 11, sigma 1.5, within the image; five scales, exponents of Wang et al. 2003; values in "
        "[0, 1]; mean of the channels"
    )

    def compare(self, fake: Tensor, target: Tensor) -> Tensor:
        """The similarities of pairs."""
        height, width = fake.shape[-2:]
        if min(height, width) < SMALLEST:
            raise TranslateError(
                f"ms_ssim needs sides of at least {SMALLEST} pixels for its five scales, not {height}x{width}; use "
                "ssim, or measure larger images, such as by --at"
            )
        one, two = ((images.double() + 1) / 2 for images in (fake, target))
        found = torch.ones(fake.shape[:2], dtype=one.dtype, device=one.device)
        for scale, weight in enumerate(WEIGHTS):
            if scale:
                one, two = _half(one), _half(two)
            luminance, contrast = _terms(one, two)
            each = contrast * luminance if scale == len(WEIGHTS) - 1 else contrast
            found = found * each.mean((2, 3)).clamp(min=0) ** weight
        return found.mean(1)


def _half(images: Tensor) -> Tensor:
    """The mean of 2 x 2 pixels; of an odd side the last pixel is taken twice."""
    height, width = images.shape[-2:]
    return F.avg_pool2d(F.pad(images, (0, width % 2, 0, height % 2), mode="replicate"), 2)


def _terms(one: Tensor, two: Tensor) -> tuple[Tensor, Tensor]:
    """The luminance term, and that of contrast and structure, (N, C, h, w) each."""
    c1, c2 = 0.01**2, 0.03**2
    mean1, mean2 = _blurred(one), _blurred(two)
    variance1, variance2 = _blurred(one * one) - mean1**2, _blurred(two * two) - mean2**2
    covariance = _blurred(one * two) - mean1 * mean2
    luminance = (2 * mean1 * mean2 + c1) / (mean1**2 + mean2**2 + c1)
    return luminance, (2 * covariance + c2) / (variance1 + variance2 + c2)


def _blurred(images: Tensor) -> Tensor:
    """Means under the Gaussian window, where all of it lies in the image."""
    distance = torch.arange(WINDOW, dtype=images.dtype, device=images.device) - WINDOW // 2
    line = torch.exp(-(distance**2) / (2 * SIGMA**2))
    line = (line / line.sum()).expand(images.shape[1], 1, 1, WINDOW)
    across = F.conv2d(images, line, groups=images.shape[1])
    return F.conv2d(across, line.transpose(2, 3), groups=images.shape[1])
