"""The Gaussian latent of variational autoencoders: KL divergence, reparameterization, translator and sampler."""

from __future__ import annotations

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
    each = mean.square() + log_variance.exp() - log_variance - 1
    return each.flatten(1).sum(1).mean() / 2


def reparameterize(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Sample ``mean + sqrt(var) * noise``, differentiable in both arguments (Kingma & Welling 2013, section 2.4)."""
    return mean + torch.exp(log_variance / 2) * torch.randn_like(mean)


class ThroughLatent(nn.Module):
    """An encoder followed by a decoder, of the same domain or of another that shares the latent."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
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
