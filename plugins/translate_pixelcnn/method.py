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
    """Small paired images, sampled pixel by pixel with exact likelihood (gated PixelCNN, van den Oord et al. 2016).

    Conditional Image Generation with PixelCNN Decoders, arXiv:1606.05328:
    ``max  E log p(y | x)``, ``p(y | x) = prod_i p(y_i | y_1 ... y_(i-1), x)``, each factor a softmax over ``levels``
    values. The loss is ``- log2 p(y | x)`` for each value of y, in bits per dimension. A small convolutional network
    maps the source x to condition maps, which shift the gates at each position.

    Without ``conditional`` it learns the distribution of the target's images and saves a sampler. The paper's largest
    network has 15 layers of 128 maps and filters of 5x5; the default here is smaller.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        levels: Annotated[
            int, Option("number of values per colour of a pixel; other values are rounded", ge=2, le=256)
        ] = 256,
        width: Annotated[int, Option("maps of each layer, divided among the target's channels", ge=1)] = 32,
        layers: Annotated[int, Option("gated layers", ge=1)] = 8,
        kernel: Annotated[Literal[3, 5, 7], Option("kernel size after the first layer, whose is 7")] = 3,
        conditional: Annotated[bool, Option("model the target given the source; otherwise unconditionally")] = True,
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
        """Pairs, if it is conditional."""
        return Needs(paired=self.conditional)

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """A single player."""
        return {"generator": self.pixels}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """The model, as a translator or as a sampler."""
        return {"forward" if self.conditional else "sample": self.pixels}

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        """One update that maximises the likelihood of the targets."""
        target = batch["target"] if "target" in batch else batch["source"]
        bits = self.pixels.bits_per_dimension(target, batch["source"] if self.conditional else None)
        yield Update("generator", {"bits_per_dim": bits.mean()})
