"""The order: its hash spreads evenly, and the numbers of neighbours have nothing to do with one another."""

from __future__ import annotations

import torch

from translate.order import Order, key, mix

MASK = 2**64 - 1


def reference(state: int) -> int:
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    return (state ^ (state >> 31)) & (2**63 - 1)


def make(seed: int = 0, count: int = 4096) -> Order:
    return Order(
        {"source": count},
        paired=False,
        mismatched=True,
        batch=count,
        seeds=1,
        seed=seed,
        rank=0,
        ranks=1,
        device=torch.device("cpu"),
    )


def test_the_hash_is_splitmix64_s_finaliser() -> None:
    states = [0, 1, 2**31, 2**62 + 5, -1, -(2**63), 0x123456789ABCDEF]
    assert mix(torch.tensor(states)).tolist() == [reference(state & MASK) for state in states]


def test_numbers_are_uniform_and_unrelated() -> None:
    draw, other = make().draws(0)
    numbers = torch.cat((draw.table[1:], other.table[1:], make().draws(1)[0].table[1:])).double() / 2**63
    assert numbers.min() >= 0
    assert numbers.max() < 1
    for row in numbers:
        counts = torch.histc(row, 16, 0, 1)
        assert float(((counts - 256) ** 2 / 256).sum()) < 45  # chi-square with 15 degrees of freedom: 1 in 10,000
    related = torch.corrcoef(numbers) - torch.eye(len(numbers))
    assert related.abs().max() < 0.08
    bits = (draw.table[1:, :, None] >> torch.arange(63)) & 1
    assert (bits.double().mean(1) - 0.5).abs().max() < 0.04


def test_seeds_and_epochs_change_everything() -> None:
    first, again, second, other = (
        make().draws(0)[0].table,
        make().draws(0)[0].table,
        make().draws(1)[0].table,
        make(seed=1).draws(0)[0].table,
    )
    assert torch.equal(first, again)
    for table in (second, other):
        assert not torch.equal(first[0], table[0])
        assert torch.equal(first[0].sort().values, table[0].sort().values)
        by_example = [each[1, each[0].argsort()] for each in (first, table)]
        assert not (by_example[0] == by_example[1]).any()


def test_keys_differ() -> None:
    keys = {key(seed, stream, epoch) for seed in (0, 1, 2**80, 2**80 + 1) for stream in range(3) for epoch in range(50)}
    assert len(keys) == 300  # the low 64 bits count: 2**80 is 0, 2**80 + 1 is 1
