"""The two-headed discriminator: separate logits for realness and for the match of image and condition."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from translate.discriminator import DiscriminatorOutput
from translate.errors import TranslateError
from translate.options import Option
from translate_networks.initialization import initialize
from translate_networks.normalization import Norm
from translate_networks.patch import STRIDED, check_condition, check_size, constrain, layer

Field = Literal[16, 70, 286]


class TwoHeaded(nn.Module):
    """A patch discriminator with one head for realness and one for the match of image and condition.

    Text-to-image discriminators do so: Reed et al. 2016, arXiv:1605.05396 (real images with a wrong condition are a
    third kind of fake), Zhang et al. 2018, arXiv:1802.09178 (a logit for the pair, and a map of logits for the image
    alone). Here the condition is an image, too. A trunk C64-C128-C256 over the image feeds the realness head, C512 and
    a convolution to 1 channel. The match head has the same layers; its input is the concatenation of this trunk's
    output and that of a trunk half as wide over the condition. Layers, ``receptive_field`` and options are those of
    ``patch``.

    Raises ``TranslateError`` without a condition, and if training images of ``size`` are too small.
    """

    def __init__(
        self,
        inputs: int,
        condition: int,
        size: tuple[int, int] | None = None,
        *,
        receptive_field: Annotated[Field, Option("receptive field: side of a patch in pixels")] = 70,
        width: Annotated[int, Option("channels of the first map; deeper ones have up to 8 times as many", ge=1)] = 64,
        norm: Annotated[Norm, Option("normalization")] = "batch",
        spectral: Annotated[bool, Option("spectral normalization of the weights")] = False,
    ) -> None:
        super().__init__()
        if condition < 1:
            raise TranslateError(
                "two_headed compares an image with its condition and there is none here; choose patch instead"
            )
        check_size(size, receptive_field, "two_headed", tuple(STRIDED))
        self.condition = condition
        depth = STRIDED[receptive_field]
        narrow = max(width // 2, 1)
        self.trunk = _trunk(inputs, width, depth, norm)
        self.embedding = nn.Sequential(*_trunk(condition, narrow, depth, norm))
        image_channels, condition_channels = (channels * min(2 ** (depth - 1), 8) for channels in (width, narrow))
        made = width * min(2**depth, 8)
        self.realness = layer(image_channels, made, norm, stride=1)
        self.realness_head = nn.Conv2d(made, 1, 4, 1, 1)
        self.match = layer(image_channels + condition_channels, made, norm, stride=1)
        self.match_head = nn.Conv2d(made, 1, 4, 1, 1)
        initialize(self)
        if spectral:
            constrain(self)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """Discriminate images (N, inputs, H, W) with their conditions (N, condition, H, W).

        ``logits`` and ``match`` hold one map (N, 1, h, w) each. ``features`` are the activations of the trunk and of
        the realness head, which do not depend on the condition.
        """
        check_condition(condition, self.condition, "two_headed")
        assert condition is not None
        features = []
        x = image
        for inner in self.trunk:
            x = inner(x)
            features.append(x)
        embedded = self.embedding(condition.to(image.dtype))
        realness = self.realness(x)
        match = self.match(torch.cat([x, embedded], dim=1))
        return DiscriminatorOutput(
            logits=(self.realness_head(realness),), match=(self.match_head(match),), features=(*features, realness)
        )


def _trunk(inputs: int, width: int, depth: int, norm: Norm) -> nn.ModuleList:
    layers = nn.ModuleList()
    channels = inputs
    for number in range(depth):
        made = width * min(2**number, 8)
        layers.append(layer(channels, made, norm if number else "none", stride=2))
        channels = made
    return layers
