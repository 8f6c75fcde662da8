"""Where a bridge begins: the source as an image with the target's channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from translate.data import Domain
from translate.seeds import uniform


class Start(nn.Module):
    """The source's images with the target's channels; those that have as many stay as they are.

    Planes of classes are painted, each class in a colour of its own, and pixels without a class are gray; a coloured
    map is what BBDM begins with. Any other image becomes the mean of its channels.
    """

    colours: Tensor | None

    def __init__(self, source: Domain, target: Domain) -> None:
        super().__init__()
        self.channels = target.channels
        self.same = source.channels == target.channels
        painted = source.one_hot and not self.same
        colours = uniform(torch.arange(source.channels), target.channels) if painted else None
        self.register_buffer("colours", colours, persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, channels, H, W), both in [-1, 1]."""
        if self.same:
            return image
        if self.colours is None:
            return image.mean(1, keepdim=True).expand(-1, self.channels, -1, -1)
        return torch.einsum("nkhw,ck->nchw", (image + 1) / 2, self.colours)
