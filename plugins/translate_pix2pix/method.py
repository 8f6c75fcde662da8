"""pix2pix, with the matching-aware and two-headed conditional discriminators of the text-to-image line."""

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

    ``matching_aware`` (Reed et al. 2016, arXiv:1605.05396): a real target beside a source that is not its own is a
    third kind of fake. With the discriminator ``two_headed`` realness and match are judged and logged apart.

    ``semantic`` asks a discriminator that tells classes apart (Odena et al. 2017, arXiv:1610.09585) for the cross
    entropy of the targets' classes: the discriminator learns them from real targets, where they have labels, and the
    generator's images should show them.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        generator: Annotated[str, Option("network from source to target", part="generators")] = "unet",
        discriminator: Annotated[
            str, Option("network that judges pairs; two_headed judges the match apart", part="discriminators")
        ] = "patch",
        adversarial: Annotated[
            str, Option('adversarial loss and penalties, such as "hinge + r1(weight=1)"', part="adversarial_losses")
        ] = "nonsaturating",
        l1: Annotated[float, Option("weight of the L1 term (lambda)", ge=0)] = 100.0,
        gan: Annotated[float, Option("weight of the adversarial term; 0 trains without a discriminator", ge=0)] = 1.0,
        matching_aware: Annotated[
            bool, Option("also show the discriminator real targets with a source not their own")
        ] = False,
        pool: Annotated[int, Option("fakes remembered for the discriminator; 0 shows it the newest", ge=0)] = 0,
        semantic: Annotated[
            float, Option("weight of the class term; needs target labels and a discriminator with classes", ge=0)
        ] = 0.0,
    ) -> None:
        super().__init__()
        if semantic and not gan:
            raise TranslateError(
                "semantic asks the discriminator for classes, and gan=0 has none; leave one of them out"
            )
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
        """Pairs, with ``matching_aware`` sources that do not belong to the target, with ``semantic`` target labels."""
        return Needs(
            paired=True,
            labels=frozenset({"target"} if self.semantic else ()),
            streams=("mismatched",) if self.matching_aware else (),
        )

    @property
    def period(self) -> int:
        """The adversary's."""
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
        """The discriminator moves on a fake that both share, then the generator."""
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
