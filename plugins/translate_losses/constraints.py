"""Constraints on a discriminator that are no terms of its loss: on its weights, and on how often it moves."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized

from translate.options import Option


class Clip:
    """Weight clipping (WGAN, Arjovsky, Chintala & Bottou 2017, arXiv:1701.07875, algorithm 1): ``w <- clip(w, -c, c)``.

    After each of the discriminator's steps all its weights lie within c, so its Lipschitz constant is bounded by
    some number: a crude constraint, slow for a large c, with vanishing gradients for a small one.
    """

    def __init__(self, *, c: Annotated[float, Option("largest absolute value of a weight", gt=0)] = 0.01) -> None:
        self.c = c

    @torch.no_grad()
    def project(self, discriminator: nn.Module) -> None:
        """Clip all weights in place."""
        weights: list[torch.Tensor] = list(discriminator.parameters())
        torch._foreach_clamp_min_(weights, -self.c)
        torch._foreach_clamp_max_(weights, self.c)


class SpectralNorm:
    """Spectral normalization (Miyato et al. 2018, arXiv:1802.05957): ``w <- w / sigma(w)`` in each linear layer.

    sigma is the largest singular value of a layer's weights, a convolution's as a matrix of (outputs, inputs * kernel),
    by one power iteration a forward pass. Linear layers are then 1-Lipschitz; convolutions are so up to the square root
    of their kernel's size. A layer that has a parametrization of its weights already is left as it is.
    """

    def prepare(self, discriminator: nn.Module) -> None:
        """Normalize all convolutions and linear layers."""
        layers = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
        for module in list(discriminator.modules()):
            if isinstance(module, layers) and not is_parametrized(module, "weight"):
                spectral_norm(module)


class Critic:
    """Several updates of the discriminator for each of the generator (Goodfellow et al. 2014, arXiv:1406.2661).

    WGAN (arXiv:1701.07875) and WGAN-GP (arXiv:1704.00028) take 5: the better the critic, the truer its gradient. Each
    update has a batch of its own and is a step of the training, so the generator moves once in ``updates`` steps.
    """

    def __init__(
        self, *, updates: Annotated[int, Option("updates of the discriminator for each of the generator", ge=1)] = 5
    ) -> None:
        self.updates = updates
