"""The Gaussian latent of variational autoencoders: KL divergence, reparameterization, translator and sampler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from translate.errors import TranslateError
from translate.precision import to_float32
from translate.traits import Traits


def split(statistics: Tensor) -> tuple[Tensor, Tensor]:
    """Split an encoder's output (N, 2 C, ...) into mean and log-variance, in float32 at least.

    The log-variance is softly limited to (-14, 14), because an untrained encoder could exceed that range.
    """
    wide = to_float32(statistics)
    mean, log_variance = wide.chunk(2, dim=1)
    return mean, 14 * torch.tanh(log_variance / 14)


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """``KL(N(mean, var) || N(0, 1)) = sum(mean^2 + var - log var - 1) / 2`` in nats per image, averaged over the batch.

    >>> import torch
    >>> float(kl_divergence(torch.tensor([[2.0], [0.0]]), torch.zeros(2, 1)))
    1.0
    """
    return divergences(mean, log_variance).mean()


def divergences(mean: Tensor, log_variance: Tensor) -> Tensor:
    """``KL(N(mean, var) || N(0, 1))`` of each image (N,) in nats."""
    each = mean.square() + log_variance.exp() - log_variance - 1
    return each.flatten(1).sum(1) / 2


def reparameterize(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Sample ``mean + sqrt(var) * noise``, differentiable in both arguments (Kingma & Welling 2013, section 2.4)."""
    return mean + torch.exp(log_variance / 2) * torch.randn_like(mean)


class Mean(nn.Module):
    """An encoder as a feature extractor: the mean of the code."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image: Tensor) -> Tensor:
        """Features (N, *latent) of images (N, C, H, W)."""
        return split(self.encoder(image))[0]


class ThroughLatent(nn.Module):
    """An encoder followed by a decoder, of the same domain or of another that shares the latent.

    ``encodes`` is the domain of its images, where the direction does not say it.
    """

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, encodes: Literal["source", "target"] | None = None
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.encodes = encodes
        inner = Traits(encoder)
        self.size_multiple, self.fixed_size = inner.size_multiple, inner.fixed_size

    def forward(self, image: Tensor, samples: int | None = None) -> Tensor:
        """Decode (N, C, H, W) from the code's mean, or from ``samples`` random codes for each image."""
        if samples is not None and samples < 1:
            raise TranslateError(f"an autoencoder draws 1 sample or more for each image, not {samples}")
        mean, log_variance = split(self.encoder(image))
        if samples is not None:
            mean = reparameterize(
                mean.repeat_interleave(samples, dim=0), log_variance.repeat_interleave(samples, dim=0)
            )
        output: Tensor = self.decoder(mean)
        return output

    @property
    def feature_extractor(self) -> nn.Module:
        """The encoder, as one from images to the mean of their codes."""
        return Mean(self.encoder)

    def code_of(self, image: Tensor) -> Tensor:
        """The mean of the codes (N, *latent) of images (N, C, H, W)."""
        return split(self.encoder(image))[0]

    def image_of(self, code: Tensor) -> Tensor:
        """Decode codes (N, *latent)."""
        image: Tensor = self.decoder(code)
        return image

    def named_codes(self, image: Tensor) -> dict[str, Tensor]:
        """The mean and the log-variance of the codes of images (N, C, H, W), each (N, *latent)."""
        mean, log_variance = split(self.encoder(image))
        return {"mean": mean, "log_variance": log_variance}


class Autoencoder(ThroughLatent):
    """An encoder and a decoder of one domain; ``likelihood`` is the one that it is trained by, if it has one.

    ``likelihood(rebuilt, image)`` gives ``-log p(x|z)`` (N,) in nats.
    """

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, likelihood: Callable[[Tensor, Tensor], Tensor] | None = None
    ) -> None:
        super().__init__(encoder, decoder, encodes="target")
        self.noise = Traits(encoder).latent
        self.negative_log_likelihood = likelihood

    def variational_pass(self, image: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The KL divergence (N,) of the codes of images (N, C, H, W) in nats, and an image from one code each."""
        mean, log_variance = split(self.encoder(image))
        return divergences(mean, log_variance), self.decoder(mean + torch.exp(log_variance / 2) * noise)


class PriorSampler(nn.Module):
    """A decoder as a sampler of codes from the prior; ``domain`` is the domain of its images."""

    def __init__(self, decoder: nn.Module, latent: tuple[int, ...], domain: str) -> None:
        super().__init__()
        self.decoder = decoder
        self.noise = latent
        self.domain = domain

    def forward(self, noise: Tensor) -> Tensor:
        """Decode standard normal noise (N, *latent) to images."""
        image: Tensor = self.decoder(noise)
        return image
