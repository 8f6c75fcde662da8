"""Stopped: finds processes that somebody has stopped (SIGSTOP), which neither end nor go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

PROCESSES = Path("/proc")

LONGEST_LOOK = 1.0
"""The most seconds that count between two looks: who looks may have been stopped as well."""


def can_tell() -> bool:
    """Whether this system tells which processes are stopped."""
    return (PROCESSES / "self" / "stat").exists()


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped; False where the system does not tell, or if there is none."""
    try:
        text = (PROCESSES / str(pid) / "stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    # The name in brackets may hold anything; a process that a debugger holds is "t".
    return text.rpartition(")")[2].split()[:1] == ["T"]


class StopWatch:
    """Measures for how long processes have been stopped."""

    def __init__(self, most: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._seconds: dict[int, float] = {}
        self._looked = clock()

    def overdue(self, pids: Sequence[int]) -> int | None:
        """The place of the first process that has been stopped for longer than allowed, while this one was not."""
        now = self._clock()
        passed, self._looked = min(now - self._looked, LONGEST_LOOK), now
        for place, pid in enumerate(pids):
            if not is_stopped(pid):
                self._seconds.pop(pid, None)
                continue
            # At the first look nothing is known of the time before.
            self._seconds[pid] = self._seconds[pid] + passed if pid in self._seconds else 0.0
            if self._seconds[pid] >= self._most:
                return place
        return None
