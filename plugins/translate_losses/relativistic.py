"""Relativistic losses: compare the logits of real images and fakes with each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

from torch import Tensor
from torch.nn import functional as F

from translate.options import Option
from translate.precision import to_float32

Base = Literal["standard", "least_squares", "hinge"]

REAL_LOSS: Mapping[Base, Callable[[Tensor], Tensor]] = {
    "standard": lambda x: F.softplus(-x),
    "least_squares": lambda x: (x - 1).square(),
    "hinge": lambda x: F.relu(1 - x),
}
"""The loss of a logit x with the label real; the loss with the label fake is the same function of -x."""


class RelativisticAverage:
    """Relativistic average losses (Jolicoeur-Martineau 2018, arXiv:1807.00734).

    With ``r = D(real) - E D(fake)`` and ``f = D(fake) - E D(real)``, the discriminator labels r real and f fake; the
    generator's labels are the opposite, so its loss depends on real images, too. ``base`` is the loss of one logit:
    ``standard`` (RaSGAN) ``-log s(x)``, ``least_squares`` (RaLSGAN) ``(x - 1)^2``, ``hinge`` (RaHingeGAN)
    ``max(0, 1 - x)``. The expectations are means over the batch, as published, and also over the positions of a patch
    map, so that they are defined for batches of one.
    """

    relativistic = True

    def __init__(self, *, base: Annotated[Base, Option("the loss of a single logit")] = "standard") -> None:
        self.cost = REAL_LOSS[base]

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """``E cost(r) + E cost(-f)``."""
        real, fake = to_float32(real), to_float32(fake)
        return self.cost(real - fake.mean()).mean() + self.cost(real.mean() - fake).mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """``E cost(f) + E cost(-r)``: the discriminator's loss with real and fake exchanged."""
        if real is None:
            raise TypeError("a relativistic loss compares fakes with real images; give the logits of both")
        return self.discriminator(fake, real)
