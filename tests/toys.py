"""A method that keeps a sampler and a classifier, and a fixed network with a file: loaded by tests as a plugin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate import hookimpl
from translate.discriminator import ClassHead, DiscriminatorOutput
from translate.method import Batch, Method, Parts, Update
from translate.options import Option


class Maker(nn.Module):
    """Noise (N, 5) to images."""

    noise = (5,)

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.shape = (channels, *size)
        self.linear = nn.Linear(5, channels * size[0] * size[1])

    def forward(self, noise: Tensor) -> Tensor:
        return torch.tanh(self.linear(noise)).unflatten(1, self.shape)


class Judge(nn.Module):
    """Class logits from the image's mean colours."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, classes)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        means = image.mean((2, 3))
        classes = self.linear(means)
        return DiscriminatorOutput((classes.logsumexp(1),), classes=classes, features=(means,))


class Toy(Method):
    """A sampler and a classifier that learn beside one another."""

    def __init__(
        self, parts: Parts, *, sees: Annotated[str, Option("fixed network", part="feature_extractors")] = ""
    ) -> None:
        super().__init__()
        self.maker = Maker(parts.target.channels, parts.size)
        self.judge = Judge(parts.target.channels, max(len(parts.target.labels), 1))
        self.sees = parts.feature_extractor(sees) if sees else None

    @property
    def players(self) -> Mapping[str, nn.Module]:
        return {"maker": self.maker, "judge": self.judge}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        return {"sample": self.maker, "classify": ClassHead(self.judge)}

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        real = batch["target"] if "target" in batch else batch["source"]
        fake = self.maker(torch.randn(len(real), 5))
        terms = {"mean": (fake.mean() - real.mean()).square()}
        if self.sees is not None:
            terms["seen"] = (self.sees(fake) - self.sees(real)).square().mean()
        yield Update("maker", terms)
        label = batch.get("target_label", batch.get("source_label"))
        yield Update("judge", {"classes": F.cross_entropy(self.judge(real).classes, label)})  # type: ignore[arg-type]


class Seer(nn.Module):
    """One number a channel, from a file."""

    scale: Tensor

    def __init__(
        self, inputs: int, *, weights: Annotated[Path | None, Option("file of the scale, safetensors")] = None
    ) -> None:
        super().__init__()
        self.register_buffer("scale", torch.zeros(inputs))

    def read(self, weights: Path) -> None:
        from safetensors.torch import load_file

        self.scale.copy_(load_file(weights)["scale"])

    def forward(self, image: Tensor) -> Tensor:
        return image.mean((2, 3)) * self.scale


@hookimpl
def methods() -> Mapping[str, Any]:
    return {"toy": Toy}


@hookimpl
def feature_extractors() -> Mapping[str, Any]:
    return {"seer": Seer}
