"""The projection discriminator: realness of an image, and the inner product of its features with its condition."""

from __future__ import annotations

from typing import Annotated, Literal

from torch import Tensor, nn

from translate.discriminator import DiscriminatorOutput
from translate.options import Option
from translate.precision import to_float32
from translate_networks.initialization import initialize
from translate_networks.layer_norm import AnyNorm
from translate_networks.vector_condition import Trunk, as_vectors, check_built

Heads = Literal[1, 2]


class Projection(nn.Module):
    """A discriminator of an image and a vector by an inner product (Miyato & Koyama 2018, arXiv:1802.05637).

    ``D(x, y) = y^T V phi(x) + psi(phi(x))``, equation 6: phi are convolutions, summed over all positions, psi is linear
    and V a matrix; of a one-hot y it has a row for each class. The convolutions are those of DCGAN (Radford et al.
    2015, arXiv:1511.06434), not the paper's residual blocks. With two ``heads`` a second psi alone is the realness of
    the image, whatever its condition, and D the match, as the joint discriminators of StackGAN-v2 (Zhang et al. 2018,
    arXiv:1710.10916) have it.

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
        heads: Annotated[Heads, Option("one logit for image and condition, or another for the image alone")] = 1,
    ) -> None:
        super().__init__()
        size = size or (64, 64)
        check_built(condition, size, "projection")
        self.condition = condition
        self.judges_each_alone = norm != "batch"
        self.trunk = Trunk(inputs, size, width, norm)
        channels = self.trunk.channels
        self.psi = nn.Linear(channels, 1)
        self.projection = nn.Linear(condition, channels, bias=False)
        self.realness = nn.Linear(channels, 1) if heads == 2 else None
        initialize(self)
        for layer in (self.psi, self.projection, self.realness):
            if layer is not None:
                nn.init.normal_(layer.weight, 0.0, 0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """Discriminate images (N, inputs, H, W) with their conditions (N, condition): logits (N, 1).

        ``features`` are the maps of the convolutions, which do not depend on the condition.
        """
        vectors = as_vectors(condition, self.condition, "projection")
        maps = self.trunk(image)
        summed = to_float32(maps[-1]).sum((2, 3))
        projected = to_float32(self.projection(vectors.to(image.dtype)))
        match = to_float32(self.psi(summed)) + (projected * summed).sum(1, keepdim=True)
        if self.realness is None:
            return DiscriminatorOutput(logits=(match,), features=tuple(maps))
        realness = to_float32(self.realness(summed))
        return DiscriminatorOutput(logits=(realness,), match=(match,), features=tuple(maps))
