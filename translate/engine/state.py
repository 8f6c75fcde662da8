"""The engine's checkpoint state: tensors and numbers by name, checked before they are loaded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

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


def optimizer_state(
    player: Player, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any], *, has_moved: bool
) -> dict[str, Any]:
    """One player's optimizer state out of both, checked, as ``load_state_dict`` takes it.

    It must be what the optimizer keeps of a weight after a step, of each weight that it has any state of. ``has_moved``
    says that there must be some.
    """
    what = f"the checkpoint's optimizer of {player.name}"
    state: dict[int, dict[str, Any]] = {}
    weights = [weight for group in player.optimizer.param_groups for weight in group["params"]]
    for name, value in {**tensors, **numbers}.items():
        owner, index, key = (*name.split("/", 2), "", "")[:3]
        if owner != player.name:
            continue
        if not (index.isascii() and index.isdigit() and len(index) < 9 and key):
            raise TranslateError(f"{what} has an entry {name!r:.100}, which is none of a weight")
        if int(index) >= len(weights):
            raise TranslateError(f"{what} has more weights than the player")
        state.setdefault(int(index), {})[key] = value
    if not state and has_moved and _state_after_a_step(player.optimizer, weights[0]):
        raise TranslateError(f"{what} is missing, though the training has moved all players")
    for number, entries in state.items():
        wanted = _state_after_a_step(player.optimizer, weights[number])
        if wanted is not None:
            _check_entries(what, entries, wanted, weights[number])
        for key, value in entries.items():
            if isinstance(value, Tensor) and value.dim() > 0:
                if value.shape != weights[number].shape:
                    raise TranslateError(
                        f"{what} holds {key} of shape {tuple(value.shape)} "
                        f"where the weight is {tuple(weights[number].shape)}"
                    )
                # Fused optimizers iterate over memory: a moment must have its weight's memory format.
                entries[key] = torch.empty_like(weights[number], dtype=value.dtype).copy_(value)
    return {"state": state, "param_groups": player.optimizer.state_dict()["param_groups"]}


def takes_state(player: Player, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> bool:
    """Whether a player's optimizer, whose options may have changed, can go on with a checkpoint's state."""
    numbers = metadata.get("optimizer_numbers", {})
    try:
        state = optimizer_state(player, under(tensors, "optimizer/"), numbers, has_moved=False)["state"]
    except TranslateError:
        return False
    weights = player.optimizer.param_groups[0]["params"]
    return bool(state) or int(metadata["step"]) == 0 or not _state_after_a_step(player.optimizer, weights[0])


def _check_entries(what: str, entries: Mapping[str, Any], wanted: Mapping[str, Any], weight: Tensor) -> None:
    """Raise ``TranslateError`` unless one weight's entries are those that an optimizer keeps, of the same types."""
    for key in wanted.keys() | entries.keys():
        if key not in entries or key not in wanted:
            raise TranslateError(f"{what} {'lacks' if key in wanted else 'holds a strange'} {key!r:.100} of a weight")
        given, like = entries[key], wanted[key]
        if isinstance(like, Tensor) != isinstance(given, Tensor):
            raise TranslateError(f"{what} holds {key!r:.100} as {type(given).__name__}, not {type(like).__name__}")
        if not isinstance(like, Tensor):
            if isinstance(like, (int, float)) and (isinstance(given, bool) or not isinstance(given, (int, float))):
                raise TranslateError(f"{what} holds {key!r:.100} as {given!r:.60}, which is no number")
            continue
        shape = () if like.dim() == 0 else tuple(weight.shape)
        if given.dtype != like.dtype or tuple(given.shape) != shape:
            raise TranslateError(
                f"{what} holds {key!r:.100} as {given.dtype} {tuple(given.shape)} where {like.dtype} {shape} belongs"
            )
        if key == "step" and not bool((given >= 0).all()):
            raise TranslateError(f"{what} holds a negative step")


def _state_after_a_step(optimizer: Optimizer, weight: Tensor) -> dict[str, Any] | None:
    """What an optimizer keeps of a weight, seen on a small one; None if that cannot be tried."""
    small = nn.Parameter(torch.zeros((2,) * weight.dim(), dtype=weight.dtype, device=weight.device))
    small.grad = torch.zeros_like(small)
    trial: Optimizer = object.__new__(type(optimizer))
    try:
        trial.__dict__.update(optimizer.__dict__)
        trial.__dict__["state"] = defaultdict(dict)
        trial.__dict__["param_groups"] = [{**optimizer.param_groups[0], "params": [small]}]
        trial.step()
    except Exception:
        # An optimizer of a plugin may need all of its weights.
        return None
    return dict(trial.state[small])
