"""Signals: what ends a command or a training, what makes it save, and what a system may lack."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from forking import Forked

from translate.run import Run
from translate.signals import Asked, Ended, caught, ending_cleanly, ending_signals, saving_signals

SMALL = ["--size", "16", "--load-size", "16", "--generator", "small_unet(width=2)", "--discriminator", "mlp"]
COMMAND = ["fit", "gan", "demo(size=16, count=4)"]


@pytest.fixture(autouse=True)
def hangups_are_heeded() -> Iterator[None]:
    """Let hangups end processes as usual, also where ``nohup`` has begun the tests."""
    if not hasattr(signal, "SIGHUP"):
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


unix = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")


@unix
def test_the_first_signal_ends_and_the_earlier_handlers_are_back() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    with caught() as found:
        assert found.take() is Asked.NOTHING
        os.kill(os.getpid(), signal.SIGUSR1)
        assert [found.take(), found.take()] == [Asked.SAVE, Asked.NOTHING]
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert [found.take(), found.take()] == [Asked.END, Asked.END]
        assert found.ending == signal.SIGHUP
        assert {number: signal.getsignal(number) for number in before} == before
    assert {number: signal.getsignal(number) for number in before} == before
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


@unix
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_outside_the_steps_a_signal_raises_what_no_plugin_swallows(name: str, code: int) -> None:
    def guarded() -> None:
        try:
            os.kill(os.getpid(), getattr(signal, name))
        except (Exception, SystemExit):
            pytest.fail("a plugin's guard would have swallowed it")

    with ending_cleanly():
        os.kill(os.getpid(), signal.SIGUSR1)
        with pytest.raises(Ended, match=f"ended by {name}") as found:
            guarded()
    assert found.value.exit_code == code


@unix
def test_a_hangup_that_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with caught() as found:
            os.kill(os.getpid(), signal.SIGHUP)
        assert found.take() is Asked.NOTHING
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_system_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, "SIGHUP", raising=False)
    monkeypatch.delattr(signal, "SIGUSR1", raising=False)
    assert ending_signals() == [signal.SIGINT, signal.SIGTERM]
    assert saving_signals() == []
    with caught() as found, ending_cleanly():
        assert found.take() is Asked.NOTHING


def started(folder: Path, *options: str, until: Callable[[], bool]) -> Forked:
    command = [*COMMAND, "-o", str(folder), "--steps", "1000000", "--log-every", "1", "--compile", "no"]
    # With the default pools of threads two small networks take a second a step on a busy machine.
    process = Forked(*command, *SMALL, *options, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        limit = time.monotonic() + 120
        while not until():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < limit
            time.sleep(0.02)
    except BaseException:
        process.kill()
        raise
    return process


def logged(folder: Path) -> bool:
    file = folder / "metrics.jsonl"
    return file.exists() and file.stat().st_size > 0


@unix
@pytest.mark.parametrize("devices", ["1", "2"])
def test_a_training_saves_when_asked_and_at_a_hangup(devices: str, tmp_path: Path) -> None:
    folder = tmp_path / "my run"
    process = started(folder, "--devices", devices, until=lambda: logged(folder))
    process.send_signal(signal.SIGUSR1)
    limit = time.monotonic() + 60
    while not (saved := Run.open(folder).checkpoints):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.02)
    lines = len((folder / "metrics.jsonl").read_bytes())
    while len((folder / "metrics.jsonl").read_bytes()) == lines:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGHUP)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 129, told
    assert "Traceback" not in told
    assert f"translate fit --resume '{folder}'" in told
    assert Run.open(folder).checkpoints[-1] > saved[0]


PLUGIN = """
import pathlib, time
from translate import hookimpl

@hookimpl
def schedules():
    pathlib.Path({file!r}).touch()
    time.sleep(30)
    return {{}}
"""


@unix
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_during_the_start_ends_with_its_code(name: str, code: int, tmp_path: Path) -> None:
    """It comes inside of a plugin's hook, whose exceptions are caught."""
    plugin = tmp_path / "slow.py"
    plugin.write_text(PLUGIN.format(file=str(tmp_path / "begun")), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "translate", "-p", plugin, *COMMAND, "-o", tmp_path / "r", *SMALL],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: [signal.signal(each, signal.SIG_DFL) for each in (signal.SIGINT, signal.SIGHUP)],
    )
    limit = time.monotonic() + 120
    while not (tmp_path / "begun").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.02)
    process.send_signal(getattr(signal, name))
    _, told = process.communicate(timeout=60)
    assert process.returncode == code, told
    assert "Traceback" not in told
    assert not (tmp_path / "r").exists()
