"""The rules of the game: which updates a method may yield."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from translate.engine.players import MethodError, Player, names_of
from translate.errors import nearest
from translate.method import Batch, Method, Update

LONGEST = 200
"""Characters of a name in the log at most: it becomes a part of a tensor's name in the checkpoint."""


def begin(method: Method, batch: Batch, step: int) -> Iterator[Any]:
    """The updates of a step, whose code runs only as they are asked for, even if the method returns a list of them."""
    updates = method.updates(batch, step)
    if not isinstance(updates, Iterable):
        name = type(method).__name__
        raise MethodError(f"{name}.updates gave a {type(updates).__name__}; write `yield` before each of its updates")
    yield from updates


def check_moves(method: str, players: Mapping[str, Player], moves: tuple[Update, ...]) -> None:
    """Raise ``MethodError`` unless these updates, of one move, keep the rules; ``method`` is the name in the message.

    Each is the update of another player, and all its terms are scalars with a gradient path to the player's weights.
    """
    if not moves:
        raise MethodError(f"{method} yielded an empty tuple; leave out a move that nobody makes")
    for move in moves:
        if not isinstance(move, Update):
            raise MethodError(f"{method} yielded a {type(move).__name__} instead of an Update")
        _check_form(method, move)
    names = names_of(moves)
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise MethodError(f"the player {twice!r} moves twice at once; put all its terms into one update")
    for move in moves:
        if not move.players:
            raise MethodError("an update names no player; name one, or several as a tuple")
        for player in move.players:
            if player not in players:
                raise MethodError(f"there is no player {player!r}; {nearest(str(player), players)}")
        if not move.terms:
            raise MethodError(f"the update of {move.label!r} has no terms")
        weights = {player: set(players[player].moving(frozenset(names))) for player in move.players}
        unreached = dict(weights)
        device = next((weight.device for each in weights.values() for weight in each), torch.device("cpu"))
        for name, term in move.terms.items():
            if not isinstance(term, Tensor) or term.dim() != 0:
                raise MethodError(f"the term {move.label}/{name} must be a scalar tensor: take its mean or sum")
            if not term.is_floating_point() or term.device != device:
                raise MethodError(
                    f"the term {move.label}/{name} is {_kind(term)}; it must be a real number where the weights are, "
                    f"on {device}"
                )
            reached = _reached(term, weights)
            if not reached:
                raise MethodError(
                    f"the term {move.label}/{name} has no gradient path to the weights of {move.label!r}; "
                    "was its input detached, or does it belong to another player?"
                )
            for player in reached:
                unreached.pop(player, None)
        if unreached:
            raise MethodError(
                f"no term of {move.label!r} has a gradient path to the weights of {next(iter(unreached))!r}; "
                "leave that player out, or give it a term"
            )
        _check_log(move, device)


def _check_form(method: str, move: Update) -> None:
    """Raise ``MethodError`` unless an update has players by name, and terms and logged values by names for the log."""
    players = (move.player,) if isinstance(move.player, str) else move.player
    # A set has another order in each process, and with it another name in the log.
    if not isinstance(players, (tuple, list)) or not all(isinstance(each, str) for each in players):
        raise MethodError(f"{method} yielded an update of {move.player!r:.80}; name one player, or several as a tuple")
    for what, given in (("terms", move.terms), ("log", move.log)):
        if not isinstance(given, Mapping):
            raise MethodError(
                f"the {what} of an update of {move.label!r} must be tensors by name, not a {type(given).__name__}"
            )
        for name in given:
            if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > LONGEST:
                raise MethodError(
                    f"{name!r:.80} cannot be a name in the {what} of an update of {move.label!r}; take a short text of "
                    "printable characters"
                )


def _check_log(move: Update, device: torch.device) -> None:
    """Raise ``MethodError`` unless what an update logs has names of its own and is a scalar on the device."""
    for name, value in move.log.items():
        if name in move.terms:
            raise MethodError(f"{move.label}/{name} is a term and logged as well; give what is logged another name")
        if not isinstance(value, Tensor) or value.dim() != 0:
            raise MethodError(
                f"the logged {move.label}/{name} must be a scalar tensor: numbers would stay what they are when a "
                "recorded step is replayed"
            )
        if value.is_complex() or value.device != device:
            raise MethodError(
                f"the logged {move.label}/{name} is {_kind(value)}; it must be a real number where the weights are, "
                f"on {device}"
            )


def _kind(value: Tensor) -> str:
    return f"{str(value.dtype).removeprefix('torch.')} on {value.device}"


def _reached(term: Tensor, weights: Mapping[str, set[nn.Parameter]]) -> set[str]:
    """The players to whose weights the autograd graph of a term leads."""
    owners: dict[Tensor, set[str]] = {}
    for name, each in weights.items():
        for weight in each:
            owners.setdefault(weight, set()).add(name)
    found = set(owners.get(term, ()))
    seen: set[Any] = set()
    ahead = [term.grad_fn]
    while ahead and len(found) < len(weights):
        node = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        found |= owners.get(node.variable, set()) if hasattr(node, "variable") else set()
        ahead.extend(following for following, _ in node.next_functions)
    return found
