"""VAE/GAN: an autoencoder that compares images by what a discriminator sees in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from translate.adversary import Adversary
from translate.errors import TranslateError
from translate.latent import logged_as, tie
from translate.method import Batch, Method, Parts, Update
from translate.options import Option
from translate.precision import to_float32
from translate_vaegan.gaussian import PriorSampler, ThroughLatent, kl_divergence, reparameterize, split
from translate_vaegan.vae import check_one_domain

OTHER = {"source": "target", "target": "source"}


class VAEGAN(Method):
    """Autoencoding beyond pixels, using a learned similarity metric (VAE/GAN, Larsen et al. 2016).

    arXiv:1512.09300. The decoder of a variational autoencoder is the generator of a GAN, and the l-th layer of its
    discriminator takes the pixels' place in the likelihood. All move at once, from one forward pass (algorithm 1)::

        L_prior = KL(q(z|x) || N(0, 1))        L_like = |D_l(x) - D_l(G(z))|^2 / 2,   z ~ q(z|x)
        L_GAN   = log D(x) + log(1 - D(G(z))) + log(1 - D(G(z_p))),   z_p ~ N(0, 1)

        encoder: L_prior + L_like      decoder: gamma * L_like - L_GAN      discriminator: -L_GAN

    So the encoder is not asked to fool anybody, and the discriminator not to like reconstructions. Where the paper's
    discriminator counts two fakes for each real image, the fakes here share the weight of one, as with all adversaries,
    so that real and fake are in balance. ``L_GAN`` is whatever loss is named. ``gamma`` is by the mean over the layer's
    values. L_prior and L_like are logged in nats an image.

    With ``domains=2`` there is an encoder, a decoder and a discriminator for each domain, and one latent: the prior is
    the same, and so are the layers next to the latent (``tie_shared``), as in CoGAN and UNIT (arXiv:1606.07536,
    arXiv:1703.00848). A code of one domain then decodes to the other, which is the translation; it is the third fake
    that the other's discriminator sees. Each domain plays algorithm 1, and their terms are added. Nothing says that a
    translation must lead back: that is what ``unit`` adds.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        encoder: Annotated[str, Option("network from images to mean and log-variance", part="encoders")] = "dcgan",
        decoder: Annotated[str, Option("network from the latent to images", part="decoders")] = "dcgan",
        discriminator: Annotated[str, Option("network that judges images", part="discriminators")] = "patch",
        adversarial: Annotated[
            str, Option('adversarial loss and penalties, such as "hinge + r1(weight=1)"', part="adversarial_losses")
        ] = "nonsaturating",
        gamma: Annotated[float, Option("weight of likeness against looking real, for the decoder", ge=0)] = 1.0,
        layer: Annotated[int, Option("which of the discriminator's inner layers sees likeness; -1 is the last")] = -1,
        domains: Annotated[Literal[1, 2], Option("1: rebuild and sample one domain; 2: translate between two")] = 1,
        tie_shared: Annotated[bool, Option("with two domains, share the layers next to the latent")] = True,
    ) -> None:
        super().__init__()
        if domains == 1:
            check_one_domain(parts, "vaegan(domains=1)", ", or --domains 2 to translate between them")
        channels = {"target": parts.target.channels}
        if domains == 2:
            channels = {"source": parts.source.channels, **channels}
        self.encoders = nn.ModuleDict(
            {name: parts.encoder(encoder, inputs=inputs, statistics=2) for name, inputs in channels.items()}
        )
        self.latent: tuple[int, ...] = tuple(self.encoders["target"].latent)  # type: ignore[arg-type]
        self.decoders = nn.ModuleDict(
            {name: parts.decoder(decoder, latent=self.latent, outputs=made) for name, made in channels.items()}
        )
        if tie_shared and domains == 2:
            tie(self.encoders, encoder, "choose another encoder or --no-tie-shared")
            tie(self.decoders, decoder, "choose another decoder or --no-tie-shared")
        self.adversaries = nn.ModuleDict(
            {name: parts.adversary(discriminator, loss=adversarial, inputs=made) for name, made in channels.items()}
        )
        self.gamma, self.layer, self.discriminator = gamma, layer, discriminator

    @property
    def period(self) -> int:
        """The adversaries', which are alike."""
        return self._adversary("target").period

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """Encoder, decoder and discriminator, of all domains."""
        judges = nn.ModuleDict({name: self._adversary(name).discriminator for name in self.adversaries})
        return {"encoder": self.encoders, "decoder": self.decoders, "discriminator": judges}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """One domain: to the reconstruction. Two: both directions. A sampler of the target in either case."""
        kept: dict[str, nn.Module] = {"sample": PriorSampler(self.decoders["target"], self.latent, "target")}
        if len(self.encoders) == 1:
            return {"forward": ThroughLatent(self.encoders["target"], self.decoders["target"]), **kept}
        return {
            "forward": ThroughLatent(self.encoders["source"], self.decoders["target"]),
            "backward": ThroughLatent(self.encoders["target"], self.decoders["source"]),
            **kept,
        }

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        """All players move at once; in steps that are the discriminator's alone, it does."""
        images = {name: batch[name] for name in self.encoders if name in batch}
        if not images:
            images = {"target": batch["source"]}
        if len(images) < len(self.encoders):
            raise TranslateError("vaegan(domains=2) translates between two domains, and this data has one; give both")
        found = {name: split(self.encoders[name](image)) for name, image in images.items()}
        codes = {name: reparameterize(*statistics) for name, statistics in found.items()}
        noise = torch.randn_like(next(iter(codes.values())))
        encoder: dict[str, Tensor] = {}
        decoder: dict[str, Tensor] = {}
        discriminator_terms: dict[str, Tensor] = {}
        moves = self._adversary("target").generator_moves(step)
        for name, image in images.items():
            adversary = self._adversary(name)
            label = f"{name}_" if len(images) == 2 else ""
            fakes = [codes[name], noise, *(code for other, code in codes.items() if other != name)]
            made = self.decoders[name](torch.cat(fakes)).split(len(image))
            # A batch for each kind: a discriminator that compares the images of a batch would learn to count them.
            rebuilt, *others = made
            terms = adversary.discriminator_terms(image, rebuilt.detach(), others=[other.detach() for other in others])
            discriminator_terms |= {f"{label}{term}": value for term, value in terms.items()}
            if not moves:
                continue
            unlike, values = self._unlike(adversary, rebuilt, image)
            encoder[f"{label}kl"] = logged_as(kl_divergence(*found[name]), 1 / values)
            encoder[f"{label}likeness"] = logged_as(unlike, 1 / values)
            if self.gamma:
                decoder[f"{label}likeness"] = logged_as(unlike, self.gamma / values)
            generator_losses = adversary.generator_terms(rebuilt, image, others=others)
            decoder |= {f"{label}{term}": value for term, value in generator_losses.items()}
        discriminator = Update("discriminator", discriminator_terms)
        yield (Update("encoder", encoder), Update("decoder", decoder), discriminator) if moves else discriminator

    def _unlike(self, adversary: Adversary, rebuilt: Tensor, image: Tensor) -> tuple[Tensor, int]:
        """L_like in nats an image, and the number of values that were compared."""
        # Not by the adversary's judge, whose augmentations would change the two in unlike ways.
        # In one batch, so that batch normalization changes both alike; each image is in it once.
        seen = adversary.discriminator(torch.cat([rebuilt, image])).features
        if not -len(seen) <= self.layer < len(seen):
            raise TranslateError(
                f"{self.discriminator} shows {len(seen)} inner layers, so there is no layer {self.layer}; "
                f"choose one from {-len(seen)} to {len(seen) - 1}"
                if seen
                else f"{self.discriminator} shows no inner layers to compare images by; choose another discriminator"
            )
        of_rebuilt, of_image = to_float32(seen[self.layer]).chunk(2)
        apart = (of_rebuilt - of_image.detach()).flatten(1)
        return apart.square().sum(1).mean() / 2, apart.shape[1]

    def _adversary(self, name: str) -> Adversary:
        adversary = self.adversaries[name]
        assert isinstance(adversary, Adversary)
        return adversary
