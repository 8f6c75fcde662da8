"""Processes: who a process is, beyond its number, and whether it still runs."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Process:
    """A process, told apart from later ones that get its number; a fact that this system does not tell is empty."""

    host: str
    pid: int
    boot: str
    """The boot id of its machine, which changes when the machine starts anew."""
    namespace: str
    """Its namespace of process numbers: containers of one machine count for themselves."""
    started: str
    """When it started, in the system's own unit."""

    @classmethod
    def own(cls) -> Self:
        """This process."""
        return cls(platform.node(), os.getpid(), boot_id(), _namespace(), _started(os.getpid()))

    @property
    def countable(self) -> bool:
        """Whether its number means the same process here: same machine, same boot, same namespace."""
        here = (platform.node(), boot_id(), _namespace())
        return (self.host, self.boot, self.namespace) == here or bool(
            self.boot and self.namespace and (self.boot, self.namespace) == here[1:]
        )

    @property
    def rebooted(self) -> bool:
        """Whether its machine is this one and has started anew since."""
        return self.host == platform.node() and bool(self.boot and boot_id()) and self.boot != boot_id()

    @property
    def runs(self) -> bool:
        """Whether it still runs; meaningful only if it is ``countable``."""
        return exists(self.pid) and (not self.started or _started(self.pid) in ("", self.started))


def exists(pid: int) -> bool:
    """Whether a process of this number runs here."""
    if sys.platform == "win32":
        # There os.kill would end the process.
        import ctypes

        query = 0x1000  # PROCESS_QUERY_LIMITED_INFORMATION
        handle = ctypes.windll.kernel32.OpenProcess(query, False, pid)
        if handle:
            ctypes.windll.kernel32.CloseHandle(handle)
        return bool(handle)
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    # A process that has ended and that nobody has waited for keeps its number.
    return _status(pid)[:1] not in ("Z", "X")


@cache
def boot_id() -> str:
    """The boot id of this machine; empty where the system does not tell it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


@cache
def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _status(pid: int) -> str:
    """What ``/proc/PID/stat`` says after the name, from the state on; empty where there is no such file."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(") ")[2]
    except OSError:
        return ""


def _started(pid: int) -> str:
    fields = _status(pid).split()
    return fields[19] if len(fields) > 19 else ""
