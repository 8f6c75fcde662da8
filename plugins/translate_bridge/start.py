"""Where a bridge begins, and what its denoiser is shown beside it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from translate.data import Domain
from translate.holes import EXTRA_CHANNELS, masked_input
from translate.precision import to_float32
from translate.seeds import uniform


class Start(nn.Module):
    """The source's images as a bridge begins with them, in the target's channels, and as a condition.

    Images with as many channels as the target's stay as they are. Planes of classes are painted, each class in a colour
    of its own, and pixels without a class are gray; a coloured map is what BBDM begins with. Any other image becomes
    the mean of its channels. What lies in a hole is gray. The condition is the source, if the denoiser is shown it, and
    the hole, if there is one; ``channels`` are its planes.
    """

    colours: Tensor | None
    unit: Tensor

    def __init__(self, source: Domain, target: Domain, *, conditional: bool, filling: bool) -> None:
        super().__init__()
        self.channels = (source.channels if conditional else 0) + (EXTRA_CHANNELS if filling else 0)
        self.conditional = conditional
        self.made = target.channels
        self.same = source.channels == target.channels
        painted = source.one_hot and not self.same
        colours = uniform(torch.arange(source.channels), target.channels) if painted else None
        self.register_buffer("colours", colours, persistent=False)
        self.register_buffer("unit", torch.ones(1), persistent=False)

    def times(self, time: float, count: int) -> Tensor:
        """A time for each of ``count`` rows (N,); made of a buffer, so that it is known to depend on no image."""
        return time * self.unit.expand(count)

    def forward(self, image: Tensor, hole: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Map (N, C, H, W) in [-1, 1], with a hole (N, 1, H, W) or without, to the start in float32 and the condition.

        They are (N, C', H, W), C' the target's channels, and (N, channels, H, W), or None if that has no planes.
        """
        seen = image if hole is None else masked_input(image, hole)
        condition = seen if self.conditional else hole
        return to_float32(self._in_the_target(seen[:, : image.shape[1]])), condition

    def _in_the_target(self, image: Tensor) -> Tensor:
        if self.same:
            return image
        if self.colours is None:
            return image.mean(1, keepdim=True).expand(-1, self.made, -1, -1)
        return torch.einsum("nkhw,ck->nchw", (image + 1) / 2, self.colours)
