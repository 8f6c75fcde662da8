"""Small networks: the published ones, narrow and short enough for images of 28 to 64 px on a CPU."""

from __future__ import annotations

from typing import Annotated, Literal

from translate.options import Option
from translate_networks.normalization import Norm
from translate_networks.patch import Patch
from translate_networks.resnet import ResNet, Upsample
from translate_networks.sizes import halvings
from translate_networks.unet import UNet

DEPTH = 5
"""Halvings of the small U-Net: 32 px become one, 64 px two."""


def small_resnet(
    inputs: int,
    outputs: int,
    size: tuple[int, int] | None = None,
    *,
    blocks: Annotated[int, Option("residual blocks", ge=0)] = 6,
    width: Annotated[int, Option("channels of the first map; the inner ones have 4 times as many", ge=1)] = 16,
    norm: Annotated[Norm, Option("normalization")] = "instance",
    upsample: Annotated[Upsample, Option("transposed convolution, or resize and convolve")] = "transposed",
    dropout: Annotated[float, Option("share of activations dropped in the blocks as noise", ge=0, lt=1)] = 0.0,
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
    dropout: Annotated[float, Option("share of activations dropped as noise", ge=0, lt=1)] = 0.0,
    norm: Annotated[Norm, Option("normalization")] = "batch",
) -> UNet:
    """pix2pix's U-Net with 16 channels and at most 5 halvings: 1.04 million weights at 32 and 64 px.

    No dropout unless asked for: so narrow a network has few activations to spare. Sides of 28 px can be halved twice
    only, which leaves 0.02 million weights: train with 32.
    """
    if depth is None and (size is None or halvings(size) > DEPTH):
        depth = DEPTH
    return UNet(inputs, outputs, size, depth=depth, width=width, dropout=dropout, norm=norm)


def small_patch(
    inputs: int,
    condition: int = 0,
    size: tuple[int, int] | None = None,
    *,
    receptive_field: Annotated[Literal[16, 70], Option("side of the patches that are judged, in pixels")] = 70,
    width: Annotated[int, Option("channels of the first map; deeper ones have up to 8 times as many", ge=1)] = 32,
    norm: Annotated[Norm, Option("normalization")] = "instance",
    spectral: Annotated[bool, Option("spectral normalization of the weights")] = False,
) -> Patch:
    """The patch discriminator with 32 channels: 0.69 million weights, for images of 24 to 64 px.

    Its 70 px are more than such an image has, so every logit is about the whole of it; 16 px judge strokes and texture.
    """
    return Patch(inputs, condition, size, receptive_field=receptive_field, width=width, norm=norm, spectral=spectral)
