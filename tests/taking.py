"""A method whose network takes every kind of option and input, with a closed-form answer: loaded as a plugin."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from translate import checkpoint, hookimpl, translator
from translate.data import Domain
from translate.method import Batch, Method, Parts, Update
from translate.options import Option
from translate.parts import CatalogParts
from translate.plugins import discover
from translate.taken import Input

PLUGIN = str(Path(__file__))


class Taking(nn.Module):
    """An image, halved in each further pass, with a small share of everything else that is given."""

    size_multiple = 4

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(
        self,
        image: Tensor,
        *,
        passes: Annotated[int, Option("how often the image is taken", ge=1, le=100)] = 1,
        shift: Annotated[float, Option("what is added", ge=-1, le=1)] = 0.0,
        kind: Annotated[Literal["keep", "invert"], Option("what becomes of the image")] = "keep",
        label: Annotated[Tensor | None, Input("class", of="target", help="class to show")] = None,
        reference: Annotated[Tensor | None, Input("image", of="target", help="image whose mean is added")] = None,
        mask: Annotated[Tensor | None, Input("aligned", of="mask", help="where it is")] = None,
        text: Annotated[Tensor | None, Input("vector", of="text", help="numbers whose mean is added")] = None,
    ) -> Tensor:
        answer = image * self.scale if kind == "keep" else -image * self.scale
        for _ in range(passes - 1):
            answer = answer / 2
        answer = answer + shift
        if label is not None:
            answer = answer + 0.1 * label.to(image.dtype).view(-1, 1, 1, 1)
        if reference is not None:
            answer = answer + 0.1 * reference.mean((1, 2, 3), keepdim=True)
        if mask is not None:
            answer = answer * (mask + 1) / 2
        if text is not None:
            answer = answer + 0.1 * text.mean(1).view(-1, 1, 1, 1)
        return answer


class Noisy(nn.Module):
    """An image with a tenth of noise, drawn for it."""

    size_multiple = 4

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(
        self,
        image: Tensor,
        *,
        noise: Annotated[Tensor, Input("noise", help="where it begins")],
        share: Annotated[float, Option("of the noise", ge=0)] = 0.1,
    ) -> Tensor:
        return image * self.scale * (1 - share) + share * noise


class Drawing(nn.Module):
    """An image with noise that torch draws in every pass, and dropout."""

    draws_noise = True

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, image: Tensor) -> Tensor:
        dropped = nn.functional.dropout(image * self.scale, 0.5, training=True)
        return 0.5 * dropped + 0.1 * torch.randn(len(image), 1, 1, 1)


class Slow(nn.Module):
    """The image itself, some time later."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, image: Tensor, *, seconds: Annotated[float, Option("it takes", ge=0)] = 0.0) -> Tensor:
        time.sleep(seconds)
        return image * self.scale


class Maker(nn.Module):
    """Noise (N, 4) to images of one gray, which a class and a vector shift."""

    noise = (4,)

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.shape = (channels, *size)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(
        self,
        noise: Tensor,
        *,
        power: Annotated[int, Option("of the noise", ge=1)] = 1,
        label: Annotated[Tensor | None, Input("class", of="target")] = None,
        text: Annotated[Tensor | None, Input("vector", of="text")] = None,
    ) -> Tensor:
        value = 0.05 * (noise.mean(1) * self.scale) ** power
        if label is not None:
            value = value + 0.1 * label
        if text is not None:
            value = value + 0.1 * text.mean(1)
        return value.view(-1, 1, 1, 1).expand(-1, *self.shape)


class TakingMethod(Method):
    """Keeps one network of each kind."""

    def __init__(self, parts: Parts, *, network: Annotated[str, Option("one of these")] = "taking") -> None:
        super().__init__()
        self.network = {"taking": Taking, "noisy": Noisy, "drawing": Drawing, "slow": Slow}[network]()
        self.maker = Maker(parts.target.channels, parts.size)

    @property
    def players(self) -> Mapping[str, nn.Module]:
        return {"network": self.network, "maker": self.maker}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        return {"forward": self.network, "sample": self.maker}

    def updates(self, batch: Batch, step: int) -> Iterator[Update]:
        yield Update("network", {"scale": self.network.scale.square()})


LABELS = ("day", "night", "dusk")


def saved(path: Path, network: str = "taking", *, source: Domain = Domain(3), size: tuple[int, int] = (16, 16)) -> Path:  # noqa: B008
    """Write a translator of the method, untrained, and return its file."""
    catalog = discover(extra=[PLUGIN])
    parts = CatalogParts(catalog, source=source, target=Domain(3, labels=LABELS), size=size)
    parts.aligned, parts.vectors = {"mask": Domain(1)}, {"text": 2}  # type: ignore[attr-defined]
    options = {"network": network}
    method = TakingMethod(parts, **options)
    plugin = catalog.offer("methods", "taking").plugin
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(path, *translator.contents(method, name="taking", options=options, parts=parts, plugin=plugin))
    return path


@hookimpl
def methods() -> Mapping[str, type[TakingMethod]]:
    return {"taking": TakingMethod}
