"""The trained PixelCNN: exact likelihood of images, and sampling pixel by pixel."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.errors import TranslateError
from translate_pixelcnn.gated import GatedPixelCNN, Layer, Masked, gate


class Pixels(nn.Module):
    """A distribution over images with ``levels`` values, conditional on a source or unconditional.

    Level k is the value ``2 k / (levels - 1) - 1``; other values are rounded to the nearest level.
    """

    def __init__(self, network: GatedPixelCNN, condition: nn.Module | None = None) -> None:
        super().__init__()
        self.network = network
        self.condition = condition
        self.levels = network.levels

    def quantize(self, image: Tensor) -> Tensor:
        """Values in [-1, 1] to levels, int64."""
        return ((image.float() + 1) * ((self.levels - 1) / 2)).round().long().clamp(0, self.levels - 1)

    def value(self, level: Tensor) -> Tensor:
        """Levels to values in [-1, 1]."""
        return level.float() * (2 / (self.levels - 1)) - 1

    def bits_per_dimension(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
        """``- log2 p(image | condition) / (C H W)``, exact, for each image (N, C, H, W): (N,) in float32."""
        level = self.quantize(image)
        context = None if self.condition is None else self.condition(condition)
        logits = self.network(self.value(level), context)
        cross_entropy = F.cross_entropy(logits.transpose(1, 2), level, reduction="none")
        return cross_entropy.flatten(1).mean(1) / math.log(2)

    def draw(self, context: Tensor | None, at: Tensor | None, shape: tuple[int, ...]) -> Tensor:
        """Sample images of a ``shape`` (N, C, H, W), pixel after pixel.

        ``at`` (N, C, H, W) in [0, 1] are quantiles: each value is taken at that quantile of its distribution, so
        uniform numbers give samples. Without it each value is the most likely one, given the previous ones.

        The vertical stack runs once per row, on the rows of its receptive field; the horizontal stack runs once per
        value, on one column.
        """
        network = self.network
        image = next(network.parameters()).new_zeros(shape)
        contexts = network.contexts(context)
        horizontal = RowStack(network)
        for row in range(shape[2]):
            top = max(0, row - network.reach)
            above = [each if each is None else each[:, :, top : row + 1] for each in contexts]
            links = network.down(image[:, :, top : row + 1], above)
            horizontal.start([link[:, :, -1] for link in links])
            for column in range(shape[3]):
                for colour in range(shape[1]):
                    logits = horizontal.logits(image[:, :, row, column], column, colour)
                    if at is None:
                        level = logits.argmax(1)
                    else:
                        below = logits.softmax(1).cumsum(1)[:, :-1]
                        level = (below <= at[:, colour, row, column, None]).sum(1)
                    image[:, colour, row, column] = self.value(level)
                horizontal.store(image[:, :, row, column], column)
        return image.float()


class RowStack:
    """The horizontal stack along a row, one column at a time, with a cache of each layer's inputs.

    Convolutions are computed as matrix products, which on a single column take a fraction of a convolution's time.
    """

    def __init__(self, network: GatedPixelCNN) -> None:
        self.levels = network.levels
        self.layers = [cast(Layer, layer) for layer in network.layers]
        self.weights = [(_matrix(layer.horizontal), _matrix(layer.out)) for layer in self.layers]
        self.hidden, self.last = _matrix(network.hidden), _matrix(network.logits)

    def start(self, links: list[Tensor]) -> None:
        """Start a row, given each layer's link (N, C, W) to the rows above."""
        self.links = [link.unbind(2) for link in links]
        self.inputs = [
            link.new_zeros(len(link), layer.horizontal.in_channels, layer.reach + link.shape[2])
            for layer, link in zip(self.layers, links, strict=True)
        ]

    def store(self, pixel: Tensor, column: int) -> None:
        """Store all colours of a pixel in the cache, before the next column."""
        self.inputs[0][:, :, self.layers[0].reach + column] = pixel

    def logits(self, pixel: Tensor, column: int, colour: int) -> Tensor:
        """The logits (N, levels) in float32 of a colour at a column; ``pixel`` (N, C) holds its earlier colours."""
        x = pixel
        for layer, (horizontal, out), link, inputs in zip(
            self.layers, self.weights, self.links, self.inputs, strict=True
        ):
            inputs[:, :, layer.reach + column] = x
            window = inputs[:, :, column : column + layer.reach + 1].flatten(1)
            output = F.linear(gate(F.linear(window, *horizontal) + link[column]), *out)
            x = output if layer.first else x + output
        weight, bias = self.last
        own = slice(colour * self.levels, (colour + 1) * self.levels)
        return F.linear(F.relu(F.linear(F.relu(x), *self.hidden)), weight[own], bias[own]).float()


def _matrix(layer: Masked) -> tuple[Tensor, Tensor]:
    """The weights and biases of a masked convolution as those of a linear layer."""
    assert layer.bias is not None
    return (layer.weight * layer.mask).flatten(1), layer.bias


class PixelTranslator(Pixels):
    """Translates by sampling the target's pixels given the source."""

    def forward(self, image: Tensor, samples: int | None = None) -> Tensor:
        """Translate (N, inputs, H, W) in [-1, 1] to (N, outputs, H, W).

        Each value is the most likely one, given the source and the previous values. With ``samples`` values are
        sampled, and the output is (N * samples, outputs, H, W), the samples of an image next to each other.
        """
        if samples is not None and samples < 1:
            raise TranslateError(f"pixelcnn draws 1 sample or more for each image, not {samples}")
        if torch.compiler.is_exporting():
            raise TranslateError("pixelcnn makes each value from those before it, in a loop that no file can hold")
        assert self.condition is not None
        context = self.condition(image)
        context = context.repeat_interleave(samples or 1, dim=0)
        shape = (len(context), self.network.colours, *image.shape[-2:])
        at = None if samples is None else torch.rand(shape, device=image.device)
        return self.draw(context, at, shape)


class PixelSampler(Pixels):
    """Unconditional sampling: the normal distribution function maps standard normal ``noise`` to quantiles."""

    noise_is_code = False

    def __init__(self, network: GatedPixelCNN, size: tuple[int, int]) -> None:
        super().__init__(network)
        self.noise = (network.colours, *size)

    def forward(self, noise: Tensor) -> Tensor:
        """Map noise (N, C, H, W) to images of that shape."""
        return self.draw(None, torch.special.ndtr(noise.float()), tuple(noise.shape))


class Condition(nn.Module):
    """Condition maps of a source: residual 3x3 convolutions with dilations 1, 2, 4 and 8.

    The receptive field is 33x33 pixels of the source.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.opening = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.Conv2d(outputs, outputs, 3, padding=dilation, dilation=dilation) for dilation in (1, 2, 4, 8)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H, W)."""
        x: Tensor = self.opening(image)
        for layer in self.layers:
            x = x + layer(F.relu(x))
        return x
