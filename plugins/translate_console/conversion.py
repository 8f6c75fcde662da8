"""Conversion, encoding and sampling on the console: a progress bar with failures above it, or the failures only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from translate_console import text

if TYPE_CHECKING:
    from translate_console.bars import ConversionBar

# Observers are functions, so the state of the display is a module variable; there is only one terminal.
_bar: ConversionBar | None = None
_verb = "convert"


def start(total: int, verb: str) -> None:
    """Start a progress bar if there is a terminal and more than one image; ``verb`` says what is done with them."""
    global _bar, _verb
    end()
    _verb = verb
    if total > 1 and text.is_terminal():
        from translate_console.bars import ConversionBar

        _bar = ConversionBar(total, verb)


def count(source: Path, error: str | None, bottleneck: str) -> None:
    """Count one more image; report a failure in one line."""
    line = None if error is None else f"cannot {_verb} {source}: {error.removeprefix(str(source)).lstrip(': ')}"
    if _bar is not None:
        _bar.count(line, _size(source), bottleneck)
    elif line is not None:
        text.say(line)


def _size(source: Path) -> int:
    try:
        return source.stat().st_size
    except OSError:
        return 0


def end() -> None:
    """Remove the progress bar."""
    global _bar
    ended, _bar = _bar, None
    if ended is not None:
        ended.close()
