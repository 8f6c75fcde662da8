"""One generator without an adversary: trained on pairs by a distance, or brought from another project."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from torch import nn

from translate.method import Batch, Method, Needs, Parts, Update
from translate.options import Option


class Regression(Method):
    """One generator, trained on pairs by a distance alone; imported generators are kept as this method.

    ``min_G E d(G(x), y)`` over pairs of a source x and a target y: the baseline of conditional GANs, whose answer is
    the mean (squared distance) or median (L1) of the plausible ones, and so is blurred where they differ. With
    ``direction="backward"`` the generator maps targets to sources.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        generator: Annotated[str, Option("generator network", part="generators")] = "unet",
        distance: Annotated[str, Option("distance between translation and truth", part="losses")] = "l1",
        direction: Annotated[
            Literal["forward", "backward"], Option("which way it translates: backward is from targets to sources")
        ] = "forward",
    ) -> None:
        super().__init__()
        self.direction = direction
        ends = parts.source.channels, parts.target.channels
        inputs, outputs = ends if direction == "forward" else reversed(ends)
        self.generator = parts.generator(generator, inputs=inputs, outputs=outputs)
        self.distance = parts.loss(distance)

    @property
    def needs(self) -> Needs:
        """Pairs."""
        return Needs(paired=True)

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """The generator."""
        return {"generator": self.generator}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """The generator."""
        return {self.direction: self.generator}

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        """One update of the generator."""
        given, wanted = ("source", "target") if self.direction == "forward" else ("target", "source")
        yield Update("generator", {"distance": self.distance(self.generator(batch[given]), batch[wanted])})
