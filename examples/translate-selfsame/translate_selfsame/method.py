"""The method: a generator, a discriminator, and a predictor that moves together with the generator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.errors import TranslateError
from translate.inner_maps import inner, watch
from translate.method import Batch, Method, Parts, Update
from translate.options import Option
from translate.precision import to_float32
from translate.traits import Traits
from translate_selfsame.predictor import Predictor


class Selfsame(Method):
    """Unpaired translation that keeps what the generator itself sees in an image, its inner map.

    G minimises an adversarial loss against D and ``- weight * E cos(P(m(G(x))), m(x))``, where m(x) is the map of one
    of its own layers, detached as the thing to predict (Chen & He 2021, SimSiam, arXiv:2011.10566), and P a predictor
    that is trained jointly with G.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        generator: Annotated[str, Option("generator from source to target", part="generators")] = "resnet",
        discriminator: Annotated[str, Option("discriminator of target images", part="discriminators")] = "patch",
        adversarial: Annotated[str, Option("adversarial loss and penalties", part="adversarial_losses")] = "lsgan",
        weight: Annotated[float, Option("weight of the self-consistency", ge=0)] = 1.0,
        width: Annotated[int, Option("channels within the predictor", ge=1)] = 64,
    ) -> None:
        super().__init__()
        if parts.source.channels != parts.target.channels:
            raise TranslateError(
                "selfsame shows translations to the generator, so both sides need the same channels, not "
                f"{parts.source.channels} and {parts.target.channels}; use gan for such images"
            )
        self.generator = parts.generator(generator)
        self.adversary = parts.adversary(discriminator, loss=adversarial)
        self.weight = weight
        layers = Traits(self.generator).feature_layers
        if not layers:
            raise TranslateError(f"{generator} names no feature_layers; choose a generator that does, such as resnet")
        self.layer = layers[len(layers) // 2]
        with torch.no_grad():
            channels = self._map(torch.zeros(2, parts.source.channels, *parts.size)).shape[1]
        # Said to be one of the method's networks, it is compiled and recomputed as the generator is.
        self.predictor = parts.own(Predictor(channels, width))

    @property
    def period(self) -> int:
        """That of the adversary."""
        return self.adversary.period

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """Generator, predictor and discriminator."""
        return {
            "generator": self.generator,
            "predictor": self.predictor,
            "discriminator": self.adversary.discriminator,
        }

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """The generator; the predictor is of no use after the training."""
        return {"forward": self.generator}

    def updates(self, batch: Batch, step: int) -> Iterator[Update]:
        """One update of the discriminator, then a joint one of generator and predictor."""
        source, target = batch["source"], batch["target"]
        with watch(self.generator, [self.layer]) as maps:
            fake = self.generator(source)
        # The `with` has ended before the method yields.
        yield Update("discriminator", self.adversary.discriminator_terms(target, fake.detach()))
        if not self.adversary.generator_moves(step):
            return
        seen = to_float32(maps[self.layer]).detach()
        predicted = to_float32(self.predictor(self._map(fake)))
        likeness = F.cosine_similarity(predicted, seen, dim=1).mean()
        terms = self.adversary.generator_terms(fake, target)
        # One backward pass for both players; what is logged and is no loss stands beside the terms.
        yield Update(
            ("generator", "predictor"),
            {**terms, "selfsame": -self.weight * likeness},
            log={"change": (fake - source).abs().mean()},
        )

    def _map(self, image: Tensor) -> Tensor:
        return inner(self.generator, image, [self.layer])[self.layer]
