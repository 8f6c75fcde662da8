"""Marks: what a logger remembers in its folder of the run, the names of its log and how far it has come."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


class Mark:
    """What a log is called, and the last ``step`` that it holds, None at first.

    The ``identifier`` is made once for a run, and ``name`` is the run's name when the log was begun: a folder that is
    moved or renamed goes on in the same log. What cannot be read counts as new.
    """

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "step"
        named = folder / "identifier"
        found = named.read_text(encoding="ascii", errors="replace").strip() if named.exists() else ""
        self.is_new = not (found.isalnum() and found.isascii() and len(found) <= 64)
        if self.is_new:
            # From the operating system's generator, which no seed concerns.
            found = uuid.uuid4().hex[:12]
            named.write_text(f"{found}\n", encoding="ascii")
            self._path.unlink(missing_ok=True)
        self.identifier = found
        begun = folder / "name"
        if self.is_new or not begun.exists():
            begun.write_text(f"{name}\n", encoding="utf-8", errors="backslashreplace")
        self.name = begun.read_text(encoding="utf-8", errors="replace").strip() or name
        text = self._path.read_text(encoding="ascii", errors="replace").strip() if self._path.exists() else ""
        self.step = int(text) if text.isdecimal() and len(text) < 20 else None

    def reach(self, step: int) -> None:
        """Note that the log holds a step; one that it holds already changes nothing."""
        if self.step is not None and step <= self.step:
            return
        self.step = step
        self.write()

    def go_back(self, step: int) -> None:
        """Note that what came after a step was taken back."""
        if self.step is not None and step < self.step:
            self.step = step
            self.write()

    def write(self) -> None:
        """Write the step at once; the file always has one length, so that it is never cut off."""
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            os.write(handle, b"%019d\n" % (self.step or 0))
        finally:
            os.close(handle)
