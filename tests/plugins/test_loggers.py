"""Loggers: what they get of a training, resumed or not, and that they can neither stop, slow nor change it."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

import translate
from translate import checkpoint, loggers
from translate.errors import TranslateError
from translate.logger import parse_loggers
from translate.run import Config, Run

SMALL: dict[str, Any] = {
    "size": 32,
    "batch": 2,
    "generator": "unet(width=4)",
    "discriminator": "patch(width=4, receptive_field=16)",
    "log_every": 1,
    "sample_every": 3,
    "save_every": 2,
    "keep": 9,
    "steps": 4,
}
DEMO = "demo(size=32, count=3)"

STRANGER = """
import json, random, threading, time
import numpy, torch
from pathlib import Path
from translate import hookimpl

class Lines:
    def __init__(self, *, fails: str = "", hangs: str = "") -> None:
        self.fails, self.hangs = fails, hangs
        self.act("init")
    def act(self, what, *told):
        if what == self.fails:
            raise SystemExit(f"no {what}")
        if what == self.hangs:
            time.sleep(1000)
        random.random(), numpy.random.rand(), torch.rand(3), torch.randn(2, 2)
        if what != "init":
            with (self.path / "lines").open("a") as file:
                file.write(json.dumps([what, *told, threading.current_thread() is threading.main_thread()]) + "\\n")
    def start(self, run):
        run.folder.mkdir(parents=True, exist_ok=True)
        self.path = run.folder
        path = run.folder / "lines"
        held = [json.loads(line)[1] for line in path.read_text().splitlines()] if path.exists() else []
        self.act("start", run.step, run.name, run.steps, run.options["generator"], run.options["steps"])
        return max((each for each in held if isinstance(each, int)), default=None)
    def log_scalars(self, step, values): self.act("scalars", step, values)
    def log_image(self, step, name, path): self.act("image", step, name, path.name)
    def finish(self, reason, final): self.act("finish", reason, final)

class Half:
    def start(self, run): ...

@hookimpl
def parts(): return {"loggers": {"lines": Lines, "half": Half}}
"""


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("plugins") / "strange_lines.py"
    path.write_text(STRANGER)
    return str(path)


def fit(folder: Path, log: Any, **options: Any) -> Run:
    return translate.fit("pix2pix", DEMO, output=folder, log=log, **{**SMALL, **options})


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run without a logger."""
    return fit(tmp_path_factory.mktemp("runs") / "plain", ())


def weights(run: Run) -> dict[str, torch.Tensor]:
    return checkpoint.load(run.checkpoints[-1])[0]


def same_weights(one: Run, two: Run) -> None:
    first, second = weights(one), weights(two)
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def told(run: Run, name: str = "lines") -> list[list[Any]]:
    return [json.loads(line) for line in (run.folder / "logs" / name / "lines").read_text().splitlines()]


def values_of(row: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in row.items() if name != "step"}


def back_to(run: Run, step: int, folder: Path) -> Path:
    """A copy of the run as if it had been killed on its way to the checkpoint after ``step``."""
    shutil.copytree(run.folder, folder)
    for path in Run.open(folder).checkpoints:
        if int(path.stem.rpartition("-")[2]) > step:
            path.unlink()
    return folder


def test_a_strangers_logger_gets_all_rows_and_pictures_and_changes_no_weight(
    plain: Run, stranger: str, tmp_path: Path
) -> None:
    run = fit(tmp_path / "run", "lines", plugins=[stranger])
    same_weights(plain, run)
    start, *between, end = told(run)
    assert start == ["start", 0, "run", 4, SMALL["generator"], 4, False]
    rows = [each for each in between if each[0] == "scalars"]
    assert [(step, values) for _, step, values, _ in rows] == [(row["step"], values_of(row)) for row in run.metrics]
    pictures = [each[1:4] for each in between if each[0] == "image"]
    assert pictures == [[step, "samples", f"step-{step:08d}.png"] for step in (0, 1, 3, 4)]
    assert end == ["finish", "finished", values_of(run.metrics[-1]), False]
    assert not any(each[-1] for each in (start, *between, end)), "a method ran in the training's thread"


@pytest.mark.parametrize("where", ["start", "scalars", "image", "finish"])
def test_a_logger_that_fails_is_told_once_and_left_out(
    where: str, plain: Run, stranger: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = fit(tmp_path / "run", f"lines(fails={where})", plugins=[stranger])
    same_weights(plain, run)
    warned = [line for line in caplog.messages if "logger" in line]
    assert len(warned) == 1
    assert warned[0].startswith("warning: the logger lines failed and is left out, the training goes on: SystemExit")


@pytest.mark.parametrize("where", ["start", "scalars", "finish"])
def test_a_logger_that_hangs_holds_up_no_step(
    where: str,
    plain: Run,
    stranger: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loggers, "SILENT_SECONDS", 0.3)
    run = fit(tmp_path / "run", f"lines(hangs={where})", plugins=[stranger])
    same_weights(plain, run)
    assert [line for line in caplog.messages if "logger" in line] == [
        "warning: the logger lines has not answered for a while, so its log lacks the end; a resumed run goes on with it"
    ]


def test_a_resumed_run_logs_no_row_twice_and_catches_up(
    stranger: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = fit(tmp_path / "run", "lines", plugins=[stranger])
    half = back_to(run, 2, tmp_path / "half")
    # One logger goes on, and one is new: it gets what was before.
    resumed = translate.resume(half, log="lines", steps=5, plugins=[stranger])
    steps = [each[1] for each in told(resumed) if each[0] == "scalars"]
    assert steps == [1, 2, 3, 4, 5]
    assert "the log of lines holds steps 3 to 4 already; it keeps them as they were" in caplog.messages
    shutil.rmtree(half / "logs")
    again = translate.resume(half, log=("lines",), steps=6, plugins=[stranger])
    assert [each[1] for each in told(again) if each[0] == "scalars"] == [1, 2, 3, 4, 5, 6]
    assert again.config.log == ("lines",)
    none = translate.resume(half, log="none", steps=7, plugins=[stranger])
    assert len(none.metrics) == 7
    assert len([each for each in told(none) if each[0] == "scalars"]) == 6
    assert [each.what for each in none.changes if each.what == "log"] == ["log"]


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        ("lines(fails=init)", "the logger lines cannot be built: SystemExit: no init"),
        ("half", "the logger half of the plugin strange_lines .* has no log_scalars"),
        ("line", "there is no logger 'line'; did you mean lines"),
        ("lines(colour=1)", "lines has no option 'colour'"),
        ("lines,lines(fails=start)", "fit: log names lines twice; name each logger once"),
        ("lines,", "'' is not the name of a part"),
        (3, "fit: log must name loggers, such as tensorboard, not 3"),
    ],
)
def test_what_cannot_be_a_logger_is_refused_before_anything_is_made(
    log: Any, sentence: str, stranger: str, tmp_path: Path
) -> None:
    with pytest.raises(TranslateError, match=sentence):
        fit(tmp_path / "run", log, plugins=[stranger])
    assert not (tmp_path / "run").exists()


def test_lists_are_split_outside_of_brackets_and_quotes() -> None:
    assert parse_loggers("a(x=(1, 2), y='p,q'), b", "fit") == ("a(x=(1, 2), y='p,q')", "b")
    assert parse_loggers(("a,b", ["c"]), "fit") == ("a", "b", "c")
    assert parse_loggers(None, "fit") == parse_loggers("none", "fit") == ()
    config = Config.from_values({"method": "m", "data": "d", "log": "a, b(c=1)"})
    assert Config.from_values(json.loads(json.dumps(config.to_json()))).log == ("a", "b(c=1)")


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow", "trackio"])
def test_a_missing_package_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module in [each for each in sys.modules if each.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    sentence = rf"the logger {name} needs a package of that name; install it by pip install 'image-translate\[{name}\]'"
    with pytest.raises(TranslateError, match=sentence):
        fit(tmp_path / "run", name)
    assert not (tmp_path / "run").exists()


def test_rows_are_read_whole_and_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    rows = loggers._Rows(path)
    assert rows.new() == []
    path.write_text('{"step": 1, "a": 1, "note": "x", "flag": true}\nno row\n[1]\n{"step": 2, "a"')
    assert rows.new() == [(1, {"a": 1.0})]
    with path.open("a") as file:
        file.write(': NaN}\n{"step": 2, "psnr": 20}\n')
    (one, first), (two, second) = rows.new()
    assert (one, two, first["a"] != first["a"], second) == (2, 2, True, {"psnr": 20.0})
    assert rows.new() == []
    assert rows.last["psnr"] == 20.0


def test_a_row_of_another_name_is_logged_as_it_is(stranger: str, tmp_path: Path) -> None:
    """Scores of a validation come as rows of the same file."""
    from translate.plugins import discover

    run = Run(tmp_path, Config.from_values({"method": "m", "data": "d", "generator": "g"}), step=0, steps=9)
    told_of = loggers.Loggers.build(discover(extra=[stranger]), ["lines"])
    told_of.tell("run_started", run=run)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "g/l1": 1.0}\n{"step": 1, "validation/psnr": 20.5}\n')
    told_of.tell("step_ended", run=run, scalars=None)
    told_of.tell("run_ended", run=run, reason="interrupted")
    assert [each[1:3] for each in told(run)[1:]] == [
        [1, {"g/l1": 1.0}],
        [1, {"validation/psnr": 20.5}],
        ["interrupted", {"g/l1": 1.0, "validation/psnr": 20.5}],
    ]
