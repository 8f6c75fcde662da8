"""The quick forms of ``python -m benchmarks.soak``: kills, a full disk, flipped bits, a folder of strange files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from forking import Forked

from benchmarks import soak

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs and no kills here")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where an undisturbed training lies for all of them."""
    return tmp_path_factory.mktemp("soak")


class Together(Forked):
    """Its two outputs as one."""

    def communicate(self, timeout: float | None = None) -> Any:
        out, err = super().communicate(timeout)
        return (out + err).encode(), None


@pytest.mark.parametrize(
    ("kind", "count"), [("kills", 1), ("disk", 1), ("bits", 60), ("folder", 36), ("conversion", 2)]
)
def test_nothing_is_lost(place: Path, kind: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are forks, which start at once, so that kills come while something is done."""
    begin = soak._start

    def start(arguments: Sequence[str], before: Callable[[], object] | None = None) -> Any:
        return begin(arguments, before) if before is not None else Together(*arguments)

    monkeypatch.setattr(soak, "_start", start)
    assert soak.SOAKS[kind](place, count, 1).startswith(f"{kind}: {count} ")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise RuntimeError", "ended in a traceback"),
        (r"print('\x1b[31m')", "printed control characters"),
        ("import time; time.sleep(60)", "hung"),
    ],
)
def test_what_is_wrong_is_noticed(monkeypatch: pytest.MonkeyPatch, code: str, told: str) -> None:
    monkeypatch.setattr(soak, "COMMAND", [sys.executable, "-c", code])
    monkeypatch.setattr(soak, "LONGEST", 10.0 if told != "hung" else 0.5)
    with pytest.raises(soak.SoakError, match=told):
        soak._run(["data"])
