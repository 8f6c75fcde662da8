"""The text-to-image discriminator: a vector, repeated at all positions of a small map of the image."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from translate.discriminator import DiscriminatorOutput
from translate.options import Option
from translate.precision import to_float32
from translate_networks.initialization import initialize
from translate_networks.layer_norm import AnyNorm, any_normalization
from translate_networks.projection import Heads
from translate_networks.vector_condition import Trunk, as_vectors, check_built


class Concatenation(nn.Module):
    """A discriminator of an image and a vector by concatenation of their features (Reed et al. 2016, arXiv:1605.05396).

    Section 4.1: strided convolutions make a map of 4 px of the image, as in DCGAN (Radford et al. 2015,
    arXiv:1511.06434). A fully connected layer reduces the vector to 128 numbers, leaky ReLU 0.2; they are repeated at
    all positions and concatenated with the map. A 1x1 convolution, normalization and leaky ReLU follow, and a
    convolution of all positions to one logit. With two ``heads`` the map alone also gives the realness of the image,
    and the joint one is the match, as the joint discriminators of StackGAN-v2 (Zhang et al. 2018, arXiv:1710.10916)
    have it.

    A condition is vectors (N, D); one that is an image is averaged over its positions. Raises ``TranslateError``
    without a condition, and for images of less than 4 px.
    """

    takes_vectors = True

    def __init__(
        self,
        inputs: int,
        condition: int,
        size: tuple[int, int] | None = None,
        *,
        width: Annotated[int, Option("channels of the first map; deeper ones have up to 8 times as many", ge=1)] = 64,
        norm: Annotated[AnyNorm, Option("normalization of activations")] = "batch",
        embedding: Annotated[int, Option("numbers to which the vector is reduced", ge=1)] = 128,
        heads: Annotated[Heads, Option("one logit for image and condition, or another for the image alone")] = 1,
    ) -> None:
        super().__init__()
        size = size or (64, 64)
        check_built(condition, size, "concatenation")
        self.condition = condition
        self.judges_each_alone = norm != "batch"
        self.trunk = Trunk(inputs, size, width, norm)
        channels = self.trunk.channels
        self.embedding = nn.Sequential(nn.Linear(condition, embedding), nn.LeakyReLU(0.2))
        self.joint = nn.Sequential(
            nn.Conv2d(channels + embedding, channels, 1, bias=norm != "batch"),
            any_normalization(norm, channels),
            nn.LeakyReLU(0.2),
        )
        self.match = nn.Conv2d(channels, 1, self.trunk.grid)
        self.realness = nn.Conv2d(channels, 1, self.trunk.grid) if heads == 2 else None
        initialize(self)
        linear = self.embedding[0]
        assert isinstance(linear, nn.Linear)
        # By the width of the vector, so that one-hot classes and long embeddings arrive in the same scale.
        nn.init.normal_(linear.weight, 0.0, condition**-0.5)
        nn.init.zeros_(linear.bias)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """Discriminate images (N, inputs, H, W) with their conditions (N, condition): logits (N, 1).

        ``features`` are the maps of the convolutions, which do not depend on the condition.
        """
        vectors = as_vectors(condition, self.condition, "concatenation")
        maps = self.trunk(image)
        last = maps[-1]
        embedded = self.embedding(vectors.to(image.dtype)).to(last.dtype)
        repeated = embedded[:, :, None, None].expand(-1, -1, *last.shape[2:])
        match = to_float32(self.match(self.joint(torch.cat([last, repeated], dim=1))).flatten(1))
        if self.realness is None:
            return DiscriminatorOutput(logits=(match,), features=tuple(maps))
        realness = to_float32(self.realness(last).flatten(1))
        return DiscriminatorOutput(logits=(realness,), match=(match,), features=tuple(maps))
