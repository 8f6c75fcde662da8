"""The f-GAN family: adversarial losses from the variational bound of any f-divergence."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Annotated, Literal

from torch import Tensor
from torch.nn import functional as F

from translate.options import Option
from translate.precision import to_float32

Name = Literal["kl", "reverse_kl", "pearson", "squared_hellinger", "jensen_shannon"]
STEEPEST = 15.0
"""Above it the exponential is replaced by its tangent: a logit of 100 would overflow float32."""


class FGAN:
    """f-GAN (Nowozin, Cseke & Tomioka 2016, arXiv:1606.00709): an adversarial loss for any f-divergence.

    ``max_D  E T(real) - E f*(T(fake))`` with ``T = g(D)``, where the activation g keeps T within the domain of the
    conjugate f* (tables 2 and 6). For the optimal D, ``T = f'(p/q)`` and the value is ``D_f(P||Q) = E_Q f(p/q)``, with
    P real and Q fake. Units are the paper's: ``jensen_shannon`` is twice the usual divergence, at most log 4.

    The generator minimises ``-E T(fake)``, the practical form of section 3.2; with ``saturating`` it minimises
    ``-E f*(T(fake))``, the generator's side of the bound, whose gradient may vanish where the discriminator is
    confident. Above 15 exponentials are replaced by their tangent; a density ratio of three million is no estimate.

    >>> import torch
    >>> FGAN(divergence="kl").discriminator(torch.ones(2), torch.ones(2))  # T = 1: chance level
    tensor(0.)
    """

    def __init__(
        self,
        *,
        divergence: Annotated[Name, Option("f-divergence of real from fake that is estimated")] = "jensen_shannon",
        saturating: Annotated[bool, Option("the generator minimises the bound itself instead of -E T(fake)")] = False,
    ) -> None:
        self.divergence = DIVERGENCES[divergence]
        self.saturating = saturating

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """``-E g(real) + E f*(g(fake))``, the negative bound on the divergence."""
        fake_term = self.divergence.conjugate(to_float32(fake)).mean()
        return fake_term - self.divergence.activation(to_float32(real)).mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """``-E g(fake)``, or ``-E f*(g(fake))`` with ``saturating``."""
        divergence = self.divergence
        return -(divergence.conjugate if self.saturating else divergence.activation)(to_float32(fake)).mean()


class Divergence(ABC):
    """A row of tables 2 and 6; both functions take the discriminator's logit v and increase with it."""

    @abstractmethod
    def activation(self, v: Tensor) -> Tensor:
        """``g(v)``; it lies in the domain of f*."""

    @abstractmethod
    def conjugate(self, v: Tensor) -> Tensor:
        """``f*(g(v))``, simplified so that no logarithm of an exponential is computed."""


class KL(Divergence):
    """``f(u) = u log u``, ``f*(t) = exp(t - 1)``, ``g(v) = v``."""

    def activation(self, v: Tensor) -> Tensor:
        """``v``."""
        return v

    def conjugate(self, v: Tensor) -> Tensor:
        """``exp(v - 1)``."""
        return exponential(v - 1)


class ReverseKL(Divergence):
    """``f(u) = -log u``, ``f*(t) = -1 - log(-t)``, ``g(v) = -exp(-v)``."""

    def activation(self, v: Tensor) -> Tensor:
        """``-exp(-v)``."""
        return -exponential(-v)

    def conjugate(self, v: Tensor) -> Tensor:
        """``v - 1``."""
        return v - 1


class Pearson(Divergence):
    """Pearson's chi squared: ``f(u) = (u - 1)^2``, ``f*(t) = t^2 / 4 + t``, ``g(v) = v``.

    The conjugate is not monotone: it decreases for v < -2, where v = -2 is a density ratio of 0. That is as published;
    the practical generator loss does not contain the conjugate.
    """

    def activation(self, v: Tensor) -> Tensor:
        """``v``."""
        return v

    def conjugate(self, v: Tensor) -> Tensor:
        """``v^2 / 4 + v``."""
        return v.square() / 4 + v


class SquaredHellinger(Divergence):
    """``f(u) = (sqrt(u) - 1)^2``, ``f*(t) = t / (1 - t)``, ``g(v) = 1 - exp(-v)``."""

    def activation(self, v: Tensor) -> Tensor:
        """``1 - exp(-v)``."""
        return 1 - exponential(-v)

    def conjugate(self, v: Tensor) -> Tensor:
        """``exp(v) - 1``."""
        return exponential(v) - 1


class JensenShannon(Divergence):
    """``f(u) = u log u - (u + 1) log((u + 1) / 2)``, ``f*(t) = -log(2 - exp(t))``, ``g(v) = log 2 - log(1 + exp(-v))``.

    The original minimax loss, up to the constant log 4.
    """

    def activation(self, v: Tensor) -> Tensor:
        """``log 2 + log s(v)``."""
        return math.log(2) - F.softplus(-v)

    def conjugate(self, v: Tensor) -> Tensor:
        """``-log 2 - log(1 - s(v))``."""
        return F.softplus(v) - math.log(2)


DIVERGENCES: dict[Name, Divergence] = {
    "kl": KL(),
    "reverse_kl": ReverseKL(),
    "pearson": Pearson(),
    "squared_hellinger": SquaredHellinger(),
    "jensen_shannon": JensenShannon(),
}


def exponential(x: Tensor) -> Tensor:
    """``exp(x)`` below ``STEEPEST``, its tangent above: finite, convex and smooth for all logits.

    >>> import torch
    >>> exponential(torch.tensor([0.0, -200.0]))
    tensor([1., 0.])
    """
    # The second summand is 0 below STEEPEST: one expression without a branch, whose gradient could be NaN.
    return x.clamp(max=STEEPEST).exp() + math.exp(STEEPEST) * F.relu(x - STEEPEST)
