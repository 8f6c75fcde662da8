"""The discriminator: a branch for each class, which tells real images of that class from fakes."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor, nn

from translate.discriminator import DiscriminatorOutput
from translate.errors import TranslateError
from translate.options import Option
from translate.precision import to_float32
from translate.traits import Traits
from translate_stargan.layers import initialize
from translate_stargan.styles import Trunk


class MultiBranch(nn.Module):
    """The discriminator of StarGAN v2: residual blocks without normalization (Choi et al. 2020, arXiv:1912.01865).

    A 1x1 convolution, residual blocks that halve the sides down to 4 px, a 4x4 convolution and a linear branch for each
    class, or one. The branches are the class logits; the realness is the logarithm of the mean of their exponentials,
    by which an image is real if it is real in any class. ``stargan`` takes the branch of an image's class.
    """

    judges_each_alone = True

    def __init__(
        self,
        inputs: int,
        condition: int = 0,
        size: tuple[int, int] | None = None,
        classes: int = 0,
        *,
        width: Annotated[int, Option("channels of the first map", ge=1)] = 64,
        widest: Annotated[int, Option("most channels of a map; they are doubled up to it", ge=1)] = 512,
    ) -> None:
        super().__init__()
        self.condition, self.classes = condition, classes
        self.trunk = Trunk(inputs + condition, size=size or (256, 256), width=width, widest=widest)
        self.branches = nn.Linear(self.trunk.outputs, max(classes, 1))
        initialize(self)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """Discriminate (N, inputs, H, W), concatenated with a condition (N, condition, H, W) if built for one."""
        x = image if condition is None else torch.cat([image, condition.to(image.dtype)], dim=1)
        features = self.trunk(x)
        branches = to_float32(self.branches(features))
        if not self.classes:
            return DiscriminatorOutput((branches,), features=(features,))
        realness = branches.logsumexp(1, keepdim=True) - math.log(self.classes)
        return DiscriminatorOutput((realness,), classes=branches, features=(features,))


class OfClass(nn.Module):
    """A discriminator with class logits, each as the branch of its class: an image's only logit is that of its own.

    It is called with the classes (N,) as the condition. Raises ``TranslateError`` if there are no class logits.
    """

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.judges_each_alone = Traits(discriminator).judges_each_alone

    def forward(self, image: Tensor, condition: Tensor) -> DiscriminatorOutput:
        """The logits (N,) of images in their classes."""
        output: DiscriminatorOutput = self.discriminator(image)
        if output.classes is None:
            raise TranslateError(
                f"stargan needs a discriminator with class logits, and {type(self.discriminator).__name__} has none; "
                "choose another, such as multi_branch"
            )
        logits = output.classes.gather(1, condition.long()[:, None])[:, 0]
        return DiscriminatorOutput((logits,), features=output.features)
