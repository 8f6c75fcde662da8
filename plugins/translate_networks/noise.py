"""Dropout as a generator's noise: drawn in training, and for several answers to one image."""

from __future__ import annotations

from torch import Tensor

from translate.errors import TranslateError, UnfitError


def check_samples(samples: int | None, dropout: float, network: str) -> None:
    """Refuse a number of samples that cannot be drawn; None asks for the one deterministic answer."""
    if samples is None:
        return
    if samples < 1:
        raise TranslateError(f"{network} draws 1 sample or more for each image, not {samples}")
    if samples > 1 and not dropout:
        raise UnfitError(f"this {network} draws no noise (dropout=0), so it has one answer; leave out the samples")


def repeat(x: Tensor, samples: int | None) -> Tensor:
    """Repeat each of (N, ...) beside itself: (N * samples, ...), in x's memory format.

    >>> import torch
    >>> repeat(torch.tensor([1, 2]), 2)
    tensor([1, 1, 2, 2])
    """
    return x if samples in (None, 1) else x.repeat_interleave(samples, dim=0)
