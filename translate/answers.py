"""The answers of hooks: what each hook may return, checked where it comes in."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from translate import hookspecs
from translate.errors import TranslateError
from translate.options import parse_call

KINDS = tuple(
    name for name, spec in vars(hookspecs).items() if getattr(spec, "__annotations__", {}).get("return") == "Offers"
)
"""The kinds of part that plugins offer, by the names of their hooks: ``methods``, ``generators`` ..."""

OFFERING = (*KINDS, "parts", "recognize", "commands")
"""The hooks whose answers are used; all others are observers."""


def check_answer(hook: str, answer: Any, is_dataset: Callable[[str], bool]) -> Any:
    """The answer of a plugin's hook, or an ``AnswerError`` that says what is wrong with it."""
    if hook in KINDS:
        return _offers(answer)
    if hook == "parts":
        return _kinds(answer)
    if hook == "recognize":
        return _layouts(answer, is_dataset)
    return _commands(answer) if hook == "commands" else None


class AnswerError(TypeError):
    """A hook's answer that cannot be used; the message completes "the plugin answers HOOK with"."""


def _offers(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, Mapping):
        raise AnswerError(f"{_named(answer)} instead of names and factories")
    found = dict(answer.items())
    for name, factory in found.items():
        if not isinstance(name, str) or not name.isprintable() or not name.strip():
            raise AnswerError(f"{_named(name)} as a name, where a text is expected")
        if not callable(factory) and not isinstance(factory, str):
            raise AnswerError(f"{_named(factory)} for {name!r}, where a factory or its import path is expected")
        if isinstance(factory, str) and not all(each.isidentifier() for each in factory.replace(":", ".").split(".")):
            raise AnswerError(f"{factory!r:.80} for {name!r}, where a path such as package.module:Name is expected")
    return found


def _kinds(answer: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(answer, Mapping):
        raise AnswerError(f"{_named(answer)} instead of kinds of parts")
    for kind in answer:
        if not isinstance(kind, str) or not kind.isidentifier() or not kind.islower() or not kind.endswith("s"):
            raise AnswerError(f"{_named(kind)} as a kind of part, where a plural such as 'couplings' is expected")
        if kind in KINDS or hasattr(hookspecs, kind):
            raise AnswerError(f"the kind {kind!r}, which has a hook of its own; answer that")
    return {kind: _offers(offers) for kind, offers in answer.items()}


def _layouts(answer: Any, is_dataset: Callable[[str], bool]) -> list[str]:
    if not isinstance(answer, (list, tuple)):
        raise AnswerError(f"{_named(answer)} instead of a list of calls")
    for each in answer:
        if not isinstance(each, str):
            raise AnswerError(
                f"a list with {_named(each)} in it, where calls such as \"folders(source='a')\" are expected"
            )
        try:
            name = parse_call(each).name
        except TranslateError as error:
            raise AnswerError(f"{each!r:.80}: {error}") from None
        if not is_dataset(name):
            raise AnswerError(f"{each!r:.80}, and there is no dataset {name!r:.80}")
    return list(answer)


def _commands(answer: Any) -> list[Any]:
    if not isinstance(answer, (list, tuple)):
        raise AnswerError(f"{_named(answer)} instead of a list of commands")
    # Who has made a command has imported click; everything but the command line does without it.
    click = sys.modules.get("click")
    for each in answer:
        if click is None or not isinstance(each, click.Command) or not each.name:
            raise AnswerError(f"a list with {_named(each)} in it, where click commands with names are expected")
        each.get_short_help_str()
    return list(answer)


def _named(value: Any) -> str:
    """A value in a message: None, or its type."""
    return "None (is a return missing?)" if value is None else f"{type(value).__name__} ({value!r:.60})"
