"""Invertible layers: activation normalization, coupling layers and the squeeze.

Each layer maps maps (N, C, h, w) to maps and the log-determinants (N,) of its Jacobian, one for each image, and has an
``inverse`` that finds the maps again.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from translate.ranks import mean_of_all

Mask = Literal["checkerboard", "channels"]

LEAST = 1e-3
"""The least deviation of a channel, so that one that is constant at first is not blown up."""


class ActNorm(nn.Module):
    """Activation normalization: a scale and a shift of each channel (Glow, Kingma & Dhariwal 2018).

    Glow: Generative Flow with Invertible 1x1 Convolutions, arXiv:1807.03039, section 3.1:
    ``y = exp(log_scale) (x - mean) / deviation + shift``. ``prepare`` takes mean and deviation once from the first
    batch, so that y has mean 0 and variance 1 then; scale and shift are learned. What was taken lies in buffers: a
    resumed run has it, a replayed move takes the same again, and of several ranks all have the same.
    """

    mean: Tensor
    deviation: Tensor
    prepared: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(channels))
        self.shift = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))
        self.register_buffer("prepared", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def prepare(self, x: Tensor) -> None:
        """Take mean and deviation of each channel from (N, C, h, w) of all ranks, unless they are taken already."""
        mean = mean_of_all(x.mean((0, 2, 3)))
        variance = mean_of_all((x - mean[:, None, None]).square().mean((0, 2, 3)))
        # Without a branch: whether it is prepared is known on the device only.
        self.mean.copy_(torch.where(self.prepared, self.mean, mean))
        self.deviation.copy_(torch.where(self.prepared, self.deviation, variance.sqrt().clamp(min=LEAST)))
        self.prepared.fill_(True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Normalize (N, C, h, w)."""
        y = (x - planes(self.mean)) * self._scale(x) + planes(self.shift)
        log_determinant = (self.log_scale - self.deviation.log()).sum() * (x.shape[-2] * x.shape[-1])
        return y, log_determinant.expand(x.shape[0])

    def inverse(self, y: Tensor) -> Tensor:
        """Undo it."""
        return (y - planes(self.shift)) / self._scale(y) + planes(self.mean)

    def _scale(self, x: Tensor) -> Tensor:
        """What maps are multiplied by, in their own type, so that it is divided by exactly what was multiplied by."""
        return planes(self.log_scale.to(x.dtype).exp() / self.deviation.to(x.dtype))


class Coupling(nn.Module):
    """A coupling layer: one part of the values scales and shifts the other (NICE, Dinh et al. 2014; RealNVP, 2017).

    NICE: Non-linear Independent Components Estimation, arXiv:1410.8516, section 3.2, and Density estimation using Real
    NVP, arXiv:1605.08803, sections 3.2 to 3.4. With s, t from a network of the part that stays::

        y_1 = x_1,    y_2 = x_2 exp(s(x_1)) + t(x_1),    log |det dy/dx| = sum s(x_1)

    The log-scale s is a tanh with a learned factor for each channel. An additive coupling has s = 0 and keeps volumes.
    The mask is a checkerboard, or the first half of the channels; ``flipped`` exchanges the parts.
    """

    def __init__(self, network: nn.Module, channels: int, mask: Mask, *, flipped: bool, affine: bool) -> None:
        super().__init__()
        self.network = network
        self.mask: Mask = mask
        self.flipped = flipped
        self.sizes = part_sizes(channels, mask, flipped=flipped)
        self.factor = nn.Parameter(torch.ones(self.sizes[1])) if affine else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Change (N, C, h, w)."""
        if self.mask == "checkerboard":
            stays = checkerboard(x, flipped=self.flipped)
            log_scale, shift = self._statistics(x * stays)
            changes = 1 - stays
            log_scale = log_scale * changes
            return x * log_scale.exp() + shift * changes, log_scale.flatten(1).sum(1)
        first, second = self._parts(x)
        log_scale, shift = self._statistics(first)
        return self._joined(first, second * log_scale.exp() + shift), log_scale.flatten(1).sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        """Undo it."""
        if self.mask == "checkerboard":
            stays = checkerboard(y, flipped=self.flipped)
            log_scale, shift = self._statistics(y * stays)
            changes = 1 - stays
            return (y - shift * changes) / (log_scale * changes).exp()
        first, second = self._parts(y)
        log_scale, shift = self._statistics(first)
        return self._joined(first, (second - shift) / log_scale.exp())

    def _statistics(self, stays: Tensor) -> tuple[Tensor, Tensor]:
        """Log-scale and shift in the type of the maps, in which both are undone again.

        The network has its own: if maps are float64 it sees them rounded, on the way there as on the way back.
        """
        weights = next(self.network.parameters(), stays)
        found = self.network(stays.to(weights.dtype)).to(stays.dtype)
        if self.factor is None:
            return torch.zeros_like(found), found
        raw, shift = found.chunk(2, dim=1)
        return planes(self.factor) * torch.tanh(raw), shift

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The channels that stay and those that change."""
        stays, changes = self.sizes
        first, second = x.split((changes, stays) if self.flipped else (stays, changes), dim=1)
        return (second, first) if self.flipped else (first, second)

    def _joined(self, first: Tensor, second: Tensor) -> Tensor:
        return torch.cat((second, first) if self.flipped else (first, second), dim=1)


def part_sizes(channels: int, mask: Mask, *, flipped: bool) -> tuple[int, int]:
    """How many channels a coupling's network sees, and how many it changes.

    >>> part_sizes(3, "channels", flipped=False), part_sizes(3, "checkerboard", flipped=False)
    ((2, 1), (3, 3))
    """
    if mask == "checkerboard":
        return channels, channels
    first = (channels + 1) // 2
    return (channels - first, first) if flipped else (first, channels - first)


def checkerboard(x: Tensor, *, flipped: bool) -> Tensor:
    """The mask (h, w) of maps (N, C, h, w): 1 where row and column are both even or both odd, or where they are not.

    >>> checkerboard(torch.zeros(1, 1, 2, 3), flipped=False)
    tensor([[1., 0., 1.],
            [0., 1., 0.]])
    """
    rows = torch.arange(x.shape[-2], device=x.device)[:, None]
    columns = torch.arange(x.shape[-1], device=x.device)
    return ((rows + columns + (0 if flipped else 1)) % 2).to(x.dtype)


def squeeze(x: Tensor) -> Tensor:
    """Move 2x2 pixels to channels: (N, C, h, w) to (N, 4 C, h / 2, w / 2), diagonal pixels in the same half.

    RealNVP, section 3.6 and figure 3: upper left, lower right, upper right, lower left.

    >>> squeeze(torch.tensor([[[[1, 2], [3, 4]]]])).flatten().tolist()
    [1, 4, 2, 3]
    """
    return torch.cat([x[..., ::2, ::2], x[..., 1::2, 1::2], x[..., ::2, 1::2], x[..., 1::2, ::2]], dim=1)


def unsqueeze(x: Tensor) -> Tensor:
    """Move them back: (N, 4 C, h, w) to (N, C, 2 h, 2 w)."""
    upper_left, lower_right, upper_right, lower_left = x.chunk(4, dim=1)
    upper = torch.stack([upper_left, upper_right], dim=-1).flatten(-2)
    lower = torch.stack([lower_left, lower_right], dim=-1).flatten(-2)
    return torch.stack([upper, lower], dim=-2).flatten(-3, -2)


def planes(values: Tensor) -> Tensor:
    """Values (C,) as (C, 1, 1), to be combined with maps."""
    return values[:, None, None]
