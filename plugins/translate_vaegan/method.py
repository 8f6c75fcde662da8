"""VAE/GAN: an autoencoder whose reconstruction loss compares discriminator features."""

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
from translate_vaegan.gaussian import (
    Autoencoder,
    PriorSampler,
    ThroughLatent,
    kl_divergence,
    reparameterize,
    split,
)
from translate_vaegan.vae import check_one_domain


class VAEGAN(Method):
    """Autoencoding beyond pixels, using a learned similarity metric (VAE/GAN, Larsen et al. 2016).

    arXiv:1512.09300. The decoder of a variational autoencoder is the generator of a GAN, and the l-th layer of its
    discriminator takes the pixels' place in the likelihood. All are updated from one forward pass (algorithm 1)::

        L_prior = KL(q(z|x) || N(0, 1))        L_like = |D_l(x) - D_l(G(z))|^2 / 2,   z ~ q(z|x)
        L_GAN   = log D(x) + log(1 - D(G(z))) + log(1 - D(G(z_p))),   z_p ~ N(0, 1)

        encoder: L_prior + L_like      decoder: gamma * L_like - L_GAN      discriminator: -L_GAN

    So the encoder has no adversarial loss, and the discriminator does not minimise L_like. In the paper the two fakes
    for each real image have the weight of two; here they share the weight of one, as in all adversaries, so that real
    and fake are balanced. ``L_GAN`` can be any adversarial loss. ``gamma`` refers to the mean over the layer's values.
    L_prior and L_like are logged in nats per image.

    With ``domains=2`` there is an encoder, a decoder and a discriminator for each domain, and a shared latent: the
    prior is the same, and so are the layers next to the latent (``tie_shared``), as in CoGAN and UNIT
    (arXiv:1606.07536, arXiv:1703.00848). A code of one domain, decoded to the other, is the translation, and the third
    kind of fake of the other's discriminator. Each domain has the losses of algorithm 1; they are added. There is no
    cycle consistency: ``unit`` adds that.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        encoder: Annotated[str, Option("encoder from images to mean and log-variance", part="encoders")] = "dcgan",
        decoder: Annotated[str, Option("decoder from the latent to images", part="decoders")] = "dcgan",
        discriminator: Annotated[
            str, Option("discriminator network, which must return inner features", part="discriminators")
        ] = "patch",
        adversarial: Annotated[
            str, Option('adversarial loss and penalties, such as "hinge + r1(weight=1)"', part="adversarial_losses")
        ] = "nonsaturating",
        gamma: Annotated[float, Option("weight of L_like against L_GAN in the decoder's loss", ge=0)] = 1.0,
        layer: Annotated[int, Option("index l of the discriminator's inner layer for L_like; -1 is the last")] = -1,
        domains: Annotated[Literal[1, 2], Option("1: reconstruct and sample one domain; 2: translate between two")] = 1,
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
        """That of the adversaries; all have the same."""
        return self._adversary("target").period

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """Encoder, decoder and discriminator, of all domains."""
        discriminators = nn.ModuleDict({name: self._adversary(name).discriminator for name in self.adversaries})
        return {"encoder": self.encoders, "decoder": self.decoders, "discriminator": discriminators}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """The autoencoder of one domain, or both directions between two; and a sampler of the target."""
        saved: dict[str, nn.Module] = {"sample": PriorSampler(self.decoders["target"], self.latent, "target")}
        if len(self.encoders) == 1:
            return {"forward": Autoencoder(self.encoders["target"], self.decoders["target"]), **saved}
        return {
            "forward": ThroughLatent(self.encoders["source"], self.decoders["target"]),
            "backward": ThroughLatent(self.encoders["target"], self.decoders["source"]),
            **saved,
        }

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        """One simultaneous update of all players; in steps for the discriminator only (n_critic), one of it."""
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
            # A separate batch for each kind: a discriminator that compares the images of a batch could count copies.
            rebuilt, *others = made
            terms = adversary.discriminator_terms(image, rebuilt.detach(), others=[other.detach() for other in others])
            discriminator_terms |= {f"{label}{term}": value for term, value in terms.items()}
            if not moves:
                continue
            feature_loss, values = self._feature_loss(adversary, rebuilt, image)
            encoder[f"{label}kl"] = logged_as(kl_divergence(*found[name]), 1 / values)
            encoder[f"{label}likeness"] = logged_as(feature_loss, 1 / values)
            if self.gamma:
                decoder[f"{label}likeness"] = logged_as(feature_loss, self.gamma / values)
            generator_losses = adversary.generator_terms(rebuilt, image, others=others)
            decoder |= {f"{label}{term}": value for term, value in generator_losses.items()}
        discriminator = Update("discriminator", discriminator_terms)
        yield (Update("encoder", encoder), Update("decoder", decoder), discriminator) if moves else discriminator

    def _feature_loss(self, adversary: Adversary, rebuilt: Tensor, image: Tensor) -> tuple[Tensor, int]:
        """L_like in nats per image, and the number of values of the layer."""
        # Without the adversary's augmentation, which would change the two images differently.
        # In one batch, so that batch normalization uses the same statistics for both; each image is in it once.
        features = adversary.discriminator(torch.cat([rebuilt, image])).features
        if not -len(features) <= self.layer < len(features):
            raise TranslateError(
                f"{self.discriminator} shows {len(features)} inner layers, so there is no layer {self.layer}; "
                f"choose one from {-len(features)} to {len(features) - 1}"
                if features
                else f"{self.discriminator} returns no inner layers for L_like; choose another discriminator"
            )
        rebuilt_features, image_features = to_float32(features[self.layer]).chunk(2)
        difference = (rebuilt_features - image_features.detach()).flatten(1)
        return difference.square().sum(1).mean() / 2, difference.shape[1]

    def _adversary(self, name: str) -> Adversary:
        adversary = self.adversaries[name]
        assert isinstance(adversary, Adversary)
        return adversary
