"""The optimizers and schedules, against steps and points computed by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from translate.errors import TranslateError
from translate.options import check_options, options_of
from translate_optimizers import optimizers as offered_optimizers
from translate_optimizers import schedules as offered_schedules
from translate_optimizers.optimizer import adam, adamw, rmsprop, sgd
from translate_optimizers.schedule import Schedule, cosine, linear, none
from translate_optimizers.schedule import step as drops

STEP = st.integers(0, 2000)
STEPS = st.integers(1, 1500)
SHARE = st.floats(0, 1)


def test_offers_name_what_exists() -> None:
    for name, path in {**offered_optimizers(), **offered_schedules()}.items():
        module, _, attribute = path.partition(":")
        factory = getattr(__import__(module, fromlist=[attribute]), attribute)
        assert factory.__name__ == name
        assert all(parameter.option.help for parameter in options_of(factory).values())
    assert set(offered_schedules()) == {"none", "linear", "cosine", "step"}


# --- optimizers -----------------------------------------------------------------------------------------------------


def moved(make: Callable[..., Optimizer], gradients: list[float], **options: Any) -> list[float]:
    """Where a weight that starts at 1 goes."""
    weight = Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = make(iter([weight]), **options)
    found = []
    for gradient in gradients:
        weight.grad = torch.full_like(weight, gradient)
        optimizer.step()
        found.append(weight[0].item())
    return found


@pytest.mark.parametrize("fused", [True, False])
def test_adam_by_hand(fused: bool) -> None:
    first, second = moved(adam, [2.0, -1.0], lr=0.1, betas=(0.5, 0.9), eps=1e-3, fused=fused)
    # m = 1, v = 0.4; corrected 2 and 4.
    assert first == pytest.approx(1 - 0.1 * 2 / (2 + 1e-3), rel=1e-12)
    # m = 0.5 * 1 - 0.5 = 0, v = 0.36 + 0.1 = 0.46.
    assert second == pytest.approx(first, rel=1e-12)


@pytest.mark.parametrize("fused", [True, False])
def test_weight_decay_by_hand(fused: bool) -> None:
    # Adam's decay is part of the gradient: 0 + 0.5 * 1, and a first step is of the rate's length.
    assert moved(adam, [0.0], lr=0.1, weight_decay=0.5, fused=fused) == [pytest.approx(0.9, rel=1e-6)]
    # AdamW's is apart: w - lr * decay * w.
    assert moved(adamw, [0.0], lr=0.1, weight_decay=0.5, fused=fused) == [pytest.approx(0.95, rel=1e-12)]


@pytest.mark.parametrize("fused", [True, False])
def test_sgd_by_hand(fused: bool) -> None:
    assert moved(sgd, [1.0, 1.0], lr=0.1, momentum=0.5, fused=fused) == pytest.approx([0.9, 0.9 - 0.1 * 1.5])


def test_rmsprop_by_hand() -> None:
    first, second = moved(rmsprop, [2.0, 1.0], lr=0.1, alpha=0.5, eps=1e-3)
    assert first == pytest.approx(1 - 0.1 * 2 / (math.sqrt(2) + 1e-3))
    assert second == pytest.approx(first - 0.1 / (math.sqrt(1.5) + 1e-3))


def test_defaults_are_the_published_ones() -> None:
    weight = Parameter(torch.zeros(1))
    group = adam([weight]).param_groups[0]
    assert (group["lr"], group["betas"], group["eps"], group["weight_decay"]) == (2e-4, (0.5, 0.999), 1e-8, 0)
    assert rmsprop([weight]).param_groups[0]["lr"] == 5e-5


@pytest.mark.parametrize("make", [adam, adamw, sgd])
def test_fused_where_it_can_be(make: Callable[..., Optimizer]) -> None:
    here, elsewhere = Parameter(torch.zeros(1)), Parameter(torch.zeros(1, device="meta"))
    assert make([here]).param_groups[0]["fused"] is True
    assert make([here], fused=False).param_groups[0]["fused"] is False
    assert make([here, elsewhere]).param_groups[0]["fused"] is False


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (adam, {"lr": 0.0}),
        (adam, {"betas": (0.5, 1.0)}),
        (adam, {"betas": (-0.1, 0.9)}),
        (adamw, {"eps": 0.0}),
        (adamw, {"weight_decay": -1}),
        (sgd, {"momentum": 1.0}),
        (rmsprop, {"alpha": 1.5}),
        (linear, {"constant": 1.1}),
        (cosine, {"floor": -0.1}),
        (drops, {"every": 0}),
        (drops, {"factor": 2}),
    ],
)
def test_options_are_bounded(make: Callable[..., Any], options: dict[str, Any]) -> None:
    with pytest.raises(TranslateError, match=f"{next(iter(options))} must be"):
        check_options(options, options_of(make), make.__name__)


def test_options_may_be_text() -> None:
    options = check_options({"betas": "0, 0.9", "fused": "no"}, options_of(adam), "adam")
    assert options == {"betas": (0.0, 0.9), "fused": False}
    assert adam([Parameter(torch.zeros(1))], **options).param_groups[0]["betas"] == (0.0, 0.9)


@pytest.mark.parametrize("make", [adam, adamw, sgd, rmsprop])
def test_a_parabola_is_descended(make: Callable[..., Optimizer]) -> None:
    weight = Parameter(torch.tensor([3.0, -2.0]))
    optimizer = make([weight], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        value: Tensor = weight.square().sum()
        value.backward()
        optimizer.step()
    assert weight.abs().max() < 0.2


# --- schedules ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        (none(), [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
        (linear(), [1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2, 0]),
        (linear(constant=0.0), [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0]),
        (linear(constant=1.0), [1] * 11),
        (cosine(), [(1 + math.cos(math.pi * number / 10)) / 2 for number in range(11)]),
        (cosine(floor=0.2), [0.6 + 0.4 * math.cos(math.pi * number / 10) for number in range(11)]),
        (drops(), [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125, 0.125, 0.0625]),
        (drops(every=0.1, factor=0.1), [10.0**-number for number in range(11)]),
        (drops(every=0.5, factor=0.0), [1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]),
    ],
)
def test_schedules_by_hand(schedule: Schedule, factors: list[float]) -> None:
    assert [schedule(number, 10) for number in range(11)] == pytest.approx(factors, abs=1e-12)
    assert schedule(25, 10) == schedule(10, 10)


def schedules() -> st.SearchStrategy[Schedule]:
    return st.one_of(
        st.just(none()),
        st.builds(lambda constant: linear(constant=constant), SHARE),
        st.builds(lambda floor: cosine(floor=floor), SHARE),
        st.builds(lambda every, factor: drops(every=every, factor=factor), st.floats(1e-3, 1), SHARE),
    )


@given(schedules(), STEP, STEPS)
def test_factors_fall_from_1_and_stay_in_range(schedule: Schedule, at: int, steps: int) -> None:
    assert schedule(0, steps) == 1
    now, later = schedule(at, steps), schedule(at + 1, steps)
    assert 0 <= later <= now <= 1
    assert schedule(at, steps) == now
    assert schedule(at, 0) == 1


@given(STEPS, st.integers(1, 20))
def test_drops_come_on_time(unit: int, count: int) -> None:
    schedule = drops(every=1 / count, factor=0.5)
    for number in range(1, count + 1):
        assert schedule(number * unit, count * unit) == 0.5**number
        assert schedule(number * unit - 1, count * unit) == 0.5 ** (number - 1)


@given(st.floats(0, 0.99), STEPS)
def test_linear_is_at_the_full_rate_first_and_never_0_before_the_end(constant: float, steps: int) -> None:
    schedule = linear(constant=constant)
    assert schedule(math.floor(constant * steps), steps) == 1
    assert schedule(steps - 1, steps) > 0
