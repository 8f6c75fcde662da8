"""What a user can mend: one sentence that says what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "NotFiniteError",
    "TranslateError",
    "UnfitError",
    "nearest",
]


class TranslateError(Exception):
    """A mistake that the user can mend; its text is one sentence and is all that the command line shows."""

    exit_code = 2


class NotFiniteError(TranslateError):
    """Training produced a loss, gradient or weight that is not a finite number."""

    exit_code = 3


class UnfitError(TranslateError):
    """A network cannot do what it is asked to, whatever the image."""


def nearest(name: str, names: Iterable[str]) -> str:
    """Name the choices that a misspelt name may have meant, ready to end a sentence.

    >>> nearest("unte", ["unet", "resnet"])
    'did you mean unet? (unet, resnet)'
    >>> nearest("x", [])
    'there are none'
    """
    known = list(names)
    if not known:
        return "there are none"
    meant = similar(name, known)
    listed = ", ".join(known)
    return f"{meant} ({listed})" if meant else f"choose from {listed}"


def similar(name: str, names: Iterable[str]) -> str:
    """Ask whether a misspelt name means one that is like it; empty where none is.

    >>> similar("unte", ["unet", "resnet"])
    'did you mean unet?'
    """
    close = difflib.get_close_matches(name, list(names), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else ""
