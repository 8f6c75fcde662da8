"""Nearest neighbours among rows of features, a block of distances at a time."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 256
"""Rows whose distances are held at a time."""


class Neighbours(NamedTuple):
    """The distances (N,) to a neighbour, and which row (N,) it is."""

    distances: Tensor
    rows: Tensor


def nearest(rows: Tensor, others: Tensor, k: int = 1, *, itself: bool = False) -> Neighbours:
    """The k-th nearest of the others (M, D) to each of the rows (N, D); with ``itself`` the rows are among the others.

    >>> nearest(torch.tensor([[0.0], [5.0]]), torch.tensor([[1.0], [3.0]])).distances.tolist()
    [1.0, 2.0]
    """
    found = [distances(part, others).kthvalue(k + itself, dim=1) for part in rows.split(BLOCK)]
    return Neighbours(torch.cat([each.values for each in found]), torch.cat([each.indices for each in found]))


def distances(rows: Tensor, others: Tensor) -> Tensor:
    """The Euclidean distances (N, M) of rows (N, D) and (M, D), by differences: equal rows are exactly 0 apart."""
    return torch.cdist(rows, others, compute_mode="donot_use_mm_for_euclid_dist")
