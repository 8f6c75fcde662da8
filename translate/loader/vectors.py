"""Vectors of examples: all of them in one tensor for each name, and which of them come with a batch."""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from translate.data import Example
from translate.seeds import SPACING, key, mix, signed
from translate.streams import MISMATCHED, Vectors, home_of, vector_of

_VECTORS, _MISMATCHED = 9, 10
"""Numbers of these draws among the keys of a seed."""

_ATTEMPTS = 64
"""Mismatched vectors that are drawn before all that there are are gone through."""


def vector_bytes(keys: Collection[str], examples: Mapping[str, Sequence[Example]], domains: Container[str]) -> int:
    """The bytes of the vectors of these keys, each counted once, whatever they are stored as."""
    places = {(home_of(each, domains), vector_of(each)[1]) for each in keys}
    return sum(4 * np.size(example.extras[name]) for home, name in places for example in examples[home])


class VectorDraws:
    """Which vectors come with the examples of a batch, for each key that a method asks for.

    ``values`` has the vectors of each key, (n, D) float32 on ``device``; a draw is rows of them. One of the K vectors
    of an example is drawn for each of its visits, the same one of all names that have as many.
    """

    def __init__(
        self,
        keys: Collection[str],
        examples: Mapping[str, Sequence[Example]],
        domains: Container[str],
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        self._seed = seed
        self._tables: dict[str, _Table] = {}
        self.values: dict[str, Tensor] = {}
        built: dict[tuple[str, str], tuple[Vectors, Tensor]] = {}
        for each in sorted(keys):
            place = home, name = home_of(each, domains), vector_of(each)[1]
            if place not in built:
                found = Vectors.of(examples[home], name)
                built[place] = found, torch.from_numpy(found.values).to(device)
            found, self.values[each] = built[place]
            self._tables[each] = _Table(home, found, examples[home], name, vector_of(each)[0] == MISMATCHED, device)

    def draw(self, homes: Collection[str], rows: Tensor, state: Tensor) -> tuple[tuple[str, ...], list[Tensor]]:
        """The keys of the vectors of these domains, and for each the drawn rows of its ``values``, (1, N) int64.

        ``rows`` are the examples, ``state`` is an int64 for each that says which visit of which example it is.
        """
        found = {each: table for each, table in self._tables.items() if table.home in homes}
        drawn = [
            table.mismatched(rows, state + key(self._seed, _MISMATCHED))
            if table.is_mismatched
            else table.own(rows, mix(state + key(self._seed, _VECTORS)))
            for table in found.values()
        ]
        return tuple(found), [each[None] for each in drawn]


class _Table:
    """Where the vectors of each example begin, and what must not stand beside what."""

    def __init__(
        self,
        home: str,
        vectors: Vectors,
        examples: Sequence[Example],
        name: str,
        is_mismatched: bool,
        device: torch.device,
    ) -> None:
        self.home, self.is_mismatched = home, is_mismatched
        starts = torch.from_numpy(vectors.starts).to(device)
        self._starts, self._counts = starts[:-1], starts.diff()
        if not is_mismatched:
            return
        identities = vectors.identities()
        vectors.refuse_alike(examples, name, identities)
        self._identities = torch.from_numpy(identities).to(device)
        self._owners = torch.arange(len(examples), device=device).repeat_interleave(self._counts)
        self._labels = torch.tensor([example.label for example in examples], device=device)
        counts = np.diff(vectors.starts)
        padded = np.full((len(examples), int(counts.max())), -1, np.int64)
        padded[np.arange(padded.shape[1]) < counts[:, None]] = identities
        self._own = torch.from_numpy(padded).to(device)

    def own(self, rows: Tensor, random: Tensor) -> Tensor:
        """One of the vectors of each example, by a random number in [0, 2^63)."""
        return self._starts[rows] + random % self._counts[rows]

    def mismatched(self, rows: Tensor, state: Tensor) -> Tensor:
        """One of the vectors of another example, none that equals one of its own or belongs to its class."""
        chosen = torch.zeros_like(rows)
        bad = torch.ones_like(rows, dtype=torch.bool)
        count = len(self._starts)
        for attempt in range(_ATTEMPTS):
            random = mix(state + signed(attempt * SPACING))
            chosen = torch.where(bad, self.own(random % count, random // count), chosen)
            bad = self._match(rows, chosen)
            if not bool(bad.any()):
                return chosen
        everything = torch.arange(len(self._owners), device=rows.device)
        for place in bad.nonzero().flatten().tolist():
            usable = everything[~self._match(rows[place].expand_as(everything), everything)]
            chosen[place] = usable[mix(state[place]) % len(usable)]
        return chosen

    def _match(self, rows: Tensor, chosen: Tensor) -> Tensor:
        """Whether vectors belong to examples, by what can be told: an equal vector, or an example of the same class."""
        labels, others = self._labels[rows], self._labels[self._owners[chosen]]
        alike = (self._own[rows] == self._identities[chosen][:, None]).any(1)
        return alike | ((labels >= 0) & (labels == others))
