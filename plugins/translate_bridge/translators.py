"""What a bridge is used for after training: translating in any number of passes."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn

from translate.holes import compose, hole_of
from translate.options import Option
from translate.precision import to_float32
from translate.taken import Input
from translate.traits import Traits
from translate_bridge.process import Prediction, Process
from translate_bridge.start import Start

Passes = Annotated[int, Option("evaluations of the network for each image", ge=1, le=1000)]
Stochastic = Annotated[bool, Option("begin the bridge with noise; the first of one pass is without, too")]


class Reversed(nn.Module):
    """A bridge walked from the source to the target by a denoiser, at evenly spaced times."""

    def __init__(
        self,
        denoiser: nn.Module,
        start: Start,
        process: Process,
        prediction: Prediction,
        *,
        opaque: bool = False,
    ) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.start = start
        self.process = process
        self.prediction: Prediction = prediction
        self.opaque = opaque
        traits = Traits(denoiser)
        self.size_multiple, self.fixed_size = traits.size_multiple, traits.fixed_size

    def walk(self, image: Tensor, passes: int, noise: Tensor | None, mask: Tensor | None = None) -> Tensor:
        """Translate (N, C, H, W) in [-1, 1]; each pass tells a target, towards which the next one begins.

        With a mask (N, K, H, W) only its hole is translated, and everything else stays to the bit.
        """
        hole = None if mask is None else hole_of(mask, opaque=self.opaque)
        origin, condition = self.start(image, hole)
        x: Tensor = origin
        target: Tensor = origin
        for number in range(passes):
            times = (passes - number) / passes, (passes - number - 1) / passes
            shares = self.process.share(times[0]), self.process.share(times[1])
            answer = to_float32(self.denoiser(x, self.start.times(times[0], x.shape[0]), condition))
            target = kept(self.process.target(self.prediction, shares[0], x, answer).clamp(-1, 1), image, hole)
            if number + 1 < passes:
                x = kept(self.process.step(x, target, origin, shares, noise), image, hole)
        return target


def kept(filled: Tensor, image: Tensor, hole: Tensor | None) -> Tensor:
    """What is ``filled`` inside the hole and the image elsewhere; all that is filled if there is no hole."""
    return filled if hole is None else compose(filled, image, hole)


class Noisy(Reversed):
    """A bridge with noise."""

    def forward(
        self,
        image: Tensor,
        *,
        passes: Passes = 10,
        stochastic: Stochastic = True,
        noise: Annotated[Tensor | None, Input("noise", help="what the bridge begins with")] = None,
    ) -> Tensor:
        """Translate (N, C, H, W) in [-1, 1]; without noise as if it were not stochastic."""
        return self.walk(image, passes, noise if stochastic else None)


class Straight(Reversed):
    """A bridge without noise: a flow along straight lines."""

    def forward(self, image: Tensor, *, passes: Passes = 10) -> Tensor:
        """Translate (N, C, H, W) in [-1, 1]."""
        return self.walk(image, passes, None)
