"""Seeds: the numbers are those of SplitMix64 as published, for a seed the same in every version."""

from __future__ import annotations

import pytest
import torch

from translate.seeds import key, noise_of, seed_step, signed, uniform

GOLDEN = 0x9E3779B97F4A7C15
MASK = 2**64 - 1
PUBLISHED = (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC)
"""The first numbers of SplitMix64 from the state 0."""


def finalised(state: int) -> int:
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    return state ^ (state >> 31)


def test_the_reference_is_the_published_generator() -> None:
    assert tuple(finalised((number + 1) * GOLDEN & MASK) for number in range(4)) == PUBLISHED


def test_a_key_and_uniform_numbers_are_the_published_ones() -> None:
    assert key(0) == PUBLISHED[0] & (2**63 - 1)
    assert uniform(torch.tensor([0]), 4)[:, 0].tolist() == [(signed(number) >> 40) / 2**23 for number in PUBLISHED]
    seeds = torch.tensor([0, 5, -(2**62)])
    found = uniform(seeds, 3)
    assert found.shape == (3, 3)
    assert found.dtype == torch.float32
    wanted = [[finalised((int(seed) + n * GOLDEN) & MASK) for seed in seeds] for n in (1, 2, 3)]
    assert found.tolist() == [[(signed(number) >> 40) / 2**23 for number in row] for row in wanted]


@pytest.mark.parametrize("parts", [(0, 0), (7, 3), (2**40, 99, 1), (5, 6, 2, 3)])
def test_a_step_seeds_torch_by_seed_step_rank_and_batch(parts: tuple[int, ...]) -> None:
    """Each number is mixed into the state before; the batch's only if it is not the first."""
    state = 0
    for part in (*parts, 0)[: max(3, len(parts))]:
        state = finalised(((state ^ part) + GOLDEN) & MASK)
    seed_step(*parts)
    assert torch.initial_seed() & MASK == state
    drawn = torch.rand(3)
    torch.rand(5)
    seed_step(*parts)
    assert torch.equal(torch.rand(3), drawn)


def test_signed_wraps_around() -> None:
    assert [signed(number) for number in (0, 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -1)] == [
        0, 1, 2**63 - 1, -(2**63), -1, 0, -1,
    ]  # fmt: skip


def test_the_noise_of_an_index_is_its_own() -> None:
    network = torch.nn.Identity()
    network.noise = (4, 2)  # type: ignore[assignment]
    found = noise_of(network, [3, 1, 3], seed=5)
    assert found.shape == (3, 4, 2)
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[1])
    assert torch.equal(found[1:2], noise_of(network, [1], seed=5))
    assert not torch.equal(found[1:2], noise_of(network, [1], seed=6))
    many = noise_of(network, range(2000), seed=0)
    assert abs(float(many.mean())) < 0.03
    assert float(many.std()) == pytest.approx(1, abs=0.03)
