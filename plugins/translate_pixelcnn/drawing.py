"""What a PixelCNN is kept as: exact likelihood of images, and images drawn pixel by pixel."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.errors import TranslateError
from translate_pixelcnn.gated import GatedPixelCNN, Layer, Masked, gate


class Pixels(nn.Module):
    """A distribution over images of a number of ``levels``, given a source or by itself.

    Level k stands for the value ``2 k / (levels - 1) - 1``; other values are rounded to the nearest level.
    """

    def __init__(self, network: GatedPixelCNN, condition: nn.Module | None = None) -> None:
        super().__init__()
        self.network = network
        self.condition = condition
        self.levels = network.levels

    def quantize(self, image: Tensor) -> Tensor:
        """The levels, int64, of values in [-1, 1]."""
        return ((image.float() + 1) * ((self.levels - 1) / 2)).round().long().clamp(0, self.levels - 1)

    def value(self, level: Tensor) -> Tensor:
        """The values in [-1, 1] of levels."""
        return level.float() * (2 / (self.levels - 1)) - 1

    def bits_per_dimension(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
        """``- log2 p(image | condition) / (C H W)``, exact, for each image (N, C, H, W): (N,) in float32."""
        level = self.quantize(image)
        context = None if self.condition is None else self.condition(condition)
        logits = self.network(self.value(level), context)
        nats = F.cross_entropy(logits.transpose(1, 2), level, reduction="none")
        return nats.flatten(1).mean(1) / math.log(2)

    def draw(self, context: Tensor | None, at: Tensor | None, shape: tuple[int, ...]) -> Tensor:
        """Draw images of a ``shape`` (N, C, H, W), pixel after pixel.

        ``at`` (N, C, H, W) in [0, 1] says where in each pixel's distribution its value is taken, from below: with
        uniform numbers the images are samples. Without it each value is the most likely one, given those before.

        The vertical stack runs once a row, on as many rows as it sees; the horizontal one once a value, on a column.
        """
        network = self.network
        image = next(network.parameters()).new_zeros(shape)
        contexts = network.contexts(context)
        walk = Walk(network)
        for row in range(shape[2]):
            top = max(0, row - network.reach)
            above = [each if each is None else each[:, :, top : row + 1] for each in contexts]
            links = network.down(image[:, :, top : row + 1], above)
            walk.start([link[:, :, -1] for link in links])
            for column in range(shape[3]):
                for colour in range(shape[1]):
                    logits = walk.logits(image[:, :, row, column], column, colour)
                    if at is None:
                        level = logits.argmax(1)
                    else:
                        below = logits.softmax(1).cumsum(1)[:, :-1]
                        level = (below <= at[:, colour, row, column, None]).sum(1)
                    image[:, colour, row, column] = self.value(level)
                walk.keep(image[:, :, row, column], column)
        return image.float()


class Walk:
    """The horizontal stack of a network along a row, a column at a time; each layer remembers what it has seen.

    Convolutions become products of matrices: on a single column these take a fraction of a convolution's time.
    """

    def __init__(self, network: GatedPixelCNN) -> None:
        self.levels = network.levels
        self.layers = [cast(Layer, layer) for layer in network.layers]
        self.weights = [(_matrix(layer.horizontal), _matrix(layer.out)) for layer in self.layers]
        self.hidden, self.last = _matrix(network.hidden), _matrix(network.logits)

    def start(self, links: list[Tensor]) -> None:
        """Begin a row, with each layer's link (N, C, W) to the rows above."""
        self.links = [link.unbind(2) for link in links]
        self.seen = [
            link.new_zeros(len(link), layer.horizontal.in_channels, layer.reach + link.shape[2])
            for layer, link in zip(self.layers, links, strict=True)
        ]

    def keep(self, pixel: Tensor, column: int) -> None:
        """Remember all colours of a pixel, before the next column."""
        self.seen[0][:, :, self.layers[0].reach + column] = pixel

    def logits(self, pixel: Tensor, column: int, colour: int) -> Tensor:
        """The logits (N, levels) in float32 of a colour at a column; ``pixel`` (N, C) holds its earlier colours."""
        x = pixel
        for layer, (horizontal, out), link, seen in zip(self.layers, self.weights, self.links, self.seen, strict=True):
            seen[:, :, layer.reach + column] = x
            window = seen[:, :, column : column + layer.reach + 1].flatten(1)
            answer = F.linear(gate(F.linear(window, *horizontal) + link[column]), *out)
            x = answer if layer.first else x + answer
        weight, bias = self.last
        own = slice(colour * self.levels, (colour + 1) * self.levels)
        return F.linear(F.relu(F.linear(F.relu(x), *self.hidden)), weight[own], bias[own]).float()


def _matrix(layer: Masked) -> tuple[Tensor, Tensor]:
    """The weights and biases of a convolution for one position."""
    assert layer.bias is not None
    return (layer.weight * layer.mask).flatten(1), layer.bias


class PixelTranslator(Pixels):
    """Translates by drawing the target's pixels given the source."""

    def forward(self, image: Tensor, samples: int | None = None) -> Tensor:
        """Translate (N, inputs, H, W) in [-1, 1] to (N, outputs, H, W).

        Each value is the most likely one, given the source and the values before it. With ``samples`` values are drawn,
        and the answer is (N * samples, outputs, H, W), the samples of an image beside each other.
        """
        if samples is not None and samples < 1:
            raise TranslateError(f"pixelcnn draws 1 sample or more for each image, not {samples}")
        assert self.condition is not None
        context = self.condition(image)
        context = context.repeat_interleave(samples or 1, dim=0)
        shape = (len(context), self.network.colours, *image.shape[-2:])
        at = None if samples is None else torch.rand(shape, device=image.device)
        return self.draw(context, at, shape)


class PixelSampler(Pixels):
    """Draws images by themselves: standard normal ``noise``, through its distribution function, decides each value."""

    def __init__(self, network: GatedPixelCNN, size: tuple[int, int]) -> None:
        super().__init__(network)
        self.noise = (network.colours, *size)

    def forward(self, noise: Tensor) -> Tensor:
        """Map noise (N, C, H, W) to images of that shape."""
        return self.draw(None, torch.special.ndtr(noise.float()), tuple(noise.shape))


class Condition(nn.Module):
    """The maps of a source that pixels are drawn by: 3x3 convolutions dilated 1, 2, 4, 8 times, added to their inputs.

    Each position sees 33x33 pixels of the source.
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
