"""What the author of a method must know: a method is a game, told as the updates of its players.

A method yields updates, top to bottom, as the algorithm box of its paper does. The engine back-propagates each update
into that player's weights only and steps that player's optimizer before the method goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from translate.adversary import Adversary
from translate.data import Domain
from translate.pool import ImagePool

__all__ = [
    "Batch",
    "Method",
    "Needs",
    "Parts",
    "Role",
    "Stream",
    "Update",
    "role_of",
]

Batch = Mapping[str, Tensor]
"""Tensors on the device: ``source`` and ``target`` (N, C, H, W) in [-1, 1], ``source_label`` and ``target_label`` (N,)
int64 with -1 for "no label", and one entry for each further stream that the method needs (``mismatched``; ``labelled``
and ``labelled_label``). Data of one domain has no ``target``."""

Role = Literal["translator", "sampler", "classifier"]
Stream = Literal["mismatched", "labelled"]


def role_of(direction: str) -> Role:
    """What a module that is kept under this name does: ``sample`` and ``classify`` say so, all others translate.

    >>> role_of("backward"), role_of("sample")
    ('translator', 'sampler')
    """
    roles: dict[str, Role] = {"sample": "sampler", "classify": "classifier"}
    return roles.get(direction, "translator")


@dataclass(frozen=True, slots=True)
class Needs:
    """What a method asks of the data.

    ``paired``: source i must belong to target i. ``labels``: the domains whose examples must carry a class.
    ``streams``: further images in each batch, ordered independently of the others: ``mismatched`` is a source that does
    not belong to the batch's target; ``labelled`` is of those images of the target, or of the only domain, that have a
    label, at a rate of their own.
    """

    paired: bool = False
    labels: frozenset[str] = frozenset()
    streams: tuple[Stream, ...] = ()


@dataclass(frozen=True, slots=True)
class Update:
    """One player's move: the terms of its loss, each a scalar tensor; their sum is minimised.

    A term's name is its name in the log: ``generator/l1``. Yield a tuple of updates to move several players at once:
    all gradients are taken first, then all optimizers step.
    """

    player: str
    terms: Mapping[str, Tensor]


class Method(nn.Module):
    """A way to train translators, samplers or classifiers: who plays, what a move minimises, what is kept in the end.

    A subclass builds its networks in ``__init__(self, parts, *, options...)``, names its ``players`` and
    ``translators``, and yields updates. Keyword-only arguments are the method's options on the command line.
    """

    progress: Tensor
    """Scalar in [0, 1] on the device: how much of the training is done; the only clock for annealed quantities."""

    stage: int
    """Which of its stages the training is in, from 0; the engine says so before each step."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = 0
        self.register_buffer("progress", torch.zeros(()), persistent=False)

    @property
    def needs(self) -> Needs:
        """What the method asks of the data; may depend on its options."""
        return Needs()

    @property
    def period(self) -> int:
        """After how many steps the pattern of updates repeats."""
        return 1

    @property
    def stages(self) -> Sequence[float]:
        """Shares of the training after which a further stage begins, ascending; each stage has a pattern of its own."""
        return ()

    @property
    def restarts(self) -> Sequence[float]:
        """Shares of the training after which the learning rates' schedule begins anew, ascending: at each stage.

        So every stage is a training of its own, unless a method says otherwise.
        """
        return self.stages

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """Who is updated, by name; each has an optimizer of its own."""
        raise TypeError(f"{type(self).__name__} does not say who its players are")

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """The modules to keep, by direction: what is averaged, saved, and put to use.

        ``forward`` and ``backward`` map images (N, C, H, W) in [-1, 1] to the same. One that can draw several answers
        for one image takes the keyword ``samples`` and then returns (N * samples, C, H, W), the samples of an image
        beside each other. ``sample`` maps standard normal noise (N, *noise), whose shape it has as an attribute
        ``noise``, to images of the target. ``classify`` maps images to class logits (N, K), and has a method
        ``features`` that maps them to (N, D); see ``translate.discriminator.ClassHead``.
        """
        raise TypeError(f"{type(self).__name__} does not say which translators it trains")

    def pass_together(self) -> None:
        """From now on let images pass a network in one batch instead of several, where that changes nothing.

        It is asked for on GPUs, before the first step. Adversaries can do so; a method extends this for its generators.
        """
        for module in self.modules():
            if isinstance(module, Adversary):
                module.batch_real_and_fake()

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        """Yield this step's updates.

        ``step`` may choose which updates happen within a period, ``stage`` which game is played, and nothing else does.

        Where a step has several batches (``--accumulate``), these are played move by move. For the second move each
        batch's updates begin again from the top, with the weights, buffers and draws of the first time; so what a
        method remembers must lie in buffers. What follows the last yield runs for the last batch only.
        """
        raise TypeError(f"{type(self).__name__} yields no updates")


class Parts(Protocol):
    """What a method builds its networks and losses with, all by name: ``parts.generator("unet(depth=7)")``.

    ``source``, ``target`` and ``size`` (height, width) are those of the data at hand.
    """

    source: Domain
    target: Domain
    size: tuple[int, int]

    def at_size(self, size: tuple[int, int]) -> Parts:
        """The same parts for images of another (height, width), such as the first stage of a method."""
        ...

    def generator(self, name: str, *, inputs: int | None = None, outputs: int | None = None) -> nn.Module:
        """A generator, from the source's channels to the target's unless told otherwise."""
        ...

    def encoder(self, name: str, *, inputs: int | None = None, statistics: int = 1) -> nn.Module:
        """An encoder of the source's images unless told otherwise; its ``latent`` is the shape of one statistic."""
        ...

    def decoder(self, name: str, *, latent: tuple[int, ...], outputs: int | None = None) -> nn.Module:
        """A decoder from a latent of that shape to the target's images unless told otherwise."""
        ...

    def feature_extractor(self, name: str, *, inputs: int | None = None) -> nn.Module:
        """A fixed network that sees what the source's images show, unless told otherwise; no training changes it.

        ``name`` is a part, or the folder or file of a run that has trained a classifier. The answer's ``channels`` and
        ``latent`` say what it answers; its weights are saved with the method.
        """
        ...

    def classifier(self, path: Path) -> nn.Module:
        """The classifier that a run has trained, fixed: class logits (N, K) of images; its ``labels`` name them."""
        ...

    def discriminator(self, name: str, *, inputs: int | None = None, condition: int = 0, classes: int = 0) -> nn.Module:
        """A discriminator of the target's images unless told otherwise, with ``condition`` channels beside them.

        With ``classes`` it must tell that many classes apart, too.
        """
        ...

    def adversary(
        self,
        discriminator: str,
        *,
        loss: str,
        condition: str | int = 0,
        inputs: int | None = None,
        weight: float = 1.0,
        pool: int = 0,
        classes: int = 0,
    ) -> Adversary:
        """A discriminator with its loss and what restrains it.

        ``loss`` is an adversarial loss and any regularizers, such as ``hinge + r1(weight=10)``. ``condition`` is
        ``"source"`` or ``"target"`` for that domain's images, or a number of channels. ``weight`` scales the
        discriminator's adversarial terms; ``pool`` fakes are remembered for it; with ``classes`` it must tell that
        many classes apart, too.
        """
        ...

    def loss(self, name: str) -> Callable[[Tensor, Tensor], Tensor]:
        """A loss on images: maps (image, target) to a scalar."""
        ...

    def pool(self, size: int, channels: int) -> ImagePool:
        """A history of ``size`` images of the training size."""
        ...
