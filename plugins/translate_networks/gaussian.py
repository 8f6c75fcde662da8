"""Gaussian noise on activations, in training only."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GaussianNoise(nn.Module):
    """Adds ``deviation`` times standard normal noise in training, and nothing in evaluation."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation

    def forward(self, x: Tensor) -> Tensor:
        """Noise of x's own shape and dtype."""
        if not self.training or not self.deviation:
            return x
        return x + self.deviation * torch.randn_like(x)

    def extra_repr(self) -> str:
        """The deviation."""
        return str(self.deviation)
