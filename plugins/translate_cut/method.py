"""CUT: one generator, held to its source by a contrastive loss on patches of its own inner maps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from translate.data import check_same_channels
from translate.errors import TranslateError
from translate.inner_maps import inner, watch
from translate.method import Batch, Method, Parts, Update
from translate.options import Option
from translate.traits import Traits
from translate_cut.layers import chosen_layers
from translate_cut.patches import Projector, draw_locations, info_nce, mirror_locations, take


class CUT(Method):
    """Unpaired translation in one direction by contrastive learning of patches (CUT, Park et al. 2020).

    Contrastive Learning for Unpaired Image-to-Image Translation, arXiv:2007.15651. With a generator G, a discriminator
    D and a projector H: ``L_GAN(G, D) + lambda_X L_PatchNCE(G, H, X) + lambda_Y L_PatchNCE(G, H, Y)``, lambda_X =
    lambda_Y = 1, least squares.

    For PatchNCE, layers l of G's first half see x and G(x). H_l projects the map's vectors at 256 random locations s,
    the same of both, to unit vectors: keys ``k_s`` of x and queries ``q_s`` of G(x). A patch of the translation should
    be nearest to the patch of x at its location, not to the others of the image:
    ``-log(exp(q_s k_s / tau) / sum_t exp(q_s k_t / tau))``, tau = 0.07, the mean over locations and layers. Keys are
    constants, as in the authors' pseudo-code; so G and H learn by the queries. The same loss for targets, with
    y and G(y), keeps G from changing what needs no change (the identity loss).

    G and H move together, by the same terms. H is no part of the translator.

    The published least squares have no factors 1/2, the part ``lsgan`` has them: ``gan = 2`` restores G's weight.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        generator: Annotated[str, Option("generator from source to target", part="generators")] = "resnet",
        discriminator: Annotated[
            str, Option("discriminator of target images", part="discriminators")
        ] = "patch(norm=instance)",
        adversarial: Annotated[
            str, Option('adversarial loss and penalties, such as "hinge + r1(weight=1)"', part="adversarial_losses")
        ] = "lsgan",
        gan: Annotated[
            float, Option("weight of the generator's adversarial term; 2 with lsgan is the published 1", ge=0)
        ] = 2.0,
        nce: Annotated[float, Option("weight of the contrastive loss of sources (lambda_X)", ge=0)] = 1.0,
        identity_nce: Annotated[float, Option("weight of the contrastive loss of targets (lambda_Y)", ge=0)] = 1.0,
        layers: Annotated[
            str,
            Option(
                'generator layers to compare, such as "image, encoder.4"; '
                "empty: all feature layers of several locations"
            ),
        ] = "",
        patches: Annotated[int, Option("random locations of each layer and image", ge=2)] = 256,
        features: Annotated[int, Option("width and outputs of the projector", ge=1)] = 256,
        temperature: Annotated[float, Option("temperature of the contrastive loss (tau)", ge=0.001)] = 0.07,
        flip_equivariance: Annotated[
            bool, Option("mirror the generator's input at random, and compare at mirrored locations")
        ] = False,
        pool: Annotated[int, Option("image pool: earlier fakes stored for the discriminator; 0: no pool", ge=0)] = 0,
    ) -> None:
        super().__init__()
        why = "cut shows its translations to the generator, which takes sources"
        check_same_channels(parts.source, parts.target, why)
        if not nce:
            raise TranslateError("with nce=0 nothing holds a translation to its source; use the method gan for that")
        self.generator = parts.generator(generator)
        self.adversary = parts.adversary(discriminator, loss=adversarial, pool=pool)
        channels = chosen_layers(self.generator, layers, parts)
        self.layers = tuple(channels)
        self.projector = parts.own(Projector(list(channels.values()), features))
        self.gan = gan
        self.nce = nce
        self.identity_nce = identity_nce
        self.patches = patches
        self.temperature = temperature
        self.flip_equivariance = flip_equivariance
        self.together = False
        """Whether sources and targets pass the generator in one batch; see ``pass_together``."""

    @property
    def period(self) -> int:
        """That of the adversary."""
        return self.adversary.period

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """Generator, projector and discriminator."""
        return {
            "generator": self.generator,
            "projector": self.projector,
            "discriminator": self.adversary.discriminator,
        }

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """The generator."""
        return {"forward": self.generator}

    def pass_together(self) -> None:
        """Batch real images with fakes, and the generator's sources with its targets where that is exact."""
        super().pass_together()
        self.together = Traits(self.generator).translates_each_alone

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        """One update of the discriminator, then one of generator and projector, from the same fakes."""
        source, target = batch["source"], batch["target"]
        moves = self.adversary.generator_moves(step)
        images = [source, target] if moves and self.identity_nce else [source]
        passes = [_Pass(self, each, keys=moves) for each in ([torch.cat(images)] if self.together else images)]
        fake = passes[0].fake[: len(source)]
        yield Update("discriminator", self.adversary.discriminator_terms(target, fake.detach()))
        if not moves:
            return
        terms = {name: self.gan * term for name, term in self.adversary.generator_terms(fake, target).items()}
        losses, accuracy = map(torch.cat, zip(*map(self._contrast, passes), strict=True))
        terms["nce"] = self.nce * losses[: len(source)].mean()
        if self.identity_nce:
            terms["identity_nce"] = self.identity_nce * losses[len(source) :].mean()
        yield Update(("generator", "projector"), terms, log={"accuracy": accuracy[: len(source)].mean()})

    def _contrast(self, images: _Pass) -> tuple[Tensor, Tensor]:
        """The loss and the accuracy of each image of a pass (N,), means over the layers."""
        queries, keys = images.patches(self.patches)
        with torch.no_grad():
            projected = self.projector(*keys)
        pairs = zip(self.projector(*queries), projected, strict=True)
        losses, accuracies = zip(*(info_nce(query, key, self.temperature) for query, key in pairs), strict=True)
        return torch.stack(losses).mean(0), torch.stack(accuracies).mean(0)


class _Pass:
    """Images (N, C, H, W), their translations, and the inner maps of both."""

    def __init__(self, method: CUT, images: Tensor, *, keys: bool) -> None:
        self._generator, self._layers = method.generator, method.layers
        self._mirrored: Tensor | None = None
        self._keys: Mapping[str, Tensor] = {}
        if method.flip_equivariance:
            self._mirrored = torch.rand(len(images), 1, device=images.device) < 0.5
            shown = torch.where(self._mirrored[:, :, None, None], images.flip(3), images)
            self.fake = self._generator(shown)
            if keys:
                with torch.no_grad():
                    self._keys = inner(self._generator, images, self._layers)
        elif keys:
            # The pass that translates makes the maps of the images as well.
            with watch(self._generator, self._layers) as maps:
                self.fake = self._generator(images)
            self._keys = {name: each.detach() for name, each in maps.items()}
        else:
            self.fake = self._generator(images)

    def patches(self, count: int) -> tuple[list[Tensor], list[Tensor]]:
        """The vectors (N, S, C) of each layer at random locations: of the translations, and of the images."""
        queries, keys = [], []
        for name, answer in inner(self._generator, self.fake, self._layers).items():
            locations = draw_locations(answer, count)
            keys.append(take(self._keys[name], locations))
            if self._mirrored is not None:
                locations = torch.where(self._mirrored, mirror_locations(locations, answer.shape[3]), locations)
            queries.append(take(answer, locations))
        return queries, keys
