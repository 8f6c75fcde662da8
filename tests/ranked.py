"""One process that trains as two ranks do together, of a method that draws in its updates."""

from __future__ import annotations

import pytest
import torch

from translate import checkpoint
from translate.run import Run
from translate.seeds import seed_step


def draw_as_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let batch i of a step draw what rank i draws, which in a training of one process it does not.

    Two batches a step (``accumulate=2``) are then what two ranks see, and their gradients are averaged in both.
    """

    def seed(seed: int, step: int, rank: int = 0, number: int = 0) -> None:
        assert rank == 0
        seed_step(seed, step, number)

    monkeypatch.setattr("translate.engine.step.seed_step", seed)


def assert_same_weights(one: Run, other: Run, tolerance: float = 2e-6) -> None:
    """Hold all tensors of the method against each other, but for those of the optimizer."""
    first, second = (checkpoint.load(run.checkpoints[-1])[0] for run in (one, other))
    assert first.keys() == second.keys()
    for name, value in first.items():
        if name.startswith("method/"):
            torch.testing.assert_close(
                value, second[name], rtol=0, atol=tolerance, msg=lambda text, at=name: f"{at}: {text}"
            )
