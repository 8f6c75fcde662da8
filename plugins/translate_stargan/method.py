"""StarGAN v2: one generator for many classes, with styles that are drawn or taken from references."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from translate.data import check_same_channels
from translate.errors import TranslateError
from translate.method import Batch, Method, Needs, Parts, Update
from translate.options import Option
from translate.precision import to_float32
from translate.sizes import fitting_sizes
from translate_stargan.discriminator import OfClass
from translate_stargan.generator import Generator
from translate_stargan.styles import MappingNetwork, StyleEncoder
from translate_stargan.translator import StyleTranslator

MOST_DOWNS, BOTTLENECK = 4, 16
"""The generator halves sides down to 16 px, and at most four times, as published for 256 px."""


class StarGAN(Method):
    """Translation among many domains, the classes of the data, with many styles of each (StarGAN v2, Choi et al. 2020).

    StarGAN v2: Diverse Image Synthesis for Multiple Domains, arXiv:1912.01865. With images x of class y, a class y' and
    a style s', which is ``F_y'(z)``, z ~ N(0, 1), or ``E_y'(x')`` of a reference x' of that class, section 3.2 has::

        L_adv = E log D_y(x) + E log(1 - D_y'(G(x, s')))        the non-saturating loss, and R1 with gamma = 1
        L_sty = E |s' - E_y'(G(x, s'))|                          equation 2
        L_ds  = E |G(x, s'1) - G(x, s'2)|                        equation 3
        L_cyc = E |x - G(G(x, s'), E_y(x))|                      equation 4

    G, F and E minimise ``L_adv + sty L_sty - ds L_ds + cyc L_cyc``, all 1, with ds falling linearly to 0 over the
    training; |.| are means. A step moves D with fakes of latents, D with fakes of references, then G, F and E with
    latents, then G alone with references. Real images are references, so that all classes are seen equally often, each
    by its own branch; the second image of L_ds is a constant.

    Of the paper, what is for faces alone is left out: high-pass filters of skips and landmarks.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        width: Annotated[int, Option("channels of the generator's and the style encoder's first map", ge=1)] = 64,
        widest: Annotated[int, Option("most channels of a map; they are doubled up to it", ge=1)] = 512,
        downs: Annotated[
            int | None, Option("halvings of the generator; none: down to 16 px, at most 4", ge=0, le=8)
        ] = None,
        blocks: Annotated[int, Option("residual blocks between, before and after the style comes in", ge=1)] = 2,
        style_width: Annotated[int, Option("numbers of a style", ge=1)] = 64,
        latent: Annotated[int, Option("numbers of a latent", ge=1)] = 16,
        hidden: Annotated[int, Option("width of the mapping network", ge=1)] = 512,
        discriminator: Annotated[
            str, Option("discriminator with class logits, the branches", part="discriminators")
        ] = "multi_branch",
        adversarial: Annotated[
            str, Option('adversarial loss and penalties, such as "hinge + r1(weight=1)"', part="adversarial_losses")
        ] = "nonsaturating + r1(weight=1)",
        style: Annotated[float, Option("weight of the style reconstruction (lambda_sty)", gt=0)] = 1.0,
        diversity: Annotated[
            float, Option("weight of the diversity at first, which falls to 0 (lambda_ds); 2 for AFHQ", ge=0)
        ] = 1.0,
        cycle: Annotated[float, Option("weight of the cycle consistency (lambda_cyc)", ge=0)] = 1.0,
    ) -> None:
        super().__init__()
        classes = parts.domains
        _refuse_unfit(parts)
        if downs is None:
            downs = next((n for n in range(MOST_DOWNS) if min(parts.size) >> n <= BOTTLENECK), MOST_DOWNS)
        if any(side % 2**downs for side in parts.size):
            raise TranslateError(
                f"stargan with {downs} halvings needs sides that divide by {2**downs}, which "
                f"{parts.size[0]}x{parts.size[1]} does not; train with --size {fitting_sizes(parts.size, 2**downs)}, "
                "or give fewer --downs"
            )
        channels = parts.source.channels
        self.generator = parts.own(
            Generator(channels, channels, style=style_width, width=width, widest=widest, downs=downs, blocks=blocks)
        )
        self.mapping = parts.own(MappingNetwork(len(classes), latent=latent, style=style_width, hidden=hidden))
        self.encoder = parts.own(
            StyleEncoder(channels, len(classes), size=parts.size, style=style_width, width=width, widest=widest)
        )
        self.adversary = parts.adversary(discriminator, loss=adversarial, classes=len(classes))
        self.adversary.discriminator = OfClass(self.adversary.discriminator)
        self.latent = latent
        self.style, self.diversity, self.cycle = style, diversity, cycle

    @property
    def needs(self) -> Needs:
        """Classes of the sources, and references."""
        return Needs(labels=frozenset({"source"}), references=True)

    @property
    def period(self) -> int:
        """That of the adversary."""
        return self.adversary.period

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """Generator, mapping network, style encoder and discriminator."""
        return {
            "generator": self.generator,
            "mapping": self.mapping,
            "encoder": self.encoder,
            "discriminator": self.adversary.discriminator,
        }

    @property
    def optimizers(self) -> Mapping[str, str]:
        """Adam with beta1 = 0, and a hundredth of the learning rate for the mapping network (appendix B)."""
        adam = dict.fromkeys(self.players, "adam(lr=0.0001, betas=(0.0, 0.99))")
        return {**adam, "mapping": "adam(lr=0.000001, betas=(0.0, 0.99))"}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """Generator, mapping network and style encoder as one."""
        return {"forward": StyleTranslator(self.generator, self.mapping, self.encoder, latent=self.latent)}

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        """Two updates of the discriminator, one of generator, mapping and encoder, and one of the generator."""
        source, label = batch["source"], batch["reference_label"]
        real, other = batch["reference"], batch["reference2"]
        latents = torch.randn(2, len(source), self.latent, device=source.device, dtype=source.dtype)

        fake = self._constant(source, self._mapped(latents[0], label))
        yield Update("discriminator", _named("latent", self.adversary.discriminator_terms(real, fake, label)))
        # The real images are not those that have given their styles.
        fake = self._constant(source, self._encoded(real, label))
        yield Update("discriminator", _named("reference", self.adversary.discriminator_terms(other, fake, label)))
        if not self.adversary.generator_moves(step):
            return

        style = self.mapping(latents[0], label)
        further = self._mapped(latents[1], label) if self.diversity else None
        own = self.encoder(source, batch["source_label"].clamp(min=0)) if self.cycle else None
        terms = self._terms(batch, real, style, further, own)
        yield Update(("generator", "mapping", "encoder"), _named("latent", terms))
        style = self._encoded(real, label)
        further = self._encoded(other, label) if self.diversity else None
        own = self._encoded(source, batch["source_label"].clamp(min=0)) if self.cycle else None
        terms = self._terms(batch, other, style, further, own)
        yield Update("generator", _named("reference", terms))

    def _terms(
        self, batch: Batch, real: Tensor, style: Tensor, further: Tensor | None, own: Tensor | None
    ) -> dict[str, Tensor]:
        """The generator's terms for one style of each source, a ``further`` style, and the source's ``own``."""
        source, label = batch["source"], batch["reference_label"]
        fake = self.generator(source, style)
        terms = self.adversary.generator_terms(fake, real, label)
        found = self.encoder(fake, label)
        terms["style"] = self.style * (to_float32(found) - to_float32(style)).abs().mean()
        if further is not None:
            distance = (to_float32(fake) - to_float32(self._constant(source, further))).abs().mean()
            terms["diversity"] = -self.diversity * (1 - self.progress) * distance
        if own is not None:
            error = (to_float32(self.generator(fake, own)) - source).abs().mean((1, 2, 3))
            # An image without a class has no style of its own.
            labelled = (batch["source_label"] >= 0).to(error.dtype)
            terms["cycle"] = self.cycle * (error * labelled).sum() / labelled.sum().clamp(min=1)
        return terms

    @torch.no_grad()
    def _constant(self, image: Tensor, style: Tensor) -> Tensor:
        fake: Tensor = self.generator(image, style)
        return fake

    @torch.no_grad()
    def _mapped(self, latent: Tensor, label: Tensor) -> Tensor:
        style: Tensor = self.mapping(latent, label)
        return style

    @torch.no_grad()
    def _encoded(self, image: Tensor, label: Tensor) -> Tensor:
        style: Tensor = self.encoder(image, label)
        return style


def _named(of: str, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Terms with the kind of styles that they are of before their names."""
    return {f"{of}_{name}": term for name, term in terms.items()}


def _refuse_unfit(parts: Parts) -> None:
    """Raise ``TranslateError`` for data that has not several classes of one kind of images."""
    source, target = parts.source, parts.target
    if len(parts.domains) < 2:
        has = f"one, {parts.domains[0]}" if parts.domains else "none"
        raise TranslateError(
            f"stargan translates among the classes of the data, two or more, and this data has {has}; put its images "
            "into a folder for each class (--layout classes)"
        )
    check_same_channels(source, target, "stargan shows its translations to the generator, which takes sources")
    if tuple(source.labels) != tuple(target.labels):
        raise TranslateError(
            "stargan needs the same classes in both domains, and these have others; put all images into one domain, "
            "with a folder for each class (--layout classes)"
        )
