"""The predictor: a network of the method's own."""

from __future__ import annotations

from torch import Tensor, nn


class Predictor(nn.Module):
    """Two 1x1 convolutions, (N, channels, h, w) to the same shape: position for position."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(channels, width, 1), nn.ReLU(), nn.Conv2d(width, channels, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """Predict maps from maps."""
        predicted: Tensor = self.layers(maps)
        return predicted
