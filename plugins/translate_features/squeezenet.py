"""SqueezeNet 1.0, a small ImageNet classifier, as a feature extractor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.errors import TranslateError
from translate.options import Option
from translate.weights import read_weights

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's RGB channels, for values in [0, 1]."""

SIDE = 224
"""Side in pixels of the network's training images."""

PLACES = {2: 3, 3: 4, 4: 5, 5: 7, 6: 8, 7: 9, 8: 10, 9: 12}
"""Index of each fire module in the sequence of layers, which includes the poolings."""


class Fire(nn.Module):
    """A 1x1 convolution to few channels, then parallel 1x1 and 3x3 convolutions, concatenated; each with a ReLU."""

    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, 2 * expanded, H, W)."""
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x).relu(), self.expand3x3(x).relu()], dim=1)


class SqueezeNet(nn.Module):
    """SqueezeNet 1.0 (Iandola et al. 2016, arXiv:1602.07360, table 1), up to a chosen layer.

    The output is that layer's map (N, D, h, w) after its ReLU: 128 channels of fire 2 up to 512 of fire 9, or the
    class map of layer 10, whose means over positions are the logits of ImageNet's 1,000 classes. Pooling is 3x3 max
    pooling of stride 2 in ceil mode. Images are RGB, or gray and repeated to RGB; they are resized to 224 px, the
    training size of the network, and standardized like its training images.

    Weights have torchvision's names; weights of layers beyond the chosen one are ignored.

    >>> network = SqueezeNet(3, weights=None)
    >>> sum(weight.numel() for weight in network.parameters())
    735424
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        inputs: int,
        size: tuple[int, int] | None = None,
        *,
        weights: Annotated[Path | None, Option("file of weights, .pth or .safetensors; none: random weights")],
        layer: Annotated[int, Option("fire module whose map is the output; 10 is the class map", ge=2, le=10)] = 9,
        resize: Annotated[bool, Option("resize images to 224 px; otherwise they keep their size")] = True,
    ) -> None:
        super().__init__()
        if inputs not in (1, 3):
            raise TranslateError(
                f"squeezenet takes RGB or gray images, not images of {inputs} channels; name the run of a "
                "classifier that was trained on such images instead"
            )
        if size is not None and not resize and min(size) < 21:
            raise TranslateError(
                f"squeezenet: {size[0]}x{size[1]} images are too small without resizing; leave out resize=no"
            )
        self.side = SIDE if resize else None
        self.resizes = resize
        layers = (
            nn.Conv2d(3, 96, 7, stride=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            Fire(96, 16, 64),
            Fire(128, 16, 64),
            Fire(128, 32, 128),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            Fire(256, 32, 128),
            Fire(256, 48, 192),
            Fire(384, 48, 192),
            Fire(384, 64, 256),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            Fire(512, 64, 256),
        )
        self.features = nn.Sequential(*layers[: PLACES[min(layer, 9)] + 1])
        # Index 0 is the dropout of the original, which has no weights and is off in evaluation.
        self.classifier = nn.Sequential()
        if layer == 10:
            self.classifier.extend([nn.Identity(), nn.Conv2d(512, 1000, 1), nn.ReLU()])
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """The layer's map (N, D, h, w) of images (N, 1 or 3, H, W) in [-1, 1]."""
        unit = ((image + 1) / 2).expand(-1, 3, -1, -1)
        if self.side is not None:
            unit = F.interpolate(unit, (self.side, self.side), mode="bilinear", antialias=True)
        features: Tensor = self.classifier(self.features((unit - self.mean) / self.deviation))
        return features

    def read(self, weights: Path) -> None:
        """Load the weights from a ``.safetensors`` or ``.pth`` file with torchvision's names."""
        read_weights(self, weights, "SqueezeNet 1.0; give the file of a SqueezeNet 1.0 with torchvision's names")
