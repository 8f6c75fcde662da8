"""DTN: unpaired translation that preserves the features of a frozen network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.data import check_same_channels
from translate.errors import TranslateError
from translate.method import Batch, Method, Parts, Update
from translate.options import Option, parse_calls
from translate.precision import to_float32
from translate_dtn.decoded import Decoded
from translate_dtn.ternary import Ternary


class DTN(Method):
    """Unpaired translation that preserves the features of a frozen network (DTN, Taigman et al. 2017).

    Unsupervised Cross-Domain Image Generation, arXiv:1611.02200. With a frozen network f, sources x_s and targets x_t,
    G minimises ``L_GANG + alpha L_CONST + beta L_TID + gamma L_TV``:

    - ``L_GANG``: the discriminator distinguishes G(x_s), G(x_t) and x_t; G wants both kinds of fakes classified as
      real;
    - ``L_CONST = E d(f(x_s), f(G(x_s)))``: a source and its translation should have the same features;
    - ``L_TID = E |x_t - G(x_t)|^2``, mean over values: G should map a target to itself;
    - ``L_TV``: anisotropic total variation of G's images.

    As published, G decodes the features of f, ``G(x) = g(f(x))``; any other generator may take its place. alpha =
    beta = 15 and gamma = 0 are the paper's choices for digits; for faces they are 100, 1 and 0.05.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        features: Annotated[
            str,
            Option("frozen network f: a part, or the run of a classifier", part="feature_extractors"),
        ],
        decoder: Annotated[str, Option("decoder g from the features of f to an image", part="decoders")] = "dcgan",
        generator: Annotated[
            str, Option("generator from image to image in place of g(f(x)); empty: g(f(x))", part="generators")
        ] = "",
        discriminator: Annotated[
            str, Option("discriminator of the three kinds: G(x_s), G(x_t), real", part="discriminators")
        ] = "semi_supervised",
        adversarial: Annotated[
            str, Option('ternary, or a real/fake loss, and penalties: "hinge + r1(weight=1)"')
        ] = "ternary",
        alpha: Annotated[
            float, Option("weight of the feature distance between source and translation (L_CONST)", ge=0)
        ] = 15.0,
        beta: Annotated[float, Option("weight of the identity of targets (L_TID)", ge=0)] = 15.0,
        gamma: Annotated[float, Option("weight of the total variation (L_TV)", ge=0)] = 0.0,
        distance: Annotated[Literal["mse", "cosine"], Option("distance d between features")] = "mse",
    ) -> None:
        super().__init__()
        check_same_channels(parts.source, parts.target, "dtn feeds both domains to the same networks")
        self.features = parts.feature_extractor(features)
        self.generator = (
            parts.generator(generator)
            if generator
            else Decoded(self.features, build_decoder(parts, decoder, self.features, features), parts.size)
        )
        ternary = parse_calls(adversarial)[0].name == "ternary"
        self.ternary = Ternary.build(parts, discriminator, adversarial) if ternary else None
        self.adversary = (
            parts.adversary(discriminator, loss=adversarial) if self.ternary is None else self.ternary.adversary
        )
        self.difference = parts.loss("l2")
        self.distance = self.difference if distance == "mse" else cosine
        self.variation = parts.loss("total_variation")
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma

    @property
    def period(self) -> int:
        """That of the adversary."""
        return self.adversary.period

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """Generator and discriminator; f is frozen."""
        return {"generator": self.generator, "discriminator": self.adversary.discriminator}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """The generator, including f if it is g(f(x))."""
        return {"forward": self.generator}

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        """One update of the discriminator on G's images of both domains, then one of the generator."""
        source, target = batch["source"], batch["target"]
        fake, same = self.generator(source), self.generator(target)
        yield Update("discriminator", self._discriminator_terms(target, fake.detach(), same.detach()))
        if not self.adversary.generator_moves(step):
            return
        terms = self._generator_terms(target, fake, same)
        if self.alpha:
            terms["preservation"] = self.alpha * self.distance(self.features(fake), self.features(source))
        if self.beta:
            terms["identity"] = self.beta * self.difference(same, target)
        if self.gamma:
            terms["variation"] = self.gamma * self.variation(torch.cat([fake, same]), target)
        yield Update("generator", terms)

    def _discriminator_terms(self, real: Tensor, fake: Tensor, same: Tensor) -> dict[str, Tensor]:
        if self.ternary is not None:
            return self.ternary.discriminator_terms(real, fake, same)
        # Each kind is a separate batch, because some discriminators compare the images of a batch.
        return self.adversary.discriminator_terms(real, fake, others=[same])

    def _generator_terms(self, real: Tensor, fake: Tensor, same: Tensor) -> dict[str, Tensor]:
        if self.ternary is not None:
            return self.ternary.generator_terms(fake, same)
        return self.adversary.generator_terms(fake, real, others=[same])


def build_decoder(parts: Parts, decoder: str, features: nn.Module, name: str) -> nn.Module:
    """Build the decoder for the features of a frozen network."""
    latent: tuple[int, ...] = tuple(features.latent)  # type: ignore[arg-type]
    try:
        return parts.decoder(decoder, latent=latent)
    except TranslateError as error:
        raise TranslateError(
            f"{decoder} cannot draw what {name} sees, {'x'.join(map(str, latent))} numbers ({error}); "
            "or translate by a generator from image to image, such as --generator unet"
        ) from None


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """The mean of ``1 - cos(first, second)`` of features (N, D) or (N, D, h, w), at each position of a map.

    >>> cosine(torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 1.0], [2.0, 2.0]]))
    tensor(0.5000)
    """
    return 1 - F.cosine_similarity(to_float32(first), to_float32(second), dim=1).mean()
