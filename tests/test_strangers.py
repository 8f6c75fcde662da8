"""Plugins that fail anywhere end a command in one sentence; what is our own fault shows its traceback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from translate.cli import _guarded, cli
from translate.plugins import discover
from translate.strangers import broken_plugin

PLUGIN = '''
"""Breaks where it is told to."""

from typing import Annotated

from torch import nn

import beside_a_stranger
from translate import hookimpl
from translate.method import Method, Update
from translate.options import Option


class Broken(Method):
    """Fails."""

    def __init__(self, parts, *, where: Annotated[str, Option("where it fails")] = "factory") -> None:
        super().__init__()
        if where == "factory":
            {}["not there"]
        if where == "torch":
            self.not_there
        if where == "beside":
            beside_a_stranger.fail()
        if where == "exit":
            raise SystemExit(0)


def loss(*, by: Annotated[float, Option("divisor")] = 0.0):
    """Fails, too."""
    return 1 / by


class Metric:
    """Fails as it is shown images."""

    needs = frozenset({"source"})
    protocol = ""

    def update(self, batch) -> None:
        raise OSError("of no file")

    def result(self):
        return {}


@hookimpl
def methods():
    return {"broken": Broken}


@hookimpl
def losses():
    return {"broken_loss": loss}


@hookimpl
def metrics():
    return {"broken_metric": Metric}
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "beside_a_stranger.py").write_text("def fail():\n    raise ValueError('one\\n two\\x1b[31m')\n")
    path = tmp_path / "a_stranger.py"
    path.write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    return path


def run(*arguments: Any) -> int:
    return _guarded(lambda: cli.main(args=[str(each) for each in arguments], standalone_mode=False))


DATA = ("demo(size=16, count=4)", "--size", "16", "--steps", "1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["broken"], "KeyError: 'not there' (a_stranger.py, line 20)"),
        (["broken", "--where", "torch"], "no attribute 'not_there' (a_stranger.py, line 22)"),
        (["broken", "--where", "beside"], "ValueError: one two\\x1b[31m (beside_a_stranger.py, line 2)"),
        (["broken", "--where", "exit"], "SystemExit: 0 (a_stranger.py, line 26)"),
        (["regression", "--distance", "broken_loss"], "division by zero (a_stranger.py, line 31)"),
    ],
)
def test_a_part_that_cannot_be_built(
    options: list[str], message: str, plugin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    method, *rest = options
    assert run("-p", plugin, "fit", method, *DATA, *rest, "--output", tmp_path / "run") == 2
    told = capsys.readouterr().err
    assert told.startswith("error: the plugin a_stranger (unpackaged sha256:")
    assert f"{message}; mend it, or tell its author" in told
    assert told.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_metric_that_fails(plugin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ("--generator", "shallow(width=2)", "--compile", "no", "--sample-every", "none")
    assert run("fit", "regression", *DATA, *small, "--output", tmp_path / "run") == 0
    capsys.readouterr()
    measured = ("evaluate", tmp_path / "run", DATA[0], "--metric", "broken_metric", "--no-keep")
    assert run("-p", plugin, *measured) == 2
    assert "OSError: of no file (a_stranger.py, line 41)" in capsys.readouterr().err


def test_a_package_with_all_below_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "a_strange_package" / "inner"
    inner.mkdir(parents=True)
    (inner.parent / "__init__.py").write_text("")
    (inner / "__init__.py").write_text("def fail():\n    1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    discover(extra=["a_strange_package"])
    import a_strange_package.inner  # type: ignore[import-not-found]

    with pytest.raises(ZeroDivisionError) as caught:
        a_strange_package.inner.fail()
    assert "a_strange_package" in (broken_plugin(caught.value) or "")


def test_our_own_fault_shows_its_traceback(plugin: Path) -> None:
    discover(extra=[str(plugin), str(Path(__file__).parent / "doors.py")])

    def fail() -> None:
        raise KeyError("ours")

    with pytest.raises(KeyError, match="ours"):
        _guarded(fail)
