"""Processes that are stopped, and for how long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from translate import stopped
from translate.stopped import StopWatch, can_tell, is_stopped


def test_time_counts_while_a_process_is_stopped_and_this_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    now, states = [0.0], {7: False, 8: True}
    monkeypatch.setattr(stopped, "is_stopped", states.__getitem__)
    watch = StopWatch(2.0, clock=lambda: now[0])

    def look(after: float) -> int | None:
        now[0] += after
        return watch.overdue([7, 8])

    assert look(0.5) is None  # first seen
    assert look(0.5) is None
    assert look(100.0) is None  # this process was stopped as well: a second counts
    states[8] = False
    assert look(0.5) is None
    states[8] = True
    assert [look(0.5) for _ in range(6)] == [None, None, None, None, 1, 1]


@pytest.mark.skipif(not can_tell(), reason="this system does not tell")
def test_a_real_process() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        assert not is_stopped(process.pid)
        os.kill(process.pid, signal.SIGSTOP)
        until = time.monotonic() + 10
        while not is_stopped(process.pid):
            assert time.monotonic() < until
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    assert not is_stopped(process.pid)
