"""Growing: the lines of a file that others append to, each read once."""

from __future__ import annotations

import os
from pathlib import Path

from translate.errors import TranslateError
from translate.step_rows import opened


class Growing:
    """A file of lines. ``read`` gives those that were appended since the last call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._forget()

    def _forget(self) -> None:
        self._identity: tuple[int, int] | None = None
        self._offset, self._pending = 0, b""

    def read(self) -> tuple[bool, list[bytes]]:
        """Whether all that was read before is to be forgotten, and the lines that are new.

        A file that was replaced, cut or removed is read anew. A last line without its end is still being written, or
        was cut off by a kill: it comes when it is whole. Raises ``TranslateError`` if there is something else than a
        file in its place.
        """
        try:
            with opened(self._path) as file:
                found = os.fstat(file.fileno())
                identity = found.st_dev, found.st_ino
                anew = identity != self._identity or found.st_size < self._offset
                if anew:
                    self._forget()
                    self._identity = identity
                file.seek(self._offset)
                added = file.read()
        except FileNotFoundError:
            self._forget()
            return True, []
        except OSError as error:
            raise TranslateError(f"cannot read {self._path}: {error.strerror or error}") from None
        self._offset += len(added)
        *lines, self._pending = (self._pending + added).split(b"\n")
        return anew, lines
