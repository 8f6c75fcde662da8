"""A method that goes through every door of a training: loaded by tests as a plugin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate import hookimpl
from translate.inner_maps import inner, watch
from translate.method import Batch, Method, Parts, Update
from translate.options import Option


class Projector(nn.Module):
    """A linear map of each layer's mean, and back."""

    passes = ("inverse",)

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(count, 4) for count in channels)
        self.back = nn.Linear(4, 3)

    def forward(self, maps: list[Tensor]) -> Tensor:
        return torch.stack([layer(each.float().mean((2, 3))) for layer, each in zip(self.layers, maps, strict=True)])

    def inverse(self, code: Tensor) -> Tensor:
        colours: Tensor = self.back(code)
        return colours


class Doors(Method):
    """A generator and a projector of its inner maps, which move jointly; a third player judges mean colours."""

    def __init__(self, parts: Parts, *, generator: Annotated[str, Option("network", part="generators")]) -> None:
        super().__init__()
        self.generator = parts.generator(generator)
        with torch.no_grad():
            self.layers = ("", "encoder.0", "encoder.1")
            seen = inner(self.generator, torch.zeros(1, parts.source.channels, *parts.size), self.layers)
        self.projector = parts.own(Projector([each.shape[1] for each in seen.values()]))
        self.colours = parts.network("colours", "mean", channels=parts.target.channels)

    @property
    def players(self) -> Mapping[str, nn.Module]:
        return {"generator": self.generator, "projector": self.projector, "colours": self.colours}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        return {"forward": self.generator}

    def updates(self, batch: Batch, step: int) -> Iterator[Update]:
        with watch(self.generator, self.layers) as maps:
            fake = self.generator(batch["source"])
        yield Update("colours", {"mean": (self.colours(fake.detach()) - batch["target"].mean((2, 3))).square().mean()})
        again = inner(self.generator, fake, self.layers)
        code = self.projector(list(maps.values()))
        with torch.no_grad():
            key = self.projector(list(again.values()))
        near = (code - key).square().mean((0, 2))
        terms = {
            "l1": F.l1_loss(fake, batch["target"]),
            "near": near.mean(),
            "back": (self.projector.inverse(code[0]) - fake.mean((2, 3))).square().mean(),
        }
        never = torch.full_like(near[0], torch.nan)
        yield Update(("generator", "projector"), terms, log={"largest": near.max(), "never": never})


class Mean(nn.Module):
    """A scale for each channel's mean."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))

    def forward(self, image: Tensor) -> Tensor:
        return image.float().mean((2, 3)) * self.scale


@hookimpl
def methods() -> dict[str, type[Doors]]:
    return {"doors": Doors}


@hookimpl
def parts() -> dict[str, dict[str, type[Mean]]]:
    return {"colours": {"mean": Mean}}
