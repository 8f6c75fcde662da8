"""Steps on a device other than the CPU, without one: on tensors that have no values.

As on a GPU, an operation on tensors of two devices is an error there, and whoever asks for a value waits in vain.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_capture import METHODS, OBJECTIVES, built, drawn
from test_catalog import small
from test_engine import Game, engine, make
from torch import nn

from translate.method import Batch, Method, Update

META = torch.device("meta")


@pytest.fixture(autouse=True)
def _autocast_that_knows_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    autocast = torch.autocast

    def known(kind: str, *given: Any, **named: Any) -> Any:
        return autocast("cpu" if kind == "meta" else kind, *given, **named)

    monkeypatch.setattr(torch, "autocast", known)


def plain(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    # Fused forms know the devices that there are.
    return torch.optim.AdamW(parameters, lr=1e-3)


def played(method: Method, **options: Any) -> None:
    machine = engine(method.to(META), plain, seed=7, steps=8, **options)
    for step in range(2 * method.period):
        machine.step([{name: value.to(META) for name, value in drawn(method, step).items()}])
    assert {value.device for value in machine.tensors().values() if value.dim()} == {META}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_stays_on_the_device(name: str) -> None:
    played(built(small("methods", name)), ema=0.9, clip_norm=1.0)


@pytest.mark.parametrize("objective", [*OBJECTIVES, "lsgan"])
@pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])
def test_objectives_stay_on_the_device(name: str, objective: str) -> None:
    played(built(small("methods", name), adversarial=objective))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda fake: fake + torch.ones(3, 16, 16),
        lambda fake: fake * fake.mean().item(),
        lambda fake: fake[fake > 0],
    ],
    ids=["two devices", "a value", "a mask"],
)
def test_what_a_gpu_would_refuse_or_wait_for_fails_here(wrong: Any) -> None:
    def moves(game: Game, given: Batch, _step: int) -> Any:
        yield Update("generator", {"l1": wrong(game.generator(given["source"])).mean()})

    machine = engine(make(moves).to(META), plain)
    with pytest.raises((RuntimeError, NotImplementedError)):
        machine.step([{name: torch.zeros(2, 3, 16, 16, device=META) for name in ("source", "target")}])
