"""A generator made of a fixed network that sees and a decoder that draws what was seen."""

from __future__ import annotations

from torch import Tensor, nn


class Decoded(nn.Module):
    """``G(x) = g(f(x))``: what the fixed network f sees of an image, drawn by the decoder g.

    Only g is trained. What f does not see is lost, and what g draws has the training's size (``fixed_size``).
    """

    def __init__(self, features: nn.Module, decoder: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.features = features
        self.decoder = decoder
        self.fixed_size = size

    def forward(self, image: Tensor) -> Tensor:
        """Draw images (N, outputs, H, W) in [-1, 1] for images (N, inputs, H, W)."""
        drawn: Tensor = self.decoder(self.features(image))
        return drawn
