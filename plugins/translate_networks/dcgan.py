"""DCGAN's generator as a decoder of flat latents, and an encoder that mirrors it."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from translate.errors import TranslateError
from translate.options import Option
from translate.precision import to_float32
from translate_networks.initialization import initialize
from translate_networks.layer_norm import AnyNorm, any_normalization

Kernel = Literal[4, 5]


class DCGANDecoder(nn.Module):
    """The generator of DCGAN (Radford et al. 2015, arXiv:1511.06434, section 3 and figure 1).

    A flat latent is projected to a map of about 4 px, which transposed convolutions of stride 2 upsample to the image:
    ReLU, no fully connected layer after the projection, no pooling, tanh at the end. ``width=128, kernel=5`` are the
    published numbers: for 64 px 1024, 512, 256 and 128 channels from a latent of (100,). If a side is not a power of
    two, the first map is larger than 4 px and the result is cropped.

    The paper uses batch normalization, with which a sample depends on the others of its batch. In evaluation
    ``norm="batch"`` therefore uses each image's own statistics. ``layer``, the default, is the same function in
    training and evaluation. ``shared`` are the projection and, if there are two or more upsampling layers, the first.
    """

    def __init__(
        self,
        latent: tuple[int, ...],
        outputs: int,
        size: tuple[int, int],
        *,
        width: Annotated[
            int, Option("channels of the last inner map; earlier maps have up to 8 times as many", ge=1)
        ] = 64,
        kernel: Annotated[Kernel, Option("kernel size")] = 4,
        norm: Annotated[AnyNorm, Option("normalization")] = "layer",
    ) -> None:
        super().__init__()
        if len(latent) != 1:
            raise TranslateError(
                f"dcgan decodes flat latents, not maps of shape {latent}; choose the decoder residual, or an encoder "
                "with a flat latent such as dcgan"
            )
        doublings = steps(size)
        self.size = size
        start = -(-size[0] // 2**doublings), -(-size[1] // 2**doublings)
        channels = width * min(2 ** max(doublings - 1, 0), 8)
        project = nn.Sequential(
            nn.Linear(latent[0], channels * start[0] * start[1]),
            nn.Unflatten(1, (channels, *start)),
            any_normalization(norm, channels),
            nn.ReLU(),
        )
        blocks = []
        for number in reversed(range(1, doublings)):
            made = width * min(2 ** (number - 1), 8)
            blocks.append(nn.Sequential(_doubling(channels, made, kernel), any_normalization(norm, made), nn.ReLU()))
            channels = made
        self.shared: nn.Module = nn.Sequential(project, *blocks[:1])
        self.layers = nn.Sequential(*blocks[1:], _doubling(channels, outputs, kernel))
        _initialize(self, norm)

    def forward(self, latent: Tensor) -> Tensor:
        """Decode (N, C) to (N, outputs, H, W) in [-1, 1], float32 also under autocast."""
        x = self.layers(self.shared(latent))
        top, left = (x.shape[-2] - self.size[0]) // 2, (x.shape[-1] - self.size[1]) // 2
        x = x[..., top : top + self.size[0], left : left + self.size[1]]
        # In bf16, tanh rounds to 1 from 3.2 on and its gradient to 0.
        return torch.tanh(to_float32(x))


class DCGANEncoder(nn.Module):
    """The mirror image of DCGAN's generator: strided convolutions down to about 4 px and a projection.

    Built like the paper's discriminator (Radford et al. 2015, arXiv:1511.06434): leaky ReLU 0.2, no normalization in
    the first layer. The output is flat, (N, statistics * latent), and unbounded. ``shared`` are the projection and, if
    there are two or more strided convolutions, the last of them. It takes images of the training size only
    (``fixed_size``).
    """

    def __init__(
        self,
        inputs: int,
        size: tuple[int, int],
        statistics: int = 1,
        *,
        latent: Annotated[int, Option("size of the latent", ge=1)] = 64,
        width: Annotated[int, Option("channels of the first map; deeper ones have up to 8 times as many", ge=1)] = 64,
        kernel: Annotated[Kernel, Option("kernel size")] = 4,
        norm: Annotated[AnyNorm, Option("normalization")] = "layer",
    ) -> None:
        super().__init__()
        self.latent = (latent,)
        self.fixed_size = size
        blocks: list[nn.Module] = []
        channels, sides = inputs, list(size)
        for number in range(steps(size)):
            made = width * min(2**number, 8)
            convolution = nn.Conv2d(channels, made, kernel, 2, (kernel - 1) // 2)
            blocks.append(
                nn.Sequential(convolution, any_normalization(norm if number else "none", made), nn.LeakyReLU(0.2))
            )
            sides = [(side + 2 * ((kernel - 1) // 2) - kernel) // 2 + 1 for side in sides]
            channels = made
        project = nn.Sequential(nn.Flatten(), nn.Linear(channels * sides[0] * sides[1], statistics * latent))
        self.layers = nn.Sequential(*(blocks[:-1] if len(blocks) > 1 else blocks))
        self.shared: nn.Module = nn.Sequential(*(blocks[-1:] if len(blocks) > 1 else []), project)
        _initialize(self, norm)

    def forward(self, image: Tensor) -> Tensor:
        """Encode (N, inputs, H, W) in [-1, 1] to (N, statistics * latent), float32 also under autocast."""
        if tuple(image.shape[-2:]) != tuple(self.fixed_size):
            raise TranslateError(
                f"dcgan encodes images of {self.fixed_size[0]}x{self.fixed_size[1]}, not of "
                f"{image.shape[-2]}x{image.shape[-1]}; resize them"
            )
        x: Tensor = self.shared(self.layers(image))
        return to_float32(x)


def steps(size: tuple[int, int]) -> int:
    """The number of halvings, at least one, after which the shorter side of a (height, width) is about 4 px.

    >>> [steps(size) for size in ((64, 64), (32, 48), (28, 28), (16, 16), (5, 5))]
    [4, 3, 2, 2, 1]
    """
    return max((min(size) // 4).bit_length() - 1, 1)


def _doubling(inputs: int, outputs: int, kernel: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, kernel, 2, (kernel - 1) // 2, output_padding=kernel - 4)


def _initialize(network: nn.Module, norm: AnyNorm) -> None:
    """As published for convolutions before a normalization; by fan-in for other layers, to preserve the scale."""
    initialize(network)
    for module in network.modules():
        if norm == "none" and isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, module.in_features**-0.5)
            nn.init.zeros_(module.bias)
