"""The flow of one domain: images to a latent of independent normal values, through several scales, and back."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from translate.precision import to_float32
from translate_flow.layers import ActNorm, Coupling, Mask, part_sizes, squeeze, unsqueeze
from translate_flow.pixels import Pixels

NetworkOf = Callable[[int, int], nn.Module]
"""Builds a coupling network from its input and output channels."""


class Scale(nn.Module):
    """Couplings at one scale, each after an activation normalization; the parts that stay take turns."""

    def __init__(self, channels: int, mask: Mask, count: int, *, network: NetworkOf, affine: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for number in range(count):
            seen, changed = part_sizes(channels, mask, flipped=number % 2 == 1)
            built = network(seen, changed * (2 if affine else 1))
            self.layers.append(ActNorm(channels))
            self.layers.append(Coupling(built, channels, mask, flipped=number % 2 == 1, affine=affine))

    def forward(self, x: Tensor, prepare: bool = False) -> tuple[Tensor, Tensor]:
        """Map (N, C, h, w) to the same shape, with the log-determinants (N,)."""
        total = x.new_zeros(x.shape[0])
        for layer in self.layers:
            if prepare and isinstance(layer, ActNorm):
                layer.prepare(x)
            x, log_determinant = layer(x)
            total = total + log_determinant
        return x, total

    def inverse(self, y: Tensor) -> Tensor:
        """Undo it."""
        for layer in reversed(self.layers):
            y = cast("ActNorm | Coupling", layer).inverse(y)
        return y


class FlowNetwork(nn.Module):
    """A normalizing flow of several scales (RealNVP, Dinh et al. 2017, arXiv:1605.08803, section 3.6).

    What is float64 is computed in it, beside the networks of the couplings; all else in float32.

    Each scale has ``layers`` couplings with checkerboard masks, a squeeze, ``layers`` couplings with channel masks, and
    leaves half of the channels to the latent; the last has ``layers + 1`` checkerboard couplings. The latent z has the
    image's shape (N, C, H, W): the parts that were left are put where their pixels were. Its values are independent
    and standard normal. Sides must divide by ``2^(scales - 1)``.
    """

    passes = ("inverse",)

    def __init__(
        self, channels: int, pixels: Pixels, *, scales: int, layers: int, network: NetworkOf, affine: bool
    ) -> None:
        super().__init__()
        self.pixels = pixels
        self.size_multiple = 2 ** (scales - 1)
        self.checkered, self.halved = nn.ModuleList(), nn.ModuleList()
        for number in range(scales):
            last = number + 1 == scales
            count = layers + 1 if last else layers
            self.checkered.append(Scale(channels, "checkerboard", count, network=network, affine=affine))
            if not last:
                self.halved.append(Scale(4 * channels, "channels", layers, network=network, affine=affine))
            channels *= 2

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (N, C, H, W) to z of that shape, and the log-determinants (N,) of dz/dv.

        v in [0, 1] are the images' values as ``Pixels`` scales them.
        """
        return self._pass(image)

    @torch.no_grad()
    def prepare(self, image: Tensor) -> None:
        """Take the statistics of activation normalization from the first images, layer after layer."""
        self._pass(image, prepare=True)

    def _pass(self, image: Tensor, prepare: bool = False) -> tuple[Tensor, Tensor]:
        x, total = self.pixels.forward(to_float32(image))
        left: list[Tensor] = []
        for number, scale in enumerate(self.checkered):
            x, log_determinant = scale(x, prepare)
            total = total + log_determinant
            if number < len(self.halved):
                x, log_determinant = self.halved[number](squeeze(x), prepare)
                total = total + log_determinant
                x, rest = x.chunk(2, dim=1)
                left.append(rest)
        for rest in reversed(left):
            x = unsqueeze(torch.cat([x, rest], dim=1))
        return x, total

    def inverse(self, latent: Tensor) -> Tensor:
        """Map z (N, C, H, W) to images, which may leave [-1, 1] a little."""
        x = to_float32(latent)
        left: list[Tensor] = []
        for _ in self.halved:
            x, rest = squeeze(x).chunk(2, dim=1)
            left.append(rest)
        for number in reversed(range(len(self.checkered))):
            if number < len(self.halved):
                x = unsqueeze(cast(Scale, self.halved[number]).inverse(torch.cat([x, left[number]], dim=1)))
            x = cast(Scale, self.checkered[number]).inverse(x)
        return self.pixels.inverse(x)

    def bits(self, latent: Tensor, log_determinant: Tensor) -> Tensor:
        """Bits for one value of each image (N,), from what ``forward`` gives of dequantised images.

        By Jensen's inequality this is at least the bits of the stored values themselves.
        """
        values = latent[0].numel()
        log_prior = -(latent.square().flatten(1).sum(1) + values * math.log(2 * math.pi)) / 2
        return self.pixels.bits(log_prior + log_determinant, values)
