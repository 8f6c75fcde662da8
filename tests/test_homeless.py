"""Users without a home: containers without HOME, an unknown user, homes and caches that cannot be written."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from translate.compute.compiler import VARIABLE, keep_compiled, missing_compiler

BARE = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "SYSTEMROOT") if name in os.environ}
NOBODY = """
import sys
try:
    import pwd
except ImportError:
    pass
else:
    def unknown(number):
        raise KeyError(f"getpwuid(): uid not found: {number}")
    pwd.getpwuid = unknown
from translate.cli import main
main(sys.argv[1:])
"""
SMALL = ["--size", "16", "--load-size", "16", "--generator", "small_unet(width=2)", "--discriminator", "mlp"]
HOMES = {
    "no HOME": {},
    "a HOME that is not there": {"HOME": "/nonexistent"},
    # Nobody writes there, not even the superuser, as whom containers run tests.
    "a HOME that cannot be written": {"HOME": "/proc", "XDG_CACHE_HOME": "/proc/cache"},
}
needs_proc = pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")


def ran(home: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", NOBODY, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**BARE, "OMP_NUM_THREADS": "1", **HOMES[home]},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done


@needs_proc
@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("command", ["--help", "plugins", "completion bash"])
def test_commands_that_only_tell(home: str, command: str, tmp_path: Path) -> None:
    assert ran(home, *command.split(), cwd=tmp_path).stdout


@needs_proc
@pytest.mark.parametrize("home", HOMES)
def test_training(home: str, tmp_path: Path) -> None:
    ran(home, "fit", "gan", "demo(size=16, count=4)", "--steps", "2", "-o", "run", *SMALL, cwd=tmp_path)
    assert (tmp_path / "run" / "translator.safetensors").exists()


@needs_proc
@pytest.mark.compiled
@pytest.mark.skipif(missing_compiler(torch.device("cpu")) is not None, reason="no C++ compiler")
@pytest.mark.parametrize("home", HOMES)
def test_training_compiled(home: str, tmp_path: Path) -> None:
    more = ["--compile", "yes", "--steps", "2", "-o", "run", *SMALL]
    done = ran(home, "fit", "gan", "demo(size=16, count=4)", *more, cwd=tmp_path)
    assert "cannot be compiled" not in done.stderr


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's name of the cache is what it was, after a test that sets it."""
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.delenv(VARIABLE)


@pytest.mark.usefixtures("named")
def test_compiled_code_is_cached_where_caches_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    keep_compiled()
    assert os.environ[VARIABLE] == str(tmp_path / "translate" / "compiled")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    keep_compiled()
    assert os.environ[VARIABLE] == str(tmp_path / "translate" / "compiled")


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize("why", ["no home", "a file in its place"])
def test_without_a_place_for_caches_compiled_code_is_for_this_process(
    why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", "" if why == "no home" else str(tmp_path / "file"))
    monkeypatch.setattr(Path, "home", unknown)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    keep_compiled()
    folder = Path(os.environ[VARIABLE])
    assert folder.parent == tmp_path
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only the superuser may become another user")
def test_a_user_who_is_in_no_list(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for folder in tmp_path.parents:
        # pytest closes the outermost of its folders to others whenever one of its processes begins.
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(0o755)
    as_nobody = {"cwd": tmp_path, "env": {**BARE, "OMP_NUM_THREADS": "1"}, "user": 12345, "group": 12345}
    probe = [sys.executable, "-c", "import ctypes, torch, translate.cli"]
    try:
        subprocess.run(probe, capture_output=True, check=True, **as_nobody)  # type: ignore[call-overload]
    except (PermissionError, subprocess.CalledProcessError):
        pytest.skip("another user cannot read this Python")
    command = ["fit", "gan", "demo(size=16, count=4)", "--steps", "2", "-o", "run", *SMALL]
    done = subprocess.run(  # type: ignore[call-overload]
        [sys.executable, "-m", "translate", *command], capture_output=True, text=True, check=False, **as_nobody
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "translator.safetensors").stat().st_uid == 12345
