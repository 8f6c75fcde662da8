"""Latent spaces: what methods with one have in common."""

from __future__ import annotations

from torch import Tensor, nn

from translate.errors import TranslateError
from translate.traits import Traits

__all__ = [
    "logged_as",
    "tie",
]


def tie(pair: nn.ModuleDict, name: str, hint: str) -> None:
    """Let both networks of a pair, ``source`` and ``target``, have the layers ``shared`` of the source's.

    Raises ``TranslateError`` where the part of that name has none, and ends the sentence with ``hint``.
    """
    first, second = pair["source"], pair["target"]
    if Traits(first).shared is None:
        raise TranslateError(f"{name} has no layers that two domains could share; {hint}")
    second.shared = first.shared


def logged_as(value: Tensor, gain: float) -> Tensor:
    """A term that the log shows as ``value``, in nats say, and that pulls as ``gain * value`` does.

    >>> import torch
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> term = logged_as(x * x, 0.5)
    >>> term.backward()
    >>> term.item(), x.grad.item()
    (9.0, 3.0)
    """
    return gain * value + ((1 - gain) * value).detach()
