"""What a denoising U-Net is made of: time embeddings, residual blocks that see them, attention, changes of scale."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEAD = 64
"""Channels of one attention head, as in ADM."""


class TimeEmbedding(nn.Module):
    """Times (N,) in [0, 1] as vectors (N, outputs): sinusoids and a perceptron (DDPM, Ho et al. 2020).

    Denoising Diffusion Probabilistic Models, arXiv:2006.11239, appendix B. Times count as 1,000 steps do there.
    """

    frequencies: Tensor

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        half = (width + 1) // 2
        frequencies = 1000 * torch.exp(-math.log(10_000) * torch.arange(half) / half)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.perceptron = nn.Sequential(nn.Linear(2 * half, outputs), nn.SiLU(), nn.Linear(outputs, outputs))

    def forward(self, time: Tensor) -> Tensor:
        """Embed (N,)."""
        angles = time[:, None] * self.frequencies
        output: Tensor = self.perceptron(torch.cat([angles.cos(), angles.sin()], dim=1))
        return output


class ResidualBlock(nn.Module):
    """Two convolutions whose second normalization is scaled and shifted by the time (ADM, Dhariwal & Nichol 2021).

    Diffusion Models Beat GANs on Image Synthesis, arXiv:2105.05233, section 3.1. It begins as the identity, or as the
    1x1 convolution of its skip connection.
    """

    def __init__(self, inputs: int, outputs: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Sequential(group_norm(inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1))
        self.time = nn.Sequential(nn.SiLU(), nn.Linear(embedding, 2 * outputs))
        self.norm = group_norm(outputs)
        self.dropout = dropout
        self.last = zeros(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Map (N, inputs, h, w) and (N, embedding) to (N, outputs, h, w)."""
        of_time = self.time(embedding)[:, :, None, None]
        count = of_time.shape[1] // 2
        changed = F.silu(self.norm(self.first(x)) * (1 + of_time[:, :count]) + of_time[:, count:])
        if self.training and self.dropout:
            changed = F.dropout(changed, self.dropout)
        output: Tensor = self.skip(x) + self.last(changed)
        return output


class Attention(nn.Module):
    """Each place of a map sees all others (Vaswani et al. 2017, arXiv:1706.03762; heads of 64 channels, as in ADM).

    It begins as the identity.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // HEAD)
        while channels % self.heads:
            self.heads -= 1
        self.norm = group_norm(channels)
        self.queries_keys_values = nn.Conv2d(channels, 3 * channels, 1)
        self.last = zeros(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, h, w) to the same shape."""
        count, channels, height, width = x.shape
        heads = self.queries_keys_values(self.norm(x)).reshape(count, 3 * self.heads, -1, height * width)
        queries, keys, values = heads.transpose(2, 3).chunk(3, dim=1)
        seen = F.scaled_dot_product_attention(queries, keys, values)
        # One head's map would otherwise be a view in channels-last order; torch.export looks at the strides of such a
        # map, and its program would refuse a single image.
        seen = seen.transpose(2, 3).contiguous().reshape(count, channels, height, width)
        output: Tensor = x + self.last(seen)
        return output


class Upsample(nn.Module):
    """Twice as many rows and columns, each pixel repeated, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, h, w) to (N, channels, 2h, 2w)."""
        output: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return output


def group_norm(channels: int) -> nn.GroupNorm:
    """Group normalization (Wu & He 2018, arXiv:1803.08494) of up to 32 groups of at least 4 channels each.

    >>> [group_norm(channels).num_groups for channels in (6, 48, 64, 128, 512)]
    [1, 12, 16, 32, 32]
    """
    groups = max(1, min(32, channels // 4))
    while channels % groups:
        groups -= 1
    return nn.GroupNorm(groups, channels)


def zeros(layer: nn.Conv2d) -> nn.Conv2d:
    """Initialize a convolution to answer zeros."""
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
