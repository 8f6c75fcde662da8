"""Layers of StarGAN v2: residual blocks, plain or with a style, instance normalization, and He initialization."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.precision import to_float32

SLOPE = 0.2
"""Of the leaky ReLU."""

EPSILON = 1e-5


def halvings(size: tuple[int, int]) -> int:
    """How often sides can be halved while both stay 4 or larger: 6 times for 256 px.

    >>> halvings((256, 256)), halvings((32, 64)), halvings((3, 3))
    (6, 3, 0)
    """
    return max(0, int(math.log2(max(min(size), 4) / 4)))


def widths(width: int, widest: int, count: int) -> list[int]:
    """The channels of maps that are halved ``count`` times: doubled each time, up to ``widest``.

    >>> widths(64, 512, 4)
    [64, 128, 256, 512, 512]
    """
    return [min(width * 2**number, max(width, widest)) for number in range(count + 1)]


def initialize(network: nn.Module) -> None:
    """Initialize all weights by He et al. 2015 (arXiv:1502.01852), and all biases with 0.

    Choi et al. 2020, appendix B; the scales of AdaIN begin at 1, since they are ``1 + linear(s)``.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def normalize(x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """Normalize each channel of each image (N, C, H, W) by its own mean and variance; a map of one value stays.

    Statistics are float32 at least. In channels_last ``F.group_norm`` is inexact on a CPU, and ``F.instance_norm`` has
    a wrong gradient for one image; an exported network needs no gradient, and runtimes compute it in one pass.
    """
    if x.shape[2] * x.shape[3] == 1:
        return x if weight is None or bias is None else (x * weight[:, None, None] + bias[:, None, None]).to(x.dtype)
    wide = to_float32(x).contiguous()
    if torch.compiler.is_exporting():
        normal = F.instance_norm(wide, None, None, weight, bias, use_input_stats=True, eps=EPSILON)
    else:
        normal = F.group_norm(wide, x.shape[1], weight, bias, eps=EPSILON)
    return normal.to(x.dtype)


class InstanceNorm(nn.Module):
    """Instance normalization with a learned scale and shift of each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (N, C, H, W)."""
        return normalize(x, self.weight, self.bias)


class AdaIN(nn.Module):
    """Adaptive instance normalization (Huang & Belongie 2017, arXiv:1703.06868) by a linear map of the style.

    ``(1 + gamma(s)) * (x - mean) / sqrt(var + 1e-5) + beta(s)`` for each channel of each image.
    """

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.linear = nn.Linear(style, 2 * channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Normalize (N, C, H, W) with the styles (N, S)."""
        gamma, beta = self.linear(style)[:, :, None, None].chunk(2, dim=1)
        output: Tensor = (1 + gamma) * normalize(x) + beta
        return output


class Block(nn.Module):
    """A residual block: activation before each of two convolutions, and a sum that keeps the variance.

    ``down`` halves the sides after the first convolution; ``norm`` normalizes before each activation.
    """

    def __init__(self, inputs: int, outputs: int, *, norm: bool = False, down: bool = False) -> None:
        super().__init__()
        self.down = down
        self.norms = nn.ModuleList([InstanceNorm(inputs), InstanceNorm(inputs)] if norm else [])
        self.first = nn.Conv2d(inputs, inputs, 3, padding=1)
        self.second = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H, W), or half of the sides."""
        residual = self.first(F.leaky_relu(self._normalize(x, 0), SLOPE))
        if self.down:
            # A 1x1 convolution without a bias may as well come after the mean.
            residual, x = F.avg_pool2d(residual, 2), F.avg_pool2d(x, 2)
        residual = self.second(F.leaky_relu(self._normalize(residual, 1), SLOPE))
        total: Tensor = (self.skip(x) + residual) / math.sqrt(2)
        return total

    def _normalize(self, x: Tensor, number: int) -> Tensor:
        if not len(self.norms):
            return x
        normal: Tensor = self.norms[number](x)
        return normal


class StyledBlock(nn.Module):
    """A residual block whose normalizations have the style; ``up`` doubles the sides before the first convolution."""

    def __init__(self, inputs: int, outputs: int, style: int, *, up: bool = False) -> None:
        super().__init__()
        self.up = up
        self.norms = nn.ModuleList([AdaIN(inputs, style), AdaIN(outputs, style)])
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H, W), or twice the sides, with the styles (N, S)."""
        residual = F.leaky_relu(self.norms[0](x, style), SLOPE)
        skip = self.skip(x)
        if self.up:
            residual, skip = (F.interpolate(each, scale_factor=2, mode="nearest") for each in (residual, skip))
        residual = self.first(residual)
        residual = self.second(F.leaky_relu(self.norms[1](residual, style), SLOPE))
        total: Tensor = (skip + residual) / math.sqrt(2)
        return total
