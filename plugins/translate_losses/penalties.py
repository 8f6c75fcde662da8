"""Penalties on a discriminator's gradient; each is called as ``penalty(discriminate, real, fake)``.

``discriminate`` maps images (N, C, H, W) to a ``DiscriminatorOutput`` and is differentiated twice. The gradient is that
of an image's summed logits. Each scale and each head counts as a separate discriminator; their penalties are added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Literal

import torch
from torch import Tensor

from translate.discriminator import DiscriminatorOutput
from translate.options import Option
from translate.precision import to_float32

Discriminate = Callable[[Tensor], DiscriminatorOutput]


class R1:
    """The zero-centred penalty on real images (Mescheder et al. 2018, arXiv:1801.04406, equation 9).

    ``weight / 2 * E ||grad D(x)||^2`` for real x; the weight is the paper's gamma.
    """

    sees_fakes = False

    def __init__(self, *, weight: Annotated[float, Option("weight of the penalty (gamma)", ge=0)] = 10.0) -> None:
        self.weight = weight

    def __call__(self, discriminate: Discriminate, real: Tensor, fake: Tensor) -> Tensor:
        """The penalty, a scalar in float32 at least; ``fake`` is ignored."""
        terms = [gradient.square().sum(dim=1).mean() for gradient in gradients(discriminate, real)]
        return self.weight / 2 * torch.stack(terms).sum()


class GradientPenalty:
    """The one-centred penalty between real and fake images (WGAN-GP, Gulrajani et al. 2017, arXiv:1704.00028).

    ``weight * E (||grad D(x)|| - 1)^2`` for ``x = u real + (1 - u) fake`` with one u drawn from [0, 1) for each image;
    the weight is the paper's lambda.
    """

    def __init__(self, *, weight: Annotated[float, Option("weight of the penalty (lambda)", ge=0)] = 10.0) -> None:
        self.weight = weight

    def __call__(self, discriminate: Discriminate, real: Tensor, fake: Tensor) -> Tensor:
        """The penalty, a scalar in float32 at least; u comes from torch's generator of the device."""
        real, fake = to_float32(real.detach()), to_float32(fake.detach())
        u = torch.rand(len(real), 1, 1, 1, dtype=real.dtype, device=real.device)
        return self.weight * one_centred(gradients(discriminate, torch.lerp(fake, real, u)))


class Dragan:
    """The one-centred penalty around real images (DRAGAN, Kodali et al. 2017, arXiv:1705.07215).

    ``weight * E (||grad D(x + d)|| - 1)^2`` for real x, with s = spread * std, std over all values of the batch. By
    default the noise d is that of the authors' code: ``d = a u`` with u drawn from [0, s) for each value and a from
    [0, 1) for each image. With ``noise=gaussian`` it is the paper's N(0, c I), with c = s^2; the paper's c = 10 is far
    too large for images in [-1, 1]. The weight is the paper's lambda; its k is 1.
    """

    sees_fakes = False

    def __init__(
        self,
        *,
        weight: Annotated[float, Option("weight of the penalty (lambda)", ge=0)] = 10.0,
        spread: Annotated[
            float, Option("noise in standard deviations of the batch: upper limit, or deviation of the gaussian", ge=0)
        ] = 0.5,
        noise: Annotated[
            Literal["uniform", "gaussian"], Option("noise of the authors' code, or of the paper")
        ] = "uniform",
    ) -> None:
        self.weight = weight
        self.spread = spread
        self.noise = noise

    def __call__(self, discriminate: Discriminate, real: Tensor, fake: Tensor) -> Tensor:
        """The penalty, a scalar in float32 at least; ``fake`` is ignored."""
        real = to_float32(real.detach())
        if self.noise == "gaussian":
            noise = torch.randn_like(real)
        else:
            noise = torch.rand_like(real) * torch.rand(len(real), 1, 1, 1, dtype=real.dtype, device=real.device)
        noisy = real + self.spread * real.std(correction=0) * noise
        return self.weight * one_centred(gradients(discriminate, noisy))


def one_centred(found: Iterable[Tensor]) -> Tensor:
    """``E (||g|| - 1)^2`` over the images' gradients g (N, D), summed over scales and heads."""
    return torch.stack([(torch.linalg.vector_norm(each, dim=1) - 1).square().mean() for each in found]).sum()


def gradients(discriminate: Discriminate, images: Tensor) -> Iterator[Tensor]:
    """For each scale and head, the gradient (N, C * H * W) of its summed logits, itself differentiable."""
    images = to_float32(images.detach()).requires_grad_()
    output = discriminate(images)
    for logits in (*output.logits, *(output.match or ())):
        (gradient,) = torch.autograd.grad(to_float32(logits).sum(), images, create_graph=True)
        yield gradient.flatten(1)
