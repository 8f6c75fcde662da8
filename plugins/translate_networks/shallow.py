"""A generator of a few convolutions, whose receptive field is too small to change shapes."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from translate.options import Option
from translate.precision import to_float32
from translate_networks.initialization import initialize
from translate_networks.normalization import Norm, needs_bias, normalization
from translate_networks.resnet import Padding


class Shallow(nn.Module):
    """A few 3x3 convolutions at full size: the small receptive field keeps the output close to the input.

    ``layers`` convolutions of stride 1 with reflection padding, ReLU between them, tanh at the end. The receptive field
    is ``2 layers + 1`` pixels, 7 for 3 layers: enough for colours, contrast and texture, not for shapes. (Optional
    instance normalization uses the mean and variance of the whole image.) With the defaults it has 11,011 weights for
    RGB. It takes images of any size.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        layers: Annotated[
            int, Option("number of convolutions; the receptive field is 2 * layers + 1 pixels", ge=1)
        ] = 3,
        width: Annotated[int, Option("channels of the inner maps", ge=1)] = 32,
        norm: Annotated[Norm, Option("normalization of the inner maps")] = "none",
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        channels = inputs
        for _ in range(layers - 1):
            self.layers.append(Padding(1))
            self.layers.append(nn.Conv2d(channels, width, 3, bias=needs_bias(norm)))
            self.layers.append(normalization(norm, width))
            self.layers.append(nn.ReLU())
            channels = width
        self.feature_layers = ("", *(f"layers.{4 * number + 1}" for number in range(layers - 1)))
        self.layers.append(Padding(1))
        self.layers.append(nn.Conv2d(channels, outputs, 3))
        initialize(self)
        if norm == "none":
            # Without normalization the weights must preserve the scale of the activations.
            for inner in [module for module in self.layers if isinstance(module, nn.Conv2d)][:-1]:
                nn.init.kaiming_normal_(inner.weight, nonlinearity="relu")

    def forward(self, image: Tensor) -> Tensor:
        """Translate (N, inputs, H, W) in [-1, 1] to (N, outputs, H, W) in [-1, 1], float32 also under autocast."""
        x: Tensor = self.layers(image)
        # In bf16, tanh rounds to 1 from 3.2 on and its gradient to 0.
        return torch.tanh(to_float32(x))
