"""Optimizers that a training is asked for: for all players or for one, and as a run's file holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from translate.errors import TranslateError

DEFAULT_OPTIMIZER = "adam"
"""The optimizer of players for which neither anybody asks for one nor their method publishes one."""


def player_of(text: str) -> str | None:
    """The player that an optimizer is for, in ``discriminator=adam(lr=4e-4)``; None if it is for all."""
    player, equals, _ = text.partition("=")
    return player.strip() if equals and "(" not in player else None


def refuse_double(optimizers: Sequence[str]) -> None:
    """Raise ``TranslateError`` if two of the optimizers that are asked for are for the same players.

    >>> refuse_double(["adam(lr=1e-4)", "sgd"])
    Traceback (most recent call last):
    translate.errors.TranslateError: --optimizer gives adam(lr=1e-4) and sgd for all players; give one
    """
    seen: dict[str | None, str] = {}
    for text in optimizers:
        player = player_of(text)
        if player in seen:
            which = "all players" if player is None else f"the player {player}"
            raise TranslateError(f"--optimizer gives {seen[player]} and {text} for {which}; give one")
        seen[player] = text


def as_written(optimizers: Sequence[str]) -> list[str]:
    """What is asked for as a run's file holds it, where the bare name of the default has another meaning.

    >>> as_written(("adam", "critic=sgd"))
    ['adam()', 'critic=sgd']
    """
    return [f"{text}()" if text == DEFAULT_OPTIMIZER else text for text in optimizers]


def as_meant(config: Mapping[str, Any]) -> dict[str, Any]:
    """The options in a run's file, of any version.

    Early versions wrote ``adam`` where nobody had asked for an optimizer: then a method has those that it publishes.

    >>> as_meant({"optimizer": ["adam", "critic=sgd"]}), as_meant({"optimizer": ["adam()"]})
    ({'optimizer': ['critic=sgd']}, {'optimizer': ['adam()']})
    """
    given = config.get("optimizer")
    if not isinstance(given, list):
        return dict(config)
    return {**config, "optimizer": [text for text in given if text != DEFAULT_OPTIMIZER]}
