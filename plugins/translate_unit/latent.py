"""A discriminator of the latent: predicts the domain of a code."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from translate.precision import to_float32


class LatentDiscriminator(nn.Module):
    """Maps codes, flat or maps, to one logit each, positive for the source.

    The code should be independent of the domain, as of an attribute in Fader networks (Lample et al. 2017,
    arXiv:1706.00409): the discriminator learns to predict the domain, the encoders learn to make it predict the other.
    """

    def __init__(self, latent: tuple[int, ...], width: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        channels = latent[0]
        if len(latent) == 3:
            for stride in (1, 2):
                self.layers.append(nn.Conv2d(channels, width, 3, stride, 1))
                self.layers.append(nn.LeakyReLU(0.2))
                channels = width
            self.layers.append(nn.AdaptiveAvgPool2d(1))
            self.layers.append(nn.Flatten())
        self.layers.append(nn.Linear(channels, width))
        self.layers.append(nn.LeakyReLU(0.2))
        self.layers.append(nn.Linear(width, 1))

    def forward(self, code: Tensor) -> Tensor:
        """Logits (N, 1) of codes (N, *latent)."""
        logits: Tensor = self.layers(code)
        return logits

    def domain_loss(self, source: Tensor, target: Tensor) -> Tensor:
        """The discriminator's loss: the mean cross entropy of the domain, log 2 at chance level."""
        return (F.softplus(-self(source)).mean() + F.softplus(self(target)).mean()) / 2

    def fooled(self, source: Tensor, target: Tensor) -> Tensor:
        """The encoders' loss: the cross entropy of the wrong domain."""
        return self.domain_loss(target, source)


def kl_divergence(mean: Tensor) -> Tensor:
    """``KL(N(mean, 1) || N(0, 1)) = sum(mean^2) / 2`` in nats per image, averaged over codes (N, *latent).

    >>> import torch
    >>> float(kl_divergence(torch.tensor([[1.0, 1.0], [2.0, 0.0]])))
    1.5
    """
    return to_float32(mean).square().flatten(1).sum(1).mean() / 2
