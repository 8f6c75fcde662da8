"""Sources: the files of the images in flight, of which small ones are read once for all that is asked of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from translate import images
from translate.conversion.stamps import Stamp
from translate.errors import TranslateError

SMALL = 2**18
"""The most bytes of a file that is read at once; to open one of so many again takes longer than to read it."""


class Sources:
    """The files of the images in flight; any thread may ask, each image is asked for by one at a time.

    What an image's outputs were made of is known by the bytes that were read, or by those of the file if nobody has
    changed it since ``begin``.
    """

    def __init__(self) -> None:
        self._seen: dict[Path, Stamp] = {}
        self._held: dict[Path, images.HeldFile] = {}
        self._partners: dict[Path, Mapping[str, Stamp]] = {}

    def note(self, path: Path, partners: Mapping[str, Stamp]) -> None:
        """Note the stamps of the files that a file's outputs are made of beside it, by the inputs' names."""
        self._partners[path] = partners

    def partners(self, path: Path) -> Mapping[str, Stamp]:
        """What was noted of a file, which is forgotten."""
        return self._partners.pop(path, {})

    def begin(self, path: Path) -> None:
        """Note a file's size and time before it is read, and read it if it is small; never raises what it cannot."""
        with contextlib.suppress(TranslateError, OSError), images.open_regular(path) as file:
            now = os.fstat(file.fileno())
            self._seen[path] = Stamp(now.st_size, now.st_mtime_ns, "")
            if now.st_size > SMALL:
                return
            stamp, data = Stamp.of_read(file)
            if not stamp.hash or len(data) != stamp.size:
                # Somebody is writing it.
                return
            self._seen[path] = stamp
            # What is wrong with it is said by whoever decodes it.
            self._held[path] = images.HeldFile.of(data, str(path))

    def held(self, path: Path) -> images.HeldFile | None:
        """A file that is in memory; None if it is not."""
        return self._held.get(path)

    def release(self, path: Path) -> None:
        """Give a file's memory back; its stamp stays."""
        self._held.pop(path, None)

    def end(self, path: Path) -> Stamp:
        """Forget a file, and return the stamp of the bytes that its outputs were made of."""
        self._held.pop(path, None)
        seen = self._seen.pop(path, Stamp(-1, -1, ""))
        if seen.hash:
            return seen
        try:
            now = Stamp.of(path)
        except OSError:
            return seen
        # It changed while it was converted, so nobody can tell what the outputs show.
        return now if (now.size, now.mtime) == (seen.size, seen.mtime) else seen

    def forget(self, path: Path) -> None:
        """Forget a file that becomes no outputs."""
        self._held.pop(path, None)
        self._seen.pop(path, None)
        self._partners.pop(path, None)
