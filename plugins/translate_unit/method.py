"""UNIT: two domains with a shared latent space, and four ways to tie them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.adversary import Adversary
from translate.discriminator import ClassHead
from translate.errors import TranslateError
from translate.latent import logged_as, tie
from translate.method import Batch, Method, Needs, Parts, Update
from translate.options import Option
from translate.traits import Traits
from translate_unit.latent import LatentDiscriminator, kl_divergence

OTHER = {"source": "target", "target": "source"}


class UNIT(Method):
    """Unsupervised translation through a shared latent space (UNIT, Liu et al. 2017).

    Unsupervised Image-to-Image Translation Networks, arXiv:1703.00848. An encoder E and a decoder G for each domain
    form variational autoencoders with ``q(z|x) = N(E(x), 1)`` and the prior N(0, 1); a code of either domain can be
    decoded to both. With a discriminator D for each domain, translators minimise, summed over the domains::

        gan * L_GAN(G2(z1))  +  kl * KL(q1(z1|x1) || p)        +  reconstruction * |x1 - G1(z1)|
                             +  cycle_kl * KL(q2(z2|x12) || p) +  cycle * |x1 - G1(z2)|,    x12 = G2(z1), z2 ~ q2(z|x12)

    (section 3 with lambda 10, 0.1, 100, 0.1 and 100). |.| is a mean over pixels, and the loss contains the KL as a mean
    over the latent, ``mean(E(x)^2)``, so that the published weights fit any size. The log shows the KL itself, in nats
    per image, ``sum(E(x)^2) / 2``.

    Four ways to tie the domains, in any combination: ``tie_shared``, shared weights of the encoders' last and the
    decoders' first layers; ``latent_adversary``, a domain-adversarial loss on codes (Lample et al. 2017,
    arXiv:1706.00409); ``cycle``; ``semantic_latent``, a translation should have the code of its source,
    ``|E2(x12) - E1(x1)|`` (Taigman et al. 2017, arXiv:1611.02200; Royer et al. 2017, arXiv:1711.05139).

    ``classify`` is the domain adaptation of section 4: the discriminators also classify, share their last layers, and
    learn the classes from the source's labels. In the paper only D1 learns them, and a loss makes the features of D1
    and D2 on a translated pair similar. Here D2 learns the classes on the translations, which should keep the class of
    their source. No label of the target is used; D2 is saved as a classifier.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        encoder: Annotated[str, Option("encoder from images to the latent", part="encoders")] = "residual",
        decoder: Annotated[str, Option("decoder from the latent to images", part="decoders")] = "residual",
        discriminator: Annotated[
            str, Option("discriminator network, one for each domain", part="discriminators")
        ] = "patch",
        adversarial: Annotated[
            str, Option('adversarial loss and penalties, such as "hinge + r1(weight=1)"', part="adversarial_losses")
        ] = "nonsaturating",
        gan: Annotated[float, Option("weight of the adversarial term; 0 trains without discriminators", ge=0)] = 10.0,
        kl: Annotated[float, Option("weight of the KL divergence of codes from the prior", ge=0)] = 0.1,
        reconstruction: Annotated[float, Option("weight of the reconstruction loss", ge=0)] = 100.0,
        cycle_kl: Annotated[
            float, Option("weight of the KL divergence of translations' codes from the prior", ge=0)
        ] = 0.1,
        cycle: Annotated[float, Option("weight of the cycle consistency", ge=0)] = 100.0,
        tie_shared: Annotated[bool, Option("share the layers next to the latent between the domains")] = True,
        latent_adversary: Annotated[float, Option("weight of the domain-adversarial loss on codes", ge=0)] = 0.0,
        semantic_latent: Annotated[
            float, Option("weight of the distance between the codes of source and translation", ge=0)
        ] = 0.0,
        classify: Annotated[
            float,
            Option("weight of the translations' class loss; needs source labels, discriminators with classes", ge=0),
        ] = 0.0,
    ) -> None:
        super().__init__()
        channels = {"source": parts.source.channels, "target": parts.target.channels}
        self.encoders = nn.ModuleDict({name: parts.encoder(encoder, inputs=channels[name]) for name in OTHER})
        latent: tuple[int, ...] = tuple(self.encoders["source"].latent)  # type: ignore[arg-type]
        self.decoders = nn.ModuleDict(
            {name: parts.decoder(decoder, latent=latent, outputs=channels[name]) for name in OTHER}
        )
        if tie_shared:
            tie(self.encoders, encoder, "choose another encoder or --no-tie-shared")
            tie(self.decoders, decoder, "choose another decoder or --no-tie-shared")
        self.adversaries = nn.ModuleDict()
        if gan:
            classes = len(parts.source.labels) if classify else 0
            if classify and not classes:
                raise TranslateError("classify learns from the source's labels, and this data names no classes")
            for name in OTHER:
                self.adversaries[name] = parts.adversary(
                    discriminator, loss=adversarial, inputs=channels[name], classes=classes
                )
            if classify:
                discriminators = nn.ModuleDict({name: self._adversary(name).discriminator for name in OTHER})
                tie(discriminators, discriminator, "choose a discriminator with classes, such as auxiliary")
        elif classify:
            raise TranslateError("classify needs discriminators, and gan=0 has none; leave one out")
        self.latent_judge = LatentDiscriminator(latent) if latent_adversary else None
        self.size = torch.Size(latent).numel()
        self.gan, self.kl, self.reconstruction, self.classify = gan, kl, reconstruction, classify
        self.cycle, self.cycle_kl = cycle, cycle_kl
        self.latent_adversary, self.semantic_latent = latent_adversary, semantic_latent

    @property
    def needs(self) -> Needs:
        """Nothing, or with ``classify`` labels of the source."""
        return Needs(labels=frozenset({"source"} if self.classify else ()))

    @property
    def period(self) -> int:
        """That of the adversaries; both have the same."""
        return self._adversary("target").period if self.adversaries else 1

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """All encoders and decoders as one player; all discriminators, if any, as the other."""
        translators = nn.ModuleDict({"encoders": self.encoders, "decoders": self.decoders})
        discriminators = nn.ModuleDict({name: self._adversary(name).discriminator for name in self.adversaries})
        if self.latent_judge is not None:
            discriminators["latent"] = self.latent_judge
        if not discriminators:
            return {"translators": translators}
        return {"translators": translators, "discriminators": discriminators}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """Both directions, and with ``classify`` the target's discriminator as a classifier."""
        saved: dict[str, nn.Module] = {
            "forward": ThroughLatent(self.encoders["source"], self.decoders["target"]),
            "backward": ThroughLatent(self.encoders["target"], self.decoders["source"]),
        }
        if self.classify:
            saved["classify"] = ClassHead(self._adversary("target").discriminator)
        return saved

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        """One update of the discriminators, then one of the translators, from the same translations."""
        images = {name: batch[name] for name in OTHER}
        labels = batch["source_label"] if self.classify else None
        means = {name: self.encoders[name](images[name]) for name in OTHER}
        codes = {name: reparameterize(means[name]) for name in OTHER}
        # Each code is decoded to both domains: reconstructions and translations, by the name of the output domain.
        both, count = torch.cat([codes["source"], codes["target"]]), len(images["source"])
        decoded = {name: self.decoders[name](both) for name in OTHER}
        rebuilt = {"source": decoded["source"][:count], "target": decoded["target"][count:]}
        fakes = {"source": decoded["source"][count:], "target": decoded["target"][:count]}

        discriminator_terms: dict[str, Tensor] = {}
        for name in self.adversaries:
            real, fake = images[name], fakes[name].detach()
            labelled = None if labels is None else (real if name == "source" else fake, labels)
            found = self._adversary(name).discriminator_terms(real, fake, labelled=labelled)
            discriminator_terms |= {f"{name}_{term}": value for term, value in found.items()}
        if self.latent_judge is not None:
            discriminator_terms["latent"] = self.latent_judge.domain_loss(
                codes["source"].detach(), codes["target"].detach()
            )
        if discriminator_terms:
            yield Update("discriminators", discriminator_terms)
        if self.adversaries and not self._adversary("target").generator_moves(step):
            return

        terms: dict[str, Tensor] = {}
        for name in self.adversaries:
            target_labels = labels if name == "target" else None
            generator_losses = self._adversary(name).generator_terms(fakes[name], images[name], labels=target_labels)
            weights = {"classes": self.classify}
            terms |= {f"{name}_{term}": weights.get(term, self.gan) * value for term, value in generator_losses.items()}
        if self.latent_judge is not None:
            terms["latent"] = self.latent_adversary * self.latent_judge.fooled(codes["source"], codes["target"])
        for name, other in OTHER.items():
            terms |= self._autoencoder_terms(name, "kl", "reconstruction", means[name], rebuilt[name], images[name])
            if self.cycle or self.cycle_kl or self.semantic_latent:
                mean = self.encoders[other](fakes[other])
                if self.semantic_latent:
                    terms[f"{name}_semantic"] = self.semantic_latent * F.l1_loss(mean, means[name])
                back = self.decoders[name](reparameterize(mean)) if self.cycle else None
                terms |= self._autoencoder_terms(name, "cycle_kl", "cycle", mean, back, images[name])
        yield Update("translators", terms)

    def _autoencoder_terms(
        self, name: str, divergence: str, distance: str, mean: Tensor, made: Tensor | None, image: Tensor
    ) -> dict[str, Tensor]:
        """The KL and the reconstruction term, if their weights are not 0."""
        terms: dict[str, Tensor] = {}
        if weight := getattr(self, divergence):
            terms[f"{name}_{divergence}"] = logged_as(kl_divergence(mean), 2 * weight / self.size)
        if made is not None and (weight := getattr(self, distance)):
            terms[f"{name}_{distance}"] = weight * F.l1_loss(made, image)
        return terms

    def _adversary(self, name: str) -> Adversary:
        adversary = self.adversaries[name]
        assert isinstance(adversary, Adversary)
        return adversary


class ThroughLatent(nn.Module):
    """An encoder of one domain followed by a decoder of the other."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        inner = Traits(encoder)
        self.size_multiple, self.fixed_size = inner.size_multiple, inner.fixed_size

    def forward(self, image: Tensor, samples: int | None = None) -> Tensor:
        """Translate (N, C, H, W) from the code's mean, or from ``samples`` random codes for each image."""
        if samples is not None and samples < 1:
            raise TranslateError(f"unit draws 1 sample or more for each image, not {samples}")
        mean: Tensor = self.encoder(image)
        code = mean if samples is None else reparameterize(mean.repeat_interleave(samples, dim=0))
        output: Tensor = self.decoder(code)
        return output

    @property
    def feature_extractor(self) -> nn.Module:
        """The encoder, whose output is the mean of the code."""
        return self.encoder

    def code_of(self, image: Tensor) -> Tensor:
        """The mean of the codes (N, *latent) of images (N, C, H, W)."""
        mean: Tensor = self.encoder(image)
        return mean

    def image_of(self, code: Tensor) -> Tensor:
        """Decode codes (N, *latent)."""
        image: Tensor = self.decoder(code)
        return image

    def named_codes(self, image: Tensor) -> dict[str, Tensor]:
        """The mean of the codes of images (N, C, H, W), and their log-variance, which is 0, each (N, *latent)."""
        mean: Tensor = self.encoder(image)
        return {"mean": mean, "log_variance": torch.zeros_like(mean)}


def reparameterize(mean: Tensor) -> Tensor:
    """Sample a code from N(mean, 1) by the reparameterization trick."""
    return mean + torch.randn_like(mean)
