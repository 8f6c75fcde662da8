"""Chance: numbers that a seed decides, for augmentations."""

from __future__ import annotations

import torch
from torch import Tensor


def uniform(seeds: Tensor, count: int) -> Tensor:
    """Numbers (count, N) float32 uniform in [-1, 1), by the finaliser of SplitMix64 on each seed's neighbours.

    int64 wraps as the 64 bits of the original do; shifts are masked because torch's keep the sign.
    """
    state = seeds + torch.arange(1, count + 1, device=seeds.device)[:, None] * -0x61C8864680B583EB
    state = (state ^ ((state >> 30) & (2**34 - 1))) * -0x40A7B892E31B1A47
    state = (state ^ ((state >> 27) & (2**37 - 1))) * -0x6B2FB644ECCEEE15
    state = state ^ ((state >> 31) & (2**33 - 1))
    return (state >> 40).float() / 2**23  # 24 bits with their sign, which float32 holds exactly
