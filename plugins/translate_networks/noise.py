"""Dropout as a generator's noise: active in training, and for several samples of one image."""

from __future__ import annotations

from torch import Tensor

from translate.errors import TranslateError, UnfitError


def check_samples(samples: int | None, dropout: float, network: str) -> None:
    """Check the number of samples; None means the one deterministic output."""
    if samples is None:
        return
    if samples < 1:
        raise TranslateError(f"{network} draws 1 sample or more for each image, not {samples}")
    if samples > 1 and not dropout:
        raise UnfitError(f"this {network} draws no noise (dropout=0), so it has one answer; leave out the samples")


def repeat(x: Tensor, samples: int | None) -> Tensor:
    """Repeat each element of (N, ...) in place: (N * samples, ...), in x's memory format.

    >>> import torch
    >>> repeat(torch.tensor([1, 2]), 2)
    tensor([1, 1, 2, 2])
    """
    return x if samples in (None, 1) else x.repeat_interleave(samples, dim=0)
