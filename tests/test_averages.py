"""Moving averages, against figures worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from translate.averages import Averages


class Two(nn.Module):
    """A weight, a buffer of floats and a counter."""

    weight: torch.Tensor
    mean: torch.Tensor
    count: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))
        self.register_buffer("mean", torch.tensor(10.0))
        self.register_buffer("count", torch.tensor(3))

    def become(self, weight: float, mean: float, count: int) -> None:
        with torch.no_grad():
            self.weight.fill_(weight)
            self.mean.fill_(mean)
            self.count.fill_(count)


def kept(averages: Averages) -> dict[str, float]:
    return {name: value.item() for name, value in averages.tensors().items()}


def test_an_old_average_keeps_nine_tenths_of_itself() -> None:
    """From step 80 on a decay of 0.9 is no longer warmed up: 0.9 * 1 + 0.1 * 2 = 1.1, then 1.19, then 1.271."""
    network = Two()
    averages = Averages({"forward": network}, 0.9)
    network.become(2.0, 20.0, 7)
    for step, weight in ((100, 1.1), (101, 1.19), (102, 1.271)):
        averages.follow(step)
        assert kept(averages) == {
            "forward/weight": pytest.approx(weight), "forward/mean": pytest.approx(10 * weight), "forward/count": 7,
        }  # fmt: skip


def test_a_young_average_follows_closely() -> None:
    """After the first step it keeps (1 + 1) / (10 + 1) of itself, after the second 3 / 12."""
    network = Two()
    averages = Averages({"forward": network}, 0.999)
    network.become(12.0, 10.0, 3)
    averages.follow(1)
    assert kept(averages)["forward/weight"] == pytest.approx(10.0)
    averages.follow(2)
    assert kept(averages)["forward/weight"] == pytest.approx(0.25 * 10 + 0.75 * 12)


def test_the_warm_up_ends_where_it_reaches_the_decay() -> None:
    """(1 + 8) / (10 + 8) is 0.5."""
    for step, decay in ((7, 8 / 17), (8, 0.5), (9, 0.5)):
        network = Two()
        averages = Averages({"forward": network}, 0.5)
        network.become(0.0, 0.0, 0)
        averages.follow(step)
        assert kept(averages)["forward/weight"] == pytest.approx(decay), step


def test_no_decay_keeps_nothing() -> None:
    network = Two()
    averages = Averages({"forward": network}, 0.0)
    averages.follow(1)
    assert kept(averages) == {}
    with averages.swapped():
        assert network.weight.item() == 1.0


def test_the_average_is_inside_for_as_long_as_it_is_swapped() -> None:
    network = Two()
    averages = Averages({"forward": network}, 0.9)
    network.become(2.0, 20.0, 7)
    with averages.swapped():
        assert (network.weight.item(), network.mean.item(), network.count.item()) == (1.0, 10.0, 3)
    assert (network.weight.item(), network.mean.item(), network.count.item()) == (2.0, 20.0, 7)
    assert kept(averages)["forward/weight"] == 1.0
