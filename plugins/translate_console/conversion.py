"""Conversion on the console: a bar with the failures above it; the failures alone where there is no terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from translate_console import text

if TYPE_CHECKING:
    from translate_console.bars import ConversionBar

# Observers are functions, so what is on the terminal is remembered here; there is one terminal.
_bar: ConversionBar | None = None


def start(total: int) -> None:
    """Put up a bar where it is worth one."""
    global _bar
    end()
    if total > 1 and text.is_terminal():
        from translate_console.bars import ConversionBar

        _bar = ConversionBar(total)


def count(source: Path, error: str | None) -> None:
    """Count one image more; a failure is told as one line."""
    line = None if error is None else f"cannot convert {source}: {error.removeprefix(str(source)).lstrip(': ')}"
    if _bar is not None:
        _bar.count(line)
    elif line is not None:
        text.say(line)


def end() -> None:
    """Take the bar down."""
    global _bar
    ended, _bar = _bar, None
    if ended is not None:
        ended.close()
