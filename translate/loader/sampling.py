"""The order: which examples a batch holds, and what chance decides for each, as a hash of seed, epoch and example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from translate.seeds import SPACING, key, mix, signed

_BLOCK = 64
"""Batches whose draws are made at once."""

_EPOCH = signed(0xD1342543DE82EF95)
_EXAMPLE = signed(0xDA942042E4DD58B5)

_streams = {"source": 0, "target": 1, "mismatched": 2, "labelled": 3}


@dataclass(frozen=True, slots=True)
class Draw:
    """What chance decided for the streams of a batch that move together.

    ``table`` (5 + seeds, N) int64: the examples, then numbers in [0, 2^63) for a window's top, its left, mirroring,
    a pipeline, and as many seeds as were asked for.
    """

    streams: tuple[str, ...]
    table: Tensor


class Order:
    """The order of domains of given lengths: one permutation after the other, so that no example is dropped.

    Batches straddle the ends of epochs. Unpaired domains are ordered independently; ``paired`` ones share everything.
    ``mismatched`` adds a stream of sources, each another one than the batch's own; ``labelled``, which lists examples,
    adds a stream of those alone, with epochs of its own. Of several ranks, rank r takes rows r, r + ranks ... of the
    global batch of ``batch * ranks``. All tensors are made on ``device``.

    >>> order = Order({"source": 3}, paired=False, mismatched=False, batch=2, seeds=0, seed=0, rank=0, ranks=1,
    ...               device=torch.device("cpu"))
    >>> sorted(row for index in range(3) for row in order.draws(index)[0].table[0].tolist())
    [0, 0, 1, 1, 2, 2]
    """

    def __init__(
        self,
        lengths: Mapping[str, int],
        *,
        paired: bool,
        mismatched: bool,
        batch: int,
        seeds: int,
        seed: int,
        rank: int,
        ranks: int,
        device: torch.device,
        labelled: Sequence[int] = (),
    ) -> None:
        self._lengths = dict(lengths)
        self._labelled = torch.tensor(labelled, dtype=torch.int64, device=device)
        self._sizes = {**self._lengths, "labelled": len(labelled)}
        self._paired, self._mismatched = paired, mismatched
        self._batch, self._rank, self._ranks = batch, rank, ranks
        self._seed, self._device = seed, device
        self._keys = {stream: key(seed, number) for stream, number in _streams.items()}
        self._offsets = torch.arange(4 + seeds, device=device)[:, None] * SPACING
        self._permutations: dict[tuple[str, int], Tensor] = {}
        self._blocks: dict[int, list[list[Draw]]] = {}

    def draws(self, index: int) -> list[Draw]:
        """What the index-th batch holds, from 0: a pure function of the seed and the index."""
        number, place = divmod(index, _BLOCK)
        if number not in self._blocks:
            # The next batches are begun while this one is used, so two blocks are in use where one ends.
            while len(self._blocks) >= 2:
                del self._blocks[next(iter(self._blocks))]
            self._blocks[number] = self._block(number * _BLOCK)
        return self._blocks[number][place]

    def _block(self, first: int) -> list[list[Draw]]:
        """The draws of several batches: many tiny operations at the price of one batch's."""
        found: list[Draw] = []
        for name, length in self._lengths.items():
            if self._paired and name != "source":
                continue
            rows, epochs = self._rows(name, first)
            numbers = self._numbers(name, epochs, rows)
            found.append(Draw(tuple(self._lengths) if self._paired else (name,), torch.cat((rows[None], numbers))))
            if self._mismatched and name == "source":
                numbers = self._numbers("mismatched", epochs, rows)
                others = (rows + 1 + numbers[3] % (length - 1)) % length
                found.append(Draw(("mismatched",), torch.cat((others[None], numbers))))
        if len(self._labelled):
            places, epochs = self._rows("labelled", first)
            rows = self._labelled[places]
            found.append(Draw(("labelled",), torch.cat((rows[None], self._numbers("labelled", epochs, rows)))))
        return [list(draws) for draws in zip(*map(self._apart, found), strict=True)]

    def _apart(self, draw: Draw) -> list[Draw]:
        """The batches of a block, one by one."""
        tables = draw.table.view(len(draw.table), _BLOCK, self._batch).transpose(0, 1).contiguous()
        return [Draw(draw.streams, table) for table in tables.unbind()]

    def _rows(self, name: str, first: int) -> tuple[Tensor, Tensor]:
        """The examples of this rank's part of a block of batches, and the epoch that each belongs to."""
        start = first * self._batch * self._ranks
        stop = start + _BLOCK * self._batch * self._ranks
        length = self._sizes[name]
        pieces: list[Tensor] = []
        at = start
        while at < stop:
            epoch, offset = divmod(at, length)
            pieces.append(self._permutation(name, epoch)[offset : offset + stop - at])
            at += len(pieces[-1])
        rows = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
        epochs = torch.arange(start, stop, device=self._device) // length
        return rows[self._rank :: self._ranks], epochs[self._rank :: self._ranks]

    def _permutation(self, name: str, epoch: int) -> Tensor:
        kept = self._permutations.get((name, epoch))
        if kept is None:
            generator = torch.Generator().manual_seed(key(self._seed, _streams[name], epoch))
            kept = torch.randperm(self._sizes[name], generator=generator).to(self._device)
            while len(self._permutations) >= 9:  # the last, the present and the next epoch of three streams
                del self._permutations[next(iter(self._permutations))]
            self._permutations[name, epoch] = kept
        return kept

    def _numbers(self, stream: str, epochs: Tensor, rows: Tensor) -> Tensor:
        """Random numbers (4 + seeds, N) in [0, 2^63)."""
        return mix(epochs * _EPOCH + rows * _EXAMPLE + self._keys[stream] + self._offsets)
