"""The engine's checkpoint state: tensors and numbers by name, checked before they are loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from translate.engine.players import Player
from translate.errors import TranslateError


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, which is removed.

    >>> list(under({"log/l1": torch.ones(()), "ema/weight": torch.ones(2)}, "log/"))
    ['l1']
    """
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def compare(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], what: str) -> None:
    """Raise ``TranslateError`` for the first tensor that is missing, superfluous, or of another shape or dtype."""
    for name, value in wanted.items():
        if name not in given:
            raise TranslateError(
                f"the checkpoint lacks the tensor {name!r} of {what}; it was made by another configuration"
            )
        if given[name].shape != value.shape or given[name].dtype != value.dtype:
            raise TranslateError(
                f"the checkpoint's tensor {name!r} of {what} is {given[name].dtype} {tuple(given[name].shape)} "
                f"where {value.dtype} {tuple(value.shape)} is expected; it was made by another configuration"
            )
    for name in given:
        if name not in wanted:
            raise TranslateError(
                f"the checkpoint's tensor {name!r} has no place in {what}; it was made by another configuration"
            )


def optimizer_tensors(players: Iterable[Player]) -> dict[str, Tensor]:
    """The tensors in the states of the players' optimizers, as ``PLAYER/WEIGHT/KEY``."""
    return {name: value for name, value in _state_entries(players) if isinstance(value, Tensor)}


def optimizer_numbers(players: Iterable[Player]) -> dict[str, Any]:
    """The Python numbers in the states of the players' optimizers, as ``PLAYER/WEIGHT/KEY``."""
    return {name: value for name, value in _state_entries(players) if not isinstance(value, Tensor)}


def _state_entries(players: Iterable[Player]) -> Iterable[tuple[str, Any]]:
    for player in players:
        for index, state in player.optimizer.state_dict()["state"].items():
            for key, value in state.items():
                yield f"{player.name}/{index}/{key}", value


def optimizer_state(player: Player, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> dict[str, Any]:
    """One player's optimizer state out of both, checked, as ``load_state_dict`` takes it."""
    state: dict[int, dict[str, Any]] = {}
    weights = [weight for group in player.optimizer.param_groups for weight in group["params"]]
    for name, value in {**tensors, **numbers}.items():
        owner, index, key = name.split("/", 2)
        if owner != player.name:
            continue
        if int(index) >= len(weights):
            raise TranslateError(f"the checkpoint's optimizer of {player.name} has more weights than the player")
        weight = weights[int(index)]
        if isinstance(value, Tensor) and value.dim() > 0:
            if value.shape != weight.shape:
                raise TranslateError(
                    f"the checkpoint's optimizer of {player.name} holds {key} of shape {tuple(value.shape)} "
                    f"where the weight is {tuple(weight.shape)}"
                )
            # Fused optimizers iterate over memory: a moment must have its weight's memory format.
            value = torch.empty_like(weight, dtype=value.dtype).copy_(value)
        state.setdefault(int(index), {})[key] = value
    return {"state": state, "param_groups": player.optimizer.state_dict()["param_groups"]}
