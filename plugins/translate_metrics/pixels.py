"""Pixel metrics of pairs: images (N, C, H, W) in [-1, 1] in float32, not rounded to 8 bits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import kornia
import torch
from torch import Tensor

from translate.errors import TranslateError
from translate_metrics.averages import Average

PAIRS = frozenset({"fake", "target", "pairs"})
WINDOW = 11


class Pairwise(ABC):
    """A distance or similarity of a translation and its target, averaged over the images."""

    needs = PAIRS
    protocol: str
    name: str
    better: ClassVar[Mapping[str, str]]

    def __init__(self) -> None:
        self._average = Average(self.name)

    @abstractmethod
    def compare(self, fake: Tensor, target: Tensor) -> Tensor:
        """Values (N,) of pairs of images."""

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """Compare a batch's translations with its targets."""
        fake, target = batch["fake"].float(), batch["target"].float()
        if fake.shape != target.shape:
            raise TranslateError(
                f"{self.name} compares images of one shape, not {tuple(fake.shape)} and {tuple(target.shape)}; "
                "evaluate on the data's target domain"
            )
        self._average.add(self.compare(fake, target))

    def result(self) -> Mapping[str, float]:
        """The mean over images and its standard error."""
        return self._average.result()

    def per_image(self) -> Mapping[str, Mapping[str, Tensor]]:
        """The value of each translation."""
        return {"fake": {self.name: self._average.each}}


class L1(Pairwise):
    """The mean absolute difference ``E |fake - target|`` of values in [-1, 1]: 0 for equal images, at most 2."""

    name = "l1"
    better: ClassVar[Mapping[str, str]] = {"l1": "lower"}
    protocol = "values in [-1, 1]"

    def compare(self, fake: Tensor, target: Tensor) -> Tensor:
        """The mean absolute differences of pairs."""
        return (fake - target).abs().flatten(1).mean(1)


class PSNR(Pairwise):
    """The peak signal-to-noise ratio ``10 log10(2^2 / E (fake - target)^2)`` in decibels, averaged over images.

    Values in [-1, 1] span a range of 2. For an exactly reproduced image it is infinite, and then so is the mean.
    """

    name = "psnr"
    better: ClassVar[Mapping[str, str]] = {"psnr": "higher"}
    protocol = "dB, data range 2, mean of the images' decibels"

    def compare(self, fake: Tensor, target: Tensor) -> Tensor:
        """The ratios of pairs."""
        return 10 * torch.log10(4 / (fake - target).square().flatten(1).mean(1))


class SSIM(Pairwise):
    """The structural similarity (Wang et al. 2004, doi:10.1109/TIP.2003.819861), averaged over images.

    ``(2 m1 m2 + c1) (2 s12 + c2) / ((m1^2 + m2^2 + c1) (s1^2 + s2^2 + c2))`` with the moments under a Gaussian window
    of 11 x 11 pixels and deviation 1.5, only where the whole window lies in the image; ``c1 = 0.01^2``,
    ``c2 = 0.03^2``. Values are mapped to [0, 1] first, because the formula assumes that none is negative. 1 for equals.
    """

    name = "ssim"
    better: ClassVar[Mapping[str, str]] = {"ssim": "higher"}
    protocol = "Gaussian window 11 x 11, sigma 1.5, within the image; values in [0, 1]; mean of the channels"

    def compare(self, fake: Tensor, target: Tensor) -> Tensor:
        """The similarities of pairs."""
        height, width = fake.shape[-2:]
        if min(height, width) < WINDOW:
            raise TranslateError(
                f"ssim needs sides of at least {WINDOW} pixels, not {height}x{width}; measure larger images, such as "
                "by --at"
            )
        unit = [(images + 1) / 2 for images in (fake, target)]
        similarity: Tensor = kornia.metrics.ssim(*unit, WINDOW, eps=0.0, padding="valid")
        return similarity.flatten(1).mean(1)
