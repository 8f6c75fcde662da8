"""Bridges that fill holes: translators of images and masks that keep what is known."""

from functools import cache
from typing import Annotated

from torch import Tensor

from translate.taken import Input
from translate_bridge.translators import Passes, Reversed, Stochastic


@cache
def filling(stream: str, *, noisy: bool) -> type[Reversed]:
    """The class of bridges, with noise or without, that fill the holes of masks of the data's aligned ``stream``."""

    # What a network takes is read from its class, and the stream has the name that the data gives it; so there is a
    # class for each, whose annotations are evaluated where it is made.
    class NoisyFilling(Reversed):
        """Fills the hole of an image by a bridge with noise, and keeps everything else."""

        def forward(
            self,
            image: Tensor,
            *,
            passes: Passes = 10,
            stochastic: Stochastic = True,
            mask: Annotated[Tensor, Input("aligned", of=stream, hole=True, help="what is filled")],
            noise: Annotated[Tensor | None, Input("noise", help="what the bridge begins with")] = None,
        ) -> Tensor:
            """Fill images (N, C, H, W), each with a mask (N, K, H, W)."""
            return self.walk(image, passes, noise if stochastic else None, mask)

    class StraightFilling(Reversed):
        """Fills the hole of an image by a flow along straight lines, and keeps everything else."""

        def forward(
            self,
            image: Tensor,
            *,
            passes: Passes = 10,
            mask: Annotated[Tensor, Input("aligned", of=stream, hole=True, help="what is filled")],
        ) -> Tensor:
            """Fill images (N, C, H, W), each with a mask (N, K, H, W)."""
            return self.walk(image, passes, None, mask)

    return NoisyFilling if noisy else StraightFilling
