"""Latent spaces: tied layers and scaled gradients, for methods that have one."""

from __future__ import annotations

from torch import Tensor, nn

from translate.errors import TranslateError
from translate.traits import Traits

__all__ = [
    "logged_as",
    "tie",
]


def tie(pair: nn.ModuleDict, name: str, hint: str) -> None:
    """Tie the layers ``shared`` of a pair of networks: the ``target``'s become the ``source``'s.

    Raises ``TranslateError``, which ends with ``hint``, if the part ``name`` has no such layers.
    """
    first, second = pair["source"], pair["target"]
    if Traits(first).shared is None:
        raise TranslateError(f"{name} has no layers that two domains could share; {hint}")
    second.shared = first.shared


def logged_as(value: Tensor, gain: float) -> Tensor:
    """Scale a term's gradient by ``gain`` without changing the logged ``value``, such as one in nats.

    >>> import torch
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> term = logged_as(x * x, 0.5)
    >>> term.backward()
    >>> term.item(), x.grad.item()
    (9.0, 3.0)
    """
    return gain * value + ((1 - gain) * value).detach()
