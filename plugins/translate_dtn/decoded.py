"""A generator made of a frozen feature extractor and a decoder."""

from __future__ import annotations

from torch import Tensor, nn


class Decoded(nn.Module):
    """``G(x) = g(f(x))``: the decoder g applied to the features of the frozen network f.

    Only g is trained. Whatever is not in the features is lost, and g's images have the training size (``fixed_size``).
    """

    def __init__(self, features: nn.Module, decoder: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.features = features
        self.decoder = decoder
        self.fixed_size = size

    def code_of(self, image: Tensor) -> Tensor:
        """The features f(x) of images (N, inputs, H, W)."""
        features: Tensor = self.features(image)
        return features

    def image_of(self, code: Tensor) -> Tensor:
        """The images g of features."""
        image: Tensor = self.decoder(code)
        return image

    def forward(self, image: Tensor) -> Tensor:
        """Translate images (N, inputs, H, W) to images (N, outputs, H, W) in [-1, 1]."""
        translated: Tensor = self.decoder(self.features(image))
        return translated
