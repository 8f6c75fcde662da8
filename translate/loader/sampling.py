"""Sampling: the examples of each batch and their random numbers, as hashes of seed, epoch and example."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from translate.loader.references import References
from translate.loader.vectors import VectorDraws
from translate.seeds import SPACING, key, mix, signed

_BLOCK = 64
"""The number of batches whose draws are made at once."""

_EPOCH = signed(0xD1342543DE82EF95)
_EXAMPLE = signed(0xDA942042E4DD58B5)

_streams = {"source": 0, "target": 1, "mismatched": 2, "labelled": 3, "reference": 4, "reference2": 5}

_ATTEMPTS = 64
"""Substitutes that are drawn for an example that is left out, before the first usable one is taken."""


@dataclass(frozen=True, slots=True)
class Draw:
    """The examples and random numbers of a batch, for streams that share them.

    ``table`` (5 + seeds + vectors, N) int64: the examples, then random numbers in [0, 2^63) for the crop's top, its
    left, mirroring and a pipeline, and for each of the seeds; at last, for each of ``vectors``, which of its rows.
    """

    streams: tuple[str, ...]
    table: Tensor
    vectors: tuple[str, ...] = ()


class Order:
    """The order of examples in domains of given lengths: one permutation per epoch, so that no example is dropped.

    Batches straddle the ends of epochs. Unpaired domains are ordered independently; ``paired`` ones share everything.
    ``mismatched`` adds a stream of sources that differ from the batch's own; ``labelled``, a list of examples, adds a
    stream of only those, with epochs of its own. Of several ranks, rank r takes rows r, r + ranks ... of the
    global batch of ``batch * ranks``. All tensors are made on ``device``. ``homes`` says of which domain a stream draws
    if that is not the stream's name. ``aligned`` streams share all draws of their partners; ``references`` adds two
    streams of images of one class, and ``vectors`` draws those of each domain's examples.

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
        homes: Mapping[str, str] | None = None,
        aligned: Mapping[str, str] | None = None,
        references: References | None = None,
        vectors: VectorDraws | None = None,
    ) -> None:
        self._lengths = dict(lengths)
        self._aligned, self._references, self._vectors = dict(aligned or {}), references, vectors
        self._homes = dict(homes or {})
        self._left_out: dict[str, Tensor] = {}
        self._labelled = torch.tensor(labelled, dtype=torch.int64, device=device)
        self._sizes = {**self._lengths, "labelled": len(labelled)}
        self._paired, self._mismatched = paired, mismatched
        self._batch, self._rank, self._ranks = batch, rank, ranks
        self._seed, self._device = seed, device
        self._keys = {stream: key(seed, number) for stream, number in _streams.items()}
        self._offsets = torch.arange(4 + seeds, device=device)[:, None] * SPACING
        self._permutations: dict[tuple[str, int], Tensor] = {}
        self._blocks: dict[int, list[list[Draw]]] = {}

    def leave_out(self, rows: Mapping[str, Collection[int]]) -> None:
        """Leave out examples of each domain, and no others, from here on; another stands in the place of each.

        The substitute is the first usable one of a list that is a hash of the seed, the epoch and the example, so it
        does not depend on what else is left out, nor on when that was found. Only the example changes, not the batch's
        other random numbers. Enough examples must remain.
        """
        self._left_out = {}
        for name, listed in rows.items():
            if listed:
                marks = torch.zeros(self._lengths[name], dtype=torch.bool)
                marks[sorted(listed)] = True
                self._left_out[name] = marks.to(self._device)
        self._blocks.clear()

    def draws(self, index: int) -> list[Draw]:
        """The draws of the index-th batch, from 0: a pure function of the seed, the index and what is left out."""
        number, place = divmod(index, _BLOCK)
        if number not in self._blocks:
            # Batches are prefetched, so two blocks are in use at the end of one.
            while len(self._blocks) >= 2:
                del self._blocks[next(iter(self._blocks))]
            self._blocks[number] = self._block(number * _BLOCK)
        return self._blocks[number][place]

    def _block(self, first: int) -> list[list[Draw]]:
        """The draws of a block of batches, for the price of one batch's tiny operations."""
        found: list[Draw] = []
        for name, length in self._lengths.items():
            if self._paired and name != "source":
                continue
            rows, epochs = self._rows(name, first)
            numbers = self._numbers(name, epochs, rows)
            used = self._usable(name, rows, epochs)
            domains = tuple(self._lengths) if self._paired else (name,)
            streams = (*domains, *(each for each, partner in self._aligned.items() if partner in domains))
            table = torch.cat((used[None], numbers))
            drawn: tuple[str, ...] = ()
            if self._vectors is not None:
                drawn, picked = self._vectors.draw(domains, used, epochs * _EPOCH + rows * _EXAMPLE)
                table = torch.cat((table, *picked))
            found.append(Draw(streams, table, drawn))
            if self._mismatched and name == "source":
                numbers = self._numbers("mismatched", epochs, rows)
                others = (rows + 1 + numbers[3] % (length - 1)) % length
                others = self._usable("mismatched", others, epochs, other_than=used)
                found.append(Draw(("mismatched",), torch.cat((others[None], numbers))))
        if len(self._labelled):
            places, epochs = self._rows("labelled", first)
            rows = self._labelled[places]
            numbers = self._numbers("labelled", epochs, rows)
            used = self._usable("labelled", rows, epochs)
            found.append(Draw(("labelled",), torch.cat((used[None], numbers))))
        if self._references is not None:
            found += self._reference_draws(self._references, first)
        return [list(draws) for draws in zip(*map(self._split, found), strict=True)]

    def _reference_draws(self, references: References, first: int) -> list[Draw]:
        """The draws of both images of one class, which are two different ones."""
        start = first * self._batch * self._ranks
        stop = start + _BLOCK * self._batch * self._ranks
        places = range(start, stop)[self._rank :: self._ranks]
        rows, others, visits = (each.to(self._device) for each in references.rows(places))
        used = self._usable("reference", rows, visits, among=references.members)
        used2 = self._usable("reference2", others, visits, other_than=used, among=references.members)
        return [
            Draw((stream,), torch.cat((usable[None], self._numbers(stream, visits, drawn))))
            for stream, usable, drawn in (("reference", used, rows), ("reference2", used2, others))
        ]

    def _usable(
        self,
        stream: str,
        rows: Tensor,
        epochs: Tensor,
        other_than: Tensor | None = None,
        among: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """The examples of a stream, with another in the place of each that is left out or equals ``other_than``.

        Of several groups of examples, ``among``, the other is of the same one.
        """
        left_out = self._left_out.get(self._homes.get(stream, stream))
        if left_out is None:
            return rows
        if among is not None:
            for members in among:
                within = torch.isin(rows, members)
                if bool(within.any()):
                    others = None if other_than is None else other_than[within]
                    rows = rows.clone()
                    rows[within] = self._replaced(stream, rows[within], epochs[within], others, left_out, members)
            return rows
        choices = self._labelled if stream == "labelled" else torch.arange(len(left_out), device=self._device)
        return self._replaced(stream, rows, epochs, other_than, left_out, choices)

    def _replaced(
        self,
        stream: str,
        rows: Tensor,
        epochs: Tensor,
        other_than: Tensor | None,
        left_out: Tensor,
        choices: Tensor,
    ) -> Tensor:
        state = epochs * _EPOCH + rows * _EXAMPLE + key(self._seed, _streams[stream], -1)

        def wrong() -> Tensor:
            return left_out[rows] if other_than is None else left_out[rows] | (rows == other_than)

        for attempt in range(_ATTEMPTS):
            if not bool((bad := wrong()).any()):
                return rows
            rows = torch.where(bad, choices[mix(state + signed(attempt * SPACING)) % len(choices)], rows)
        usable = choices[~left_out[choices]]
        first = usable[0].expand_as(rows)
        if other_than is not None:
            first = torch.where(first == other_than, usable[-1], first)
        return torch.where(wrong(), first, rows)

    def _split(self, draw: Draw) -> list[Draw]:
        """Split a block's draw into one for each batch."""
        tables = draw.table.view(len(draw.table), _BLOCK, self._batch).transpose(0, 1).contiguous()
        return [Draw(draw.streams, table, draw.vectors) for table in tables.unbind()]

    def _rows(self, name: str, first: int) -> tuple[Tensor, Tensor]:
        """This rank's examples of a block of batches, and the epoch of each."""
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
        permutation = self._permutations.get((name, epoch))
        if permutation is None:
            generator = torch.Generator().manual_seed(key(self._seed, _streams[name], epoch))
            permutation = torch.randperm(self._sizes[name], generator=generator).to(self._device)
            while len(self._permutations) >= 9:  # the last, current and next epoch of three streams
                del self._permutations[next(iter(self._permutations))]
            self._permutations[name, epoch] = permutation
        return permutation

    def _numbers(self, stream: str, epochs: Tensor, rows: Tensor) -> Tensor:
        """Random numbers (4 + seeds, N) in [0, 2^63)."""
        return mix(epochs * _EPOCH + rows * _EXAMPLE + self._keys[stream] + self._offsets)
