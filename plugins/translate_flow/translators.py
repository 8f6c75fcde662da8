"""What a flow is used for after training: translating, sampling, and telling likelihoods."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from translate.errors import TranslateError
from translate.sizes import fitting_sizes
from translate_flow.model import FlowNetwork

NOISE_SEED = 0
"""Of the noise of dequantisation when likelihoods are measured."""


class ThroughFlows(nn.Module):
    """The flow of one domain to the latent, and that of the other back from it; an invertible map.

    Outputs may leave [-1, 1], since what is clamped cannot be undone.
    """

    translates_each_alone = True
    unbounded = True
    takes_float64 = True

    def __init__(self, first: FlowNetwork, second: FlowNetwork) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.size_multiple = first.size_multiple

    def forward(self, image: Tensor) -> Tensor:
        """Translate (N, C, H, W)."""
        output: Tensor = self.second.inverse(self.code_of(image))
        return output.to(image.dtype)

    def code_of(self, image: Tensor) -> Tensor:
        """The latent (N, C, H, W) of images of that shape, in float64."""
        # What float32 rounds would be missing on the way back; Apple's GPUs have no float64.
        latent: Tensor = self.first(image if image.device.type == "mps" else image.double())[0]
        return latent

    def image_of(self, code: Tensor) -> Tensor:
        """Map a latent (N, C, H, W) to images of the other domain."""
        output: Tensor = self.second.inverse(code)
        return output.float()

    def bits_per_dimension(self, image: Tensor) -> Tensor:
        """The bits (N,) for one value of each of the direction's source images (N, C, H, W)."""
        return bits_of(self.first, image)


class PriorSampler(nn.Module):
    """The flow of the target from the latent's normal distribution to images."""

    domain = "target"

    def __init__(self, flow: FlowNetwork, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.flow = flow
        self.noise = shape

    def forward(self, noise: Tensor) -> Tensor:
        """Map standard normal noise (N, C, H, W) to images, clamped to [-1, 1]."""
        image: Tensor = self.flow.inverse(noise)
        return image.clamp(-1, 1)

    def bits_per_dimension(self, image: Tensor) -> Tensor:
        """The bits (N,) for one value of each image (N, C, H, W)."""
        return bits_of(self.flow, image)


def bits_of(flow: FlowNetwork, image: Tensor) -> Tensor:
    """Bits per dimension (N,) with one and the same noise for all images, so that an image's bits are its own.

    Raises ``TranslateError`` for a size that the flow does not take: padding would add to what is counted.
    """
    height, width = image.shape[-2:]
    if height % flow.size_multiple or width % flow.size_multiple:
        sizes = fitting_sizes((height, width), flow.size_multiple)
        raise TranslateError(
            f"this flow tells the likelihood of images whose sides divide by {flow.size_multiple}, which "
            f"{height}x{width} does not; choose {sizes}"
        )
    noise = torch.rand(image.shape[1:], generator=torch.Generator().manual_seed(NOISE_SEED)).to(image)
    return flow.bits(*flow(flow.pixels.dequantize(image, noise)))
