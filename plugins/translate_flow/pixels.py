"""Pixels for a flow: noise in place of the steps between stored values, and the logit of what lies in an interval."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from translate.data import Domain

FLOAT_LEVELS = 256
"""Floats have no steps; their bits are counted as if they were rounded to as many levels as 8 bits have."""


class Pixels:
    """The scale of one domain's images between [-1, 1] and all real numbers.

    A value x in [-1, 1] is the middle of the k-th of ``levels`` steps, ``v = (k + 1/2) / levels`` with ``k = (levels -
    1) (x + 1) / 2``, so v lies in (0, 1); noise of half a step to each side fills [0, 1] (uniform dequantisation, Theis
    et al. 2016, arXiv:1511.01844, section 3.1). Then ``y = logit(alpha + (1 - 2 alpha) v)`` (RealNVP, Dinh et al. 2017,
    arXiv:1605.08803, section 4.1, with alpha = 0.05). Beyond [0, 1], where no image lies but a translation may, y goes
    on as the logit's tangent. So every y has an image, and floats do not lose it where a sigmoid would be flat.
    """

    def __init__(self, levels: int, *, noisy: bool, alpha: float) -> None:
        self.levels, self.noisy, self.alpha = levels, noisy, alpha

    @classmethod
    def of(cls, domain: Domain, alpha: float) -> Pixels:
        """The scale of a domain: 256 levels for 8 bits, 2 for planes of classes; floats get no noise.

        >>> Pixels.of(Domain(1), 0.05).levels, Pixels.of(Domain(1, "uint16", 0, 4095, ranged=True), 0.05).levels
        (256, 4096)
        """
        if domain.one_hot:
            return cls(2, noisy=True, alpha=alpha)
        if domain.depth == "float32" and not domain.classes:
            return cls(FLOAT_LEVELS, noisy=False, alpha=alpha)
        low, high = (0.0, 255.0) if domain.classes else domain.limits
        return cls(max(round(high - low) + 1, 2), noisy=True, alpha=alpha)

    def dequantize(self, image: Tensor, noise: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] with noise of up to half a step; ``noise`` in [0, 1) is drawn if not given."""
        if not self.noisy:
            return image
        at = torch.rand_like(image) if noise is None else noise
        return image + (2 * at - 1) / (self.levels - 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) to maps y, and the log-determinants (N,) of dy/dv."""
        share = (image + 1) * ((self.levels - 1) / (2 * self.levels)) + 0.5 / self.levels
        wide = self.alpha + (1 - 2 * self.alpha) * share
        s = wide.clamp(self.alpha, 1 - self.alpha)
        y = torch.log(s / (1 - s)) + (wide - s) / self._slope
        # dy/dv = (1 - 2 alpha) / (s (1 - s)), also on the tangents.
        each = math.log(1 - 2 * self.alpha) - torch.log(s * (1 - s))
        return y, each.flatten(1).sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        """Maps y to images, which may leave [-1, 1]."""
        edge = math.log((1 - self.alpha) / self.alpha)
        inside = y.clamp(-edge, edge)
        wide = torch.sigmoid(inside) + (y - inside) * self._slope
        share = (wide - self.alpha) / (1 - 2 * self.alpha)
        return (share - 0.5 / self.levels) * (2 * self.levels / (self.levels - 1)) - 1

    @property
    def _slope(self) -> float:
        """The sigmoid's slope at both ends of the interval."""
        return self.alpha * (1 - self.alpha)

    def bits(self, log_density: Tensor, values: int) -> Tensor:
        """Bits for one value of an image, from the log-densities (N,) of its v in nats: 8 where 256 are as likely."""
        return math.log2(self.levels) - log_density / (values * math.log(2))
