"""Atomic files: written beside under a name of the writer's own, flushed to the disk, and renamed.

So a path always holds the whole old file or the whole new one, whoever writes or reads at the same time. A new file has
the mode that the umask gives (0666 without its bits), also where it replaces a file of another mode.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from translate.processes import Process, exists

LONGEST = 143
"""The most bytes of a temporary name: some file systems that encrypt take no more, most take 255."""

FOREIGN_SECONDS = 3600.0
"""Age from which leftovers count as dead whose writer cannot be asked: it ran on another machine or before a boot."""

witnesses: list[Callable[[Path, os.stat_result], None]] = []
"""Whoever is told of each file of this process before it takes its name: the path, and what the system says of it."""

_TAGGED = re.compile(r"\.([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.part$")


def temporary_beside(path: Path) -> Path:
    """A path for a temporary file in the folder of ``path``: hidden, and unlike that of any other call or process.

    The name ends in ``.MACHINE-PID-RANDOM.part``, by which ``sweep`` finds its writer. A long name is hashed.
    """
    tag = f".{machine()}-{os.getpid()}-{secrets.token_hex(4)}.part"
    name = f".{path.name}{tag}"
    if len(os.fsencode(name)) > LONGEST:
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32]}{tag}"
    return path.with_name(name)


@contextmanager
def replacing(path: Path, *, inside: bool = False, content: bool = True, folder: bool = True) -> Iterator[Path]:
    """Yield a temporary path at which the block makes a file; afterwards that file takes the name ``path``.

    ``inside`` puts it into a hidden folder of its own, for libraries that make temporary files beside what they write,
    with modes of their own. ``folder`` makes the new name survive a power cut, too; without it the old file may
    come back. Without ``content`` a power cut, though no kill, may leave an empty file: only for what can be made
    again. If the block or the system raises, nothing of it is left and an older file is unchanged.
    """
    place = temporary_beside(path)
    temporary = place / "file" if inside else place
    try:
        if inside:
            place.mkdir()
        yield temporary
        if inside:
            _give_default_mode(temporary)
        if content:
            flush(temporary)
        if witnesses:
            known = temporary.stat()
            for tell in tuple(witnesses):
                tell(path, known)
        temporary.replace(path)
        if folder:
            flush_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            _remove(place)


@contextmanager
def replacing_together(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield temporary paths at which the block makes files that belong together; afterwards they take their names.

    The first is the one by which the others are found. Where there are several, an old one is removed before the others
    are replaced, and the new one comes last: a reader finds the whole old set, the whole new one, or none.
    """
    place = temporary_beside(paths[0])
    temporary = [place / f"file{path.suffix}" for path in paths]
    try:
        place.mkdir()
        yield temporary
        for made in temporary:
            _give_default_mode(made)
            flush(made)
        if len(paths) > 1:
            paths[0].unlink(missing_ok=True)
        for made, path in reversed([*zip(temporary, paths, strict=True)]):
            made.replace(path)
        flush_folder(paths[0].parent)
    finally:
        with contextlib.suppress(OSError):
            _remove(place)


def write(path: Path, data: bytes, *, content: bool = True, folder: bool = True) -> int | None:
    """Write a file atomically; what is no regular file, such as a pipe or ``/dev/stdout``, is written to directly.

    Returns the file's time of change in nanoseconds, None of what is no regular file.
    """
    if is_special(path):
        with path.open("wb") as file:
            file.write(data)
        return None
    with replacing(path, content=False, folder=folder) as temporary, temporary.open("xb") as file:
        file.write(data)
        file.flush()
        if content:
            os.fsync(file.fileno())
        return os.fstat(file.fileno()).st_mtime_ns


def is_special(path: Path) -> bool:
    """Whether a path is there and is neither a regular file nor a folder: a terminal, a pipe, ``/dev/null``."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def flush(path: Path) -> None:
    """Wait until a file's content is on the disk."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def sweep(folder: Path, *, untagged: bool = False) -> None:
    """Remove what dead writers have left in a folder; what a living process is writing stays.

    ``untagged`` also removes temporary files that tell no writer: those of earlier versions and of the safetensors
    library. It is for folders that nobody else writes to.
    """
    for leftover in (*folder.glob(".*.part"), *(folder.glob(".tmp??????") if untagged else ())):
        tagged = _TAGGED.search(leftover.name)
        if untagged if tagged is None else not _may_be_written(leftover, tagged[1], int(tagged[2])):
            with contextlib.suppress(OSError):
                _remove(leftover)


def _may_be_written(leftover: Path, where: str, pid: int) -> bool:
    if where == machine():
        return exists(pid)
    try:
        return time.time() - leftover.stat().st_mtime < FOREIGN_SECONDS
    except OSError:
        return False


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


@cache
def machine() -> str:
    """Eight letters for this machine, boot and namespace of process numbers."""
    own = Process.own()
    return hashlib.sha256(f"{own.host}/{own.boot}/{own.namespace}".encode()).hexdigest()[:8]


def _give_default_mode(path: Path) -> None:
    # Reading the umask would mean to set it, for all threads; a new file shows it.
    probe = path.with_name("mode")
    with probe.open("wb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    path.chmod(mode)


def flush_folder(folder: Path) -> None:
    """Wait until a folder's names are on the disk, where the system can."""
    # Windows opens no folder, and some network file systems flush none; there the rename itself must do.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
