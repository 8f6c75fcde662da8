"""The lock of a run: a file in its folder that names the process which trains it.

The file ``lock.json`` holds host, number, boot, namespace and start of that process. On one machine these say whether
it still runs, whatever became of its number. An advisory lock on the file answers for containers, which count processes
for themselves. For other machines, which see only the file, a thread of the holder renews the file's time: a lock of
another machine that has not been renewed for ten minutes is taken over. A holder that was only asleep notices before it
writes the next time (``refuse_lost``).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import threading
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

RENEWED_SECONDS = 30.0
"""How often the holder renews the time of its lock."""

STALE_SECONDS = 600.0
"""Age from which the lock of another machine counts as that of a dead process."""

log = logging.getLogger("translate")


class LockedError(TranslateError):
    """Another process trains this run."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder inside the block.

    Raises ``LockedError`` if a living process holds it, this one included. The lock of a dead one is taken over with
    one line in the log.
    """
    held = _Held(folder)
    _locks[held.folder] = held
    try:
        yield
    finally:
        _locks.pop(held.folder, None)
        held.release()


def refuse_lost(folder: Path) -> None:
    """Raise ``LockedError`` if this process has held the lock of a folder and another one has taken it over since.

    A process calls it before it writes to the folder: it may have been asleep for so long that it counted as dead.
    """
    held = _locks.get(folder.resolve())
    if held is not None:
        held.refuse_lost()


class _Held:
    """A lock that this process holds, and the thread that renews its time."""

    def __init__(self, folder: Path) -> None:
        self._handle = _acquire(folder / NAME)
        self.folder = folder.resolve()
        self._path = self.folder / NAME
        self._using = threading.Lock()
        self._ended = threading.Event()
        # A daemon, so that it never keeps the process alive.
        threading.Thread(target=self._renew, name="translate-lock", daemon=True).start()

    def release(self) -> None:
        self._ended.set()
        with self._using:
            ours = self._is_in_place()
            if fcntl is None:
                # Windows removes no open file.
                os.close(self._handle)
            with contextlib.suppress(OSError):
                if ours:
                    self._path.unlink()
            if fcntl is not None:
                os.close(self._handle)

    def refuse_lost(self) -> None:
        with self._using:
            if self._is_in_place():
                return
            if (handle := _make(self._path)) is not None:
                # Somebody has removed the file, and nobody has come since.
                os.close(self._handle)
                self._handle = handle
                return
        holder = _read(self._path)
        who = "another process" if holder is None else f"process {holder.pid} on {holder.host}"
        raise LockedError(
            f"{self._path.parent} has been taken over by {who}, since this process did not renew its lock for long; "
            "it ends without writing, and the other one goes on"
        )

    def _is_in_place(self) -> bool:
        """Whether the file is still ours: another process may have replaced it, or somebody removed it."""
        try:
            return os.path.samestat(os.fstat(self._handle), self._path.stat())
        except OSError:
            return False

    def _renew(self) -> None:
        if hasattr(signal, "pthread_sigmask"):
            # Signals are for the main thread, which they wake from what it waits for.
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while not self._ended.wait(RENEWED_SECONDS):
            with self._using, contextlib.suppress(OSError):
                if not self._ended.is_set():
                    # Without times given, the file system's own clock is taken.
                    os.utime(self._handle if os.utime in os.supports_fd else self._path)


_locks: dict[Path, _Held] = {}


def refuse_locked(folder: Path) -> None:
    """Raise ``LockedError`` if a living process holds the lock of a run's folder."""
    path = folder / NAME
    with contextlib.suppress(OSError), _open(path, os.O_RDONLY) as handle:
        holder = _holder(handle)
        if _is_alive(holder, handle, path):
            _refuse(path, holder)


def is_locked(folder: Path) -> bool:
    """Whether a living process holds the lock of a run's folder, or one of another machine that renews it."""
    try:
        refuse_locked(folder)
    except LockedError:
        return True
    return False


@contextmanager
def _open(path: Path, flags: int) -> Iterator[int]:
    handle = os.open(path, flags)
    try:
        yield handle
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
        if _is_alive(holder, old, path):
            _refuse(path, holder)
        ended = _why_ended(holder, path)
        # Of several that find a lock stale, the one that holds it may replace it, if it is still in its place.
        held = _hold(old)
        try:
            if not os.path.samestat(os.fstat(old), path.stat()):
                return None
        except FileNotFoundError:
            return None
        if not held and not (holder is not None and _is_elsewhere(holder) and _moved_away(path, old)):
            return None
        if fcntl is None:
            # Windows replaces and removes no open file.
            os.close(old)
            old = -1
            path.unlink(missing_ok=True)
        handle = _make(path, over=held and fcntl is not None)
        if handle is None:
            return None
        log.warning("%s: %s, which is taken over", path.parent, ended)
        return handle
    finally:
        if old >= 0:
            os.close(old)


def _moved_away(path: Path, old: int) -> bool:
    """Move away the lock of a process that sleeps elsewhere and still holds the open file, unless another came first.

    Only one of several that try moves that very file. What is moved by mistake is put back; if that fails, its holder
    notices before it writes.
    """
    aside = atomic.temporary_beside(path)
    try:
        path.rename(aside)
        if os.path.samestat(os.fstat(old), aside.stat()):
            return True
        os.link(aside, path)
        return False
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


def _refuse(path: Path, holder: Process | None) -> None:
    when = more = ""
    if holder is not None and not holder.countable:
        when = f", which renewed its lock {_in_words(_age(path))} ago" if _is_elsewhere(holder) else ""
        more = f", or remove {path} if you know that it has ended"
    raise LockedError(f"{path.parent} is being trained by {_who(holder)}{when}; wait until it has ended{more}")


def _who(holder: Process | None) -> str:
    return "a process" if holder is None else f"process {holder.pid} on {holder.host}"


def _why_ended(holder: Process | None, path: Path) -> str:
    if holder is not None and _is_elsewhere(holder):
        return f"{_who(holder)} has not renewed its lock for {_in_words(_age(path))}"
    return f"{_who(holder)} has ended without removing its lock"


def _is_alive(holder: Process | None, handle: int, path: Path) -> bool:
    """Whether the process that a lock names still runs, or, if it is of another machine, renews its lock."""
    if holder is not None and holder.countable:
        return holder.runs
    if holder is not None and holder.rebooted:
        return False
    if holder is None or not _is_elsewhere(holder):
        # Another container of this machine, whose locks are seen here, or a file that says nothing.
        return _is_held(handle)
    return _age(path) < STALE_SECONDS


def _is_elsewhere(holder: Process) -> bool:
    """Whether a process that is not countable runs on another machine, not in another container of this one."""
    return not holder.countable and not holder.rebooted and not (holder.boot and holder.boot == Process.own().boot)


def _age(path: Path) -> float:
    """Seconds since a lock was renewed, by the clock that gave the file its time: that of its file system."""
    probe = atomic.temporary_beside(path)
    try:
        with _open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as handle:
            os.write(handle, b"now")
            now = os.fstat(handle).st_mtime
    except OSError:  # a folder that can only be read
        now = time.time()
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
    try:
        return max(0.0, now - path.stat().st_mtime)
    except OSError:
        return 0.0


def _in_words(seconds: float) -> str:
    count, unit = (seconds / 60, "minute") if seconds >= 120 else (seconds, "second")
    return f"{count:.0f} {unit}{'' if round(count) == 1 else 's'}"


def _read(path: Path) -> Process | None:
    try:
        with _open(path, os.O_RDONLY) as handle:
            return _holder(handle)
    except OSError:
        return None


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
    return _flock(handle, exclusive=True) is not False


def _is_held(handle: int) -> bool:
    """Whether another open file holds the advisory lock; False where there are no such locks."""
    free = _flock(handle, exclusive=False)
    if free:
        fcntl.flock(handle, fcntl.LOCK_UN)
    return free is False


def _flock(handle: int, *, exclusive: bool) -> bool | None:
    """Take the advisory lock of an open file, if no other holds it; None where there are no such locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
