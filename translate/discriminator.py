"""What judges images: the one answer that every discriminator gives, and the losses of the game over it."""

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
    """What any discriminator answers.

    ``logits``: realness, one tensor a scale, any shape that starts with N. ``match``: whether image and condition
    belong together, for discriminators that judge it apart. ``classes``: (N, K) class logits. ``features``: inner
    activations, first layer first, for feature matching.
    """

    logits: tuple[Tensor, ...]
    match: tuple[Tensor, ...] | None = None
    classes: Tensor | None = None
    features: tuple[Tensor, ...] = ()

    def split(self, first: int) -> tuple[DiscriminatorOutput, DiscriminatorOutput]:
        """The answers to the first images of a batch, and to the rest of them."""

        def cut(part: slice) -> DiscriminatorOutput:
            def of(found: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
                return tuple(each[part] for each in found)

            classes = None if self.classes is None else self.classes[part]
            return DiscriminatorOutput(
                of(self.logits), None if self.match is None else of(self.match), classes, of(self.features)
            )

        return cut(slice(first)), cut(slice(first, None))


class AdversarialLoss(Protocol):
    """An adversarial loss: both players minimise their side. Logits have any shape; the answer is a scalar.

    The generator's side gets ``real`` only if the loss has a true attribute ``relativistic``.
    """

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor: ...

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor: ...


class ClassHead(nn.Module):
    """A discriminator's answer about classes, kept as a classifier: images (N, C, H, W) to logits (N, K).

    ``domain`` says whose images it has learned from. Raises ``TranslateError`` where the discriminator was built
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
        """What the last inner layer sees (N, D), averaged over positions."""
        last: Tensor = self.discriminator(image).features[-1]
        return last.flatten(2).mean(2) if last.dim() > 2 else last


def no_classes(discriminator: nn.Module) -> TranslateError:
    """The refusal of a discriminator that tells no classes apart where some were asked for."""
    return TranslateError(
        f"the discriminator {type(discriminator).__name__} tells no classes apart; "
        "choose one that does, such as semi_supervised"
    )
