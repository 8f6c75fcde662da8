"""DTN: unpaired translation that preserves what a fixed network sees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.errors import TranslateError
from translate.method import Batch, Method, Parts, Update
from translate.options import Option, parse_calls
from translate.precision import to_float32
from translate_dtn.decoded import Decoded
from translate_dtn.ternary import Ternary


class DTN(Method):
    """Unpaired translation that preserves what a fixed network sees (DTN, Taigman et al. 2017).

    Unsupervised Cross-Domain Image Generation, arXiv:1611.02200. With a fixed network f, sources x_s and targets x_t,
    G minimises ``L_GANG + alpha L_CONST + beta L_TID + gamma L_TV``:

    - ``L_GANG``: the discriminator, which tells G(x_s), G(x_t) and x_t apart, should take both for real;
    - ``L_CONST = E d(f(x_s), f(G(x_s)))``: f sees the same in a source and in its translation;
    - ``L_TID = E |x_t - G(x_t)|^2``, mean over values: a target stays as it is;
    - ``L_TV``: total variation of what G makes, anisotropic.

    As published G is a decoder g of what f sees, ``G(x) = g(f(x))``; any other generator may take its place. alpha =
    beta = 15 and gamma = 0 are the paper's choices for digits, those for faces are 100, 1 and 0.05.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        features: Annotated[
            str,
            Option("fixed network f: a part, or the run of a classifier", part="feature_extractors"),
        ],
        decoder: Annotated[str, Option("network g from what f sees to an image", part="decoders")] = "dcgan",
        generator: Annotated[
            str, Option("network from image to image in place of g(f(x)); empty: as published", part="generators")
        ] = "",
        discriminator: Annotated[
            str, Option("network that tells the three kinds apart", part="discriminators")
        ] = "semi_supervised",
        adversarial: Annotated[
            str, Option('ternary, or a loss of real against made, and penalties: "hinge + r1(weight=1)"')
        ] = "ternary",
        alpha: Annotated[float, Option("weight of the distance between what f sees (L_CONST)", ge=0)] = 15.0,
        beta: Annotated[float, Option("weight of the identity of targets (L_TID)", ge=0)] = 15.0,
        gamma: Annotated[float, Option("weight of the total variation (L_TV)", ge=0)] = 0.0,
        distance: Annotated[Literal["mse", "cosine"], Option("distance d between what f sees")] = "mse",
    ) -> None:
        super().__init__()
        if parts.source.channels != parts.target.channels:
            raise TranslateError(
                "dtn shows both domains to the same networks, so they need equal numbers of channels, not "
                f"{parts.source.channels} and {parts.target.channels}; convert one of them"
            )
        self.features = parts.feature_extractor(features)
        self.generator = (
            parts.generator(generator)
            if generator
            else Decoded(self.features, drawing(parts, decoder, self.features, features), parts.size)
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
        """The adversary's."""
        return self.adversary.period

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """Generator and discriminator; f plays no part."""
        return {"generator": self.generator, "discriminator": self.adversary.discriminator}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """The generator, with f in it where it draws what f sees."""
        return {"forward": self.generator}

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        """The discriminator moves on what G makes of both domains, then G."""
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
        # Each kind is a batch of its own, for discriminators that compare the images of a batch.
        return self.adversary.discriminator_terms(real, fake, others=[same])

    def _generator_terms(self, real: Tensor, fake: Tensor, same: Tensor) -> dict[str, Tensor]:
        if self.ternary is not None:
            return self.ternary.generator_terms(fake, same)
        return self.adversary.generator_terms(fake, real, others=[same])


def drawing(parts: Parts, decoder: str, features: nn.Module, name: str) -> nn.Module:
    """The decoder of what a fixed network sees."""
    latent: tuple[int, ...] = tuple(features.latent)  # type: ignore[arg-type]
    try:
        return parts.decoder(decoder, latent=latent)
    except TranslateError as error:
        raise TranslateError(
            f"{decoder} cannot draw what {name} sees, {'x'.join(map(str, latent))} numbers ({error}); "
            "or translate by a network of images, such as --generator unet"
        ) from None


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """The mean of ``1 - cos(first, second)`` of features (N, D) or (N, D, h, w), at each position of a map.

    >>> cosine(torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 1.0], [2.0, 2.0]]))
    tensor(0.5000)
    """
    return 1 - F.cosine_similarity(to_float32(first), to_float32(second), dim=1).mean()
