"""An adversary: a discriminator with its adversarial loss, regularizers and image pool, the same for all methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import is_parametrized

from translate.balance import Balance, levels
from translate.discriminator import AdversarialLoss, DiscriminatorOutput, no_classes
from translate.pool import ImagePool
from translate.precision import to_float32
from translate.traits import Traits

__all__ = [
    "Adversary",
    "Labelled",
    "Penalty",
]

Penalty = Callable[[Callable[[Tensor], DiscriminatorOutput], Tensor, Tensor], Tensor]
Labelled = tuple[Tensor, Tensor]


class Adversary(nn.Module):
    """A discriminator with its adversarial loss, regularizers and image pool; computes both players' loss terms.

    Losses are summed over the discriminator's scales. A second head for the match of image and condition adds a term;
    so do class logits, where labels are given.
    ``weight`` scales the discriminator's adversarial terms and its penalties (pix2pix halves them, to slow it down), so
    that a penalty's own weight is relative to the whole adversarial loss, as its paper has it, in every method.

    A regularizer is a penalty, called as ``(discriminate, real, fake)``, or has some of these: ``augment(image,
    condition)``, applied to all inputs of the discriminator, real and fake, for both players; ``prepare(
    discriminator)``, called once; ``project(discriminator)``, called after each step of its optimizer; ``updates``
    (n_critic), the number of discriminator updates per generator update, of which the largest is used.
    """

    _balance: Tensor
    """The accuracy and both sides' losses of the last step; -1 for an accuracy means that there was none."""

    def __init__(
        self,
        discriminator: nn.Module,
        loss: AdversarialLoss,
        *,
        regularizers: Mapping[str, Any] | None = None,
        weight: float = 1.0,
        pool: ImagePool | None = None,
    ) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.loss = loss
        self.regularizers = dict(regularizers or {})
        self.weight = weight
        self.pool = pool
        self.together = False
        """Whether real images and fakes pass the discriminator in one batch; see ``batch_real_and_fake``."""
        parts = self.regularizers.values()
        self._penalties: dict[str, Penalty] = {name: part for name, part in self.regularizers.items() if callable(part)}
        self._augmentations = [part.augment for part in parts if hasattr(part, "augment")]
        self._projections = [part.project for part in parts if hasattr(part, "project")]
        self._levels: tuple[float, float | None] | Literal["unknown"] | None = "unknown"
        # Written in place, so that a recorded step writes it when it is replayed.
        self.register_buffer("_balance", torch.tensor([-1.0, 0.0, 0.0]), persistent=False)
        self.period = max([1, *(int(part.updates) for part in parts if hasattr(part, "updates"))])
        """The generator moves once in this many steps (n_critic)."""
        for part in parts:
            if hasattr(part, "prepare"):
                part.prepare(discriminator)

    def batch_real_and_fake(self) -> None:
        """From now on pass real images and fakes through the discriminator in one batch, if that changes nothing.

        That requires the trait ``judges_each_alone``, by which an image's output depends on no other image, and weights
        that do not change in each pass, as they do with spectral normalization.
        """
        changing = any(is_parametrized(module) for module in self.discriminator.modules())
        self.together = Traits(self.discriminator).judges_each_alone and not changing

    def generator_moves(self, step: int) -> bool:
        """Whether the generator is updated in this step: in the last of each period."""
        return (step + 1) % self.period == 0

    def project(self) -> None:
        """Apply the regularizers' projections, such as weight clipping; the engine calls it after each update."""
        for project in self._projections:
            project(self.discriminator)

    def discriminator_terms(
        self,
        real: Tensor,
        fake: Tensor,
        condition: Tensor | None = None,
        mismatched: Tensor | None = None,
        labelled: Labelled | None = None,
        others: Sequence[Tensor] = (),
        share: float | None = None,
    ) -> dict[str, Tensor]:
        """The discriminator's loss terms. Images (N, C, H, W), ``fake`` detached; conditions are images or vectors.

        ``others`` are further kinds of fakes, each with as many images, not pooled: real images and each kind form
        batches of their own, shown once, and the kinds share the fakes' weight.
        ``mismatched`` is a condition that does not belong to ``real``: the pair is a third kind of fake, sharing the
        fakes' weight with the generated ones (Reed et al. 2016, arXiv:1605.05396, algorithm 1), by default as one kind
        of them; ``share`` is another part of that weight, in [0, 1]. ``labelled`` are images and their classes (M,)
        int64, -1 for none: the cross entropy of the discriminator's classes is a further term.
        """
        newest = fake
        fake, fake_condition = self._pooled(fake, condition)
        kinds = [(fake, fake_condition), *((other, condition) for other in others)]
        real_output, *fake_outputs = self._discriminate_each([(real, condition), *kinds])
        mismatched_output = None if mismatched is None else self.discriminate(real, mismatched)

        def term(real: tuple[Tensor, ...], fakes: list[tuple[Tensor, ...]]) -> Tensor:
            if share is not None and len(fakes) > len(kinds):
                # The last of them is the mismatched one.
                return (1 - share) * term(real, fakes[:-1]) + share * term(real, fakes[-1:])
            pairs = [(r, f) for fake in fakes for r, f in zip(real, fake, strict=True)]
            losses = [self.loss.discriminator(r, f) for r, f in pairs]
            return (
                torch.stack(losses).sum() * (self.weight / len(fakes)) if len(losses) > 1 else losses[0] * self.weight
            )

        fake_logits = [found.logits for found in fake_outputs]
        if real_output.match is not None:
            negatives = fake_outputs if mismatched_output is None else [*fake_outputs, mismatched_output]
            matches = [found.match for found in negatives if found.match is not None]
            terms = {"realness": term(real_output.logits, fake_logits), "match": term(real_output.match, matches)}
        else:
            mismatched_logits = [] if mismatched_output is None else [mismatched_output.logits]
            terms = {"adversarial": term(real_output.logits, [*fake_logits, *mismatched_logits])}
        self._note_discriminator(real_output.logits, fake_logits[0], next(iter(terms.values())))
        if labelled is not None:
            images, labels = labelled
            # Reuse the logits if the labelled images have just been discriminated.
            known = real_output if images is real else fake_outputs[0] if images is fake else None
            terms["classes"] = self._class_loss(known or self.discriminate(images), labels)
        return terms | self.penalties(real, newest, condition, others)

    def penalties(
        self, real: Tensor, fake: Tensor, condition: Tensor | None = None, others: Sequence[Tensor] = ()
    ) -> dict[str, Tensor]:
        """Only the penalties among the discriminator's terms, by name; empty if there are none.

        Each is the mean over the kinds of fakes; a penalty with a false attribute ``sees_fakes`` is called once.
        """
        if not self._penalties:
            return {}
        # Penalties need double backward: in bf16 its error is several percent, and compiled code does not support it.
        with torch.autocast(real.device.type, enabled=False), torch.compiler.set_stance("force_eager"):
            discriminate = partial(self.discriminate, condition=None if condition is None else to_float32(condition))
            found = {}
            for name, penalty in self._penalties.items():
                shown = (fake, *others) if getattr(penalty, "sees_fakes", True) else (fake,)
                values = [penalty(discriminate, to_float32(real), to_float32(each)) for each in shown]
                found[name] = self.weight * (torch.stack(values).mean() if len(values) > 1 else values[0])
            return found

    def generator_terms(
        self,
        fake: Tensor,
        real: Tensor,
        condition: Tensor | None = None,
        labels: Tensor | None = None,
        others: Sequence[Tensor] = (),
    ) -> dict[str, Tensor]:
        """The generator's loss terms against this discriminator; only relativistic losses use ``real``.

        ``others`` are further kinds of fakes, each discriminated as its own batch; the terms are means over the kinds.
        ``labels`` (N,), -1 for none, add the cross entropy of the fakes' classes.
        """
        fake_outputs = self._discriminate_each([(each, condition) for each in (fake, *others)])
        real_output = self.discriminate(real, condition) if getattr(self.loss, "relativistic", False) else None

        def term(fakes: list[tuple[Tensor, ...]], real: tuple[Tensor, ...] | None) -> Tensor:
            pairs = [(f, None if real is None else real[i]) for fake in fakes for i, f in enumerate(fake)]
            losses = [self.loss.generator(f, r) for f, r in pairs]
            return torch.stack(losses).sum() / len(fakes) if len(losses) > 1 else losses[0]

        fake_logits = [found.logits for found in fake_outputs]
        matches = [found.match for found in fake_outputs if found.match is not None]
        if matches:
            terms = {
                "realness": term(fake_logits, real_output.logits if real_output else None),
                "match": term(matches, real_output.match if real_output else None),
            }
        else:
            terms = {"adversarial": term(fake_logits, real_output.logits if real_output else None)}
        self._balance[2].copy_(next(iter(terms.values())).detach() / len(fake_outputs[0].logits))
        if labels is not None:
            terms["classes"] = self._class_loss(fake_outputs[0], labels)
        return terms

    def take_balance(self) -> Balance | None:
        """How the discriminator stood in its last step since the last call; waits for the device.

        None if it has not moved since, as in a stage that is over, where a method takes its terms elsewhere, and for a
        loss that cannot be tried on two logits.
        """
        accuracy, discriminator, generator = self._balance.tolist()
        self._balance[0].fill_(-1.0)
        if accuracy < 0:
            return None
        if self._levels == "unknown":
            self._levels = levels(self.loss)
        if self._levels is None:
            return None
        chance, floor = self._levels
        return Balance(accuracy, discriminator, generator, chance, floor)

    @torch.no_grad()
    def _note_discriminator(self, real: tuple[Tensor, ...], fake: tuple[Tensor, ...], term: Tensor) -> None:
        """Note the accuracy over all scales and the loss without its weight."""
        if not self.weight:
            return
        rows = min(len(real[0]), len(fake[0]))
        shares = [(r[:rows] > f[:rows]).float().mean() for r, f in zip(real, fake, strict=True)]
        self._balance[0].copy_(torch.stack(shares).mean() if len(shares) > 1 else shares[0])
        self._balance[1].copy_(term / (self.weight * len(real)))

    def discriminate(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """The discriminator's output for images (N, C, H, W) and their condition, after the augmentations."""
        for augment in self._augmentations:
            image, condition = augment(image, condition)
        output = self.discriminator(image, condition)
        if not isinstance(output, DiscriminatorOutput):
            raise TypeError(f"{type(self.discriminator).__name__} must return a DiscriminatorOutput")
        return output

    def _discriminate_each(self, shown: list[tuple[Tensor, Tensor | None]]) -> list[DiscriminatorOutput]:
        """The outputs for several batches of images and conditions, from one pass if that changes nothing."""
        if not self.together or len(shown) == 1 or len({image.shape[1:] for image, _ in shown}) > 1:
            return [self.discriminate(image, condition) for image, condition in shown]
        conditions = [condition for _, condition in shown if condition is not None]
        rest = self.discriminate(
            torch.cat([image for image, _ in shown]), torch.cat(conditions) if conditions else None
        )
        outputs = []
        for image, _ in shown[:-1]:
            first, rest = rest.split(len(image))
            outputs.append(first)
        return [*outputs, rest]

    def _class_loss(self, output: DiscriminatorOutput, labels: Tensor) -> Tensor:
        """The mean cross entropy of the classes over those that have a label; 0 where none has."""
        if output.classes is None:
            raise no_classes(self.discriminator)
        total = F.cross_entropy(to_float32(output.classes), labels, ignore_index=-1, reduction="sum")
        return total / (labels >= 0).sum().clamp(min=1)

    def _pooled(self, fake: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Exchange some fakes for earlier ones; a condition stays with its fake."""
        if self.pool is None:
            return fake, condition
        if condition is None:
            return self.pool(fake), None
        exchanged = self.pool(torch.cat([fake, condition.to(fake.dtype)], dim=1))
        return exchanged[:, : fake.shape[1]], exchanged[:, fake.shape[1] :]
