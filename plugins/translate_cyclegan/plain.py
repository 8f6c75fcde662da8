"""CycleGAN's training step as a plain script: the baseline for the framework's step."""

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
    """The training loop of CycleGAN (arXiv:1703.10593), written by hand in eager torch, on a method's networks.

    It uses the method's loss weights, least squares, torch's Adam and an image pool in a Python list. It reads every
    loss with ``.item()`` in every step, as scripts that print or plot them do.
    """

    def __init__(self, method: Method) -> None:
        if not isinstance(method, CycleGAN):
            raise TranslateError(f"this loop trains cyclegan, not {type(method).__name__}")
        self.to_target, self.to_source = method.to_target, method.to_source
        self.target_discriminator = method.target_adversary.discriminator
        self.source_discriminator = method.source_adversary.discriminator
        self.cycle, self.identity = method.cycle, method.cycle * method.identity
        size = method.target_adversary.pool.size if method.target_adversary.pool is not None else 0
        self.past_targets, self.past_sources = PastFakes(size), PastFakes(size)
        generators = itertools.chain(self.to_target.parameters(), self.to_source.parameters())
        discriminators = itertools.chain(self.target_discriminator.parameters(), self.source_discriminator.parameters())
        self.generators = Adam(generators, lr=2e-4, betas=(0.5, 0.999))
        self.discriminators = Adam(discriminators, lr=2e-4, betas=(0.5, 0.999))

    def step(self, batch: Mapping[str, Tensor]) -> dict[str, float]:
        """One step of all four networks on a batch of ``source`` and ``target`` (N, C, H, W)."""
        source, target = batch["source"], batch["target"]
        fake_target, fake_source = self.to_target(source), self.to_source(target)

        set_requires_grad(self.target_discriminator, self.source_discriminator, required=True)
        self.discriminators.zero_grad()
        target_loss = discriminator_loss(self.target_discriminator, target, self.past_targets(fake_target.detach()))
        source_loss = discriminator_loss(self.source_discriminator, source, self.past_sources(fake_source.detach()))
        (target_loss + source_loss).backward()
        self.discriminators.step()

        set_requires_grad(self.target_discriminator, self.source_discriminator, required=False)
        self.generators.zero_grad()
        forward = (self.target_discriminator(fake_target).logits[0] - 1).square().mean()
        backward = (self.source_discriminator(fake_source).logits[0] - 1).square().mean()
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
            "discriminators": (target_loss + source_loss).item(),
            **{str(number): term.item() for number, term in enumerate(terms)},
        }


class PastFakes:
    """An image pool as a list; the images of a batch are exchanged one by one, by Python's random numbers."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def __call__(self, fakes: Tensor) -> Tensor:
        """Exchange some of the fakes (N, C, H, W) for earlier ones."""
        shown = []
        for fake in fakes:
            if len(self.images) < self.size:
                self.images.append(fake.clone())
                shown.append(fake)
            elif self.size and random.random() < 0.5:
                index = random.randrange(self.size)
                shown.append(self.images[index])
                self.images[index] = fake.clone()
            else:
                shown.append(fake)
        return torch.stack(shown)


def discriminator_loss(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Half of a discriminator's least-squares loss."""
    real_logits, fake_logits = discriminator(real).logits[0], discriminator(fake).logits[0]
    loss: Tensor = 0.5 * (real_logits - 1).square().mean() + 0.5 * fake_logits.square().mean()
    return loss


def set_requires_grad(*networks: nn.Module, required: bool) -> None:
    """Switch gradients of the networks' weights on or off."""
    weights: Iterable[nn.Parameter] = itertools.chain(*(network.parameters() for network in networks))
    for weight in weights:
        weight.requires_grad_(required)
