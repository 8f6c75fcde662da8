"""What discriminators of an image and a vector share: strided convolutions down to a small map, and the vector."""

from __future__ import annotations

import itertools

from torch import Tensor, nn
from torch.nn import functional as F

from translate.errors import TranslateError
from translate_networks.dcgan import steps
from translate_networks.dcgan_discriminator import halving
from translate_networks.layer_norm import AnyNorm
from translate_networks.patch import check_condition

SMALLEST = 4


class Trunk(nn.Module):
    """DCGAN's strided convolutions (Radford et al. 2015, arXiv:1511.06434) to a map of 4 to 7 px, the ``grid``.

    ``channels`` are those of the last map. A map of another size than the training's is average-pooled to the grid.
    """

    def __init__(self, inputs: int, size: tuple[int, int], width: int, norm: AnyNorm) -> None:
        super().__init__()
        depth = steps(size)
        channels = [inputs, *(width * min(2**number, 8) for number in range(depth))]
        self.layers = nn.ModuleList(
            halving(a, b, norm if number else "none") for number, (a, b) in enumerate(itertools.pairwise(channels))
        )
        self.channels = channels[-1]
        self.grid = (size[0] >> depth, size[1] >> depth)

    def forward(self, image: Tensor) -> list[Tensor]:
        """The maps of all layers for images (N, inputs, H, W), the last one (N, channels, *grid)."""
        maps = []
        x = image
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        if x.shape[-2:] != self.grid:
            maps[-1] = F.adaptive_avg_pool2d(x, self.grid)
        return maps


def check_built(condition: int, size: tuple[int, int], network: str) -> None:
    """Refuse to compare images with nothing, and images that are too small."""
    if condition < 1:
        raise TranslateError(
            f"{network} compares an image with its condition and there is none here; choose dcgan instead"
        )
    if min(size) < SMALLEST:
        raise TranslateError(
            f"images of {size[0]}x{size[1]} are too small for {network}, which needs sides of {SMALLEST} px; "
            "choose mlp or larger images"
        )


def as_vectors(condition: Tensor | None, width: int, network: str) -> Tensor:
    """The condition as vectors (N, D): vectors as they are, images (N, D, H, W) averaged over their positions."""
    check_condition(condition, width, network)
    assert condition is not None
    return condition.flatten(2).mean(2) if condition.dim() > 2 else condition
