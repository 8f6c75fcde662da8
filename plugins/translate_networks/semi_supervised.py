"""The semi-supervised discriminator: one softmax over K classes and fake."""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from translate.discriminator import DiscriminatorOutput
from translate.options import Option
from translate_networks.gaussian import GaussianNoise
from translate_networks.k_plus_one import KPlusOne
from translate_networks.normalization import normalization
from translate_networks.patch import check_condition

WeightNorm = Literal["weight", "batch", "instance", "none"]

GRID = 4
"""Rows and columns of the grid that the dense layer's input is pooled to."""


class SemiSupervised(nn.Module):
    """A convolutional K + 1 class discriminator (Salimans et al. 2016, arXiv:1606.03498, section 5).

    With class logits l_k the realness logit is ``log sum_k exp(l_k)``, see ``translate_networks.k_plus_one``; without
    classes it has one plain logit. Layers have leaky ReLU 0.2 and weight normalization (Salimans & Kingma 2016,
    arXiv:1602.07868): a 5x5 convolution of stride 2, 3x3 convolutions with max pooling until the map is about 4 px
    wide, a dense layer on its 4x4 positions, the head. A map of another size is average-pooled to 4x4, so any size
    fits. For digits of 28 or 32 px it has 0.29 million weights.

    ``features`` are the maps after each downsampling and last the dense layer's output (N, D), which feature matching
    uses. ``shared`` are the last convolution, the dense layer and the head: a method may tie two discriminators by
    assigning it.
    """

    def __init__(
        self,
        inputs: int,
        condition: int = 0,
        size: tuple[int, int] | None = None,
        classes: int = 0,
        *,
        width: Annotated[int, Option("channels of the first map; deeper ones have up to 8 times as many", ge=1)] = 16,
        norm: Annotated[WeightNorm, Option("normalization of weights or activations")] = "weight",
        dropout: Annotated[float, Option("dropout rate of the last features", ge=0, lt=1)] = 0.0,
        noise: Annotated[
            float, Option("standard deviation of the noise added to images and features in training", ge=0)
        ] = 0.0,
        minibatch: Annotated[
            bool, Option("minibatch discrimination: use the similarity of the images of a batch")
        ] = False,
        explicit: Annotated[bool, Option("with classes: a learned logit for fakes instead of 0")] = False,
    ) -> None:
        super().__init__()
        self.condition = condition
        self.noise = GaussianNoise(noise)
        depth = 3 if size is None else max(2, round(math.log2(min(size) / GRID)))
        channels = [inputs + condition, *(width * min(2**number, 8) for number in range(depth))]
        # As in DCGAN, the activations of the first layer are not normalized; its weights may be.
        layers: list[nn.Module] = [_first(channels[0], channels[1], norm)]
        layers += [_halving(a, b, norm) for a, b in itertools.pairwise(channels[1:])]
        self.layers = nn.ModuleList(layers[:-1])
        features = 16 * width
        self.shared: nn.Module = _Last(
            layers[-1],
            _dense(GRID * GRID * channels[-1], features, norm),
            nn.Sequential(GaussianNoise(noise), nn.Dropout(dropout)),
            KPlusOne(features, classes, explicit=explicit, minibatch=minibatch),
        )

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """Discriminate (N, inputs, H, W), concatenated with a condition (N, condition, H, W) if built for one."""
        check_condition(condition, self.condition, "semi_supervised")
        x = image if condition is None else torch.cat([image, condition.to(image.dtype)], dim=1)
        x = self.noise(x)
        features = []
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        last, dense, realness, classes = self.shared(x)
        return DiscriminatorOutput(logits=(realness,), classes=classes, features=(*features, last, dense))


class _Last(nn.Module):
    """The last convolution, the dense layer and the head, as one module that two discriminators may share."""

    def __init__(self, layer: nn.Module, dense: nn.Module, noise: nn.Module, head: KPlusOne) -> None:
        super().__init__()
        self.layer = layer
        self.dense = dense
        self.noise = noise
        self.head = head

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Map (N, C, h, w) to the last maps, the dense layer's features (N, D), realness and class logits."""
        last = self.layer(x)
        # Without pooling where the size fits already: the gradient of adaptive pooling is not deterministic on a GPU.
        positions = last if last.shape[-2:] == (GRID, GRID) else F.adaptive_avg_pool2d(last, GRID)
        features = self.dense(positions.flatten(1))
        realness, classes = self.head(self.noise(features))
        return last, features, realness, classes


def _first(inputs: int, outputs: int, norm: WeightNorm) -> nn.Sequential:
    return nn.Sequential(_convolution(inputs, outputs, 5, 2, "weight" if norm == "weight" else "none"), _act())


def _halving(inputs: int, outputs: int, norm: WeightNorm) -> nn.Sequential:
    layers = [_convolution(inputs, outputs, 3, 1, norm), _act(), nn.MaxPool2d(2, ceil_mode=True)]
    if norm in ("batch", "instance"):
        layers.insert(1, normalization("batch" if norm == "batch" else "instance", outputs))
    return nn.Sequential(*layers)


def _convolution(inputs: int, outputs: int, kernel: int, stride: int, norm: WeightNorm) -> nn.Module:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=norm != "batch")
    return _initialized(convolution, norm)


def _dense(inputs: int, outputs: int, norm: WeightNorm) -> nn.Sequential:
    return nn.Sequential(_initialized(nn.Linear(inputs, outputs), norm), _act())


def _initialized(layer: nn.Conv2d | nn.Linear, norm: WeightNorm) -> nn.Module:
    """Initialize a layer so that variance is preserved through leaky ReLU 0.2 (He et al. 2015, arXiv:1502.01852)."""
    nn.init.kaiming_normal_(layer.weight, a=0.2)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return weight_norm(layer) if norm == "weight" else layer


def _act() -> nn.Module:
    return nn.LeakyReLU(0.2)
