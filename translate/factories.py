"""Calls of factories, with those arguments that they declare, and what their results must have."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from translate.errors import TranslateError, nearest
from translate.isolation import failures_of_a_plugin
from translate.plugins import Offer, singular

METHODS: Mapping[str, tuple[str, ...]] = {
    "losses": ("__call__",),
    "schedules": ("__call__",),
    "augmentations": ("__call__",),
    "optimizers": ("step", "zero_grad"),
    "adversarial_losses": ("discriminator", "generator"),
    "metrics": ("update", "result"),
}
"""What a part of a kind must have; networks, methods and datasets are checked where they are used."""


def call_factory(offer: Offer, *arguments: Any, given: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
    """Call the factory of an offer with ``arguments``, those of ``given`` that it has arguments for, and ``options``.

    Raises ``TranslateError`` if an argument is missing, or if the result lacks what a part of its kind must have.
    """
    factory = offer.load()
    matching = {} if arguments else _matching(factory, given, offer.name)
    with failures_of_a_plugin():
        built = factory(*arguments, **matching, **options)
    for method in METHODS.get(offer.kind, ()):
        if not callable(getattr(built, method, None)):
            called = "cannot be called" if method == "__call__" else f"has no method {method}"
            raise TranslateError(
                f"{offer.name} is no {singular(offer.kind)}: its factory returned a {type(built).__name__}, "
                f"which {called}"
            )
    return built


def _matching(factory: Callable[..., Any], given: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Select the values that the factory has arguments for, by name; raise ``TranslateError`` if one is missing."""
    matching: dict[str, Any] = {}
    for argument in inspect.signature(factory).parameters.values():
        if argument.kind is argument.POSITIONAL_OR_KEYWORD:
            if argument.name in given:
                matching[argument.name] = given[argument.name]
            elif argument.default is argument.empty:
                raise TranslateError(
                    f"{name} asks for {argument.name!r}, which is not at hand; {nearest(argument.name, given)}"
                )
    return matching
