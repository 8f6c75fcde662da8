"""Quiet: what one thread prints is dropped, what others print is not."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


@contextmanager
def quiet_thread() -> Iterator[None]:
    """Inside, nothing that this thread writes to standard output comes through."""
    before = sys.stdout
    filtered = _Filtered(before)
    sys.stdout = filtered
    try:
        yield
    finally:
        filtered.ended = True
        # Somebody else may have put another stream in its place.
        if sys.stdout is filtered:
            sys.stdout = before


class _Filtered(io.TextIOBase):
    """A stream that drops what the thread that has made it writes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._thread = threading.get_ident()
        self.ended = False

    def write(self, text: str) -> int:
        if not self.ended and threading.get_ident() == self._thread:
            return len(text)
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding
