"""Adversarial losses of discriminator and generator, given realness logits.

All take logits of any shape, compute in float32 (float64 stays) and return a scalar, the mean over all logits. ``s``
is the sigmoid. The generators' argument ``real`` is for relativistic losses; the losses here ignore it.
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor
from torch.nn import functional as F

from translate.options import Option
from translate.precision import to_float32

Smoothing = Annotated[float, Option("one-sided label smoothing: the label of real images is 1 minus this", ge=0, lt=1)]


class Minimax:
    """The original minimax loss (Goodfellow et al. 2014, arXiv:1406.2661, equation 1).

    ``min_G max_D  E log s(D(real)) + E log(1 - s(D(fake)))``: each player minimises its side. The generator's
    gradient vanishes where the discriminator is confident; ``nonsaturating`` avoids that.

    One-sided label smoothing: real images have the label 1 - ``smoothing``, fakes 0, so that the discriminator does not
    become overconfident on real images (Salimans et al. 2016, arXiv:1606.03498, section 3.4).

    >>> import torch
    >>> Minimax().discriminator(torch.zeros(2), torch.zeros(2))  # log 4: chance level
    tensor(1.3863)
    """

    def __init__(self, *, smoothing: Smoothing = 0.0) -> None:
        self.smoothing = smoothing

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """``-(1 - a) E log s(real) - a E log(1 - s(real)) - E log(1 - s(fake))``, where a is the smoothing."""
        real = to_float32(real)
        discriminator_loss = F.softplus(-real).mean() + F.softplus(to_float32(fake)).mean()
        # log s(x) - log(1 - s(x)) = x, so smoothing adds a multiple of the mean logit.
        return discriminator_loss + self.smoothing * real.mean() if self.smoothing else discriminator_loss

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """``E log(1 - s(fake))``; it is negative."""
        return -F.softplus(to_float32(fake)).mean()


class NonSaturating(Minimax):
    """The non-saturating generator loss (Goodfellow et al. 2014, arXiv:1406.2661, section 3)."""

    def __init__(self, *, smoothing: Smoothing = 0.0) -> None:
        super().__init__(smoothing=smoothing)

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """``-E log s(fake)``."""
        return F.softplus(-to_float32(fake)).mean()


class LeastSquares:
    """LSGAN (Mao et al. 2017, arXiv:1611.04076, equation 2, with labels a = 0 for fake, b = c = 1 for real).

    The losses include the paper's factors 1/2; CycleGAN implementations without them weight this term twice as much.
    With ``smoothing`` the labels are b = c = 1 - smoothing, for real images and for the generator's target.
    """

    def __init__(self, *, smoothing: Smoothing = 0.0) -> None:
        self.label = 1 - smoothing

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """``1/2 E (real - b)^2 + 1/2 E fake^2``."""
        return 0.5 * (to_float32(real) - self.label).square().mean() + 0.5 * to_float32(fake).square().mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """``1/2 E (fake - c)^2``."""
        return 0.5 * (to_float32(fake) - self.label).square().mean()


class Hinge:
    """The hinge loss (Lim & Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957, equation 17)."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """``E max(0, 1 - real) + E max(0, 1 + fake)``."""
        return F.relu(1 - to_float32(real)).mean() + F.relu(1 + to_float32(fake)).mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """``-E fake``."""
        return -to_float32(fake).mean()


class Wasserstein:
    """The Wasserstein loss (Arjovsky, Chintala & Bottou 2017, arXiv:1701.07875, equation 2).

    ``min_G max_D  E D(real) - E D(fake)`` over 1-Lipschitz critics D. The loss does not enforce the Lipschitz
    constraint: add ``clip`` (WGAN), ``gradient_penalty`` (WGAN-GP) or ``spectral_norm``, and ``critic(updates=5)``,
    which is n_critic = 5. The negative discriminator loss then estimates the Wasserstein distance, up to the critic's
    Lipschitz constant.

    >>> import torch
    >>> Wasserstein().discriminator(torch.tensor([2.0]), torch.tensor([-1.0]))
    tensor(-3.)
    """

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """``E fake - E real``."""
        return to_float32(fake).mean() - to_float32(real).mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """``-E fake``."""
        return -to_float32(fake).mean()
