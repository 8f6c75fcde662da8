"""A generator of a few convolutions, too shallow to change more than what lies close together."""

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
    """A few 3x3 convolutions at full size, no halving: input and output stay close because little else can be said.

    ``layers`` convolutions of stride 1 with reflected edges, ReLU between them, tanh at the end. Convolutions see
    ``2 layers + 1`` pixels: with 3 layers 7, enough for colours, contrast and texture and not for shapes. (Instance
    normalization, where it is chosen, looks at the whole image's mean and variance.) With the defaults 11,011 weights
    for RGB. Any size will do.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        layers: Annotated[int, Option("convolutions; they see 2 * layers + 1 pixels", ge=1)] = 3,
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
        self.layers.append(Padding(1))
        self.layers.append(nn.Conv2d(channels, outputs, 3))
        initialize(self)
        if norm == "none":
            # Nothing restores the scale between the layers, so the weights must keep it.
            for inner in [module for module in self.layers if isinstance(module, nn.Conv2d)][:-1]:
                nn.init.kaiming_normal_(inner.weight, nonlinearity="relu")

    def forward(self, image: Tensor) -> Tensor:
        """Translate (N, inputs, H, W) in [-1, 1] to (N, outputs, H, W) in [-1, 1], float32 also under autocast."""
        x: Tensor = self.layers(image)
        # In bf16 tanh is 1 from 3.2 on, and its gradient dead.
        return torch.tanh(to_float32(x))
