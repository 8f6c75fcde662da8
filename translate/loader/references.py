"""References: two images of one class for each place of a batch, of all classes equally often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from translate.seeds import mixed

_CLASSES, _IMAGES, _OTHERS = 6, 7, 8
"""Numbers of these draws among the keys of a seed."""


class References:
    """The examples of both streams of references, as a pure function of the seed and the places in the training.

    Classes come in rounds, each with every class once, in an order of its own. A class's images come in permutations of
    all of them; the second image of a place is another one. ``members`` has the examples of each class, two or more.

    >>> references = References({0: [4, 5], 3: [0, 1, 2]}, seed=0, device=torch.device("cpu"))
    >>> rows, others, _ = references.rows(range(2))
    >>> bool((rows != others).all()), sorted(row > 2 for row in rows.tolist())
    (True, [False, True])
    """

    def __init__(self, members: Mapping[int, Sequence[int]], *, seed: int, device: torch.device) -> None:
        self._listed = [list(rows) for _, rows in sorted(members.items())]
        self.members = [torch.tensor(rows, dtype=torch.int64, device=device) for rows in self._listed]
        """The examples of each class."""
        self._seed = seed
        self._rounds: dict[int, list[int]] = {}
        self._permutations: dict[int, tuple[int, list[int]]] = {}

    def rows(self, places: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """The first and the second image at each place of the training, and how often its class came before, (N,)."""
        found: list[tuple[int, int, int]] = []
        for place in places:
            turn, slot = divmod(place, len(self._listed))
            number = self._round(turn)[slot]
            listed = self._listed[number]
            one = self._permutation(number, turn // len(listed))[turn % len(listed)]
            other = (one + 1 + mixed(self._seed, _OTHERS, number, turn) % (len(listed) - 1)) % len(listed)
            found.append((listed[one], listed[other], turn))
        return tuple(torch.tensor(found, dtype=torch.int64).unbind(1))  # type: ignore[return-value]

    def _round(self, turn: int) -> list[int]:
        if turn not in self._rounds:
            while len(self._rounds) >= 2:
                del self._rounds[next(iter(self._rounds))]
            self._rounds[turn] = _shuffled(len(self._listed), self._seed, _CLASSES, turn)
        return self._rounds[turn]

    def _permutation(self, number: int, epoch: int) -> list[int]:
        """The order of a class's images in their epoch; that of the last epoch asked for is kept."""
        kept = self._permutations.get(number)
        if kept is None or kept[0] != epoch:
            order = _shuffled(len(self._listed[number]), self._seed, _IMAGES, number, epoch)
            kept = self._permutations[number] = epoch, order
        return kept[1]


def _shuffled(count: int, *numbers: int) -> list[int]:
    order: list[int] = torch.randperm(count, generator=torch.Generator().manual_seed(mixed(*numbers))).tolist()
    return order
