"""Draws of one thread: the same as after seeding torch, from any thread, and without a trace."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.draws import seeded_draws
from translate.errors import UnfitError
from translate.seeds import seed_step


def drawn() -> list[Tensor]:
    """Every way in which a network may draw."""
    x = torch.ones(4, 5)
    return [
        torch.randn(3),
        torch.rand(2, 2),
        torch.randn_like(x),
        torch.rand_like(x),
        F.dropout(x, 0.5),
        F.dropout2d(torch.ones(2, 3, 2, 2), 0.5),
        torch.randint(0, 100, (6,)),
        torch.randperm(9),
        torch.bernoulli(torch.full((7,), 0.5)),
        torch.empty(3).normal_(),
        torch.empty(3).uniform_(),
        torch.multinomial(torch.ones(8), 3),
        torch.normal(torch.zeros(3), torch.ones(3)),
        torch.poisson(torch.full((4,), 3.0)),
    ]


def test_they_are_those_of_a_seeded_torch() -> None:
    seed_step(5, 0)
    wanted = drawn()
    with seeded_draws(5):
        found = drawn()
    for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
        assert torch.equal(one, other), number
    with seeded_draws(6):
        assert not torch.equal(drawn()[0], wanted[0])


def test_torchs_generator_is_untouched() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with seeded_draws(5):
        drawn()
    assert torch.equal(torch.get_rng_state(), before)


def test_threads_do_not_disturb_each_other() -> None:
    network = nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.5), nn.Linear(6, 2)).train().requires_grad_(False)
    x = torch.ones(3, 6)

    def answer(seed: int) -> Tensor:
        with torch.inference_mode(), seeded_draws(seed):
            found: Tensor = network(x + torch.randn(3, 6))
            return found

    wanted = [answer(seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        for seed, found in enumerate(pool.map(answer, [seed for _ in range(5) for seed in range(8)])):
            assert torch.equal(found, wanted[seed % 8])


def test_a_generator_that_a_network_brings_is_its_own() -> None:
    with seeded_draws(5):
        found = torch.randn(3, generator=torch.Generator().manual_seed(3))
    assert torch.equal(found, torch.randn(3, generator=torch.Generator().manual_seed(3)))


def test_the_fused_dropout_of_gpus_drops_and_scales() -> None:
    with seeded_draws(1):
        found, mask = torch.native_dropout(torch.ones(1000), 0.25, True)
    assert torch.equal(found, mask / 0.75)
    assert 0.6 < float(mask.float().mean()) < 0.9
    with seeded_draws(1):
        assert torch.equal(torch.native_dropout(torch.ones(4), 0.25, False)[0], torch.ones(4))


def test_attention_without_dropout_draws_nothing_and_with_dropout_is_refused() -> None:
    one = torch.ones(1, 1, 2, 4)
    with seeded_draws(1):
        assert torch.equal(F.scaled_dot_product_attention(one, one, one), one)
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
    with seeded_draws(1), pytest.raises(UnfitError, match="draws noise by .*, which takes no generator"):
        fused(one, one, one, 0.5)
