"""Accumulation: a step on several batches, move by move, so that each move has the gradients of one large batch.

The second move of a step must see the first one's weights, for every batch. To keep all batches' graphs until then
would take the memory of the large batch. So the step goes in passes, one a move: in the second pass each batch's
updates are played again from their beginning, and only the second move's gradients are taken. Only one batch's graph
lives at a time; what it costs is the forward passes that are made again, and a copy of the weights of who has moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from translate.engine.players import MethodError, Player
from translate.method import Batch, Method, Update
from translate.ranks import Waiting

Moves = tuple[Update, ...]
Names = tuple[str, ...]
Updates = Iterator[Any]


class Accumulation:
    """Plays steps on several batches.

    ``resume(updates)`` lets a method go on to its next yield, None at its end; ``check(moves)`` holds what it yields
    against the rules; ``push(moves, scale, last)`` adds gradients, which begin to travel with the ``last`` batch;
    ``step(names)`` steps these players' optimizers; ``seed(number)`` seeds the draws of a batch.
    """

    def __init__(
        self,
        method: Method,
        players: Mapping[str, Player],
        *,
        resume: Callable[[Updates], Moves | None],
        check: Callable[[Moves], None],
        push: Callable[[Moves, float, bool], list[Waiting]],
        step: Callable[[Names], None],
        seed: Callable[[int], None],
    ) -> None:
        self._method, self._players = method, players
        self._resume, self._check, self._push, self._step, self._seed = resume, check, push, step, seed
        self._known: dict[tuple[int, int], int] = {}

    def play(self, batches: Sequence[Batch], step: int) -> None:
        """Play one step; gradients are means over the batches.

        How many moves there are shows only when a method's updates end. So the first time the last batch's go on after
        each move, for nothing if another move comes; from then on the number is known, for each step of a period and
        each stage.
        """
        kind = step % self._method.period, self._method.stage
        buffers = {name: buffer.clone() for name, buffer in self._method.named_buffers()}
        past = _Past(self._method, self._players)
        try:
            while self._pass(batches, step, past, last=len(past) + 1 >= self._known.get(kind, 0)):
                # Pools and the like: each pass shows them every image once.
                self._restore(buffers)
        finally:
            past.return_to_now()
        self._known[kind] = len(past)

    def _pass(self, batches: Sequence[Batch], step: int, past: _Past, *, last: bool) -> bool:
        """Make the move after those of the past; ``last``: it may be the last one. Says whether another comes."""
        wanted: Names | None = None
        updates: Updates = iter(())
        arriving: list[Waiting] = []
        for number, batch in enumerate(batches):
            past.return_to_beginning()
            self._seed(number)
            updates = iter(self._method.updates(batch, step))
            moves = self._reach(updates, past)
            names = None if moves is None else tuple(move.player for move in moves)
            if number == 0:
                wanted = names
            if names != wanted or (names is None and past):
                raise self._differing(number, len(past), names, wanted)
            if moves is None:
                continue
            arriving = self._push(moves, 1 / len(batches), number + 1 == len(batches))
            # The graph must have gone before the next batch makes its own.
            del moves
            if number + 1 < len(batches):
                _close(updates)
        if wanted is None:
            return False
        for arrive in arriving:
            arrive()
        past.add(wanted)
        self._step(wanted)
        more = not last or self._resume(updates) is not None
        _close(updates)
        return more

    def _reach(self, updates: Updates, past: _Past) -> Moves | None:
        """Replay the moves of the past, and go on to the next one."""
        for number, names in enumerate(past):
            moves = self._resume(updates)
            found = None if moves is None else tuple(move.player for move in moves)
            if found != names:
                raise self._differing(None, number, found, names)
            del moves
            past.go_on()
        moves = self._resume(updates)
        if moves is not None:
            self._check(moves)
        return moves

    @torch.no_grad()
    def _restore(self, buffers: Mapping[str, Tensor]) -> None:
        for name, buffer in self._method.named_buffers():
            if name in buffers:
                buffer.copy_(buffers[name])

    def _differing(self, batch: int | None, move: int, found: Names | None, wanted: Names | None) -> MethodError:
        which = "a batch played again" if batch is None else f"batch {batch + 1} of a step"
        return MethodError(
            f"{type(self._method).__name__} yields {_format_names(found)} as update {move + 1} of {which}, where it "
            f"yielded {_format_names(wanted)} before; only the step and the stage may choose who moves"
        )


class _Past:
    """The moves that are made in a step, and the weights that they have replaced: it can be gone back to, and on.

    Weights are exchanged in place and only those that moved, as an optimizer does it: a graph that holds others stays.
    """

    def __init__(self, method: Method, players: Mapping[str, Player]) -> None:
        self._method, self._players = method, players
        self._names: list[Names] = []
        self._moved: list[list[Tensor]] = []
        self._others: list[list[Tensor]] = []
        self._at = 0

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[Names]:
        """Who moved, one move after the other."""
        return iter(self._names)

    def add(self, names: Names) -> None:
        """Keep the weights of those who are about to move."""
        together = frozenset(names)
        # A weight once, whoever shares it; a projection may reach the weights of its player that did not move, too.
        weights = dict.fromkeys(weight for name in names for weight in self._players[name].moving(together))
        for name in names:
            if self._players[name].projections:
                weights.update(dict.fromkeys(self._method.players[name].parameters()))
        self._names.append(names)
        self._moved.append(list(weights))
        self._others.append([weight.detach().clone() for weight in weights])
        self._at = len(self._names)

    def return_to_beginning(self) -> None:
        """Give the weights that they had before the first move."""
        while self._at > 0:
            self._at -= 1
            self._exchange()

    def go_on(self) -> None:
        """Make the next move again."""
        self._exchange()
        self._at += 1

    def return_to_now(self) -> None:
        """Give the weights that they have after all moves."""
        while self._at < len(self):
            self.go_on()

    @torch.no_grad()
    def _exchange(self) -> None:
        weights = self._moved[self._at]
        now = [weight.detach().clone() for weight in weights]
        torch._foreach_copy_(weights, self._others[self._at])
        self._others[self._at] = now


def _format_names(names: Names | None) -> str:
    return "nothing" if names is None else " with ".join(names)


def _close(updates: Updates) -> None:
    """Let go of what a method holds at its yield; an iterator that is no generator holds nothing."""
    if (close := getattr(updates, "close", None)) is not None:
        close()
