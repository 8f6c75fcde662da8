"""Notes of a translator, its licence and its description: text of several lines at most."""

from __future__ import annotations

import unicodedata
from typing import Any

from translate.errors import TranslateError

LONGEST = 10_000
"""The most characters of a note; a file holds a licence's name, or its address, rather than its text."""


def parse_note(value: Any, where: str) -> str | None:
    """A note as a file holds it, without the space around it; None for an empty one.

    Raises ``TranslateError`` for one that is no text, too long, or holds control characters but newlines and tabs.

    >>> parse_note(" CC-BY-4.0\\n", "fit"), parse_note("", "fit")
    ('CC-BY-4.0', None)
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise TranslateError(f"{where}: a licence or a description is text, not {value!r:.80}")
    text = value.replace("\r\n", "\n").strip()
    if len(text) > LONGEST:
        raise TranslateError(
            f"{where}: a licence or a description has at most {LONGEST:,} characters, not {len(text):,}; "
            "name the licence, or give its address"
        )
    # Cc and Cs are control characters and halves of characters, such as bytes that are no text.
    strange = next((each for each in text if unicodedata.category(each) in ("Cc", "Cs") and each not in "\n\t"), None)
    if strange is not None:
        raise TranslateError(f"{where}: a licence or a description holds text, and {strange!a} is none; leave it out")
    return text or None
