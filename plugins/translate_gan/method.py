"""The plain adversarial translator, and with geometric consistency GcGAN."""

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
    """Unpaired translation by one generator and one discriminator, with nothing to hold the content.

    ``min_G max_D  E log D(y) + E log(1 - D(G(x)))`` (Goodfellow et al. 2014, arXiv:1406.2661, with images x of the
    source in the noise's place; G minimises the non-saturating form). D judges whether G(x) looks like a target and
    nothing asks what became of x: the baseline that shows what the other methods add. A ``shallow`` generator keeps
    content for want of means to change it.

    ``geometry`` adds geometric consistency (GcGAN, Fu et al. 2019, arXiv:1809.05852): a transformation f of images, a
    clockwise rotation by 90 degrees or a vertical flip, should not matter to what G does. One G translates x and f(x);
    a second discriminator judges the translations of transformed images beside f(y); and with lambda = 20
    ``lambda (E |f(G(x)) - G(f(x))|_1 + E |G(x) - f^-1(G(f(x)))|_1)`` is added. f only moves pixels, so the two
    distances are equal and one is computed.

    ``semantic`` > 0: D tells the target's classes apart, which it learns from those targets that have a label, and G(x)
    should show the class of x: its label where it has one, else (semantic consistency, Hoffman et al. 2018, CyCADA,
    arXiv:1711.03213) the class that the classifier, here D's, sees in x itself, if with ``confidence``. The classifier
    is kept, too.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        generator: Annotated[
            str, Option("network from source to target; shallow changes little", part="generators")
        ] = "resnet",
        discriminator: Annotated[
            str, Option("network that judges images of the target", part="discriminators")
        ] = "patch",
        adversarial: Annotated[
            str, Option('adversarial loss and penalties, such as "hinge + r1(weight=1)"', part="adversarial_losses")
        ] = "nonsaturating",
        pool: Annotated[int, Option("fakes remembered for the discriminator; 0 shows it the newest", ge=0)] = 0,
        geometry: Annotated[Geometry, Option("transformation that the translation should not mind (GcGAN)")] = "none",
        geometric: Annotated[float, Option("weight of the geometric consistency (lambda)", ge=0)] = 20.0,
        semantic: Annotated[
            float, Option("weight of the class term; needs some target labels and a discriminator with classes", ge=0)
        ] = 0.0,
        confidence: Annotated[
            float,
            Option("how sure the classifier must be of a source that has no label to count", ge=0, le=1),
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
        """The adversary's."""
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
        kept = {"forward": self.generator}
        if self.semantic:
            kept["classify"] = ClassHead(self.adversary.discriminator)
        return kept

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        """The discriminators move on fakes that all share, then the generator."""
        source, target = batch["source"], batch["target"]
        fake = self.generator(source)
        labelled = (batch["labelled"], batch["labelled_label"]) if self.semantic else None
        move = Update("discriminator", self.adversary.discriminator_terms(target, fake.detach(), labelled=labelled))
        second = self.transformed_adversary
        if second is None:
            yield move
        else:
            turned, turned_target = self.generator(transform(source, self.geometry)), transform(target, self.geometry)
            discriminator_terms = second.discriminator_terms(turned_target, turned.detach())
            yield move, Update("transformed_discriminator", discriminator_terms)
        if not self.adversary.generator_moves(step):
            return
        labels = None if self.consistency is None else self.consistency(batch, self.adversary)
        terms = self.adversary.generator_terms(fake, target, labels=labels)
        if "classes" in terms:
            terms["classes"] = self.semantic * terms["classes"]
        if second is not None:
            generator_losses = second.generator_terms(turned, turned_target)
            terms.update({f"transformed_{name}": term for name, term in generator_losses.items()})
            if self.geometric:
                # Once in each of the formula's two frames.
                terms["geometric"] = 2 * self.geometric * self.distance(transform(fake, self.geometry), turned)
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
