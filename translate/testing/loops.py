"""The contract check of plain loops."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Adam, Optimizer

from translate.engine import Engine
from translate.method import Method
from translate.options import parse_call
from translate.parts import build, build_method
from translate.plugins import discover
from translate.seeds import seed_step
from translate.testing.networks import parts_of

STEPS = 10


def check_plain_loop(part: str, *, plugins: Sequence[str] = ()) -> None:
    """Check that a plain loop ends at the engine's weights after 10 steps: in float32 on the CPU to the bit.

    ``part`` is the method with its options, such as ``pix2pix(generator='unet(width=4)')``.
    """
    differing = differences(part, plugins=plugins)
    worst = max(differing, key=lambda name: differing[name])
    assert not differing[worst], f"{part}: by hand {worst} differs by {differing[worst]:.1e} after {STEPS} steps"


def differences(
    part: str,
    *,
    plugins: Sequence[str] = (),
    dtype: torch.dtype = torch.float32,
    prepare: Callable[[Method], None] | None = None,
    adam: Callable[[list[nn.Parameter]], Optimizer] = lambda weights: Adam(weights, lr=2e-4, betas=(0.5, 0.999)),
) -> dict[str, float]:
    """The largest difference of each weight, and of the last loss, between engine and plain loop after 10 steps.

    ``prepare`` is applied to the engine's method alone, and ``adam`` makes the optimizers of its players.
    """
    catalog = discover(extra=plugins)
    call = parse_call(part)
    seed_step(0, 0)
    ours = build_method(catalog, call.name, call.options, parts_of(catalog, (32, 32), 3, 3)).to(dtype).train()
    theirs = copy.deepcopy(ours)
    if prepare is not None:
        prepare(ours)
    engine = Engine(ours, dict.fromkeys(ours.players, adam), steps=10**9)
    loop: Any = build(catalog, "plain_loops", call.name, method=theirs)
    generator = torch.Generator().manual_seed(1)
    found: dict[str, float] = {}
    for number in range(STEPS):
        batch = {
            name: torch.rand(1, 3, 32, 32, generator=generator, dtype=dtype) * 2 - 1 for name in ("source", "target")
        }
        engine.step([batch])
        logged = {name.removeprefix("logged/") for name in engine.tensors() if name.startswith("logged/")}
        terms = [value for name, value in engine.fetch().items() if name not in logged]
        seed_step(0, number)
        random.seed(number)
        losses: Mapping[str, float] = loop.step(batch)
        found["the sum of the losses"] = abs(sum(terms) - sum(losses.values()))
    if dtype == torch.float32:
        del found["the sum of the losses"]  # the same terms, but summed in another order
    for player, module in ours.players.items():
        for (name, weight), other in zip(module.named_parameters(), theirs.players[player].parameters(), strict=True):
            found[f"{player}/{name}"] = (weight - other).abs().max().item()
    return found
