"""StackGAN as a translator: a coarse image from the source and noise, then its refinement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from translate.method import Batch, Method, Needs, Parts, Update
from translate.options import Option
from translate_stackgan.network import Stack, divergence, reduced


class StackGAN(Method):
    """Paired translation in two stages, a coarse image and its refinement (StackGAN, Zhang et al. 2017).

    StackGAN: Text to Photo-realistic Image Synthesis with Stacked Generative Adversarial Networks, arXiv:1612.03242,
    with a source image x in the text's place. Each stage is a conditional GAN on pairs of x and a real or fake target;
    real targets with mismatched sources count as fake (matching-aware). Stage I also minimises
    ``lambda KL(N(mu(x), sigma(x)^2) || N(0, I))``, with the condition ``c ~ N(mu(x), sigma(x)^2)``: conditioning
    augmentation, which gives many conditions from few pairs. Stage I is trained first; then it is frozen, and stage II
    refines its images. c and the noise z are random, so ``convert`` with ``samples`` gives different outputs.

    Two differences from the paper: stage II gets the source itself instead of a second c, and the KL is averaged over
    the condition's values, since there may be many more of them. ``l1`` is pix2pix's term; it is 0 as published.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        encoder: Annotated[
            str, Option("encoder from the downsampled source to the condition", part="encoders")
        ] = "residual",
        decoder: Annotated[
            str, Option("decoder from condition and noise to the coarse image", part="decoders")
        ] = "residual",
        refiner: Annotated[
            str, Option("generator from the coarse image and the source to the target", part="generators")
        ] = "resnet",
        coarse_discriminator: Annotated[
            str, Option("discriminator of coarse pairs", part="discriminators")
        ] = "patch(receptive_field=16)",
        discriminator: Annotated[str, Option("discriminator of pairs", part="discriminators")] = "patch",
        adversarial: Annotated[
            str, Option('adversarial loss and penalties, such as "hinge + r1(weight=1)"', part="adversarial_losses")
        ] = "nonsaturating",
        kl: Annotated[float, Option("weight of the conditioning augmentation's KL term (lambda)", ge=0)] = 1.0,
        l1: Annotated[float, Option("weight of an L1 term in both stages", ge=0)] = 0.0,
        noise: Annotated[int, Option("channels of noise added to the condition", ge=0)] = 8,
        reduction: Annotated[Literal[2, 4, 8], Option("downsampling factor of the coarse image")] = 4,
        refine: Annotated[
            float, Option("share of the training after which stage I is frozen and stage II trained", ge=0, le=1)
        ] = 0.5,
        matching_aware: Annotated[
            bool, Option("also train the discriminators on real targets with mismatched sources")
        ] = True,
    ) -> None:
        super().__init__()
        small = parts.at_size(reduced(parts.size, reduction))
        coder = small.encoder(encoder, statistics=2)
        first, *spatial = tuple(int(side) for side in coder.latent)  # type: ignore[union-attr]
        self.stack = Stack(
            coder,
            small.decoder(decoder, latent=(first + noise, *spatial)),
            parts.generator(refiner, inputs=parts.target.channels + parts.source.channels),
            latent=(first, *spatial),
            noise=noise,
            reduction=reduction,
            size=parts.size,
        )
        self.coarse_adversary = small.adversary(coarse_discriminator, loss=adversarial, condition="source")
        self.adversary = parts.adversary(discriminator, loss=adversarial, condition="source")
        self.distance = parts.loss("l1")
        self.kl, self.l1 = kl, l1
        self.refine = refine
        self.matching_aware = matching_aware

    @property
    def needs(self) -> Needs:
        """Pairs; with ``matching_aware`` also mismatched sources."""
        return Needs(paired=True, streams=("mismatched",) if self.matching_aware else ())

    @property
    def period(self) -> int:
        """That of the adversaries; both have the same regularizers."""
        return self.adversary.period

    @property
    def stages(self) -> Sequence[float]:
        """The start of stage II; stage I comes first."""
        return (self.refine,)

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """The generators and the discriminators of both stages; those of the other stage get no gradient."""
        discriminators = {"coarse": self.coarse_adversary.discriminator, "fine": self.adversary.discriminator}
        return {"generator": self.stack, "discriminator": nn.ModuleDict(discriminators)}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """Both stages, as far as they have been trained."""
        return {"forward": self.stack}

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        """One update of the current stage's discriminator, then one of its generator."""
        source, target = batch["source"], batch["target"]
        mismatched = batch["mismatched"] if self.matching_aware else None
        more: dict[str, Tensor] = {}
        if self.stage == 1:
            adversary, prefix = self.adversary, ""
            self.stack.refined.fill_(True)
            with torch.no_grad():
                coarse = self.stack.coarse(*self.stack.describe(self.stack.shrink(source)), noisy=True)
            fake = self.stack.fine(coarse, source)
        else:
            adversary, prefix = self.coarse_adversary, "coarse_"
            source, target = self.stack.shrink(source), self.stack.shrink(target)
            mismatched = None if mismatched is None else self.stack.shrink(mismatched)
            mean, log_variance = self.stack.describe(source)
            fake = self.stack.coarse(mean, log_variance, noisy=True)
            if self.kl:
                more["kl"] = self.kl * divergence(mean, log_variance)
        terms = adversary.discriminator_terms(real=target, fake=fake.detach(), condition=source, mismatched=mismatched)
        yield Update("discriminator", {prefix + name: term for name, term in terms.items()})
        if not adversary.generator_moves(step):
            return
        if self.l1:
            more["l1"] = self.l1 * self.distance(fake, target)
        terms = adversary.generator_terms(fake, target, condition=source) | more
        yield Update("generator", {prefix + name: term for name, term in terms.items()})
