"""sgan: semi-supervised learning with a GAN whose discriminator is also a classifier."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.adversary import Adversary
from translate.discriminator import ClassHead
from translate.method import Batch, Method, Needs, Parts, Update
from translate.options import Option
from translate.precision import to_float32

Objective = Literal["improved", "odena"]


class SGAN(Method):
    """Images from noise, and a classifier from few labels and many unlabelled images (Salimans et al. 2016).

    Improved Techniques for Training GANs, arXiv:1606.03498, section 5: the last of K + 1 classes is "fake",

    ``L_D = -E log p(y | x, y <= K)  -  1/2 E log D(x)  -  1/2 E log(1 - D(G(z)))``, ``D(x) = 1 - p(K + 1 | x)``,

    the first term over the labelled images, the second over all. With ``feature_matching`` (section 3.1) the generator
    minimises ``|E f(x) - E f(G(z))|^2`` for the discriminator's last features f in place of the adversarial loss. As
    published, feature matching gives the better classifier and the adversarial loss the better images.
    ``objective=odena`` also counts labelled images as real, as the softmax over all K + 1 classes of Odena 2016
    (arXiv:1606.01583) does: ``-log p(y | x) = -log p(y | x, y <= K) - log D(x)``.

    Without labels in the data it is DCGAN (Radford et al. 2015, arXiv:1511.06434) and saves only a sampler.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        generator: Annotated[str, Option("generator: a decoder from noise to an image", part="decoders")] = "dcgan",
        discriminator: Annotated[
            str, Option("discriminator with class logits", part="discriminators")
        ] = "semi_supervised",
        adversarial: Annotated[
            str, Option('adversarial loss and penalties, such as "hinge + r1(weight=1)"', part="adversarial_losses")
        ] = "nonsaturating",
        latent: Annotated[int, Option("dimension of the noise", ge=1)] = 100,
        feature_matching: Annotated[
            bool | None,
            Option("feature matching as the generator's loss (default: yes if there are labels)"),
        ] = None,
        supervised: Annotated[float, Option("weight of the cross entropy of labelled images", gt=0)] = 1.0,
        objective: Annotated[
            Objective, Option("labelled images count for their class only (improved), or also as real (odena)")
        ] = "improved",
    ) -> None:
        super().__init__()
        classes = len(parts.target.labels)
        self.sampler = Sampler(parts.decoder(generator, latent=(latent,)), latent)
        self.adversary = parts.adversary(discriminator, loss=adversarial, weight=0.5, classes=classes)
        self.classes = classes
        self.feature_matching = bool(classes) if feature_matching is None else feature_matching
        self.supervised = supervised
        self.objective = objective

    @property
    def needs(self) -> Needs:
        """A separate stream of labelled images, if there are classes."""
        return Needs(streams=("labelled",) if self.classes else ())

    @property
    def period(self) -> int:
        """That of the adversary."""
        return self.adversary.period

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """Generator and discriminator."""
        return {"generator": self.sampler, "discriminator": self.adversary.discriminator}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """The generator and, with labels, the discriminator as a classifier."""
        if not self.classes:
            return {"sample": self.sampler}
        return {"sample": self.sampler, "classify": ClassHead(self.adversary.discriminator)}

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        """One update of the discriminator on labelled, unlabelled and fake images, then one of the generator."""
        real = batch["target"] if "target" in batch else batch["source"]
        fake = self.sampler(torch.randn(len(real), *self.sampler.noise, device=real.device))
        labelled = (batch["labelled"], batch["labelled_label"]) if self.classes else None
        terms = self.adversary.discriminator_terms(real, fake.detach(), labelled=labelled)
        if labelled is not None:
            terms["classes"] = self.supervised * terms["classes"]
            if self.objective == "odena":
                terms["labelled"] = self.supervised * real_loss(self.adversary, labelled[0])
        yield Update("discriminator", terms)
        if not self.adversary.generator_moves(step):
            return
        if self.feature_matching:
            yield Update("generator", {"features": feature_distance(self.adversary, real, fake)})
        else:
            yield Update("generator", self.adversary.generator_terms(fake, real))


class Sampler(nn.Module):
    """A decoder of standard normal noise; ``noise`` is the shape of one image's noise."""

    def __init__(self, decoder: nn.Module, latent: int) -> None:
        super().__init__()
        self.decoder = decoder
        self.noise = (latent,)

    def forward(self, noise: Tensor) -> Tensor:
        """Noise (N, latent) to images (N, C, H, W) in [-1, 1]."""
        image: Tensor = self.decoder(noise)
        return image


def feature_distance(adversary: Adversary, real: Tensor, fake: Tensor) -> Tensor:
    """``|E f(real) - E f(fake)|^2``, with the discriminator's last features f; only ``fake`` gets a gradient."""
    with torch.no_grad():
        real_features = mean_features(adversary, real)
    return (real_features - mean_features(adversary, fake)).square().sum()


def mean_features(adversary: Adversary, images: Tensor) -> Tensor:
    """The mean of the last features over the batch, in float32 at least."""
    features = adversary.discriminate(images).features[-1]
    return to_float32(features).mean(0)


def real_loss(adversary: Adversary, images: Tensor) -> Tensor:
    """``-E log D(images)``: cross entropy over all K + 1 classes minus that over the K real ones."""
    logits = adversary.discriminate(images).logits
    return torch.stack([F.softplus(-to_float32(logit)).mean() for logit in logits]).sum()
