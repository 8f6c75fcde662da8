"""Blur before subsampling, so that a shift of the image changes the result less."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KERNEL = (1.0, 2.0, 1.0)
"""The binomial filter along each side, before it is scaled to a sum of 1."""


class Blur(nn.Module):
    """A binomial filter of 3 x 3 pixels and stride 2, after reflection padding (Zhang 2019, arXiv:1904.11486).

    ``y[i] = (x[2 i - 1] + 2 x[2 i] + x[2 i + 1]) / 4`` along each side. It halves both sides and learns nothing.
    """

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        row = torch.tensor(KERNEL) / sum(KERNEL)
        self.register_buffer("kernel", torch.outer(row, row).repeat(channels, 1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H / 2, W / 2)."""
        mode = "reflect" if min(x.shape[-2:]) > 1 else "replicate"
        # On a CPU autocast would convert x to float32 for padding, needlessly; on other devices this has no effect.
        with torch.autocast("cpu", enabled=False):
            padded = F.pad(x, (1, 1, 1, 1), mode=mode)
        return F.conv2d(padded, self.kernel.to(padded.dtype), stride=2, groups=x.shape[1])

    def extra_repr(self) -> str:
        """The number of channels."""
        return str(len(self.kernel))
