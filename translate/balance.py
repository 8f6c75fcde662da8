"""Balance: how a discriminator stands against its generator, in numbers that all adversarial losses share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from translate.discriminator import AdversarialLoss

__all__ = [
    "Balance",
]


@dataclass(frozen=True, slots=True)
class Balance:
    """How a discriminator stands against its generator, as of the last step in which it moved.

    ``accuracy`` is the share of pairs of a real image's logit and a fake's, place by place, of which the real one's is
    greater: 0.5 is chance. ``discriminator`` and ``generator`` are the two sides of the adversarial loss without
    weights and penalties, the mean over the discriminator's scales. ``chance`` is the least loss of a discriminator
    that cannot tell real from fake; ``floor`` the least of any, None if the loss has no bound.
    """

    accuracy: float
    discriminator: float
    generator: float
    chance: float
    floor: float | None

    @property
    def advantage(self) -> float | None:
        """Where the discriminator's loss lies between chance, 0, and its floor, 1; None without a floor.

        >>> Balance(accuracy=1.0, discriminator=0.139, generator=4.0, chance=1.386, floor=0.0).advantage
        0.8997...
        """
        return None if self.floor is None else (self.chance - self.discriminator) / (self.chance - self.floor)


def levels(loss: AdversarialLoss) -> tuple[float, float | None] | None:
    """The ``chance`` and the ``floor`` of an adversarial loss, found by trying logits; None if it cannot be tried."""
    import torch

    def tried(real: float, fake: float) -> float:
        return float(loss.discriminator(torch.tensor([real]), torch.tensor([fake])))

    def least(most: float) -> float:
        sides = [*(number / 4 for number in range(-8, 9)), -most / 2, -most, most / 2, most]
        return min(tried(real, fake) for real in sides for fake in sides)

    try:
        # A loss of a plugin may draw, which must not move the generators of the training.
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            chance = min(tried(number / 8, number / 8) for number in range(-32, 33))
            near, far = least(20.0), least(40.0)
    except Exception:
        return None
    if not near < chance:
        return None
    return chance, near if far > near - 0.01 * (chance - near) else None
