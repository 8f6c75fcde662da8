"""pix2pix, with optional matching-aware and two-headed discriminators as in text-to-image GANs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

from torch import nn

from translate.errors import TranslateError
from translate.holes import EXTRA_CHANNELS, check_domains, compose, hole_of, masked_input, mean_in_hole
from translate.method import Batch, Method, Needs, Parts, Update
from translate.options import Option
from translate_pix2pix.inpainter import inpainter


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

    ``mask`` names an aligned stream that marks holes, and the source is filled there (inpainting, Pathak et al. 2016,
    Context Encoders, arXiv:1604.07379). With M 1 inside the hole and x the source, the generator sees
    ``x_M = ((1 - M) x, M)``, its image is ``y' = M G(x_M) + (1 - M) x``, D judges y' and y with x_M, and the L1 term is
    the mean inside the hole of each image, ``sum(M |y - y'|) / (C sum(M))``, as the masked distance of that paper is
    normalised, but by the absolute value, as in pix2pix and in Liu et al. 2018 (arXiv:1804.07723). Their further term
    for the pixels outside has nothing to pull here, since these are the source's to the bit.
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
        mask: Annotated[
            str, Option("the data's aligned stream that marks what is filled, white or transparent; empty: none")
        ] = "",
    ) -> None:
        super().__init__()
        if semantic and not gan:
            raise TranslateError("semantic needs a discriminator, and gan=0 has none; leave one of them out")
        self.mask = mask
        self.of_alpha = False
        inputs = parts.source.channels
        if mask:
            check_domains(parts.source, parts.target)
            # Data without the stream is refused by what the method needs.
            self.of_alpha = mask in parts.aligned and parts.aligned[mask].alpha == "only"
            inputs += EXTRA_CHANNELS
        self.generator = parts.generator(generator, inputs=inputs)
        self.adversary = (
            parts.adversary(
                discriminator,
                loss=adversarial,
                condition=inputs,
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
        """Pairs; also mismatched sources, target labels or masks, as the options say."""
        return Needs(
            paired=True,
            labels=frozenset({"target"} if self.semantic else ()),
            streams=("mismatched",) if self.matching_aware else (),
            aligned=frozenset({self.mask} if self.mask else ()),
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
        """The generator; with ``mask`` as one that takes the image and its mask, and keeps what is known."""
        return {"forward": inpainter(self.generator, self.mask, self.of_alpha) if self.mask else self.generator}

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        """One update of the discriminator, then one of the generator, from the same fake."""
        source, target = batch["source"], batch["target"]
        labels = batch["target_label"] if self.semantic else None
        mismatched = batch["mismatched"] if self.matching_aware else None
        condition, hole = source, None
        if self.mask:
            hole = hole_of(batch[self.mask], opaque=self.of_alpha)
            condition = masked_input(source, hole)
            mismatched = None if mismatched is None else masked_input(mismatched, hole)
        fake = self.generator(condition)
        if hole is not None:
            fake = compose(fake, source, hole)
        terms = {}
        if self.adversary is not None:
            yield Update(
                "discriminator",
                self.adversary.discriminator_terms(
                    real=target,
                    fake=fake.detach(),
                    condition=condition,
                    mismatched=mismatched,
                    labelled=None if labels is None else (target, labels),
                ),
            )
            if not self.adversary.generator_moves(step):
                return
            generator_losses = self.adversary.generator_terms(fake, target, condition=condition, labels=labels)
            weights = {"classes": self.semantic}
            terms = {name: weights.get(name, self.gan) * term for name, term in generator_losses.items()}
        distance = self.distance(fake, target) if hole is None else mean_in_hole((fake - target).abs(), hole)
        yield Update("generator", {**terms, "l1": self.l1 * distance})
