"""The PatchGAN discriminator: one logit for each patch of an image, with an optional condition."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from translate.discriminator import DiscriminatorOutput
from translate.errors import TranslateError
from translate.options import Option
from translate_networks.initialization import initialize
from translate_networks.normalization import Norm, needs_bias, normalization

ReceptiveField = Literal[1, 16, 70, 286]

STRIDED: dict[int, int] = {16: 1, 70: 3, 286: 5}
"""Number of stride-2 layers by receptive field in pixels; with 4x4 kernels each maps a field f to 2 f + 2."""


class Patch(nn.Module):
    """A fully convolutional patch discriminator (PatchGAN, Isola et al. 2017, arXiv:1611.07004, appendix 6.1.2).

    70 px: C64-C128-C256-C512 and a convolution to 1 channel: 4x4 kernels, stride 2 in all but the last two, leaky ReLU
    0.2, no normalization in the first. 16 px: C64-C128; 286 px: C64-C128-C256-C512-C512-C512; 1 px: C64-C128 with 1x1
    kernels. For RGB pairs 70 px has 2.77 million parameters, as published. ``spectral`` divides each convolution's
    weights by their spectral norm (Miyato et al. 2018, arXiv:1802.05957).

    Raises ``TranslateError`` if training images of ``size`` (height, width) are too small for the layers.
    """

    def __init__(
        self,
        inputs: int,
        condition: int = 0,
        size: tuple[int, int] | None = None,
        *,
        receptive_field: Annotated[ReceptiveField, Option("receptive field: side of a patch in pixels")] = 70,
        width: Annotated[int, Option("channels of the first map; deeper ones have up to 8 times as many", ge=1)] = 64,
        norm: Annotated[Norm, Option("normalization")] = "batch",
        spectral: Annotated[bool, Option("spectral normalization of the weights")] = False,
    ) -> None:
        super().__init__()
        check_size(size, receptive_field, "patch", (1, *STRIDED))
        self.condition = condition
        self.judges_each_alone = norm != "batch"
        if receptive_field == 1:
            kernel, strides = 1, [1, 1]
        else:
            kernel, strides = 4, [2] * STRIDED[receptive_field] + [1]
        self.layers = nn.ModuleList()
        channels = inputs + condition
        for number, stride in enumerate(strides):
            made = width * min(2**number, 8)
            self.layers.append(layer(channels, made, norm if number else "none", stride=stride, kernel=kernel))
            channels = made
        self.head = nn.Conv2d(channels, 1, kernel, 1, (kernel - 1) // 2)
        initialize(self)
        if spectral:
            constrain(self)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """Discriminate (N, inputs, H, W), concatenated with a condition (N, condition, H, W) if built for one.

        ``logits`` holds one map (N, 1, h, w), ``features`` the activations of all layers but the last.
        """
        check_condition(condition, self.condition, "patch")
        x = image if condition is None else torch.cat([image, condition.to(image.dtype)], dim=1)
        features = []
        for inner in self.layers:
            x = inner(x)
            features.append(x)
        return DiscriminatorOutput(logits=(self.head(x),), features=tuple(features))


def layer(inputs: int, outputs: int, norm: Norm, *, stride: int, kernel: int = 4) -> nn.Sequential:
    """A layer of a discriminator: convolution, normalization, leaky ReLU 0.2."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, bias=needs_bias(norm))
    return nn.Sequential(convolution, normalization(norm, outputs), nn.LeakyReLU(0.2))


def constrain(network: nn.Module) -> None:
    """Divide the weights of all convolutions by their spectral norm, one power iteration for each forward pass."""
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d):
            spectral_norm(module)


def check_size(size: tuple[int, int] | None, receptive_field: int, network: str, choices: tuple[int, ...]) -> None:
    """Refuse images (height, width) that are too small for one logit, and name the choices that fit."""
    if size is None or min(size) >= smallest_side(receptive_field):
        return
    fitting = [str(choice) for choice in choices if min(size) >= smallest_side(choice)]
    hint = f"receptive_field={' or '.join(fitting)}, or " if fitting else ""
    raise TranslateError(
        f"images of {size[0]}x{size[1]} are too small for {network} with receptive_field={receptive_field}, which "
        f"needs sides of {smallest_side(receptive_field)} px; choose {hint}larger images"
    )


def smallest_side(receptive_field: int) -> int:
    """The smallest side of an image, in pixels, that gives one logit; each 4x4 layer of stride 1 removes one pixel.

    >>> [smallest_side(field) for field in (1, 16, 70, 286)]
    [1, 6, 24, 96]
    """
    return 1 if receptive_field == 1 else 3 * 2 ** STRIDED[receptive_field]


def check_condition(condition: Tensor | None, channels: int, network: str) -> None:
    """Refuse a condition that the network was not built for, or a missing condition."""
    if condition is None and channels:
        raise TranslateError(f"this {network} needs a condition of {channels} channels with each image; give it one")
    if condition is not None and not channels:
        raise TranslateError(
            f"this {network} judges images alone; build it with a condition or leave the condition out"
        )
    if condition is not None and condition.shape[1] != channels:
        raise TranslateError(
            f"this {network} takes a condition of {channels} channels, not of {condition.shape[1]}; "
            "build it for that number of channels"
        )
