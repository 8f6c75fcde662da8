"""CycleGAN's step as a script has it: what the framework's step is compared with."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam

from translate.errors import TranslateError
from translate.method import Method
from translate_cyclegan.method import CycleGAN


class PlainCycleGAN:
    """The published game of CycleGAN (arXiv:1703.10593) by hand, eager, on the networks of a method.

    It has the method's weights of the terms, least squares, torch's Adam and a history of fakes in a Python list, and
    asks for every loss in every step, as one does who prints or plots them.
    """

    def __init__(self, method: Method) -> None:
        if not isinstance(method, CycleGAN):
            raise TranslateError(f"this loop plays cyclegan, not {type(method).__name__}")
        self.to_target, self.to_source = method.to_target, method.to_source
        self.of_target = method.target_adversary.discriminator
        self.of_source = method.source_adversary.discriminator
        self.cycle, self.identity = method.cycle, method.cycle * method.identity
        size = method.target_adversary.pool.size if method.target_adversary.pool is not None else 0
        self.past_targets, self.past_sources = PastFakes(size), PastFakes(size)
        generators = itertools.chain(self.to_target.parameters(), self.to_source.parameters())
        judges = itertools.chain(self.of_target.parameters(), self.of_source.parameters())
        self.generators = Adam(generators, lr=2e-4, betas=(0.5, 0.999))
        self.judges = Adam(judges, lr=2e-4, betas=(0.5, 0.999))

    def step(self, batch: Mapping[str, Tensor]) -> dict[str, float]:
        """One step of all four networks on a batch of ``source`` and ``target`` (N, C, H, W)."""
        source, target = batch["source"], batch["target"]
        fake_target, fake_source = self.to_target(source), self.to_source(target)

        asked(self.of_target, self.of_source, wanted=True)
        self.judges.zero_grad()
        judged_target = told_apart(self.of_target, target, self.past_targets(fake_target.detach()))
        judged_source = told_apart(self.of_source, source, self.past_sources(fake_source.detach()))
        (judged_target + judged_source).backward()
        self.judges.step()

        asked(self.of_target, self.of_source, wanted=False)
        self.generators.zero_grad()
        forward = (self.of_target(fake_target).logits[0] - 1).square().mean()
        backward = (self.of_source(fake_source).logits[0] - 1).square().mean()
        forward_cycle = self.cycle * F.l1_loss(self.to_source(fake_target), source)
        backward_cycle = self.cycle * F.l1_loss(self.to_target(fake_source), target)
        terms = [forward, backward, forward_cycle, backward_cycle]
        if self.identity:
            terms.append(self.identity * F.l1_loss(self.to_target(target), target))
            terms.append(self.identity * F.l1_loss(self.to_source(source), source))
        loss = terms[0]
        for term in terms[1:]:
            loss = loss + term
        loss.backward()
        self.generators.step()
        return {
            "discriminators": (judged_target + judged_source).item(),
            **{str(number): term.item() for number, term in enumerate(terms)},
        }


class PastFakes:
    """A history of fakes as a list; one image of a batch after the other is exchanged by Python's chance."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def __call__(self, fakes: Tensor) -> Tensor:
        """Exchange fakes (N, C, H, W) for earlier ones."""
        answer = []
        for fake in fakes:
            if len(self.images) < self.size:
                self.images.append(fake.clone())
                answer.append(fake)
            elif self.size and random.random() < 0.5:
                place = random.randrange(self.size)
                answer.append(self.images[place])
                self.images[place] = fake.clone()
            else:
                answer.append(fake)
        return torch.stack(answer)


def told_apart(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Half of the least squares of a discriminator."""
    real_logits, fake_logits = discriminator(real).logits[0], discriminator(fake).logits[0]
    loss: Tensor = 0.5 * (real_logits - 1).square().mean() + 0.5 * fake_logits.square().mean()
    return loss


def asked(*networks: nn.Module, wanted: bool) -> None:
    """Say whether gradients of the weights of networks are wanted."""
    weights: Iterable[nn.Parameter] = itertools.chain(*(network.parameters() for network in networks))
    for weight in weights:
        weight.requires_grad_(wanted)
