"""The plain adversarial translator; with geometric consistency it is GcGAN."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from torch import Tensor, nn

from translate.consistency import ClassConsistency
from translate.discriminator import ClassHead
from translate.errors import TranslateError
from translate.method import Batch, Method, Needs, Parts, Update
from translate.options import Option

Geometry = Literal["none", "rotate", "flip"]


class DirectGAN(Method):
    """Unpaired translation by one generator and one discriminator, without a content constraint.

    ``min_G max_D  E log D(y) + E log(1 - D(G(x)))`` (Goodfellow et al. 2014, arXiv:1406.2661, with images x of the
    source in the noise's place; G minimises the non-saturating form). D distinguishes G(x) from targets, and no term
    compares G(x) with x: this is the baseline that shows what the other methods add. A ``shallow`` generator keeps the
    content because its receptive field is too small to change it.

    ``geometry`` adds geometric consistency (GcGAN, Fu et al. 2019, arXiv:1809.05852): G should be equivariant to a
    transformation f of images, a clockwise rotation by 90 degrees or a vertical flip. One G translates x and f(x); a
    second discriminator distinguishes the translations G(f(x)) from f(y); and the term
    ``lambda (E |f(G(x)) - G(f(x))|_1 + E |G(x) - f^-1(G(f(x)))|_1)`` with lambda = 20 is added. f only permutes
    pixels, so the two distances are equal and one is computed.

    ``semantic`` > 0 adds a class loss: D also classifies, trained on the labelled targets, and G(x) should have the
    class of x. That is the label of x if there is one, otherwise (semantic consistency, Hoffman et al. 2018, CyCADA,
    arXiv:1711.03213) the class that D's classifier predicts for x itself, if its probability is at least
    ``confidence``. The classifier is saved, too.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        generator: Annotated[
            str, Option("generator from source to target; shallow changes little", part="generators")
        ] = "resnet",
        discriminator: Annotated[str, Option("discriminator of target images", part="discriminators")] = "patch",
        adversarial: Annotated[
            str, Option('adversarial loss and penalties, such as "hinge + r1(weight=1)"', part="adversarial_losses")
        ] = "nonsaturating",
        pool: Annotated[int, Option("image pool: earlier fakes stored for the discriminator; 0: no pool", ge=0)] = 0,
        geometry: Annotated[
            Geometry, Option("transformation to which the generator should be equivariant (GcGAN)")
        ] = "none",
        geometric: Annotated[float, Option("weight of the geometric consistency (lambda)", ge=0)] = 20.0,
        semantic: Annotated[
            float, Option("weight of the class loss; needs some target labels and a discriminator with classes", ge=0)
        ] = 0.0,
        confidence: Annotated[
            float,
            Option("least predicted probability at which the class of an unlabelled source is used", ge=0, le=1),
        ] = 0.0,
    ) -> None:
        super().__init__()
        height, width = parts.size
        if geometry == "rotate" and height != width:
            raise TranslateError(
                f"geometry=rotate needs square images, and these are {height}x{width}; "
                f"choose geometry=flip, or train with --size {min(parts.size)}"
            )
        self.generator = parts.generator(generator)
        self.adversary = parts.adversary(
            discriminator, loss=adversarial, pool=pool, classes=len(parts.target.labels) if semantic else 0
        )
        self.transformed_adversary = (
            None if geometry == "none" else parts.adversary(discriminator, loss=adversarial, pool=pool)
        )
        self.distance = parts.loss("l1")
        self.geometry = geometry
        self.geometric = geometric
        self.semantic = semantic
        self.consistency = ClassConsistency(parts, confidence) if semantic else None

    @property
    def needs(self) -> Needs:
        """With ``semantic`` a stream of labelled targets."""
        return Needs(streams=("labelled",) if self.semantic else ())

    @property
    def period(self) -> int:
        """That of the adversary."""
        return self.adversary.period

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """Generator and discriminator, and with a ``geometry`` the discriminator of transformed images."""
        found = {"generator": self.generator, "discriminator": self.adversary.discriminator}
        if self.transformed_adversary is not None:
            found["transformed_discriminator"] = self.transformed_adversary.discriminator
        return found

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """The generator, and with ``semantic`` the classifier of the target."""
        saved = {"forward": self.generator}
        if self.semantic:
            saved["classify"] = ClassHead(self.adversary.discriminator)
        return saved

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        """One update of the discriminators, then one of the generator, from the same fakes."""
        source, target = batch["source"], batch["target"]
        fake = self.generator(source)
        labelled = (batch["labelled"], batch["labelled_label"]) if self.semantic else None
        update = Update("discriminator", self.adversary.discriminator_terms(target, fake.detach(), labelled=labelled))
        second = self.transformed_adversary
        if second is None:
            yield update
        else:
            transformed, transformed_target = (
                self.generator(transform(source, self.geometry)),
                transform(target, self.geometry),
            )
            discriminator_terms = second.discriminator_terms(transformed_target, transformed.detach())
            yield update, Update("transformed_discriminator", discriminator_terms)
        if not self.adversary.generator_moves(step):
            return
        labels = None if self.consistency is None else self.consistency(batch, self.adversary)
        terms = self.adversary.generator_terms(fake, target, labels=labels)
        if "classes" in terms:
            terms["classes"] = self.semantic * terms["classes"]
        if second is not None:
            generator_losses = second.generator_terms(transformed, transformed_target)
            terms.update({f"transformed_{name}": term for name, term in generator_losses.items()})
            if self.geometric:
                # The formula has this distance twice, before and after f.
                terms["geometric"] = 2 * self.geometric * self.distance(transform(fake, self.geometry), transformed)
        yield Update("generator", terms)


def transform(images: Tensor, geometry: Geometry) -> Tensor:
    """Rotate images (N, C, H, W) clockwise by 90 degrees, or flip them upside down.

    >>> import torch
    >>> transform(torch.tensor([[[[1, 2], [3, 4]]]]), "rotate")
    tensor([[[[3, 1],
              [4, 2]]]])
    >>> transform(torch.tensor([[[[1, 2], [3, 4]]]]), "flip")
    tensor([[[[3, 4],
              [1, 2]]]])
    """
    if geometry == "rotate":
        return images.rot90(-1, (2, 3))
    return images.flip(2) if geometry == "flip" else images
