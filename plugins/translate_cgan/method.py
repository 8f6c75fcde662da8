"""cgan: images from a class or from vectors, by a discriminator that sees whether both belong together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from translate.errors import TranslateError
from translate.method import Batch, Method, Needs, Parts, Update
from translate.options import Option
from translate.traits import Traits
from translate_cgan.condition import LABEL, Condition, declaring
from translate_cgan.networks import Conditioned, Sampler, planes

EMBEDDING, MAPS = 128, 32
"""To how many numbers a condition is reduced beside noise, and of how many maps of it a translator has."""


class CGAN(Method):
    """Images from a condition that is no image: a class or vectors (Mirza & Osindero 2014; Reed et al. 2016).

    Conditional Generative Adversarial Nets, arXiv:1411.1784: ``min_G max_D E log D(x, y) + E log(1 - D(G(z, y), y))``
    for images x with their conditions y. Generative Adversarial Text to Image Synthesis, arXiv:1605.05396: D is
    matching-aware (GAN-CLS), since real images with a mismatched condition y' are a third kind of pair,

    ``L_D = -E log D(x, y) - (1 - m) E log(1 - D(G(z, y), y)) - m E log(1 - D(x, y'))``, m = 1/2,

    and G may also be asked for conditions halfway between two (GAN-INT, beta = 1/2), for which there are no images:
    ``- w E log D(G(z, (y + y') / 2), (y + y') / 2)``. G minimises the non-saturating form.

    The condition is reduced by a fully connected layer and concatenated with the noise. D is a ``projection`` (Miyato
    & Koyama 2018, arXiv:1802.05637), a ``concatenation`` (Reed et al.), each with one head or two, or any discriminator
    with a condition, for which vectors become planes of its image.

    With a ``translator`` G gets the source image and vectors instead of noise, such as a state and an action, and makes
    the target, to which an L1 term holds it, as in pix2pix (Isola et al. 2017, arXiv:1611.07004); D sees source and
    target.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        condition: Annotated[
            str, Option("what images are made from: class, or the names of the data's vectors, such as text")
        ] = "class",
        generator: Annotated[str, Option("generator: a decoder from noise and condition", part="decoders")] = "dcgan",
        translator: Annotated[
            str,
            Option(
                "in place of noise, make targets from their sources and vectors: a generator such as unet",
                part="generators",
            ),
        ] = "",
        discriminator: Annotated[
            str, Option("discriminator of images with their conditions", part="discriminators")
        ] = "projection",
        adversarial: Annotated[
            str, Option('adversarial loss and penalties, such as "hinge + r1(weight=1)"', part="adversarial_losses")
        ] = "nonsaturating",
        latent: Annotated[int, Option("dimension of the noise", ge=1)] = 100,
        embedding: Annotated[
            int | None,
            Option(
                "numbers to which the condition is reduced, or maps of it (default: 128, with a translator 32)", ge=1
            ),
        ] = None,
        matching_aware: Annotated[
            float,
            Option("share of real images with a mismatched condition among the fakes (m); 0: none", ge=0, lt=1),
        ] = 0.5,
        interpolation: Annotated[
            float, Option("weight of the generator's term on vectors halfway between two (GAN-INT)", ge=0)
        ] = 0.0,
        l1: Annotated[float, Option("with a translator: weight of the L1 term", ge=0)] = 100.0,
    ) -> None:
        super().__init__()
        self.condition = asked = Condition.read(condition, parts)
        if asked.classes == 1 and matching_aware:
            raise TranslateError("the data has one class, so none is mismatched; train with --matching-aware 0")
        if asked.classes and (interpolation or translator):
            option = "translator" if translator else "interpolation"
            raise TranslateError(
                f"--{option} takes vectors, and the condition is a class; name the data's vectors with --condition"
            )
        self.translator = bool(translator)
        channels = parts.target.channels
        built: nn.Module
        if translator:
            maps = embedding or MAPS
            network = parts.generator(translator, inputs=parts.source.channels + maps)
            built = declaring(Conditioned, "image", asked)(network, asked, channels=parts.source.channels, maps=maps)
            channels += parts.source.channels
        else:
            reduced = embedding or EMBEDDING
            decoder = parts.decoder(generator, latent=(latent + reduced,))
            built = declaring(Sampler, "noise", asked)(decoder, asked, embedding=reduced, latent=latent)
        self.generator = parts.own(built)
        self.adversary = parts.adversary(discriminator, loss=adversarial, inputs=channels, condition=asked.width)
        self.distance = parts.loss("l1")
        self.matching_aware = matching_aware
        self.interpolation = interpolation
        self.l1 = l1

    @property
    def needs(self) -> Needs:
        """Labelled images, or vectors; mismatched ones where they are used; pairs with a translator."""
        if self.condition.classes:
            return Needs(streams=("labelled",))
        names = set(self.condition.widths)
        if self.matching_aware or self.interpolation:
            names |= {f"mismatched_{name}" for name in self.condition.widths}
        return Needs(paired=self.translator, vectors=frozenset(names))

    @property
    def period(self) -> int:
        """That of the adversary."""
        return self.adversary.period

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """Generator and discriminator."""
        return {"generator": self.generator, "discriminator": self.adversary.discriminator}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """The generator: a sampler, or with ``translator`` a translator."""
        return {"forward" if self.translator else "sample": self.generator}

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        """One update of the discriminator on real, fake and mismatched pairs, then one of the generator."""
        real, given, mismatched = self._read(batch)
        source = batch["source"] if self.translator else None
        first = torch.randn(len(real), *self._noise, device=real.device) if source is None else source
        fake = self.generator(first, **given)
        shown, condition = self._shown(real, source), self._seen(given, real)
        yield Update(
            "discriminator",
            self.adversary.discriminator_terms(
                shown,
                self._shown(fake.detach(), source),
                condition=condition,
                mismatched=self._seen(mismatched, real) if self.matching_aware else None,
                share=self.matching_aware,
            ),
        )
        if not self.adversary.generator_moves(step):
            return
        terms = self.adversary.generator_terms(self._shown(fake, source), shown, condition=condition)
        if self.interpolation:
            halfway = {name: (value + mismatched[name]) / 2 for name, value in given.items()}
            between = self._shown(self.generator(first, **halfway), source)
            found = self.adversary.generator_terms(between, shown, condition=self._seen(halfway, real))
            terms |= {f"interpolated_{name}": self.interpolation * term for name, term in found.items()}
        if self.translator and self.l1:
            terms["l1"] = self.l1 * self.distance(fake, real)
        yield Update("generator", terms)

    @property
    def _noise(self) -> tuple[int, ...]:
        return Traits(self.generator).noise

    def _read(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """Real images, their conditions by name, and those that do not belong to them."""
        if self.condition.classes:
            label = batch["labelled_label"]
            other = {LABEL: self.condition.other(label)} if self.matching_aware else {}
            return batch["labelled"], {LABEL: label}, other
        real = batch["target"] if "target" in batch else batch["source"]
        own = {name: batch[name] for name in self.condition.widths}
        other = {name: batch[key] for name in own if (key := f"mismatched_{name}") in batch}
        return real, own, other

    def _seen(self, given: Mapping[str, Tensor], images: Tensor) -> Tensor:
        """A condition as the discriminator takes it: vectors, or planes of its image."""
        vectors = self.condition.vector(given)
        return vectors if Traits(self.adversary.discriminator).takes_vectors else planes(vectors, images)

    def _shown(self, image: Tensor, source: Tensor | None) -> Tensor:
        """An image as the discriminator takes it: with its source, if it has one."""
        return image if source is None else torch.cat([image, source.to(image.dtype)], dim=1)
