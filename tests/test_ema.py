"""Moving averages: of weights and running statistics; what belongs to the weights of now is copied."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from translate.engine.ema import EMA


def followed(module: nn.Module, rate: float, steps: int = 60) -> EMA:
    """The averages of weights that walk about, with one pass in each step."""
    generator = torch.Generator().manual_seed(1)
    averages = EMA({"classify": module}, 0.99)
    for step in range(steps):
        with torch.no_grad():
            for weight in module.parameters():
                weight += rate * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
            module(torch.rand(4, 6, generator=generator, dtype=torch.float64))
        averages.update(step + 1)
    return averages


def sigma_of(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """What a layer's weights are divided by, and the largest singular value that it stands for."""
    raw, divided = layer.parametrizations.weight.original, layer.weight  # type: ignore[union-attr]
    assert isinstance(raw, Tensor)
    assert isinstance(divided, Tensor)
    return (raw.norm() / divided.norm()).detach(), torch.linalg.svdvals(raw.detach())[0]


@pytest.mark.parametrize("rate", [0.003, 0.1])
def test_spectral_norm_divides_averaged_weights_by_their_own_largest_singular_value(rate: float) -> None:
    torch.manual_seed(0)
    layer = spectral_norm(nn.Linear(6, 5, bias=False).double())
    averages = followed(layer, rate)
    now = {name: value.clone() for name, value in layer.named_buffers()}
    before = copy.deepcopy(layer.state_dict())
    layer.eval()
    with averages.swapped():
        vectors = dict(layer.named_buffers())
        assert len(vectors) == 2
        for name, vector in vectors.items():
            assert float(vector.norm()) == pytest.approx(1, abs=1e-12), name
            assert rate > 0.01 or torch.equal(vector, now[name])
        used, exact = sigma_of(layer)
        # Averaged themselves, the vectors made it a fifth too small at the larger rate.
        assert float(used) == pytest.approx(float(exact), rel=0.3 * rate)
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


def test_running_statistics_are_averaged_and_counts_are_copied() -> None:
    module = nn.BatchNorm1d(6).double()
    averages = EMA({"classify": module}, 0.99)
    wanted = torch.zeros(6, dtype=torch.float64)
    for step in range(1, 5):
        module(torch.full((2, 6), float(step), dtype=torch.float64))
        decay = min(0.99, (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * module.running_mean  # type: ignore[operator]
        averages.update(step)
    count = int(module.num_batches_tracked)  # type: ignore[arg-type]
    assert not torch.allclose(module.running_mean, wanted, rtol=0.01)  # type: ignore[arg-type]
    with averages.swapped():
        torch.testing.assert_close(module.running_mean, wanted, rtol=1e-9, atol=1e-9)
        assert int(module.num_batches_tracked) == count  # type: ignore[arg-type]


class Two(nn.Module):
    """A weight, a running statistic and a counter."""

    weight: torch.Tensor
    running_mean: torch.Tensor
    count: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))
        self.register_buffer("running_mean", torch.tensor(10.0))
        self.register_buffer("count", torch.tensor(3))

    def become(self, weight: float, mean: float, count: int) -> None:
        with torch.no_grad():
            self.weight.fill_(weight)
            self.running_mean.fill_(mean)
            self.count.fill_(count)


def kept(averages: EMA) -> dict[str, float]:
    return {name: value.item() for name, value in averages.tensors().items()}


def test_an_old_average_keeps_nine_tenths_of_itself() -> None:
    """From step 80 on a decay of 0.9 is no longer warmed up: 0.9 * 1 + 0.1 * 2 = 1.1, then 1.19, then 1.271."""
    network = Two()
    averages = EMA({"forward": network}, 0.9)
    network.become(2.0, 20.0, 7)
    for step, weight in ((100, 1.1), (101, 1.19), (102, 1.271)):
        averages.update(step)
        assert kept(averages) == {
            "forward/weight": pytest.approx(weight), "forward/running_mean": pytest.approx(10 * weight), "forward/count": 7,
        }  # fmt: skip


def test_a_young_average_follows_closely() -> None:
    """After the first step it keeps (1 + 1) / (10 + 1) of itself, after the second 3 / 12."""
    network = Two()
    averages = EMA({"forward": network}, 0.999)
    network.become(12.0, 10.0, 3)
    averages.update(1)
    assert kept(averages)["forward/weight"] == pytest.approx(10.0)
    averages.update(2)
    assert kept(averages)["forward/weight"] == pytest.approx(0.25 * 10 + 0.75 * 12)


def test_the_warm_up_ends_where_it_reaches_the_decay() -> None:
    """(1 + 8) / (10 + 8) is 0.5."""
    for step, decay in ((7, 8 / 17), (8, 0.5), (9, 0.5)):
        network = Two()
        averages = EMA({"forward": network}, 0.5)
        network.become(0.0, 0.0, 0)
        averages.update(step)
        assert kept(averages)["forward/weight"] == pytest.approx(decay), step


def test_no_decay_keeps_nothing() -> None:
    network = Two()
    averages = EMA({"forward": network}, 0.0)
    averages.update(1)
    assert kept(averages) == {}
    with averages.swapped():
        assert network.weight.item() == 1.0


def test_the_average_is_inside_for_as_long_as_it_is_swapped() -> None:
    network = Two()
    averages = EMA({"forward": network}, 0.9)
    network.become(2.0, 20.0, 7)
    with averages.swapped():
        assert (network.weight.item(), network.running_mean.item(), network.count.item()) == (1.0, 10.0, 3)
    assert (network.weight.item(), network.running_mean.item(), network.count.item()) == (2.0, 20.0, 7)
    assert kept(averages)["forward/weight"] == 1.0
