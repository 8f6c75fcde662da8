"""The coarse-to-fine generator of pix2pixHD, which can translate at every stage of its training."""

from __future__ import annotations

from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.errors import TranslateError


class CoarseToFine(Protocol):
    """A generator in two parts, such as ``global_local``: features at half the size, and a refinement with them."""

    size_multiple: int

    def features(self, image: Tensor) -> Tensor:
        """Map (N, C, H, W) to features (N, D, H/2, W/2)."""
        ...

    def head(self, outputs: int) -> nn.Module:
        """A new layer from these features to images of half the size."""
        ...

    def halve(self, image: Tensor) -> Tensor:
        """An image at half its size."""
        ...

    def refine(self, image: Tensor, features: Tensor) -> Tensor:
        """Map an image and its features to the translation."""
        ...


def coarse_to_fine(network: nn.Module, name: str) -> CoarseToFine:
    """Check that a generator has the coarse-to-fine methods; refuse any other."""
    if not all(hasattr(network, part) for part in ("features", "head", "halve", "refine")):
        raise TranslateError(
            f"pix2pixhd trains a generator from coarse to fine, which {name} is not made for; choose global_local"
        )
    return cast(CoarseToFine, network)


class Growing(nn.Module):
    """A coarse-to-fine generator, with the output head of its global part for the first stage.

    Until ``refined`` is set, the output is the global part's image, upsampled; so a run that was stopped early can
    already translate.
    """

    refined: Tensor

    def __init__(self, generator: nn.Module, name: str, outputs: int) -> None:
        super().__init__()
        self.generator = generator
        network = coarse_to_fine(generator, name)
        self.head = network.head(outputs)
        self.size_multiple = network.size_multiple
        self.register_buffer("refined", torch.zeros((), dtype=torch.bool))

    @property
    def network(self) -> CoarseToFine:
        """The generator without the head of the first stage."""
        return cast(CoarseToFine, self.generator)

    def coarse(self, image: Tensor) -> Tensor:
        """The global part's image at half the size."""
        output: Tensor = self.head(self.network.features(image))
        return output

    def fine(self, image: Tensor, *, frozen: bool) -> Tensor:
        """The enhancer's image; with ``frozen`` no gradient reaches the global part."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            features = self.network.features(image)
        return self.network.refine(image, features)

    def halve(self, image: Tensor) -> Tensor:
        """Downsample an image to the size of the global part."""
        return self.network.halve(image)

    def forward(self, image: Tensor) -> Tensor:
        """Translate (N, C, H, W) in [-1, 1] to the same size."""
        if bool(self.refined):
            return self.fine(image, frozen=False)
        return F.interpolate(self.coarse(image), image.shape[-2:], mode="bilinear", align_corners=False)
