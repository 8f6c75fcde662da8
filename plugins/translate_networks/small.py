"""Small networks: narrow and short variants of the published ones, for images of 28 to 64 px on a CPU."""

from __future__ import annotations

from typing import Annotated, Literal

from translate.options import Option
from translate_networks.normalization import Norm
from translate_networks.patch import Patch
from translate_networks.resnet import ResNet, Upsample
from translate_networks.sizes import halvings
from translate_networks.unet import UNet

DEPTH = 5
"""Largest number of halvings of the small U-Net: 32 px become 1, 64 px become 2."""


def small_resnet(
    inputs: int,
    outputs: int,
    size: tuple[int, int] | None = None,
    *,
    blocks: Annotated[int, Option("residual blocks", ge=0)] = 6,
    width: Annotated[int, Option("channels of the first map; the inner ones have 4 times as many", ge=1)] = 16,
    norm: Annotated[Norm, Option("normalization")] = "instance",
    upsample: Annotated[Upsample, Option("transposed convolution, or resize and convolution")] = "transposed",
    dropout: Annotated[float, Option("dropout rate in the blocks, as noise", ge=0, lt=1)] = 0.0,
) -> ResNet:
    """CycleGAN's residual generator with a quarter of its channels: 0.49 million weights, for images of 28 to 64 px."""
    return ResNet(inputs, outputs, size, blocks=blocks, width=width, norm=norm, upsample=upsample, dropout=dropout)


def small_unet(
    inputs: int,
    outputs: int,
    size: tuple[int, int] | None = None,
    *,
    depth: Annotated[
        int | None, Option("number of halvings; none: as the image size allows, at most 5", ge=2, le=12)
    ] = None,
    width: Annotated[int, Option("channels of the first map; deeper ones have up to 8 times as many", ge=1)] = 16,
    dropout: Annotated[float, Option("dropout rate in the decoder, as noise", ge=0, lt=1)] = 0.0,
    norm: Annotated[Norm, Option("normalization")] = "batch",
) -> UNet:
    """pix2pix's U-Net with 16 channels and at most 5 halvings: 1.04 million weights at 32 and 64 px.

    Dropout is off by default, because a network this narrow has few activations to spare. Sides of 28 px can be halved
    only twice, which leaves 0.02 million weights: train with 32 px.
    """
    if depth is None and (size is None or halvings(size) > DEPTH):
        depth = DEPTH
    return UNet(inputs, outputs, size, depth=depth, width=width, dropout=dropout, norm=norm)


def small_patch(
    inputs: int,
    condition: int = 0,
    size: tuple[int, int] | None = None,
    *,
    receptive_field: Annotated[Literal[16, 70], Option("receptive field: side of a patch in pixels")] = 70,
    width: Annotated[int, Option("channels of the first map; deeper ones have up to 8 times as many", ge=1)] = 32,
    norm: Annotated[Norm, Option("normalization")] = "instance",
    spectral: Annotated[bool, Option("spectral normalization of the weights")] = False,
) -> Patch:
    """The patch discriminator with 32 channels: 0.69 million weights, for images of 24 to 64 px.

    A field of 70 px is larger than such an image, so each logit sees all of it; 16 px see strokes and texture.
    """
    return Patch(inputs, condition, size, receptive_field=receptive_field, width=width, norm=norm, spectral=spectral)
