"""The DCGAN discriminator: convolutions of stride 2 down to one logit, with optional class logits."""

from __future__ import annotations

import itertools
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.discriminator import DiscriminatorOutput
from translate.errors import TranslateError
from translate.options import Option
from translate_networks.dcgan import steps
from translate_networks.initialization import initialize
from translate_networks.k_plus_one import KPlusOne
from translate_networks.layer_norm import AnyNorm, any_normalization
from translate_networks.patch import check_condition


class DCGANDiscriminator(nn.Module):
    """A discriminator of whole images (DCGAN, Radford et al. 2015, arXiv:1511.06434, section 3).

    Convolutions of stride 2 with leaky ReLU 0.2 and batch normalization in all but the first halve the image until it
    is 4 to 7 px wide: for 64 px C64-C128-C256-C512. The last map is flattened to one logit or, if built with classes,
    to class logits from which the realness logit is computed (see ``translate_networks.k_plus_one``). Kernels are 4x4,
    weights start from N(0, 0.02). For other sizes than the training size the last map is pooled to the expected one.

    In evaluation batch normalization uses each image's own statistics, which are not those that a classifier was
    trained with: for classes use ``norm=layer``, which is the same function in training and evaluation.

    ``features`` are the activations of all layers; ``shared`` are the last layer and the head, which two
    discriminators may share.
    """

    def __init__(
        self,
        inputs: int,
        condition: int = 0,
        size: tuple[int, int] | None = None,
        classes: int = 0,
        *,
        width: Annotated[int, Option("channels of the first map; deeper ones have up to 8 times as many", ge=1)] = 64,
        norm: Annotated[AnyNorm, Option("normalization of activations")] = "batch",
        minibatch: Annotated[
            bool, Option("minibatch discrimination: use the similarity of the images of a batch")
        ] = False,
        explicit: Annotated[bool, Option("with classes: a learned logit for fakes instead of 0")] = False,
    ) -> None:
        super().__init__()
        height, wide = size or (64, 64)
        if min(height, wide) < 4:
            raise TranslateError(
                f"images of {height}x{wide} are too small for dcgan, which needs sides of 4 px; "
                "choose mlp or larger images"
            )
        self.condition = condition
        depth = steps((height, wide))
        channels = [inputs + condition, *(width * min(2**number, 8) for number in range(depth))]
        layers = [
            halving(a, b, norm if number else "none") for number, (a, b) in enumerate(itertools.pairwise(channels))
        ]
        self.layers = nn.ModuleList(layers[:-1])
        grid = (height >> depth, wide >> depth)
        head = KPlusOne(channels[-1] * grid[0] * grid[1], classes, explicit=explicit, minibatch=minibatch)
        self.shared: nn.Module = _Last(layers[-1], grid, head)
        initialize(self)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """Discriminate (N, inputs, H, W), concatenated with a condition (N, condition, H, W) if built for one."""
        check_condition(condition, self.condition, "dcgan")
        x = image if condition is None else torch.cat([image, condition.to(image.dtype)], dim=1)
        features = []
        for inner in self.layers:
            x = inner(x)
            features.append(x)
        last, realness, classes = self.shared(x)
        return DiscriminatorOutput(logits=(realness,), classes=classes, features=(*features, last))


class _Last(nn.Module):
    """The last layer and the head, as one module that two discriminators may share."""

    def __init__(self, layer: nn.Module, grid: tuple[int, int], head: KPlusOne) -> None:
        super().__init__()
        self.layer = layer
        self.grid = grid
        self.head = head

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Map (N, C, h, w) to the last maps, realness logits and class logits."""
        last = self.layer(x)
        positions = last if last.shape[-2:] == self.grid else F.adaptive_avg_pool2d(last, self.grid)
        realness, classes = self.head(positions.flatten(1))
        return last, realness, classes


def halving(inputs: int, outputs: int, norm: AnyNorm) -> nn.Sequential:
    """A layer of DCGAN's discriminator: a 4x4 convolution of stride 2, normalization, leaky ReLU 0.2."""
    convolution = nn.Conv2d(inputs, outputs, 4, 2, 1, bias=norm != "batch")
    return nn.Sequential(convolution, any_normalization(norm, outputs), nn.LeakyReLU(0.2))
