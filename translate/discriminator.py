"""What judges images: the one answer that every discriminator gives, and the losses of the game over it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


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


class AdversarialLoss(Protocol):
    """An adversarial loss: both players minimise their side. Logits have any shape; the answer is a scalar.

    The generator's side gets ``real`` only if the loss has a true attribute ``relativistic``.
    """

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor: ...

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor: ...
