"""Coupling networks: from one part of the values to scale and shift of the other; they need not be invertible."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn
from torch.nn import functional as F

from translate.options import Option


class ResidualCoupling(nn.Module):
    """Residual blocks without normalization (RealNVP, Dinh et al. 2017; AlignFlow's size).

    Density estimation using Real NVP, arXiv:1605.08803, section 3.3: residual blocks of two 3x3 convolutions. Batch
    normalization is left out, because an image's translation must not depend on its neighbours; activation
    normalization between the couplings takes its place. AlignFlow (arXiv:1905.12892) has 4 blocks of 32 channels.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        width: Annotated[int, Option("channels of each layer", ge=1)] = 32,
        blocks: Annotated[int, Option("residual blocks of two convolutions", ge=0)] = 4,
    ) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, width, 3, padding=1)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.last = zeros(nn.Conv2d(width, outputs, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, h, w) to (N, outputs, h, w)."""
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        output: Tensor = self.last(F.relu(x))
        return output


class Block(nn.Module):
    """A residual block with the activations before the convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, h, w) to the same shape."""
        output: Tensor = x + self.second(F.relu(self.first(F.relu(x))))
        return output


def convolutions(
    inputs: int,
    outputs: int,
    *,
    width: Annotated[int, Option("channels of the two hidden layers; Glow has 512", ge=1)] = 64,
) -> nn.Sequential:
    """Three convolutions of 3x3, 1x1 and 3x3 (Glow, Kingma & Dhariwal 2018, arXiv:1807.03039)."""
    return nn.Sequential(
        nn.Conv2d(inputs, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, width, 1),
        nn.ReLU(),
        zeros(nn.Conv2d(width, outputs, 3, padding=1)),
    )


def zeros(layer: nn.Conv2d) -> nn.Conv2d:
    """Initialize a convolution to answer zeros (Glow, section 3.3)."""
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
