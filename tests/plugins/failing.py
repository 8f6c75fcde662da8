"""Small trainings that go wrong, each in one way, or well: loaded by tests as a plugin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate import hookimpl
from translate.discriminator import DiscriminatorOutput
from translate.method import Batch, Method, Parts, Update
from translate.options import Option

Fault = Literal["none", "copied", "inverted", "variation", "saturated", "checkerboard"]


class Colours(nn.Conv2d):
    """Another colour for each pixel, and a pattern of 2 x 2 pixels on it."""

    def __init__(self) -> None:
        super().__init__(3, 3, 1)
        self.pattern = nn.Parameter(torch.zeros(1, 3, 2, 2))

    def forward(self, image: Tensor) -> Tensor:
        tiles = image.shape[2] // 2, image.shape[3] // 2
        return torch.tanh(super().forward(image) + self.pattern.repeat(1, 1, *tiles))


class Failing(Method):
    """A translator that learns what the fault says."""

    def __init__(self, parts: Parts, *, fault: Annotated[Fault, Option("what goes wrong")] = "none") -> None:
        super().__init__()
        self.network, self.fault = Colours(), fault

    @property
    def players(self) -> Mapping[str, nn.Module]:
        return {"network": self.network}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        return {"forward": self.network}

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        source, target = batch["source"], batch["target"]
        fake = self.network(source)
        tile = torch.tensor([[0.5, -0.5], [-0.5, 0.5]]).repeat(source.shape[2] // 2, source.shape[3] // 2)
        wanted = {
            "none": target,
            "copied": source,
            "inverted": -source,
            "variation": torch.full_like(source, 0.1),
            "saturated": torch.full_like(source, 3.0),
            "checkerboard": target + tile,
        }[self.fault]
        yield Update("network", {"distance": (fake - wanted).square().mean()})


class Bank(nn.Module):
    """A sampler: the noise chooses one of its pictures."""

    noise = (5,)

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.pictures = nn.Parameter(torch.zeros(36, 3, *size))

    def forward(self, noise: Tensor) -> Tensor:
        return self.pictures[(noise[:, 0] * 1000).long().abs() % 36]


class Linear(nn.Linear):
    """A sampler: noise to images."""

    noise = (5,)

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__(5, 3 * size[0] * size[1])
        self.shape = (3, *size)

    def forward(self, noise: Tensor) -> Tensor:
        return super().forward(noise).unflatten(1, self.shape)


class Sampling(Method):
    """A sampler that memorises the training images, repeats their mean, or makes others as various as they are."""

    def __init__(
        self, parts: Parts, *, fault: Annotated[Literal["none", "memorised", "repeats"], Option("what goes wrong")]
    ) -> None:
        super().__init__()
        self.sampler: nn.Module = Bank(parts.size) if fault == "memorised" else Linear(parts.size)
        self.fault = fault

    @property
    def players(self) -> Mapping[str, nn.Module]:
        return {"sampler": self.sampler}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        return {"sample": self.sampler}

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        real = batch["target"]
        if self.fault == "memorised":
            # All of the data is in each batch; an order gives each image a place.
            wanted, made = real[real.mean((1, 2, 3)).argsort()], self.sampler.pictures
        else:
            made = self.sampler(torch.randn(len(real), 5))
            still = made.detach() + 0.01 * torch.randn_like(made)
            wanted = still if self.fault == "none" else real.mean(0, keepdim=True).expand_as(made)
        yield Update("sampler", {"distance": (made - wanted).square().mean()})


class Judge(nn.Module):
    """A realness from the mean colours."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, 1)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        return DiscriminatorOutput((self.linear(image.mean((2, 3))),))


class Picture(nn.Module):
    """One picture, whatever comes in, and a little of that."""

    def __init__(self) -> None:
        super().__init__()
        self.colours = nn.Parameter(torch.full((1, 3, 1, 1), -1.0))

    def forward(self, image: Tensor) -> Tensor:
        return self.colours + 0.1 * image


class Duel(Method):
    """A discriminator against a generator, of which one may be held: ``free`` says who moves."""

    def __init__(
        self,
        parts: Parts,
        *,
        free: Annotated[Literal["both", "generator", "discriminator"], Option("who learns")] = "both",
        adversarial: Annotated[str, Option("loss", part="adversarial_losses")] = "nonsaturating",
    ) -> None:
        super().__init__()
        self.generator, self.free = Picture(), free
        self.adversary = parts.adversary("judge", loss=adversarial)

    @property
    def players(self) -> Mapping[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.adversary}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        return {"forward": self.generator}

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        source, target = batch["source"], batch["target"]
        fake = self.generator(source)
        terms = self.adversary.discriminator_terms(target, fake.detach())
        yield Update("discriminator", {n: t * (self.free != "generator") for n, t in terms.items()})
        terms = self.adversary.generator_terms(fake, target)
        yield Update("generator", {n: t * (self.free != "discriminator") for n, t in terms.items()})


class Numbers(Method):
    """Players of one number: one whose steps are too long, and one whose loss ends."""

    def __init__(self, parts: Parts, *, well: Annotated[bool, Option("whether they do not fail")] = False) -> None:
        super().__init__()
        self.far, self.ending = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        self.well = well
        nn.init.ones_(self.far.weight)
        nn.init.ones_(self.ending.weight)

    @property
    def players(self) -> Mapping[str, nn.Module]:
        return {"far": self.far, "ending": self.ending}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        return {"sample": _Still()}

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        yield Update("far", {"square": (self.far.weight - self.well * torch.randn(1)).square().sum()})
        loss = (self.ending.weight - torch.randn(1)).square() if self.well else F.relu(self.ending.weight)
        yield Update("ending", {"loss": loss.sum()})


class _Still(nn.Module):
    noise = (1,)

    def forward(self, noise: Tensor) -> Tensor:
        return noise[:, :, None, None].expand(-1, 3, 16, 16)


@hookimpl
def methods() -> Mapping[str, Any]:
    return {"failing": Failing, "sampling": Sampling, "duel": Duel, "numbers": Numbers}


@hookimpl
def discriminators() -> Mapping[str, Any]:
    return {"judge": Judge}
