"""PatchGAN discriminator with an auxiliary classifier."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.discriminator import DiscriminatorOutput
from translate.errors import TranslateError
from translate.options import Option
from translate.precision import to_float32
from translate_networks.initialization import initialize
from translate_networks.normalization import Norm
from translate_networks.patch import STRIDED, check_condition, check_size, layer

GRID = 3
"""Rows and columns of the grid that the classifier's input is pooled to."""


class AuxiliaryPatch(nn.Module):
    """A patch discriminator as ``patch``, with a class head on the same features.

    The layers are those of PatchGAN (Isola et al. 2017, arXiv:1611.07004), with two heads as AC-GAN has them (Odena et
    al. 2017, arXiv:1610.09585): a convolution to realness logits, one for each patch, and K class logits from the last
    map, average-pooled to 3x3 positions. Realness is decided for each patch, not for the whole image; where classes can
    be confused, this constrains a translation less than ``auxiliary``.

    ``shared`` are the last ``tied`` layers and the heads; a method may tie two discriminators by assigning it. Raises
    ``TranslateError`` if training images of ``size`` (height, width) are too small for the layers.
    """

    def __init__(
        self,
        inputs: int,
        condition: int = 0,
        size: tuple[int, int] | None = None,
        classes: int = 0,
        *,
        receptive_field: Annotated[Literal[16, 70, 286], Option("receptive field: side of a patch in pixels")] = 70,
        width: Annotated[int, Option("channels of the first map; deeper ones have up to 8 times as many", ge=1)] = 64,
        norm: Annotated[Norm, Option("normalization")] = "instance",
        tied: Annotated[int, Option("number of last layers that two domains may share", ge=1)] = 1,
    ) -> None:
        super().__init__()
        check_size(size, receptive_field, "auxiliary_patch", tuple(STRIDED))
        self.condition = condition
        self.judges_each_alone = norm != "batch"
        strides = [2] * STRIDED[receptive_field] + [1]
        channels = [inputs + condition, *(width * min(2**number, 8) for number in range(len(strides)))]
        if tied >= len(strides):
            raise TranslateError(f"auxiliary_patch has {len(strides)} layers here, so it can tie {len(strides) - 1}")
        layers = [
            layer(a, b, norm if number else "none", stride=stride)
            for number, ((a, b), stride) in enumerate(zip(itertools.pairwise(channels), strides, strict=True))
        ]
        self.layers = nn.ModuleList(layers[:-tied])
        self.shared: nn.Module = Last(layers[-tied:], channels[-1], classes)
        initialize(self)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """Discriminate (N, inputs, H, W), concatenated with a condition (N, condition, H, W) if built for one."""
        check_condition(condition, self.condition, "auxiliary_patch")
        x = image if condition is None else torch.cat([image, condition.to(image.dtype)], dim=1)
        features = []
        for inner in self.layers:
            x = inner(x)
            features.append(x)
        deeper, realness, classes = self.shared(x)
        return DiscriminatorOutput(logits=(realness,), classes=classes, features=(*features, *deeper))


class Last(nn.Module):
    """The last layers and both heads, as one module that two discriminators may share."""

    def __init__(self, layers: Iterable[nn.Module], channels: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.realness = nn.Conv2d(channels, 1, 4, 1, 1)
        self.classes = nn.Linear(channels * GRID * GRID, classes) if classes else None

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor, Tensor | None]:
        """Map (N, C, h, w) to the features of all layers, realness (N, 1, h', w') and class logits (N, K), if any."""
        features = []
        for inner in self.layers:
            x = inner(x)
            features.append(x)
        if self.classes is None:
            return features, self.realness(x), None
        # Without pooling where the size fits already: the gradient of adaptive pooling is not deterministic on a GPU.
        positions = x if x.shape[-2:] == (GRID, GRID) else F.adaptive_avg_pool2d(x, GRID)
        return features, self.realness(x), to_float32(self.classes(positions.flatten(1)))
