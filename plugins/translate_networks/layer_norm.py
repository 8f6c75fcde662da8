"""Layer normalization of maps: the same function in training and evaluation, independent of the batch."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from translate_networks.normalization import EPSILON, Norm, normalization

AnyNorm = Literal["layer", "batch", "instance", "none"]


def any_normalization(norm: AnyNorm, channels: int) -> nn.Module:
    """The normalization of that name for maps (N, channels, H, W).

    >>> any_normalization("layer", 8)
    LayerNorm(8)
    """
    if norm == "layer":
        return LayerNorm(channels)
    others: dict[str, Norm] = {"batch": "batch", "instance": "instance", "none": "none"}
    return normalization(others[norm], channels)


class LayerNorm(nn.Module):
    """Layer normalization with a learned scale and shift for each channel (Ba et al. 2016, arXiv:1607.06450).

    ``y = weight * (x - mean) / sqrt(var + 1e-5) + bias`` with mean and variance over all channels and positions of an
    image. Unlike instance normalization it preserves the ratios between channels, which carry most of the information
    in a small map next to a latent; unlike batch normalization it needs no other images.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (N, C, H, W); the statistics are float32 at least, the output has x's dtype."""
        wide = x.to(torch.promote_types(x.dtype, self.weight.dtype))
        variance, mean = torch.var_mean(wide, (1, 2, 3), correction=0, keepdim=True)
        scale = torch.rsqrt(variance + EPSILON) * self.weight[:, None, None]
        return ((wide - mean) * scale + self.bias[:, None, None]).to(x.dtype)

    def extra_repr(self) -> str:
        """The number of channels."""
        return str(len(self.weight))
