"""What a network and a metric answer in an evaluation, checked: both may be a stranger's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from translate.errors import TranslateError


def numbers(answer: Any, count: int, method: str, network: nn.Module) -> Tensor:
    """Return a number for each of ``count`` images (N,); raise ``TranslateError`` if a network's method gave no such.

    >>> import torch
    >>> numbers(torch.zeros(2), 2, "bits_per_dimension", nn.Identity())
    tensor([0., 0.])
    """
    if not isinstance(answer, Tensor) or answer.shape != (count,) or answer.is_complex():
        who = type(network).__name__
        raise TranslateError(f"{method} of {who} must give ({count},) numbers for {count} images, not {_shown(answer)}")
    return answer


def variational(answer: Any, image: Tensor, network: nn.Module) -> tuple[Tensor, Tensor]:
    """Return the KL divergences (N,) and the decoded images of a ``variational_pass``; check both."""
    who = f"variational_pass of {type(network).__name__}"
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise TranslateError(f"{who} must give divergences and images, not {_shown(answer)}")
    divergence, rebuilt = answer
    if not isinstance(rebuilt, Tensor) or rebuilt.shape != image.shape:
        raise TranslateError(f"{who} must decode images {tuple(image.shape)}, not {_shown(rebuilt)}")
    return numbers(divergence, len(image), "variational_pass", network), rebuilt


def scores(answer: Any, metric: str) -> dict[str, float]:
    """Return a metric's scores by name; raise ``TranslateError`` if its ``result`` gave none."""
    try:
        if isinstance(answer, Mapping) and all(isinstance(name, str) and name.isprintable() for name in answer):
            return {name: float(value) for name, value in answer.items()}
    except (TypeError, ValueError, RuntimeError):
        pass
    raise TranslateError(f"result of the metric {metric} must give numbers by name, not {answer!r:.80}")


def _shown(answer: Any) -> str:
    return str(tuple(answer.shape)) if isinstance(answer, Tensor) else f"what is of the type {type(answer).__name__}"
