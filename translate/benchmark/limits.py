"""Limits of the machine, measured: peak FLOP/s of matrix products, and memory bandwidth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from translate.benchmark.timing import seconds
from translate.compute import product


@dataclass(frozen=True, slots=True)
class Limits:
    """Peak FLOP/s by precision, and peak bandwidth in bytes read and written per second."""

    flops: dict[str, float]
    bandwidth: float


def limits(device: torch.device, tries: int = 20) -> Limits:
    """Measure a square matrix product in float32 and in bf16, and a copy; torch's setting decides whether TF32 is used.

    On a CPU, the faster of torch's and our matrix product counts: on some processors torch's reaches half in float32.
    """
    side = 8192 if device.type == "cuda" else 1536
    flops: dict[str, float] = {}
    for name, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16)):
        left, right = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
        answer = torch.empty(side, side, device=device, dtype=dtype)
        ways: list[Callable[[], object]] = [partial(torch.mm, left, right, out=answer)]
        if device.type == "cpu":
            ways.append(partial(product, left, right))
        with torch.no_grad():
            best = min(seconds(way, device) for way in ways for _ in range(tries + 1))
        flops[name] = 2 * side**3 / best
    source = torch.ones(2**28 if device.type == "cuda" else 2**25, device=device)
    target = torch.empty_like(source)
    best = min(seconds(lambda: target.copy_(source), device) for _ in range(tries + 1))
    return Limits(flops, 2 * source.numel() * source.element_size() / best)
