"""CycleGAN: two generators, one for each direction, with cycle consistency."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from translate.consistency import ClassConsistency
from translate.discriminator import ClassHead
from translate.errors import TranslateError
from translate.method import Batch, Method, Needs, Parts, Update
from translate.options import Option
from translate.traits import Traits


class CycleGAN(Method):
    """Unpaired translation with cycle consistency (CycleGAN, Zhu et al. 2017).

    Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, arXiv:1703.10593. With G from
    source x to target y, F from y to x and a discriminator of each domain: ``min_{G, F} max_{D_X, D_Y}
    L_GAN(G, D_Y) + L_GAN(F, D_X) + lambda (E |F(G(x)) - x|_1 + E |G(F(y)) - y|_1)
    + lambda * identity (E |G(y) - y|_1 + E |F(x) - x|_1)``, with lambda = 10, identity = 0.5, least squares, and an
    image pool of 50 earlier fakes for each discriminator. Both directions are saved.

    The published least squares have no factors 1/2, and the authors halve D's objective: G minimises
    ``E (D(G(x)) - 1)^2`` and D minimises ``1/2 E (D(y) - 1)^2 + 1/2 E D(G(x))^2``. The part ``lsgan`` includes the
    factors 1/2, so ``gan = 2`` restores the published weight of G's term; D's loss already has its published weight.

    The identity terms feed a generator images of its output domain. They are left out by default if the domains have
    different channels, and asking for them is then an error.

    ``semantic`` > 0 adds a class loss: D_Y also classifies, trained on the labelled targets, and G(x) should have the
    class of x. That is the label of x if there is one, otherwise (semantic consistency, Hoffman et al. 2018, CyCADA,
    arXiv:1711.03213) the class that D_Y's classifier predicts for x itself, if its probability is at least
    ``confidence``. The classifier is saved, too.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        generator: Annotated[str, Option("generator network, one for each direction", part="generators")] = "resnet",
        discriminator: Annotated[
            str, Option("discriminator network, one for each domain", part="discriminators")
        ] = "patch(norm=instance)",
        adversarial: Annotated[
            str, Option('adversarial loss and penalties, such as "hinge + r1(weight=1)"', part="adversarial_losses")
        ] = "lsgan",
        cycle: Annotated[float, Option("weight of the cycle consistency (lambda)", ge=0)] = 10.0,
        identity: Annotated[
            float | None,
            Option("weight of the identity terms, times cycle; none: 0.5, or 0 if the channels differ", ge=0),
        ] = None,
        gan: Annotated[
            float, Option("weight of the generators' adversarial terms; 2 with lsgan is the published 1", ge=0)
        ] = 2.0,
        pool: Annotated[int, Option("image pool: earlier fakes stored for each discriminator; 0: no pool", ge=0)] = 50,
        semantic: Annotated[
            float, Option("weight of the class loss; needs some target labels and a discriminator with classes", ge=0)
        ] = 0.0,
        confidence: Annotated[
            float,
            Option("least predicted probability at which the class of an unlabelled source is used", ge=0, le=1),
        ] = 0.0,
    ) -> None:
        super().__init__()
        source, target = parts.source, parts.target
        alike = source.channels == target.channels and source.one_hot == target.one_hot
        if identity and not alike:
            raise TranslateError(
                "identity shows each generator images of its output domain, and the domains have different channels "
                f"({source.channels} and {target.channels}); leave it out"
            )
        self.identity = (0.5 if alike else 0.0) if identity is None else identity
        self.to_target = parts.generator(generator)
        self.to_source = parts.generator(generator, inputs=target.channels, outputs=source.channels)
        self.target_adversary = parts.adversary(
            discriminator, loss=adversarial, pool=pool, classes=len(target.labels) if semantic else 0
        )
        self.source_adversary = parts.adversary(discriminator, loss=adversarial, pool=pool, inputs=source.channels)
        self.distance = parts.loss("l1")
        self.cycle = cycle
        self.gan = gan
        self.semantic = semantic
        self.consistency = ClassConsistency(parts, confidence) if semantic else None
        self.together = False
        """Whether a generator's translation and identity passes are one batch; see ``pass_together``."""

    @property
    def needs(self) -> Needs:
        """With ``semantic`` a stream of labelled targets."""
        return Needs(streams=("labelled",) if self.semantic else ())

    @property
    def period(self) -> int:
        """That of the adversaries; both have the same."""
        return self.target_adversary.period

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """Both generators as one player, as published, and both discriminators as the other."""
        return {
            "generators": nn.ModuleList([self.to_target, self.to_source]),
            "discriminators": nn.ModuleList([self.target_adversary.discriminator, self.source_adversary.discriminator]),
        }

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """Both directions, and with ``semantic`` the classifier of the target."""
        saved: dict[str, nn.Module] = {"forward": self.to_target, "backward": self.to_source}
        if self.semantic:
            saved["classify"] = ClassHead(self.target_adversary.discriminator)
        return saved

    def pass_together(self) -> None:
        """Batch real images with fakes, and a generator's translation with its identity pass where that is exact."""
        super().pass_together()
        generators = (self.to_target, self.to_source)
        self.together = all(Traits(generator).translates_each_alone for generator in generators)

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        """One update of the discriminators, then one of the generators, from the same fakes."""
        source, target = batch["source"], batch["target"]
        moves = self.target_adversary.generator_moves(step)
        weight = self.cycle * self.identity
        if self.together and moves and weight:
            fake_target, same_target = self.to_target(torch.cat([source, target])).split(len(source))
            fake_source, same_source = self.to_source(torch.cat([target, source])).split(len(target))
        else:
            fake_target, fake_source = self.to_target(source), self.to_source(target)
            same_target = same_source = None
        labelled = (batch["labelled"], batch["labelled_label"]) if self.semantic else None
        of_target = self.target_adversary.discriminator_terms(target, fake_target.detach(), labelled=labelled)
        of_source = self.source_adversary.discriminator_terms(source, fake_source.detach())
        yield Update("discriminators", {**_named("target", of_target), **_named("source", of_source)})
        if not moves:
            return
        labels = None if self.consistency is None else self.consistency(batch, self.target_adversary)
        forward = self.target_adversary.generator_terms(fake_target, target, labels=labels)
        backward = self.source_adversary.generator_terms(fake_source, source)
        terms = {**_named("forward", self._weighted(forward)), **_named("backward", self._weighted(backward))}
        if self.cycle:
            terms["forward_cycle"] = self.cycle * self.distance(self.to_source(fake_target), source)
            terms["backward_cycle"] = self.cycle * self.distance(self.to_target(fake_source), target)
        if weight:
            same_target = self.to_target(target) if same_target is None else same_target
            same_source = self.to_source(source) if same_source is None else same_source
            terms["forward_identity"] = weight * self.distance(same_target, target)
            terms["backward_identity"] = weight * self.distance(same_source, source)
        yield Update("generators", terms)

    def _weighted(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        weights = {"classes": self.semantic}
        return {name: weights.get(name, self.gan) * term for name, term in terms.items()}


def _named(prefix: str, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}_{name}": term for name, term in terms.items()}
