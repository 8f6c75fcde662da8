"""Assignments: ``NAME=VALUE`` as somebody types it behind a flag, and the argument ``given`` of a verb's function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from translate.errors import TranslateError


class Typed(str):
    """A value that was typed behind one of the flags for options and inputs."""

    flag: str

    def __new__(cls, text: str, flag: str) -> Typed:
        """A text with the flag that it stood behind."""
        made = super().__new__(cls, text)
        made.flag = flag
        return made

    def __reduce__(self) -> tuple[type[Typed], tuple[str, str]]:
        return Typed, (str(self), self.flag)


def typed_pairs(pairs: Iterable[str], flag: str, where: str) -> dict[str, Typed]:
    """The names and values of texts such as ``passes=4``; raises ``TranslateError`` for another, or a name twice.

    >>> typed_pairs(["passes=4"], "--set", "convert")
    {'passes': '4'}
    """
    found: dict[str, Typed] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name = name.strip()
        if not equals or not name or not value:
            example = "passes=4" if flag == "--set" else "label=night"
            raise TranslateError(f"{where}: {flag} {pair!r:.100} is no NAME=VALUE, such as {flag} {example}")
        if name in found:
            raise TranslateError(f"{where}: {flag} gives {name} twice; give it once")
        found[name] = Typed(value, flag)
    return found


def parse_given(value: Any, where: str) -> dict[str, Any]:
    """Check the argument ``given`` of a function: values by name."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise TranslateError(f'{where}: given holds values by name, such as {{"passes": 4}}, not {value!r:.100}')
    return dict(value)


def as_flags(given: Mapping[str, Any], options: Iterable[str]) -> list[str]:
    """The flags by which another process is given the same; raises ``TranslateError`` for what is no text."""
    constants, flags = set(options), []
    for name, value in given.items():
        flag = value.flag if isinstance(value, Typed) else "--set" if name in constants else "--with"
        if isinstance(value, (tuple, list)) and name in constants:
            value = ",".join(map(str, value)) or "none"
        if not isinstance(value, (str, Path, int, float)) and value is not None:
            raise TranslateError(
                f"{name} is given as {type(value).__name__}, which cannot be handed to other processes; give its file"
            )
        flags.append(f"{flag}={name}={'none' if value is None else value}")
    return flags
