"""Constraints on a discriminator other than loss terms: on its weights, and on its number of updates (n_critic)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized

from translate.options import Option


class Clip:
    """Weight clipping (WGAN, Arjovsky, Chintala & Bottou 2017, arXiv:1701.07875, algorithm 1): ``w <- clip(w, -c, c)``.

    After each optimizer step of the discriminator all its weights are clipped to [-c, c], which bounds its Lipschitz
    constant. The constraint is crude: a large c makes training slow, a small c makes gradients vanish.
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

    sigma is the largest singular value of a layer's weights, estimated by one power iteration for each forward pass;
    a convolution's weights are taken as a matrix (outputs, inputs * kernel). Linear layers are then 1-Lipschitz,
    convolutions only up to the square root of the kernel size. Layers with parametrized weights are not changed.
    """

    def prepare(self, discriminator: nn.Module) -> None:
        """Normalize all convolutions and linear layers."""
        layers = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
        for module in list(discriminator.modules()):
            if isinstance(module, layers) and not is_parametrized(module, "weight"):
                spectral_norm(module)


class Critic:
    """n_critic: several discriminator updates for each generator update (Goodfellow et al. 2014, arXiv:1406.2661).

    WGAN (arXiv:1701.07875) and WGAN-GP (arXiv:1704.00028) use 5, because a better critic gives a more accurate
    gradient. Each update uses its own batch and counts as a training step, so the generator is updated once in
    ``updates`` steps.
    """

    def __init__(
        self, *, updates: Annotated[int, Option("n_critic: discriminator updates for each generator update", ge=1)] = 5
    ) -> None:
        self.updates = updates
