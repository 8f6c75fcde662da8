"""Commands in processes that begin at once: forks of one process, which has imported torch and translate.

A fork is a process of its own, with its signals, its files and its exit code, and so are the ranks that it starts. Only
the seconds of imports are missing; tests of these, and of what ``python -m translate`` is, start real commands.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

FORKING = """
import gc, json, os, signal, sys, threading
import torch._dynamo, translate.cli, translate.conversion, translate.training
from translate import launching


def become(environment, *files):
    os.environ.clear()
    os.environ.update(environment)
    for number, file in enumerate(files):
        if file is not None:
            os.dup2(file, number)


class Rank:
    # What launching asks of subprocess.Popen, without an interpreter that begins anew.
    returncode = None

    def __init__(self, command, *, env, stdout, stderr, text, process_group):
        assert command[:3] == [sys.executable, "-m", "translate"]
        self.pid = os.fork()
        if self.pid:
            return
        code = 1
        try:
            os.setpgid(0, process_group)
            for number in signal.valid_signals():
                if callable(signal.getsignal(number)):
                    signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            become(env, None, *(file and file.fileno() for file in (stdout, stderr)))
            translate.cli.main(command[3:])
        except SystemExit as ended:
            code = ended.code or 0
        finally:
            threading._shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def poll(self, options=os.WNOHANG):
        if self.returncode is None:
            number, status = os.waitpid(self.pid, options)
            if number:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self):
        return self.poll(0)

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


gc.freeze()
# Also where nohup has begun the tests.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
for line in sys.stdin:
    asked = json.loads(line)
    if "pid" in asked:
        number, status = os.waitpid(asked["pid"], 0 if asked["wait"] else os.WNOHANG)
        print(os.waitstatus_to_exitcode(status) if number else "", flush=True)
    elif number := os.fork():
        print(number, flush=True)
    else:
        os.chdir(asked["cwd"])
        become(asked["environment"], *(os.open(asked[name], os.O_RDWR) for name in ("in", "out", "err")))
        if asked["session"]:
            os.setsid()
        launching.subprocess.Popen = Rank
        translate.cli.main(asked["arguments"])
"""


@cache
def _server(_own: int) -> subprocess.Popen[str]:
    if not hasattr(os, "fork"):
        pytest.skip("there are no forks here")
    process = subprocess.Popen(
        [sys.executable, "-c", FORKING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    atexit.register(process.communicate)
    return process


def _ask(**what: Any) -> str:
    # One for each process of tests, which may itself be forked.
    process = _server(os.getpid())
    assert process.stdin is not None
    assert process.stdout is not None
    print(json.dumps(what), file=process.stdin, flush=True)
    return process.stdout.readline().strip()


class Forked:
    """A command of ``translate`` in a fork; its attributes are those of ``subprocess.Popen``."""

    def __init__(
        self,
        *arguments: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        start_new_session: bool = False,
    ) -> None:
        self._place = Path(tempfile.mkdtemp())
        files = {name: self._place / name for name in ("out", "err")}
        for path in files.values():
            path.touch()
        answer = _ask(
            arguments=[*map(str, arguments)],
            cwd=str(cwd or Path.cwd()),
            environment=dict(os.environ if env is None else env),
            session=start_new_session,
            **{"in": os.devnull, **{name: str(path) for name, path in files.items()}},
        )
        self.pid = int(answer)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, if it has ended."""
        return self._asked(wait=False)

    def wait(self) -> int:
        """The exit code, once it has ended."""
        code = self._asked(wait=True)
        assert code is not None
        return code

    def _asked(self, *, wait: bool) -> int | None:
        if self.returncode is None and (answer := _ask(pid=self.pid, wait=wait)):
            self.returncode = int(answer)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it has written, once it has ended."""
        until = time.monotonic() + (timeout or 1e9)
        while self.poll() is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("translate", timeout or 0)
            time.sleep(0.01)
        return self.written("out"), self.written("err")

    def written(self, name: str = "out") -> str:
        """What it has written so far, to its standard output or to ``err``."""
        return self._place.joinpath(name).read_text(encoding="utf-8")

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def ran(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    process = Forked(*arguments, **options)
    out, err = process.communicate()
    return subprocess.CompletedProcess([*map(str, arguments)], process.wait(), out, err)
