"""The method: one player, no discriminator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

from torch import Tensor, nn

from translate.errors import TranslateError
from translate.method import Batch, Method, Needs, Parts, Update
from translate.options import Option


class Added(nn.Module):
    """A network whose output is added to its input, (N, C, H, W) to the same shape."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.size_multiple = int(getattr(network, "size_multiple", 1))

    def forward(self, image: Tensor) -> Tensor:
        """Add twice the network's output, which lies in [-1, 1], so that any image can become any other.

        In training the sum may leave [-1, 1]: clipped values would have no gradient. A trained network clips it.
        """
        added: Tensor = image + 2 * self.network(image)
        return added if self.training else added.clamp(-1, 1)


class Residual(Method):
    """Learn what to add to the source, by one robust loss (residual learning: Zhang et al. 2017, arXiv:1608.03981)."""

    def __init__(
        self,
        parts: Parts,
        *,
        generator: Annotated[str, Option("network whose output is added", part="generators")] = "resnet(blocks=6)",
        distance: Annotated[str, Option("loss between result and target", part="losses")] = "charbonnier",
    ) -> None:
        super().__init__()
        if parts.source.channels != parts.target.channels:
            raise TranslateError(
                f"residual adds to the source, so both sides need the same channels, not {parts.source.channels} and "
                f"{parts.target.channels}; use pix2pix for such pairs"
            )
        self.generator = Added(parts.generator(generator))
        self.distance = parts.loss(distance)

    @property
    def needs(self) -> Needs:
        """Pairs."""
        return Needs(paired=True)

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """A single player."""
        return {"generator": self.generator}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """The trained network."""
        return {"forward": self.generator}

    def updates(self, batch: Batch, step: int) -> Iterator[Update]:
        """One update per step."""
        result = self.generator(batch["source"])
        yield Update("generator", {"distance": self.distance(result, batch["target"])})
