"""Steps on a device other than the CPU, without one: on tensors that have no values.

As on a GPU, an operation on tensors of two devices is an error there, and whoever asks for a value waits in vain.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_capture import METHODS, OBJECTIVES, built, drawn
from test_catalog import small
from test_engine import Game, engine, make
from torch import nn

from translate.devices import memory_in_use, pick_device
from translate.errors import TranslateError
from translate.method import Batch, Method, Update

META = torch.device("meta")


@pytest.fixture(autouse=True)
def _autocast_that_knows_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    autocast = torch.autocast

    def known(kind: str, *given: Any, **named: Any) -> Any:
        return autocast("cpu" if kind == "meta" else kind, *given, **named)

    monkeypatch.setattr(torch, "autocast", known)


def plain(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    # Fused forms know the devices that there are.
    return torch.optim.AdamW(parameters, lr=1e-3)


def devices_of(method: Method, **options: Any) -> set[torch.device]:
    """The devices of all tensors that a training has after two periods."""
    machine = engine(method.to(META), plain, seed=7, steps=8, **options)
    for step in range(2 * method.period):
        machine.step([{name: value.to(META) for name, value in drawn(method, step).items()}])
    return {value.device for value in machine.tensors().values() if value.dim()}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_stays_on_the_device(name: str) -> None:
    assert devices_of(built(small("methods", name)), ema=0.9, clip_norm=1.0) == {META}


@pytest.mark.parametrize("objective", [*OBJECTIVES, "lsgan"])
@pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])
def test_objectives_stay_on_the_device(name: str, objective: str) -> None:
    assert devices_of(built(small("methods", name), adversarial=objective)) == {META}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda fake: fake + torch.ones(3, 16, 16),
        lambda fake: fake * fake.mean().item(),
        lambda fake: fake[fake > 0],
    ],
    ids=["two devices", "a value", "a mask"],
)
def test_what_a_gpu_would_refuse_or_wait_for_fails_here(wrong: Any) -> None:
    def moves(game: Game, given: Batch, _step: int) -> Any:
        yield Update("generator", {"l1": wrong(game.generator(given["source"])).mean()})

    machine = engine(make(moves).to(META), plain)
    with pytest.raises((RuntimeError, NotImplementedError)):
        machine.step([{name: torch.zeros(2, 3, 16, 16, device=META) for name in ("source", "target")}])


def test_a_device_that_is_not_supported_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == torch.device("cpu")
    for name in ("mps", "mps:0"):
        with pytest.raises(TranslateError, match=r"Apple's GPU \(mps\) has no float64 and is not supported"):
            pick_device(name)
    with pytest.raises(TranslateError, match="devices of the kind 'meta' are not supported"):
        pick_device("meta")
    for name in ("cuda:99", "gpu", ""):
        with pytest.raises(TranslateError, match=f"there is no device '{name}' here"):
            pick_device(name)


# --- systems that lack what Linux has ---------------------------------------------------------------------------------


def peak_of(monkeypatch: pytest.MonkeyPatch, platform: str) -> int:
    usage = SimpleNamespace(ru_maxrss=4096)
    stand_in = SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda whose: usage)
    monkeypatch.setitem(sys.modules, "resource", stand_in)  # type: ignore[arg-type]
    monkeypatch.setattr(sys, "platform", platform)
    return memory_in_use(torch.device("cpu"))


def test_the_peak_is_in_bytes_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert peak_of(monkeypatch, "linux") == 4096 * 1024
    assert peak_of(monkeypatch, "darwin") == 4096


def test_the_peak_of_this_process_is_more_than_torch_itself_takes() -> None:
    assert 50 * 2**20 < memory_in_use(torch.device("cpu")) < 2**40


def test_the_peak_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in of its library writes the counter where the structure of its documentation has it."""
    monkeypatch.setitem(sys.modules, "resource", None)

    def read(process: int, counters: Any, size: int) -> int:
        assert (process, size) == (-1, 72)
        ctypes.memmove(ctypes.addressof(counters._obj) + 8, ctypes.byref(ctypes.c_size_t(5 * 2**20)), 8)
        return 1

    kernel = SimpleNamespace(GetCurrentProcess=lambda: -1, K32GetProcessMemoryInfo=read)
    monkeypatch.setattr(ctypes, "WinDLL", lambda name: kernel, raising=False)
    assert memory_in_use(torch.device("cpu")) == 5 * 2**20
    monkeypatch.delattr(ctypes, "WinDLL")
    assert memory_in_use(torch.device("cpu")) == 0


HIDDEN = """
import os, pathlib, signal, sys
for name in ("resource", "fcntl", "pwd", "grp", "termios", "pty"):
    sys.modules[name] = None
for name in ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGKILL", "SIGQUIT"):
    delattr(signal, name)
for name in ("sched_getaffinity", "sysconf", "getuid", "geteuid", "fork", "killpg", "statvfs"):
    delattr(os, name)
opened, read = os.open, pathlib.Path.read_text
def open_no_folder(path, *given, **named):
    if not isinstance(path, int) and os.path.isdir(path):
        raise PermissionError(13, "Permission denied", str(path))
    return opened(path, *given, **named)
def read_no_proc(self, *given, **named):
    if str(self).startswith(("/proc", "/sys")):
        raise FileNotFoundError(2, "No such file", str(self))
    return read(self, *given, **named)
os.open, pathlib.Path.read_text = open_no_folder, read_no_proc
from translate.cli import main
main(sys.argv[1:])
"""


def test_one_step_and_a_conversion_without_what_windows_lacks(tmp_path: Path) -> None:
    def ran(*arguments: str) -> str:
        done = subprocess.run([sys.executable, "-c", HIDDEN, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    small = ["--size", "16", "--load-size", "16", "--steps", "1", "--generator", "small_unet(width=2)"]
    run, pairs = str(tmp_path / "run"), str(tmp_path / "pairs")
    ran("data", "demo(size=16, count=2)", "--export", pairs)
    assert "trained 1 steps" in ran("fit", "gan", pairs, "-o", run, "--discriminator", "mlp", *small)
    assert "converted" in ran("convert", run, pairs + "/test/source", str(tmp_path / "made"))
