"""Adversarial losses: what discriminator and generator minimise, given logits of realness.

All take logits of any shape, average over all of them, compute in float32 (float64 stays) and answer a scalar. ``s``
is the sigmoid. The generators' ``real`` is there for relativistic losses, of which there is none here.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from translate_losses.precision import single


class Minimax:
    """The original game (Goodfellow et al. 2014, arXiv:1406.2661, equation 1).

    ``min_G max_D  E log s(D(real)) + E log(1 - s(D(fake)))``: both players minimise their side of it. The generator's
    gradient vanishes where the discriminator is sure; ``nonsaturating`` is the cure.

    >>> import torch
    >>> Minimax().discriminator(torch.zeros(2), torch.zeros(2))  # log 4: it cannot tell them apart
    tensor(1.3863)
    """

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """``-E log s(real) - E log(1 - s(fake))``."""
        return F.softplus(-single(real)).mean() + F.softplus(single(fake)).mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """``E log(1 - s(fake))``, which is negative."""
        return -F.softplus(single(fake)).mean()


class NonSaturating(Minimax):
    """The game with the heuristic, non-saturating generator (Goodfellow et al. 2014, arXiv:1406.2661, section 3)."""

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """``-E log s(fake)``."""
        return F.softplus(-single(fake)).mean()


class LeastSquares:
    """LSGAN (Mao et al. 2017, arXiv:1611.04076, equation 2, with labels a = 0 for fake, b = c = 1 for real).

    The paper's factors 1/2 are kept; implementations of CycleGAN that leave them out weigh this term twice as much.
    """

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """``1/2 E (real - 1)^2 + 1/2 E fake^2``."""
        return 0.5 * (single(real) - 1).square().mean() + 0.5 * single(fake).square().mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """``1/2 E (fake - 1)^2``."""
        return 0.5 * (single(fake) - 1).square().mean()


class Hinge:
    """The hinge loss (Lim & Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957, equation 17)."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """``E max(0, 1 - real) + E max(0, 1 + fake)``."""
        return F.relu(1 - single(real)).mean() + F.relu(1 + single(fake)).mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """``-E fake``."""
        return -single(fake).mean()
