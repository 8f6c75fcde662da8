"""pix2pixHD: paired translation at high resolution with a coarse-to-fine generator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, cast

import torch
from torch import Tensor, nn

from translate.adversary import Adversary
from translate.errors import TranslateError
from translate.method import Batch, Method, Needs, Parts, Update
from translate.options import Option
from translate_pix2pixhd.network import Growing


class Pix2PixHD(Method):
    """Paired translation, coarse to fine, with multi-scale discriminators (pix2pixHD, Wang et al. 2018).

    High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs, arXiv:1711.11585:
    ``min_G  max_{D_1, D_2, D_3} sum_k L_GAN(G, D_k)  +  lambda sum_k L_FM(G, D_k)``, where
    ``L_FM(G, D_k) = E sum_i 1/N_i |D_k^(i)(x, y) - D_k^(i)(x, G(x))|_1`` over the discriminators' inner layers, least
    squares, lambda = 10, and as an option ``lambda sum_i 1/M_i |F^(i)(y) - F^(i)(G(x))|_1`` for a frozen network F.

    One run has three stages: the global network alone, on images of half the size; then the enhancer, with the global
    network frozen; then both. Each of the two sizes has its own discriminators. Instance maps are not used.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        generator: Annotated[
            str, Option("coarse-to-fine generator from source to target", part="generators")
        ] = "global_local",
        discriminator: Annotated[str, Option("discriminator of pairs", part="discriminators")] = "multiscale",
        adversarial: Annotated[
            str, Option('adversarial loss and penalties, such as "hinge + r1(weight=1)"', part="adversarial_losses")
        ] = "lsgan",
        feature_matching: Annotated[float, Option("weight of the feature matching (lambda)", ge=0)] = 10.0,
        extractor: Annotated[
            str | None, Option("frozen network of the perceptual loss; none: no such loss", part="feature_extractors")
        ] = None,
        perceptual: Annotated[float, Option("weight of the perceptual loss, with an extractor", ge=0)] = 10.0,
        enhance: Annotated[
            float, Option("share of the training after which the enhancer's stage begins", ge=0, le=1)
        ] = 0.5,
        joint: Annotated[
            float, Option("share of the training after which both networks are trained", ge=0, le=1)
        ] = 0.6,
    ) -> None:
        super().__init__()
        if joint < enhance:
            raise TranslateError(
                f"pix2pixhd trains both networks together after the enhancer alone; joint={joint:g} must not be less "
                f"than enhance={enhance:g}"
            )
        self.starts = (enhance, joint)
        self.growing = Growing(parts.generator(generator), generator, parts.target.channels)
        half = parts.at_size((parts.size[0] // 2, parts.size[1] // 2))
        self.coarse_adversary = half.adversary(discriminator, loss=adversarial, condition="source")
        self.adversary = parts.adversary(discriminator, loss=adversarial, condition="source")
        self.extractor = None
        if extractor is not None and perceptual:
            self.extractor = parts.feature_extractor(extractor, inputs=parts.target.channels)
        self.distance = parts.loss("l1")
        self.feature_matching = feature_matching
        self.perceptual = perceptual

    @property
    def needs(self) -> Needs:
        """Pairs."""
        return Needs(paired=True)

    @property
    def period(self) -> int:
        """That of the adversaries; both have the same."""
        return self.adversary.period

    @property
    def stages(self) -> Sequence[float]:
        """Starts of the enhancer's stage and of the joint stage; the global network's stage comes first."""
        return self.starts

    @property
    def restarts(self) -> Sequence[float]:
        """The schedule restarts with the enhancer's stage and continues in the joint stage, as published."""
        return self.starts[:1]

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """The whole generator, and the discriminators of both sizes; frozen parts of a stage get no gradient."""
        discriminators = {"coarse": self.coarse_adversary.discriminator, "fine": self.adversary.discriminator}
        return {"generator": self.growing, "discriminator": nn.ModuleDict(discriminators)}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """The generator, as far as it has been trained."""
        return {"forward": self.growing}

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        """One update of the discriminator of the stage's size, then one of the trained part of the generator."""
        source, target = batch["source"], batch["target"]
        if self.stage == 0:
            adversary, prefix = self.coarse_adversary, "coarse_"
            fake = self.growing.coarse(source)
            source, target = self.growing.halve(source), self.growing.halve(target)
        else:
            adversary, prefix = self.adversary, ""
            self.growing.refined.fill_(True)
            fake = self.growing.fine(source, frozen=self.stage == 1)
        terms = adversary.discriminator_terms(real=target, fake=fake.detach(), condition=source)
        yield Update("discriminator", {prefix + name: term for name, term in terms.items()})
        if not adversary.generator_moves(step):
            return
        terms = adversary.generator_terms(fake, target, condition=source)
        if self.feature_matching:
            terms["feature_matching"] = self.feature_matching * self._matching(adversary, fake, target, source)
        if self.extractor is not None:
            with torch.no_grad():
                real_features = self.extractor(target)
            terms["perceptual"] = self.perceptual * self.distance(self.extractor(fake), real_features)
        yield Update("generator", {prefix + name: term for name, term in terms.items()})

    def _matching(self, adversary: Adversary, fake: Tensor, real: Tensor, condition: Tensor) -> Tensor:
        """The feature matching loss: mean differences, summed over inner layers and scales.

        The discriminator is called without augmentation, which would shift the two images differently.
        """
        with torch.no_grad():
            real_features = adversary.discriminator(real, condition).features
        fake_features = adversary.discriminator(fake, condition).features
        if not fake_features:
            raise TranslateError(
                "this discriminator returns no inner activations to match; choose multiscale or feature_matching=0"
            )
        pairs = zip(cast(tuple[Tensor, ...], fake_features), real_features, strict=True)
        return torch.stack([self.distance(fake_map, real_map) for fake_map, real_map in pairs]).sum()
