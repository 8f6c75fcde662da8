"""Residual encoder and decoder: the two halves of a residual generator, with a map as the latent."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from translate.errors import TranslateError
from translate.options import Option
from translate.precision import to_float32
from translate.sizes import fitting_sizes
from translate_networks.initialization import initialize
from translate_networks.normalization import Norm, needs_bias, normalization
from translate_networks.resnet import Block, Padding
from translate_networks.sizes import check_sides


class Blocks(nn.Module):
    """A sequence of residual blocks, with a 1x1 convolution before or after it if the channels change."""

    def __init__(self, count: int, inputs: int, channels: int, outputs: int, norm: Norm) -> None:
        super().__init__()
        self.before = nn.Conv2d(inputs, channels, 1) if inputs != channels else nn.Identity()
        self.blocks = nn.ModuleList(Block(channels, norm, 0.0) for _ in range(count))
        self.after = nn.Conv2d(channels, outputs, 1) if outputs != channels else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, h, w) to (N, outputs, h, w)."""
        x = self.before(x)
        for block in self.blocks:
            x = block(x, False)
        output: Tensor = self.after(x)
        return output


class ResidualEncoder(nn.Module):
    """Strided convolutions and residual blocks, as in UNIT (Liu et al. 2017, arXiv:1703.00848) and in CycleGAN.

    A 7x7 convolution, ``downs`` convolutions of stride 2 that double the channels, ``blocks`` residual blocks (He et
    al. 2015, arXiv:1512.03385), the last ``tied`` of which form ``shared``. ``width=64, blocks=4, tied=1`` is the
    published size. The output is a map (N, statistics * C, H / 2**downs, W / 2**downs), unbounded; C is ``latent``, by
    default the channels of the blocks. ``size_multiple`` is 2**downs.

    ``fold`` replaces the 7x7 convolution and the first strided one, which at full size take most of the time, by a
    pixel unshuffle (2x2 pixels become channels; Shi et al. 2016, arXiv:1609.05158) and a 3x3 convolution.
    """

    def __init__(
        self,
        inputs: int,
        size: tuple[int, int],
        statistics: int = 1,
        *,
        width: Annotated[int, Option("channels of the first map; each downsampling doubles them", ge=1)] = 32,
        downs: Annotated[int, Option("number of convolutions of stride 2", ge=0)] = 2,
        blocks: Annotated[int, Option("residual blocks", ge=1)] = 2,
        tied: Annotated[int, Option("number of blocks next to the latent that two domains may share", ge=1)] = 1,
        latent: Annotated[int | None, Option("channels of the latent; none: those of the blocks", ge=1)] = None,
        norm: Annotated[Norm, Option("normalization")] = "instance",
        fold: Annotated[bool, Option("pixel unshuffle (2x2) in place of the first layers: faster")] = False,
    ) -> None:
        super().__init__()
        check_tied(tied, blocks)
        check_fold(fold, downs)
        self.size_multiple = 2**downs
        if any(side % self.size_multiple for side in size):
            raise TranslateError(
                f"residual(downs={downs}) needs sides that divide by {self.size_multiple}, which {size[0]}x{size[1]} "
                f"does not; train with --size {fitting_sizes(size, self.size_multiple)}"
            )
        bias = needs_bias(norm)
        if fold:
            channels = 2 * width
            self.layers = nn.Sequential(nn.PixelUnshuffle(2), Padding(1), nn.Conv2d(4 * inputs, channels, 3, bias=bias))
        else:
            channels = width
            self.layers = nn.Sequential(Padding(3), nn.Conv2d(inputs, channels, 7, bias=bias))
        self.layers.append(normalization(norm, channels))
        self.layers.append(nn.ReLU())
        for _ in range(downs - fold):
            self.layers.append(nn.Conv2d(channels, 2 * channels, 3, 2, 1, bias=bias))
            self.layers.append(normalization(norm, 2 * channels))
            self.layers.append(nn.ReLU())
            channels *= 2
        made = latent or channels
        self.latent = (made, size[0] // self.size_multiple, size[1] // self.size_multiple)
        self.layers.append(Blocks(blocks - tied, channels, channels, channels, norm))
        self.shared: nn.Module = Blocks(tied, channels, channels, statistics * made, norm)
        _initialize(self, norm)

    def forward(self, image: Tensor) -> Tensor:
        """Encode (N, inputs, H, W) in [-1, 1], float32 also under autocast."""
        check_sides(image, self.size_multiple, "this residual encoder")
        x: Tensor = self.shared(self.layers(image))
        return to_float32(x)


class ResidualDecoder(nn.Module):
    """The mirror image of the residual encoder: residual blocks, transposed convolutions, a 7x7 convolution, tanh.

    The first ``tied`` blocks form ``shared``. Transposed convolutions of stride 2 upsample the latent map to the image
    size. ``width=64, blocks=4`` is UNIT's published size. ``fold`` replaces the last upsampling and the 7x7 convolution
    by a 3x3 convolution and a pixel shuffle (2x2).
    """

    def __init__(
        self,
        latent: tuple[int, ...],
        outputs: int,
        size: tuple[int, int],
        *,
        width: Annotated[int, Option("channels of the last map; each upsampling before has twice as many", ge=1)] = 32,
        blocks: Annotated[int, Option("residual blocks", ge=1)] = 2,
        tied: Annotated[int, Option("number of blocks next to the latent that two domains may share", ge=1)] = 1,
        norm: Annotated[Norm, Option("normalization")] = "instance",
        fold: Annotated[bool, Option("pixel shuffle (2x2) in place of the last layers: faster")] = False,
    ) -> None:
        super().__init__()
        check_tied(tied, blocks)
        doublings = _doublings(latent, size)
        check_fold(fold, doublings)
        bias = needs_bias(norm)
        channels = width * 2**doublings
        self.shared: nn.Module = Blocks(tied, latent[0], channels, channels, norm)
        self.layers = nn.Sequential(Blocks(blocks - tied, channels, channels, channels, norm))
        for _ in range(doublings - fold):
            self.layers.append(nn.ConvTranspose2d(channels, channels // 2, 3, 2, 1, output_padding=1, bias=bias))
            self.layers.append(normalization(norm, channels // 2))
            self.layers.append(nn.ReLU())
            channels //= 2
        self.layers.append(Padding(1 if fold else 3))
        if fold:
            self.layers.append(nn.Conv2d(channels, 4 * outputs, 3))
            self.layers.append(nn.PixelShuffle(2))
        else:
            self.layers.append(nn.Conv2d(channels, outputs, 7))
        _initialize(self, norm)

    def forward(self, latent: Tensor) -> Tensor:
        """Decode (N, C, h, w) to (N, outputs, H, W) in [-1, 1], float32 also under autocast."""
        x = self.layers(self.shared(latent))
        # In bf16, tanh rounds to 1 from 3.2 on and its gradient to 0.
        return torch.tanh(to_float32(x))


def check_tied(tied: int, blocks: int) -> None:
    """Refuse to tie more blocks than there are."""
    if tied > blocks:
        raise TranslateError(f"residual has {blocks} blocks, so it cannot tie {tied}; give it more blocks or tie fewer")


def check_fold(fold: bool, halvings: int) -> None:
    """Refuse ``fold`` without downsampling."""
    if fold and not halvings:
        raise TranslateError("residual folds 2x2 px, which halves the image, and no halving is asked for; use fold=no")


def _doublings(latent: tuple[int, ...], size: tuple[int, int]) -> int:
    """The number of upsampling layers from a latent map to an image of ``size``."""
    if len(latent) != 3:
        raise TranslateError(
            f"residual decodes maps, not a flat latent of {latent[0]} numbers; choose the decoder dcgan, or an encoder "
            "to maps such as residual"
        )
    factor = size[0] // latent[1]
    if factor & (factor - 1) or (latent[1] * factor, latent[2] * factor) != tuple(size):
        raise TranslateError(
            f"residual doubles maps, and no doublings make {size[0]}x{size[1]} of {latent[1]}x{latent[2]}; "
            "choose an encoder that halves the image"
        )
    return factor.bit_length() - 1


def _initialize(network: nn.Module, norm: Norm) -> None:
    """N(0, 0.02) as in CycleGAN; by fan-in without normalization, where signals would otherwise vanish."""
    initialize(network)
    if norm != "none":
        return
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(module.weight)
