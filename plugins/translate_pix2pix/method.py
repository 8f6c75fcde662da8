"""pix2pix, with optional matching-aware and two-headed discriminators as in text-to-image GANs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

from torch import nn

from translate.errors import TranslateError
from translate.method import Batch, Method, Needs, Parts, Update
from translate.options import Option


class Pix2Pix(Method):
    """Paired translation by a conditional GAN and an L1 term (pix2pix, Isola et al. 2017).

    Image-to-Image Translation with Conditional Adversarial Networks, arXiv:1611.07004:
    ``G* = arg min_G max_D  E log D(x, y) + E log(1 - D(x, G(x)))  +  lambda E |y - G(x)|_1``, with the
    non-saturating form for G, D's objective halved, lambda = 100, and dropout in G as the only noise.

    ``matching_aware`` (Reed et al. 2016, arXiv:1605.05396): real targets with mismatched sources are a further kind of
    fake. The discriminator ``two_headed`` has separate logits, and log terms, for realness and match.

    ``semantic`` adds the cross entropy of the targets' classes for a discriminator with classes (AC-GAN, Odena et al.
    2017, arXiv:1610.09585): the discriminator learns them from labelled real targets, and the generator's images should
    have them.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        generator: Annotated[str, Option("generator from source to target", part="generators")] = "unet",
        discriminator: Annotated[
            str, Option("discriminator of pairs; two_headed has a separate match logit", part="discriminators")
        ] = "patch",
        adversarial: Annotated[
            str, Option('adversarial loss and penalties, such as "hinge + r1(weight=1)"', part="adversarial_losses")
        ] = "nonsaturating",
        l1: Annotated[float, Option("weight of the L1 term (lambda)", ge=0)] = 100.0,
        gan: Annotated[float, Option("weight of the adversarial term; 0 trains without a discriminator", ge=0)] = 1.0,
        matching_aware: Annotated[
            bool, Option("also train the discriminator on real targets with mismatched sources")
        ] = False,
        pool: Annotated[int, Option("image pool: earlier fakes stored for the discriminator; 0: no pool", ge=0)] = 0,
        semantic: Annotated[
            float, Option("weight of the class loss; needs target labels and a discriminator with classes", ge=0)
        ] = 0.0,
    ) -> None:
        super().__init__()
        if semantic and not gan:
            raise TranslateError("semantic needs a discriminator, and gan=0 has none; leave one of them out")
        self.generator = parts.generator(generator)
        self.adversary = (
            parts.adversary(
                discriminator,
                loss=adversarial,
                condition="source",
                weight=0.5,
                pool=pool,
                classes=len(parts.target.labels) if semantic else 0,
            )
            if gan
            else None
        )
        self.semantic = semantic
        self.distance = parts.loss("l1")
        self.l1 = l1
        self.gan = gan
        self.matching_aware = matching_aware

    @property
    def needs(self) -> Needs:
        """Pairs; with ``matching_aware`` also mismatched sources, with ``semantic`` also target labels."""
        return Needs(
            paired=True,
            labels=frozenset({"target"} if self.semantic else ()),
            streams=("mismatched",) if self.matching_aware else (),
        )

    @property
    def period(self) -> int:
        """That of the adversary."""
        return 1 if self.adversary is None else self.adversary.period

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """Generator and, unless ``gan`` is 0, discriminator."""
        if self.adversary is None:
            return {"generator": self.generator}
        return {"generator": self.generator, "discriminator": self.adversary.discriminator}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """The generator."""
        return {"forward": self.generator}

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        """One update of the discriminator, then one of the generator, from the same fake."""
        source, target = batch["source"], batch["target"]
        labels = batch["target_label"] if self.semantic else None
        fake = self.generator(source)
        terms = {}
        if self.adversary is not None:
            yield Update(
                "discriminator",
                self.adversary.discriminator_terms(
                    real=target,
                    fake=fake.detach(),
                    condition=source,
                    mismatched=batch["mismatched"] if self.matching_aware else None,
                    labelled=None if labels is None else (target, labels),
                ),
            )
            if not self.adversary.generator_moves(step):
                return
            generator_losses = self.adversary.generator_terms(fake, target, condition=source, labels=labels)
            weights = {"classes": self.semantic}
            terms = {name: weights.get(name, self.gan) * term for name, term in generator_losses.items()}
        yield Update("generator", {**terms, "l1": self.l1 * self.distance(fake, target)})
