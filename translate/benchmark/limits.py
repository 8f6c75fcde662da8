"""Limits: what the machine at hand can do at best, measured: products of matrices, and moving memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from translate.benchmark.timing import seconds
from translate.compute import product


@dataclass(frozen=True, slots=True)
class Limits:
    """Operations a second by precision, and bytes a second read and written, both at best."""

    flops: dict[str, float]
    bandwidth: float


def limits(device: torch.device, tries: int = 20) -> Limits:
    """Measure a square product in float32 and in bf16, and a copy; whether float32 allows TF32 is torch's setting.

    On a CPU in float32 by torch's product and by ours, and the faster one counts: on some torch reaches half.
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
