"""Texts: values as a report tells them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from translate.terminal import printable


def text_of(value: Any) -> str:
    """A value as a report tells it.

    >>> text_of([32, 64]), text_of(None), text_of(True), text_of(("a", "b"))
    ('32, 64', 'none', 'yes', 'a, b')
    """
    if value is None or value in ((), []):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(text_of(each) for each in value)
    if isinstance(value, Mapping):
        return json.dumps(value)
    return printable(value)
