"""Gradient accumulation: a step on several batches, move by move, each with the gradients of one large batch.

The second move of a step must see the weights after the first, for every batch. Keeping all batches' graphs until then
would take the memory of the large batch. So the step runs in passes, one for each move: in the second pass each batch's
updates are played again from the beginning, and only the second move's gradients are taken. Only one batch's graph
lives at a time; the cost is repeated forward passes and a copy of the weights that have moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from translate.engine.players import MethodError, Player, names_of
from translate.engine.rules import begin
from translate.method import Batch, Method, Update
from translate.ranks import Waiting

Moves = tuple[Update, ...]
Names = tuple[str, ...]
Updates = Iterator[Any]


class Accumulation:
    """Plays steps on several batches.

    ``resume(updates)`` runs a method to its next yield, None at its end; ``check(moves)`` checks what it yields;
    ``push(moves, scale, last)`` adds gradients and starts their all-reduce with the ``last`` batch; ``step(names)``
    steps these players' optimizers; ``seed(number)`` seeds the random draws of a batch.
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
        self._move_counts: dict[tuple[int, int], int] = {}

    def play(self, batches: Sequence[Batch], step: int) -> None:
        """Play one step; gradients are means over the batches.

        The number of moves shows only when a method's updates end. So the first time, the last batch's updates are
        resumed after each move, which is wasted if another move follows; from then on the number is known, for each
        step of a period and each stage.
        """
        kind = step % self._method.period, self._method.stage
        buffers = {name: buffer.clone() for name, buffer in self._method.named_buffers()}
        history = _History(self._method, self._players)
        try:
            while self._pass(batches, step, history, last=len(history) + 1 >= self._move_counts.get(kind, 0)):
                # Image pools, for example: each pass shows them every image once.
                self._restore(buffers)
        finally:
            history.restore_latest()
        self._move_counts[kind] = len(history)

    def _pass(self, batches: Sequence[Batch], step: int, history: _History, *, last: bool) -> bool:
        """Make the move that follows the history; ``last``: it may be the last one. Return whether another follows."""
        wanted: Names | None = None
        updates: Updates = iter(())
        reducing: list[Waiting] = []
        for number, batch in enumerate(batches):
            history.rewind()
            self._seed(number)
            updates = begin(self._method, batch, step)
            moves = self._reach(updates, history)
            names = None if moves is None else names_of(moves)
            if number == 0:
                wanted = names
            if names != wanted or (names is None and history):
                raise self._differing(number, len(history), names, wanted)
            if moves is None:
                continue
            reducing = self._push(moves, 1 / len(batches), number + 1 == len(batches))
            # Free this graph before the next batch builds its own.
            del moves
            if number + 1 < len(batches):
                close(updates)
        if wanted is None:
            return False
        for wait in reducing:
            wait()
        history.add(wanted)
        self._step(wanted)
        more = not last or self._resume(updates) is not None
        close(updates)
        return more

    def _reach(self, updates: Updates, history: _History) -> Moves | None:
        """Replay the moves of the history, and run to the next one."""
        for number, names in enumerate(history):
            moves = self._resume(updates)
            found = None if moves is None else names_of(moves)
            if found != names:
                raise self._differing(None, number, found, names)
            del moves
            history.advance()
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


class _History:
    """The moves made in a step and the weights that they replaced, to rewind and replay the step.

    Only weights that moved are exchanged, in place, as an optimizer does: graphs that hold other weights stay valid.
    """

    def __init__(self, method: Method, players: Mapping[str, Player]) -> None:
        self._method, self._players = method, players
        self._names: list[Names] = []
        self._moved: list[list[Tensor]] = []
        self._saved: list[list[Tensor]] = []
        self._at = 0

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[Names]:
        """The players of each move, in order."""
        return iter(self._names)

    def add(self, names: Names) -> None:
        """Save the weights of the players that are about to move."""
        together = frozenset(names)
        # Each weight once, even if it is shared; a projection may also change weights of its player that did not move.
        weights = dict.fromkeys(weight for name in names for weight in self._players[name].moving(together))
        for name in names:
            if self._players[name].projections:
                weights.update(dict.fromkeys(self._method.players[name].parameters()))
        self._names.append(names)
        self._moved.append(list(weights))
        self._saved.append([weight.detach().clone() for weight in weights])
        self._at = len(self._names)

    def rewind(self) -> None:
        """Restore the weights from before the first move."""
        while self._at > 0:
            self._at -= 1
            self._exchange()

    def advance(self) -> None:
        """Restore the weights from after the next move."""
        self._exchange()
        self._at += 1

    def restore_latest(self) -> None:
        """Restore the weights from after all moves."""
        while self._at < len(self):
            self.advance()

    @torch.no_grad()
    def _exchange(self) -> None:
        weights = self._moved[self._at]
        now = [weight.detach().clone() for weight in weights]
        torch._foreach_copy_(weights, self._saved[self._at])
        self._saved[self._at] = now


def _format_names(names: Names | None) -> str:
    return "nothing" if names is None else " with ".join(names)


def close(updates: Updates) -> None:
    """Close a generator, which frees what it holds at its yield; other iterators hold nothing."""
    if hasattr(updates, "close"):
        updates.close()
