"""The two-stage generator of StackGAN: a coarse image from a condition and noise, and its refinement."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.errors import TranslateError
from translate.precision import to_float32
from translate.traits import Traits


class Stack(nn.Module):
    """Two stacked generators (Zhang et al. 2017, arXiv:1612.03242), with a source image as the condition.

    Stage I works on the source downsampled by ``reduction``: ``encoder`` maps it to mean and log-variance of the
    condition c, ``decoder`` maps c and ``noise`` channels z of standard normal noise to a coarse image. Stage II,
    ``refiner``, maps the upsampled coarse image and the source to the image.

    Until ``refined`` is set the output is the upsampled coarse image; so a run that was stopped early can already
    translate. ``size`` (height, width) is the training size.
    """

    refined: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        refiner: nn.Module,
        *,
        latent: tuple[int, ...],
        noise: int,
        reduction: int,
        size: tuple[int, int],
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.refiner = encoder, decoder, refiner
        self.latent, self.noise, self.reduction = latent, noise, reduction
        inner = Traits(encoder).size_multiple
        self.size_multiple = math.lcm(reduction * inner, Traits(refiner).size_multiple)
        fixed = [Traits(network).fixed_size for network in (encoder, decoder, refiner)]
        if len(latent) == 1 or any(fixed):
            # A flat latent has no spatial dimensions, so it fits one image size only.
            self.fixed_size = size
        self.register_buffer("refined", torch.zeros((), dtype=torch.bool))

    def shrink(self, image: Tensor) -> Tensor:
        """Downsample an image (N, C, H, W) to the coarse size."""
        return F.avg_pool2d(image, self.reduction)

    def enlarge(self, image: Tensor) -> Tensor:
        """Upsample a coarse image to the full size."""
        height, width = image.shape[-2:]
        full = (height * self.reduction, width * self.reduction)
        return F.interpolate(image, full, mode="bilinear", align_corners=False)

    def describe(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, each (N, *latent) in float32, of the condition of a coarse source."""
        statistics: Tensor = self.encoder(source)
        mean, log_variance = to_float32(statistics).chunk(2, dim=1)
        return mean, log_variance

    def coarse(self, mean: Tensor, log_variance: Tensor, *, noisy: bool) -> Tensor:
        """Stage I's image; without ``noisy`` from the mean condition and zero noise."""
        condition = mean + torch.randn_like(mean) * (0.5 * log_variance).exp() if noisy else mean
        # An exported network takes any batch, which `len` would make a constant.
        shape = (mean.shape[0], self.noise, *mean.shape[2:])
        noise = torch.randn(shape, device=mean.device) if noisy else mean.new_zeros(shape)
        image: Tensor = self.decoder(torch.cat([condition, noise], dim=1))
        return image

    def fine(self, coarse: Tensor, source: Tensor) -> Tensor:
        """Stage II's image, from stage I's image and the source."""
        enlarged = self.enlarge(coarse)
        image: Tensor = self.refiner(torch.cat([enlarged, source.to(enlarged.dtype)], dim=1))
        return image

    def code_of(self, image: Tensor) -> Tensor:
        """The mean of stage I's condition (N, *latent) for images (N, C, H, W)."""
        return self.describe(self.shrink(image))[0]

    def image_of(self, code: Tensor, *, image: Tensor | None = None) -> Tensor:
        """Stage I's image from a condition, without noise; with an ``image`` as the source, stage II's of it."""
        coarse = self.coarse(code, code, noisy=False)
        return self.enlarge(coarse) if image is None or not bool(self.refined) else self.fine(coarse, image)

    def forward(self, image: Tensor, samples: int | None = None) -> Tensor:
        """Translate (N, inputs, H, W) in [-1, 1] to (N, outputs, H, W).

        In evaluation the output is deterministic. With ``samples`` condition and noise are sampled, and the output is
        (N * samples, outputs, H, W), the samples of an image next to each other.
        """
        if samples is not None and samples < 1:
            raise TranslateError(f"stackgan draws 1 sample or more for each image, not {samples}")
        mean, log_variance = self.describe(self.shrink(image))
        if samples is not None and samples > 1:
            mean, log_variance, image = (each.repeat_interleave(samples, dim=0) for each in (mean, log_variance, image))
        coarse = self.coarse(mean, log_variance, noisy=self.training or samples is not None)
        return self.fine(coarse, image) if bool(self.refined) else self.enlarge(coarse)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """``KL(N(mean, variance) || N(0, 1))`` in nats, averaged over all values of all images.

    >>> divergence(torch.tensor([[1.0, -1.0]]), torch.zeros(1, 2))
    tensor(0.5000)
    """
    return (mean.square() + log_variance.exp() - 1 - log_variance).mean() * 0.5


def reduced(size: tuple[int, int], reduction: int) -> tuple[int, int]:
    """The coarse size of training images; refuse sides that ``reduction`` does not divide.

    >>> reduced((64, 128), 4)
    (16, 32)
    """
    if any(side % reduction for side in size):
        raise TranslateError(
            f"stackgan makes coarse images of 1/{reduction} the size first, and {size[0]}x{size[1]} does not divide by "
            f"{reduction}; choose another --size or --reduction"
        )
    return cast(tuple[int, int], tuple(side // reduction for side in size))
