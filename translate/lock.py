"""The lock of a run: a file in its folder that names the process which trains it.

The file ``lock.json`` holds host, number, boot, namespace and start of that process. On one machine these say whether
it still runs, whatever became of its number. An advisory lock on the file answers for containers, which count processes
for themselves; of another machine nothing can be known, so its lock counts until somebody removes the file.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path

from translate import atomic
from translate.errors import TranslateError
from translate.processes import Process

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

NAME = "lock.json"

log = logging.getLogger("translate")


class LockedError(TranslateError):
    """Another process trains this run."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder inside the block.

    Raises ``LockedError`` if a living process holds it, this one included. The lock of a dead one is taken over with
    one line in the log.
    """
    handle = _acquire(folder / NAME)
    try:
        yield
    finally:
        _release(folder / NAME, handle)


def _release(path: Path, handle: int) -> None:
    try:
        # Somebody may have removed the file, and another process made its own since.
        ours = os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        ours = False
    if fcntl is None:
        os.close(handle)
    with contextlib.suppress(OSError):
        if ours:
            path.unlink()
    if fcntl is not None:
        os.close(handle)


def refuse_locked(folder: Path) -> None:
    """Raise ``LockedError`` if a living process holds the lock of a run's folder."""
    path = folder / NAME
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        holder = _holder(handle)
        if _is_alive(holder, handle):
            _refuse(path, holder)
    finally:
        os.close(handle)


def is_locked(folder: Path) -> bool:
    """Whether a living process holds the lock of a run's folder, or one of which nothing can be known."""
    path = folder / NAME
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return _is_alive(_holder(handle), handle)
    finally:
        os.close(handle)


def _acquire(path: Path) -> int:
    """Make the lock file, or take it over, and return its open handle."""
    for _ in range(100):
        try:
            handle = _make(path)
        except OSError as error:
            raise TranslateError(
                f"cannot write {path}: {error.strerror}; a run can be trained only where it can be written"
            ) from None
        if handle is not None:
            return handle
        if (handle := _take_over(path)) is not None:
            return handle
        time.sleep(0.02)
    raise LockedError(f"{path} changes all the time; other processes are starting to train this run")


def _make(path: Path, *, over: bool = False) -> int | None:
    """Put a new, whole lock file in place, and return its handle; None if there is one already, unless ``over``."""
    temporary = atomic.temporary_beside(path)
    handle = _written(temporary)
    try:
        if over:
            temporary.replace(path)
        else:
            # A link appears whole or not at all, on network file systems, too.
            os.link(temporary, path)
        return handle
    except FileExistsError:
        os.close(handle)
        return None
    except OSError:
        os.close(handle)
        if over:
            raise
    except BaseException:
        os.close(handle)
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    # A file system without links: the file appears at once there, and its content a moment later.
    try:
        return _written(path)
    except FileExistsError:
        return None


def _written(path: Path) -> int:
    """Make a file that names this process, and return its handle, which holds the advisory lock."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        _hold(handle)
        os.write(handle, json.dumps(asdict(Process.own())).encode())
        os.fsync(handle)
    except BaseException:
        os.close(handle)
        path.unlink(missing_ok=True)
        raise
    return handle


def _take_over(path: Path) -> int | None:
    """Replace a stale lock; None if it is gone or changing; ``LockedError`` if its process lives."""
    try:
        old = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TranslateError(f"cannot read {path}: {error.strerror}; check its permissions") from None
    try:
        holder = _holder(old)
        if _is_alive(holder, old):
            _refuse(path, holder)
        # Of several that find a lock stale, the one that holds it may replace it, if it is still in its place.
        if not _hold(old):
            return None
        try:
            if not os.path.samestat(os.fstat(old), path.stat()):
                return None
        except FileNotFoundError:
            return None
        if fcntl is None:
            # Windows replaces and removes no open file.
            os.close(old)
            old = -1
            path.unlink(missing_ok=True)
        handle = _make(path, over=fcntl is not None)
        if handle is None:
            return None
        who = "a process" if holder is None else f"process {holder.pid} on {holder.host}"
        log.warning("%s: %s has ended without removing its lock, which is taken over", path.parent, who)
        return handle
    finally:
        if old >= 0:
            os.close(old)


def _refuse(path: Path, holder: Process | None) -> None:
    who = "a process" if holder is None else f"process {holder.pid} on {holder.host}"
    unknown = holder is not None and not holder.countable
    more = f", or remove {path} if you know that it has ended" if unknown else ""
    raise LockedError(f"{path.parent} is being trained by {who}; wait until it has ended{more}")


def _is_alive(holder: Process | None, handle: int) -> bool:
    """Whether the process that a lock names still runs; what is damaged or of another machine must be assumed to."""
    if holder is not None and holder.countable:
        return holder.runs
    if holder is not None and holder.rebooted:
        return False
    here = Process.own()
    if holder is None or (holder.boot and holder.boot == here.boot):
        # Another container of this machine, whose locks are seen here, or a file that says nothing.
        return _is_held(handle)
    return True


def _holder(handle: int) -> Process | None:
    """The process that an open lock file names; None if the file is damaged."""
    try:
        os.lseek(handle, 0, os.SEEK_SET)
        found = json.loads(os.read(handle, 4096))
        if set(found) != {each.name for each in fields(Process)} or not isinstance(found["pid"], int):
            return None
        return Process(**found)
    except (OSError, ValueError, TypeError):
        return None


def _hold(handle: int) -> bool:
    """Hold the advisory lock of an open file until it is closed; True also where there are no such locks."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _is_held(handle: int) -> bool:
    """Whether another open file holds the advisory lock; False where there are no such locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    fcntl.flock(handle, fcntl.LOCK_UN)
    return False
