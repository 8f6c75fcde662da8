"""The coarse-to-fine generator of pix2pixHD: a global network at half the size and a local enhancer."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from translate.options import Option
from translate.precision import to_float32
from translate_networks.initialization import initialize
from translate_networks.multiscale import halve
from translate_networks.normalization import Norm, needs_bias, normalization
from translate_networks.resnet import Block, Padding
from translate_networks.sizes import check_sides


class GlobalLocal(nn.Module):
    """A global network ``G1`` and a local enhancer ``G2`` (Wang et al. 2018, arXiv:1711.11585, section 3.2).

    ``G1`` takes the image at half its size: c7s1-64, d128, d256, d512, d1024, R1024 x 9, u512, u256, u128, u64. ``G2``
    takes the image itself: c7s1-32, d64; the sum with the last map of G1; R64 x 3, u32, c7s1-3, tanh. Reflection
    padding, instance normalization. For RGB they have 182.43 and 0.27 million parameters.

    ``G1`` can be trained first, alone: ``features(image)`` are its last maps (N, ``channels``, H/2, W/2), which a layer
    built by ``head(outputs)`` turns into an image; ``halve(target)`` is the target of that size; ``refine(image,
    features)`` is G2. By default ``halvings`` is the largest number, up to 4, that leaves G1 4 px a side.
    ``size_multiple`` is 2 ** (halvings + 1).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: tuple[int, int] | None = None,
        *,
        width: Annotated[int, Option("channels of the global network's first map; the enhancer has half", ge=2)] = 64,
        halvings: Annotated[
            int | None, Option("downsampling layers of the global network; none: from the size", ge=1)
        ] = None,
        blocks: Annotated[int, Option("residual blocks of the global network", ge=0)] = 9,
        enhancer_blocks: Annotated[int, Option("residual blocks of the enhancer", ge=0)] = 3,
        norm: Annotated[Norm, Option("normalization")] = "instance",
    ) -> None:
        super().__init__()
        if halvings is None:
            halvings = 4 if size is None else fitting_halvings(size)
        self.size_multiple = 2 ** (halvings + 1)
        self.channels = width
        self.coarse = nn.Sequential(*_opening(inputs, width, norm))
        for scale in range(halvings):
            self.coarse.extend(_halving(width * 2**scale, width * 2 ** (scale + 1), norm))
        self.coarse.extend(_Residual(width * 2**halvings, norm) for _ in range(blocks))
        for scale in reversed(range(halvings)):
            self.coarse.extend(_doubling(width * 2 ** (scale + 1), width * 2**scale, norm))
        chosen = [4 + 3 * scale for scale in range(halvings)]
        chosen += [4 + 3 * halvings + number for number in range(0, min(blocks, 5), 4)]
        self.feature_layers = ("", *(f"coarse.{number}" for number in chosen))
        narrow = width // 2
        self.opening = nn.Sequential(*_opening(inputs, narrow, norm), *_halving(narrow, width, norm))
        self.enhancer = nn.Sequential(*(_Residual(width, norm) for _ in range(enhancer_blocks)))
        self.enhancer.extend(_doubling(width, narrow, norm))
        self.enhancer.append(_head(narrow, outputs))
        initialize(self)

    def forward(self, image: Tensor) -> Tensor:
        """Translate (N, inputs, H, W) in [-1, 1] to (N, outputs, H, W) in [-1, 1], float32 also under autocast."""
        return self.refine(image, self.features(image))

    def features(self, image: Tensor) -> Tensor:
        """The last maps (N, channels, H/2, W/2) of the global network, for an image (N, inputs, H, W)."""
        check_sides(image, self.size_multiple, "global_local")
        maps: Tensor = self.coarse(halve(image))
        return maps

    def refine(self, image: Tensor, features: Tensor) -> Tensor:
        """The enhancer's image (N, outputs, H, W), from an image and the global network's features of it."""
        refined: Tensor = self.enhancer(self.opening(image) + features)
        return refined

    @staticmethod
    def halve(image: Tensor) -> Tensor:
        """Downsample an image (N, C, H, W) to the size of the global network."""
        return halve(image)

    def head(self, outputs: int) -> nn.Module:
        """A new layer, c7s1 and tanh, from the features to an image (N, outputs, H/2, W/2)."""
        layer = _head(self.channels, outputs)
        initialize(layer)
        return layer


def fitting_halvings(size: tuple[int, int]) -> int:
    """The default number of halvings of the global network, 1 to 4: after them 4 px a side are left.

    >>> [fitting_halvings(size) for size in ((512, 1024), (128, 128), (64, 96), (32, 32), (20, 20))]
    [4, 4, 3, 2, 1]
    """
    count = 1
    while count < 4 and all(side % 2 ** (count + 2) == 0 and side >= 2 ** (count + 4) for side in size):
        count += 1
    return count


class _Tanh(nn.Module):
    """tanh in float32 (float64 stays): in bf16 it rounds to 1 from 3.2 on and its gradient to 0."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(to_float32(x))


class _Residual(Block):
    """A residual block without dropout, as a layer of a sequence."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__(channels, norm, 0.0)

    def forward(self, x: Tensor, noisy: bool = False) -> Tensor:
        return super().forward(x, noisy)


def _opening(inputs: int, outputs: int, norm: Norm) -> list[nn.Module]:
    """c7s1: a 7x7 convolution, normalization, ReLU."""
    convolution = nn.Conv2d(inputs, outputs, 7, bias=needs_bias(norm))
    return [Padding(3), convolution, normalization(norm, outputs), nn.ReLU()]


def _halving(inputs: int, outputs: int, norm: Norm) -> list[nn.Module]:
    """d: a 3x3 convolution of stride 2, normalization, ReLU."""
    return [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=needs_bias(norm)), normalization(norm, outputs), nn.ReLU()]


def _doubling(inputs: int, outputs: int, norm: Norm) -> list[nn.Module]:
    """u: a 3x3 transposed convolution of stride 2, normalization, ReLU."""
    convolution = nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, output_padding=1, bias=needs_bias(norm))
    return [convolution, normalization(norm, outputs), nn.ReLU()]


def _head(inputs: int, outputs: int) -> nn.Sequential:
    """c7s1 without normalization, tanh."""
    return nn.Sequential(Padding(3), nn.Conv2d(inputs, outputs, 7), _Tanh())
