"""The order: its hash spreads evenly, and the numbers of neighbours have nothing to do with one another."""

from __future__ import annotations

import pytest
import torch

from translate.loader.sampling import Order
from translate.seeds import key, mix

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


def test_a_seed_draws_the_same_numbers_in_every_version() -> None:
    """By hand: a hash of the seed and the stream, the epoch, the example and which of its numbers it is."""
    order = Order(
        {"source": 3, "target": 3}, paired=False, mismatched=True, batch=3, seeds=2, seed=11, rank=0, ranks=1,
        device=torch.device("cpu"), labelled=[0, 1, 2],
    )  # fmt: skip
    for epoch in (0, 5):
        seen = []
        for draw in order.draws(epoch):
            ((stream, rows),) = ((name, draw.table[0].tolist()) for name in draw.streams)
            seen.append(stream)
            # Mismatched sources have the numbers of the examples that they stand beside.
            rows = order.draws(epoch)[0].table[0].tolist() if stream == "mismatched" else rows
            base = key(11, ("source", "target", "mismatched", "labelled").index(stream))
            for place, row in enumerate(rows):
                states = [
                    epoch * 0xD1342543DE82EF95 + row * 0xDA942042E4DD58B5 + base + number * 0x9E3779B97F4A7C15
                    for number in range(6)
                ]
                assert draw.table[1:, place].tolist() == [reference(state & MASK) for state in states]
        assert sorted(seen) == ["labelled", "mismatched", "source", "target"]


def labelled(rows: list[int], batch: int = 2, rank: int = 0, ranks: int = 1, seed: int = 0) -> Order:
    return Order(
        {"source": 9, "target": 7}, paired=False, mismatched=True, batch=batch, seeds=1, seed=seed, rank=rank,
        ranks=ranks, device=torch.device("cpu"), labelled=rows,
    )  # fmt: skip


def test_labelled_examples_have_epochs_of_their_own() -> None:
    order = labelled([6, 1, 4])
    drawn = [order.draws(index)[-1] for index in range(6)]
    assert all(draw.streams == ("labelled",) for draw in drawn)
    seen = torch.cat([draw.table[0] for draw in drawn]).tolist()
    assert all(sorted(seen[start : start + 3]) == [1, 4, 6] for start in range(0, 12, 3))
    assert len({tuple(seen[start : start + 3]) for start in range(0, 12, 3)}) > 1
    assert seen != torch.cat([labelled([6, 1, 4], seed=1).draws(index)[-1].table[0] for index in range(6)]).tolist()
    assert torch.equal(labelled([6, 1, 4]).draws(5)[-1].table, drawn[5].table)


def test_labelled_examples_change_no_other_stream() -> None:
    for index in (0, 4, 30):
        without, beside = labelled([]).draws(index), labelled([6, 1, 4]).draws(index)
        assert len(beside) == len(without) + 1
        for one, two in zip(without, beside, strict=False):
            assert one.streams == two.streams
            assert torch.equal(one.table, two.table)


def test_an_example_is_drawn_with_other_numbers_as_a_labelled_one() -> None:
    order = labelled(list(range(7)), batch=7)
    target, own = next(d for d in order.draws(0) if "target" in d.streams).table, order.draws(0)[-1].table
    by_example = [table[:, table[0].argsort()] for table in (target, own)]
    assert torch.equal(by_example[0][0], by_example[1][0])
    assert not (by_example[0][1:] == by_example[1][1:]).any()


def test_ranks_share_the_labelled_examples() -> None:
    whole = labelled([6, 1, 4, 0], batch=6).draws(2)[-1].table
    for rank in range(3):
        part = labelled([6, 1, 4, 0], rank=rank, ranks=3).draws(2)[-1].table
        assert torch.equal(part, whole[:, rank::3])


def test_the_order_stays_what_it_was() -> None:
    # Whoever goes on with a run counts on it, so these numbers may not change.
    table = torch.stack([draw.table[:2, 0] for draw in labelled([2, 5]).draws(3)])
    assert table.tolist() == [
        [7, 2004970214988655426],
        [1, 6242732287717116942],
        [4, 8877139606070403836],
        [5, 8091543377671495685],
    ]


@pytest.mark.parametrize("rank", [0, 1])
def test_draws_do_not_depend_on_how_many_are_made_at_once(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = labelled([6, 1, 4], rank=rank, ranks=2)
    found = [at_once.draws(index) for index in (*range(140), 3, 64, 63, 1000)]
    monkeypatch.setattr("translate.loader.sampling._BLOCK", 1)
    one_by_one = labelled([6, 1, 4], rank=rank, ranks=2)
    for draws, index in zip(found, (*range(140), 3, 64, 63, 1000), strict=True):
        for ours, theirs in zip(draws, one_by_one.draws(index), strict=True):
            assert ours.streams == theirs.streams
            assert torch.equal(ours.table, theirs.table)


def test_keys_differ() -> None:
    keys = {key(seed, stream, epoch) for seed in (0, 1, 2**80, 2**80 + 1) for stream in range(3) for epoch in range(50)}
    assert len(keys) == 300  # the low 64 bits count: 2**80 is 0, 2**80 + 1 is 1
