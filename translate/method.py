"""The API for authors of methods: a method is a game, written as the updates of its players.

A method yields updates, top to bottom, as the algorithm box of its paper does. The engine back-propagates each update
into that player's weights only and steps that player's optimizer before the method resumes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import torch
from torch import Tensor, nn

from translate.adversary import Adversary
from translate.data import Domain
from translate.directions import Role, role_of
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
and ``labelled_label``; ``reference``, ``reference2`` and ``reference_label``; aligned streams and vectors by
their names, vectors as (N, D) float32). Data of one domain has no ``target``."""

M = TypeVar("M", bound=nn.Module)

Stream = Literal["mismatched", "labelled"]


@dataclass(frozen=True, slots=True)
class Needs:
    """A method's requirements on the data.

    ``paired``: source i must belong to target i. ``labels``: the domains whose examples must carry a class.
    ``streams``: further images in each batch, ordered independently of the others: ``mismatched`` is a source that does
    not belong to the batch's target; ``labelled`` has only the images of the target, or of the only domain, that have a
    label, in epochs of their own.

    ``aligned``: streams whose images belong to a domain's, such as ``mask``: ``batch["mask"]`` has the window, the
    mirroring and the movements of its partner. ``vectors``: vectors of the data by the names that they have in a batch:
    ``source_text`` and ``target_text`` are those of the batch's images, ``text`` is that of the target, or of the only
    domain, and ``mismatched_text`` that of another image there, never an equal vector, nor one of the same class.
    ``references``: two more images of one class, ``reference`` and ``reference2``, with their ``reference_label``: of
    the target or the only domain, and of all classes equally often.
    """

    paired: bool = False
    labels: frozenset[str] = frozenset()
    streams: tuple[Stream, ...] = ()
    aligned: frozenset[str] = frozenset()
    vectors: frozenset[str] = frozenset()
    references: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """One player's move: the terms of its loss, each a scalar tensor; their sum is minimised.

    A term's name is its name in the log: ``generator/l1``. ``log`` has what is logged beside the terms and is no loss:
    scalar tensors on the device, detached here, of which one that is not finite counts as no value.

    ``player`` is the name of one player, or a tuple of several that move jointly by the same terms: one backward pass
    into the union of their weights, of which a shared one gets its gradient once, and a step of each one's optimizer.
    They are logged as ``generator+projector/nce``. Yield a tuple of updates instead to move several players at once,
    each by terms of its own: all gradients are taken first, by a backward pass for each update, then all optimizers
    step; a shared weight gets the gradients of both.

    >>> Update(("generator", "projector"), {"nce": torch.zeros(())}).label
    'generator+projector'
    """

    player: str | tuple[str, ...]
    terms: Mapping[str, Tensor]
    log: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def players(self) -> tuple[str, ...]:
        """The names of the players that move by these terms."""
        return (self.player,) if isinstance(self.player, str) else tuple(self.player)

    @property
    def label(self) -> str:
        """The players' names in the log."""
        return "+".join(self.players)


class Method(nn.Module):
    """A way to train translators, samplers or classifiers: its players, the losses they minimise, and what is saved.

    A subclass builds its networks in ``__init__(self, parts, *, options...)``, names its ``players`` and
    ``translators``, and yields updates. Keyword-only arguments are the method's options on the command line.
    """

    progress: Tensor
    """Scalar in [0, 1] on the device: the share of the training that is done; annealing must use nothing else."""

    stage: int
    """The current stage of the training, from 0; the engine sets it before each step."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = 0
        self.register_buffer("progress", torch.zeros(()), persistent=False)

    @property
    def needs(self) -> Needs:
        """The method's requirements on the data; may depend on its options."""
        return Needs()

    @property
    def period(self) -> int:
        """The number of steps after which the pattern of updates repeats."""
        return 1

    @property
    def stages(self) -> Sequence[float]:
        """Shares of the training after which the next stage begins in their order; each stage has its own updates."""
        return ()

    @property
    def restarts(self) -> Sequence[float]:
        """Shares of the training after which the learning-rate schedule restarts, in their order.

        By default it restarts at each stage.
        """
        return self.stages

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """The modules that updates train, by name; each has its own optimizer."""
        raise TypeError(f"{type(self).__name__} does not say who its players are")

    @property
    def optimizers(self) -> Mapping[str, str]:
        """The published optimizers of players, by name: ``{"mapping": "adam(lr=1e-6)"}``.

        A training takes them for the players for which ``--optimizer`` asks for none. The default is none.
        """
        return {}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """The modules that are averaged (EMA), saved and used after training, by direction.

        ``forward`` and ``backward`` map images (N, C, H, W) in [-1, 1] to the same. One that can draw several outputs
        for one image takes the keyword ``samples`` and then returns ``(N * samples, C, H, W)``, the samples of an image
        next to each other. ``sample`` maps standard normal noise ``(N, *noise)``, whose shape it has as an attribute
        ``noise``, to images of the target. ``classify`` maps images to class logits (N, K), and has a method
        ``features`` that maps them to (N, D); see ``translate.discriminator.ClassHead``. A translator that has an
        encoder says so by the trait ``feature_extractor``, and its run can then be named as a feature extractor.
        """
        raise TypeError(f"{type(self).__name__} does not say which translators it trains")

    def pass_together(self) -> None:
        """From now on pass images through a network in one batch instead of several, if that changes nothing.

        It is called on GPUs, before the first step. Adversaries can do so; a method extends this for its generators.
        """
        for module in self.modules():
            if isinstance(module, Adversary):
                module.batch_real_and_fake()

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        """Yield this step's updates.

        Only ``step`` may choose which updates happen within a period, and only ``stage`` which game is played.

        With gradient accumulation (``--accumulate``) a step has several batches, which are played move by move. For the
        second move each batch's updates begin again from the top, with the weights, buffers and random draws of the
        first time; so a method's state must lie in buffers. Code after the last yield runs for the last batch only.
        """
        raise TypeError(f"{type(self).__name__} yields no updates")


class Parts(Protocol):
    """Builds a method's networks and losses by name: ``parts.generator("unet(depth=7)")``.

    ``source``, ``target`` and ``size`` (height, width) are those of the data at hand. ``aligned`` has the domain of
    each aligned stream, and ``vectors`` the width of the vectors of each name, without the domain before it. Looking up
    what the data lacks is refused in one sentence, so ask ``in`` first for what is no need.
    """

    source: Domain
    target: Domain
    size: tuple[int, int]
    aligned: Mapping[str, Domain]
    vectors: Mapping[str, int]

    @property
    def domains(self) -> tuple[str, ...]:
        """The classes of the target, or of the only domain, where they are domains of their own: the names of each."""
        ...

    def at_size(self, size: tuple[int, int]) -> Parts:
        """The same parts for images of another (height, width), such as the first stage of a method."""
        ...

    def generator(self, name: str, *, inputs: int | None = None, outputs: int | None = None) -> nn.Module:
        """A generator, by default from the source's channels to the target's."""
        ...

    def encoder(self, name: str, *, inputs: int | None = None, statistics: int = 1) -> nn.Module:
        """An encoder, by default of the source's images; its ``latent`` is the shape of one statistic."""
        ...

    def decoder(self, name: str, *, latent: tuple[int, ...], outputs: int | None = None) -> nn.Module:
        """A decoder from a latent of that shape, by default to the target's images."""
        ...

    def feature_extractor(self, name: str, *, inputs: int | None = None, frozen: bool = True) -> nn.Module:
        """A feature extractor of the source's images, unless ``inputs`` says otherwise.

        ``name`` is a part, or the folder or file of a run that has trained a classifier or an encoder: ``runs/one``, or
        of several networks one by its domain or direction, ``runs/one:target``. ``channels`` and ``latent`` give the
        shape of its output; its weights are saved with the method. Without ``frozen`` it is a network like others,
        which trains as part of a player and begins with the weights of the run.
        """
        ...

    def classifier(self, path: Path) -> nn.Module:
        """The frozen classifier of a run: maps images to class logits (N, K); its ``labels`` name the classes."""
        ...

    def discriminator(self, name: str, *, inputs: int | None = None, condition: int = 0, classes: int = 0) -> nn.Module:
        """A discriminator, by default of the target's images, with ``condition`` channels concatenated to them.

        With ``classes`` it must also have that many class logits.
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
        """A discriminator with its adversarial loss, regularizers and image pool.

        ``loss`` is an adversarial loss and any regularizers, such as ``hinge + r1(weight=10)``. ``condition`` is
        ``"source"`` or ``"target"`` for that domain's images, or a number of channels. ``weight`` scales the
        discriminator's adversarial terms; ``pool`` is the size of the image pool; with ``classes`` it must also have
        that many class logits.
        """
        ...

    def loss(self, name: str) -> Callable[[Tensor, Tensor], Tensor]:
        """A loss on images: maps (image, target) to a scalar."""
        ...

    def network(self, kind: str, name: str, **given: object) -> nn.Module:
        """A network of any kind by name, also of a kind that a plugin has opened: ``network("couplings", "affine")``.

        Its factory receives those of ``given``, and ``size``, that it has arguments for.
        """
        ...

    def own(self, module: M) -> M:
        """Say that a network of the method's own is one of its networks, and return it.

        It is then compiled, recomputed in backward passes and measured as the networks are that ``parts`` builds. Give
        whole networks that are called, not layers within another one; networks within it that ``parts`` has built count
        as its layers from then on. What its trait ``passes`` names beside ``forward`` is compiled as well.
        """
        ...

    def pool(self, size: int, channels: int) -> ImagePool:
        """An image pool of ``size`` images of the training size."""
        ...
