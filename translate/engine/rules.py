"""The rules of the game: which updates a method may yield."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from translate.engine.players import MethodError, Player
from translate.errors import nearest
from translate.method import Update


def check_moves(method: str, players: Mapping[str, Player], moves: tuple[Update, ...]) -> None:
    """Raise ``MethodError`` unless these updates, of one move, keep the rules; ``method`` is the name in the message.

    Each is the update of another player, and all its terms are scalars with a gradient path to the player's weights.
    """
    for move in moves:
        if not isinstance(move, Update):
            raise MethodError(f"{method} yielded a {type(move).__name__} instead of an Update")
    names = [move.player for move in moves]
    if len(set(names)) != len(names):
        raise MethodError(f"the player {names[0]!r} moves twice in one tuple of updates; put all its terms into one")
    for move in moves:
        if move.player not in players:
            raise MethodError(f"there is no player {move.player!r}; {nearest(move.player, players)}")
        if not move.terms:
            raise MethodError(f"the update of {move.player!r} has no terms")
        weights = set(players[move.player].moving(frozenset(names)))
        for name, term in move.terms.items():
            if not isinstance(term, Tensor) or term.dim() != 0:
                raise MethodError(f"the term {move.player}/{name} must be a scalar tensor: take its mean or sum")
            if not _reaches(term, weights):
                raise MethodError(
                    f"the term {move.player}/{name} has no gradient path to the weights of {move.player!r}; "
                    "was its input detached, or does it belong to another player?"
                )


def _reaches(term: Tensor, weights: set[nn.Parameter]) -> bool:
    """Whether the autograd graph of a term leads to one of the weights."""
    if isinstance(term, nn.Parameter) and term in weights:
        return True
    seen: set[Any] = set()
    ahead = [term.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if getattr(node, "variable", None) in weights:
            return True
        ahead.extend(following for following, _ in node.next_functions)
    return False
