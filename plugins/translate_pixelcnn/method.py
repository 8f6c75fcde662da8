"""PixelCNN: paired translation by exact likelihood, pixel after pixel; one player, no discriminator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from torch import nn

from translate.errors import TranslateError
from translate.method import Batch, Method, Needs, Parts, Update
from translate.options import Option
from translate_pixelcnn.drawing import Condition, Pixels, PixelSampler, PixelTranslator
from translate_pixelcnn.gated import GatedPixelCNN

MOST_PIXELS = 128 * 128


class PixelCNN(Method):
    """Small paired images, drawn pixel by pixel with exact likelihood (gated PixelCNN, van den Oord et al. 2016).

    Conditional Image Generation with PixelCNN Decoders, arXiv:1606.05328:
    ``max  E log p(y | x)``, ``p(y | x) = prod_i p(y_i | y_1 ... y_(i-1), x)``, each factor a softmax over ``levels``
    values. What is minimised and logged is ``- log2 p(y | x)`` a value of y: bits per dimension. The source's maps x
    come from a small convolutional network and shift the gates at each position.

    Without ``conditional`` it learns the target's images alone, and keeps a sampler. The paper's largest network has
    15 layers of 128 maps and filters of 5x5; here a smaller one is the default.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        levels: Annotated[
            int, Option("values that a colour of a pixel can have; others are rounded", ge=2, le=256)
        ] = 256,
        width: Annotated[int, Option("maps of a layer, divided among the target's channels", ge=1)] = 32,
        layers: Annotated[int, Option("gated layers", ge=1)] = 8,
        kernel: Annotated[Literal[3, 5, 7], Option("side of the filters after the first layer")] = 3,
        conditional: Annotated[bool, Option("draw the target given the source; otherwise by itself")] = True,
    ) -> None:
        super().__init__()
        height, across = parts.size
        if height * across > MOST_PIXELS:
            raise TranslateError(
                f"pixelcnn draws pixel after pixel, and {height}x{across} are too many; train with --size 64 or smaller"
            )
        network = GatedPixelCNN(
            parts.target.channels,
            levels,
            width=width,
            layers=layers,
            kernel=kernel,
            context=width if conditional else 0,
        )
        self.pixels: Pixels = (
            PixelTranslator(network, Condition(parts.source.channels, width))
            if conditional
            else PixelSampler(network, parts.size)
        )
        self.conditional = conditional

    @property
    def needs(self) -> Needs:
        """Pairs, unless the target is learned alone."""
        return Needs(paired=self.conditional)

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """One: there is nobody to play against."""
        return {"generator": self.pixels}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """The distribution, as a translator or as a sampler."""
        return {"forward" if self.conditional else "sample": self.pixels}

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        """The likelihood of the targets."""
        target = batch["target"] if "target" in batch else batch["source"]
        bits = self.pixels.bits_per_dimension(target, batch["source"] if self.conditional else None)
        yield Update("generator", {"bits_per_dim": bits.mean()})
