"""Precision: losses are computed in float32, whatever the dtype of their inputs."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "to_float32",
]


def to_float32(x: Tensor) -> Tensor:
    """Convert a tensor to float32; float64 stays.

    >>> to_float32(torch.ones(2, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    return x if x.dtype == torch.float64 else x.float()
