"""Calls of factories: with those arguments that they declare, and what a plugin's code raises told in one sentence."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from translate.errors import BrokenPluginError, TranslateError, nearest
from translate.isolation import failures_of_a_plugin
from translate.plugins import Offer, format_error, singular

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

    Raises ``TranslateError`` if an argument is missing, and ``BrokenPluginError`` for what the factory itself raises
    without saying what a user could do. An ``OSError`` that names a file stays what it is.
    """
    factory = offer.load()
    matching = {} if arguments else _matching(factory, given, offer.name)
    try:
        with failures_of_a_plugin():
            built = factory(*arguments, **matching, **options)
    except TranslateError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        raise BrokenPluginError(
            f"the plugin {offer.plugin} failed to build {singular(offer.kind)} {offer.name!r}: {format_error(error)}"
        ) from error
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
