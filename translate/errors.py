"""Errors that a user can fix: each message is one sentence that says what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "FullDiskError",
    "NotFiniteError",
    "StoppedError",
    "TranslateError",
    "UnfitError",
    "nearest",
]


class TranslateError(Exception):
    """An error that the user can fix; the command line prints its one-sentence message without a traceback."""

    exit_code = 2


class NotFiniteError(TranslateError):
    """Training produced a loss, gradient or weight that is NaN or infinite."""

    exit_code = 3


class StoppedError(TranslateError):
    """A training was ended by its disk, its files, its memory or a plugin; the message says what is saved."""

    exit_code = 5


class FullDiskError(TranslateError):
    """A conversion was ended by a full disk; the files that it has written are whole."""

    exit_code = 5


class UnfitError(TranslateError):
    """The network does not support the request, whatever the image, so a conversion stops at once."""


def nearest(name: str, names: Iterable[str]) -> str:
    """Suggest the closest of some names for a misspelt one, as the end of an error message.

    >>> nearest("unte", ["unet", "resnet"])
    'did you mean unet? (unet, resnet)'
    >>> nearest("x", [])
    'there are none'
    """
    known = list(names)
    if not known:
        return "there are none"
    suggestion = similar(name, known)
    listed = ", ".join(known)
    return f"{suggestion} ({listed})" if suggestion else f"choose from {listed}"


def similar(name: str, names: Iterable[str]) -> str:
    """Suggest similar names for a misspelt one; an empty string if there are none.

    >>> similar("unte", ["unet", "resnet"]), similar("DAY", ["day", "night"])
    ('did you mean unet?', 'did you mean day?')
    """
    # Capitals are the most frequent slip, and count as no difference.
    known = {each: each.casefold() for each in names}
    near = difflib.get_close_matches(name.casefold(), known.values(), n=3, cutoff=0.6)
    close = [each for one in dict.fromkeys(near) for each, folded in known.items() if folded == one][:3]
    return f"did you mean {' or '.join(close)}?" if close else ""
