"""A method whose network takes every kind of option and input, with a closed-form answer: loaded as a plugin."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from translate import checkpoint, hookimpl, translator
from translate.data import Dataset, Domain, Example
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


OF_DATA = ("night", "day", "dusk")
"""The names of the data's classes, in another order than the network's."""


def stored(number: int, side: int, channels: int = 3) -> NDArray[np.uint8]:
    """The image of a row: of the source (0), of the target (1), or its mask (2, one channel)."""
    return np.random.default_rng((number, side)).integers(0, 256, (16, 16, channels), dtype=np.uint8)


def beside(
    *,
    label: Annotated[bool, Option("whether targets have classes")] = True,
    mask: Annotated[bool, Option("whether sources have masks")] = True,
    text: Annotated[bool, Option("whether targets have vectors")] = True,
    paired: Annotated[bool, Option("whether images belong together")] = True,
    single: Annotated[bool, Option("whether there are only targets, called sources")] = False,
    count: Annotated[int, Option("images", ge=1)] = 5,
    classes: Annotated[int, Option("classes", ge=3)] = 3,
) -> Dataset:
    """Images with everything that the method's networks take: row i has the class i modulo 3 and the vector (i, i + 1)."""

    def listed(side: int) -> list[Example]:
        own = side == 1
        return [
            Example(
                partial(stored, number, side),
                f"{number}",
                label=number % 3 if label and own else -1,
                extras={"text": np.array([[number, number + 1], [9, 9]])} if text and own else {},
            )
            for number in range(count)
        ]

    names = OF_DATA if classes == 3 else tuple(f"c{number:02d}" for number in range(classes))
    target = Domain(3, labels=names if label else ())
    if single:
        return Dataset("beside", "beside", False, {"source": target}, {each: {"source": listed(1)} for each in SPLITS})
    domains = {"source": Domain(3), "target": target}
    split = {"source": listed(0), "target": listed(1)}
    if mask:
        domains["mask"] = Domain(1)
        split["mask"] = [Example(partial(stored, number, 2, 1), f"{number}") for number in range(count)]
    aligned = {"mask": "source"} if mask else {}
    return Dataset("beside", "beside", paired, domains, dict.fromkeys(SPLITS, split), aligned=aligned)


SPLITS = ("train", "test")


def data(side: int, rows: range = range(5)) -> Tensor:
    """The images of some rows of ``beside`` in [-1, 1], as ``stored`` numbers their sides."""
    made = np.stack([stored(number, side, 1 if side == 2 else 3) for number in rows])
    return torch.from_numpy(made.transpose(0, 3, 1, 2).astype(np.float32)) / 127.5 - 1


KEPT: dict[str, dict[str, Tensor]] = {}
"""What the metrics have been given, by their names."""


class Seen:
    """A metric that keeps what it is given."""

    needs = frozenset({"fake", "target"})
    wants = frozenset({"source", "target_label", "source_label"})
    protocol = "kept"
    name = "seen"

    def __init__(self) -> None:
        self.lists: dict[str, list[Tensor]] = {}

    def update(self, batch: Mapping[str, Tensor]) -> None:
        for name, tensor in batch.items():
            self.lists.setdefault(name, []).append(tensor)

    def result(self) -> dict[str, float]:
        # A catalog loads this file as a module of its own.
        import taking

        taking.KEPT[self.name] = {name: torch.cat(each) for name, each in self.lists.items()}
        return {self.name: 0.0}


class SeenPairs(Seen):
    """The same for pairs."""

    needs = frozenset({"fake", "target", "pairs"})
    name = "seen_pairs"


@hookimpl
def methods() -> Mapping[str, type[TakingMethod]]:
    return {"taking": TakingMethod}


@hookimpl
def datasets() -> Mapping[str, object]:
    return {"beside": beside}


@hookimpl
def metrics() -> Mapping[str, object]:
    return {"seen": Seen, "seen_pairs": SeenPairs}
