"""Stamps: what a file is known by, so that a change of it is noticed."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a file is known by: its size in bytes, its time of change in nanoseconds, and the hash of its bytes.

    The hash is empty where nobody can tell it: then the stamp fits no file.
    """

    size: int
    mtime: int
    hash: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """The stamp of a file; raises ``OSError``."""
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            digest = hashlib.file_digest(file, _hash).hexdigest()
            return cls._unless_changed(before, file, digest)

    @classmethod
    def of_read(cls, file: BinaryIO) -> tuple[Self, bytes]:
        """The stamp of an open file with all of its bytes; raises ``OSError``."""
        before = os.fstat(file.fileno())
        data = file.read()
        return cls._unless_changed(before, file, _hash(data).hexdigest()), data

    @classmethod
    def of_written(cls, data: bytes, mtime: int) -> Self:
        """The stamp of a file that was written just now, of which the bytes and the time are known."""
        return cls(len(data), mtime, _hash(data).hexdigest())

    @classmethod
    def _unless_changed(cls, before: os.stat_result, file: BinaryIO, digest: str) -> Self:
        after = os.fstat(file.fileno())
        changed = (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
        # A hash of bytes that somebody was writing must never be taken for that of the file.
        return cls(after.st_size, after.st_mtime_ns, "" if changed else digest)

    def fits(self, path: Path, *, verify: bool = False) -> bool:
        """Whether a file is still the same: by size and time, or by its bytes where they differ or with ``verify``."""
        try:
            now = path.stat()
            if not stat.S_ISREG(now.st_mode) or now.st_size != self.size or not self.hash:
                return False
            if now.st_mtime_ns == self.mtime and not verify:
                return True
            return self.of(path).hash == self.hash
        except OSError:
            return False


def _hash(data: bytes = b"") -> hashlib.blake2b:
    return hashlib.blake2b(data, digest_size=16)
