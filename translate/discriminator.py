"""Discriminators: the output type that all share, adversarial losses over it, and the class head as a classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor, nn

from translate.errors import TranslateError

__all__ = [
    "AdversarialLoss",
    "ClassHead",
    "DiscriminatorOutput",
]


@dataclass(frozen=True, slots=True)
class DiscriminatorOutput:
    """The output of any discriminator.

    ``logits``: realness, one tensor per scale, any shape that starts with N. ``match``: whether image and condition
    belong together, for discriminators with a separate head for it. ``classes``: (N, K) class logits. ``features``:
    inner activations, first layer first, for feature matching.
    """

    logits: tuple[Tensor, ...]
    match: tuple[Tensor, ...] | None = None
    classes: Tensor | None = None
    features: tuple[Tensor, ...] = ()

    def split(self, first: int) -> tuple[DiscriminatorOutput, DiscriminatorOutput]:
        """The outputs for the ``first`` images of a batch, and for the rest."""

        def cut(part: slice) -> DiscriminatorOutput:
            def of(found: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
                return tuple(each[part] for each in found)

            classes = None if self.classes is None else self.classes[part]
            return DiscriminatorOutput(
                of(self.logits), None if self.match is None else of(self.match), classes, of(self.features)
            )

        return cut(slice(first)), cut(slice(first, None))


class AdversarialLoss(Protocol):
    """An adversarial loss: both players minimise their side. Logits have any shape; the loss is a scalar.

    The generator's side gets ``real`` only if the loss has a true attribute ``relativistic``.
    """

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor: ...

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor: ...


class ClassHead(nn.Module):
    """A discriminator's class head as a classifier: images (N, C, H, W) to logits (N, K).

    ``domain`` is the domain whose images it was trained on. Raises ``TranslateError`` if the discriminator was built
    without classes.
    """

    def __init__(self, discriminator: nn.Module, domain: Literal["source", "target"] = "target") -> None:
        super().__init__()
        self.discriminator = discriminator
        self.domain = domain

    def forward(self, image: Tensor) -> Tensor:
        """Class logits (N, K) of images in [-1, 1]."""
        classes: Tensor | None = self.discriminator(image).classes
        if classes is None:
            raise no_classes(self.discriminator)
        return classes

    def features(self, image: Tensor) -> Tensor:
        """The features (N, D) of the last inner layer, averaged over positions."""
        last: Tensor = self.discriminator(image).features[-1]
        return last.flatten(2).mean(2) if last.dim() > 2 else last


def no_classes(discriminator: nn.Module) -> TranslateError:
    """The error for a discriminator without class logits where they are needed."""
    return TranslateError(
        f"the discriminator {type(discriminator).__name__} tells no classes apart; "
        "choose one that does, such as semi_supervised"
    )
