"""Additive Gaussian noise on activations, in training only."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GaussianNoise(nn.Module):
    """Adds N(0, deviation^2) noise in training; the identity in evaluation."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation

    def forward(self, x: Tensor) -> Tensor:
        """Add noise to x, in its dtype."""
        if not self.training or not self.deviation:
            return x
        return x + self.deviation * torch.randn_like(x)

    def extra_repr(self) -> str:
        """The standard deviation."""
        return str(self.deviation)
