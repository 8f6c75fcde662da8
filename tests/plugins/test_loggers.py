"""Loggers: what they get of a training, resumed or not, and that they can neither stop, slow nor change it."""

from __future__ import annotations

import io
import json
import math
import shutil
import sqlite3
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import translate
from translate import checkpoint, loggers
from translate.errors import TranslateError
from translate.logger import LoggedRun, parse_loggers
from translate.run import Config, Run
from translate.testing import check_logger

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


def test_a_training_that_goes_back_logs_on_from_there(stranger: str, tmp_path: Path) -> None:
    from translate.plugins import discover

    run = Run(tmp_path, Config.from_values({"method": "m", "data": "d", "generator": "g"}), step=0, steps=9)
    told_of = loggers.Loggers.build(discover(extra=[stranger]), ["lines"])
    told_of.tell("run_started", run=run)
    rows = [json.dumps({"step": step, "g/l1": 1.0}) + "\n" for step in range(1, 6)]
    (tmp_path / "metrics.jsonl").write_text("".join(rows[:4]))
    told_of.tell("step_ended", run=run, scalars=SimpleNamespace(step=4))
    for _ in range(500):
        if (tmp_path / "logs" / "lines" / "lines").exists() and len(told(run)) >= 5:
            break
        time.sleep(0.01)
    (tmp_path / "metrics.jsonl").write_text("".join(rows[:2]))
    run.step = 2
    told_of.tell("checkpoint_saved", run=run, path=tmp_path)
    (tmp_path / "metrics.jsonl").write_text("".join(rows))
    told_of.tell("step_ended", run=run, scalars=SimpleNamespace(step=5))
    told_of.tell("run_ended", run=run, reason="finished")
    names = [each[0] if each[0] != "scalars" else each[1] for each in told(run)]
    assert names == ["start", 1, 2, 3, 4, "finish", "start", 5, "finish"]
    assert told(run)[6][1] == 2


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
    rows = loggers._Rows(tmp_path)
    assert rows.new() == []
    path.write_text('{"step": 1, "a": 1, "note": "x", "flag": true}\nno row\n[1]\n{"step": 2, "a"')
    assert rows.new() == [(1, {"a": 1.0})]
    with path.open("a") as file:
        file.write(': NaN}\n{"step": 2, "psnr": 20, "ssim": "inf"}\n')
    (one, first), (two, second) = rows.new()
    assert (one, two, first["a"] != first["a"], second) == (2, 2, True, {"psnr": 20.0, "ssim": math.inf})
    assert rows.new() == []
    assert rows.last["psnr"] == 20.0
    # One that was cut has been logged; what comes behind is new.
    path.rename(tmp_path / "before")
    path.write_text('{"step": 1, "a": 1}\n')
    assert rows.new() == []
    with path.open("a") as file:
        file.write('{"step": 2, "a": 2}\n')
    assert rows.new() == [(2, {"a": 2.0})]


def test_a_row_of_another_name_is_logged_as_it_is(stranger: str, tmp_path: Path) -> None:
    """Scores of a validation come as rows of the same file."""
    from translate.plugins import discover

    run = Run(tmp_path, Config.from_values({"method": "m", "data": "d", "generator": "g"}), step=0, steps=9)
    told_of = loggers.Loggers.build(discover(extra=[stranger]), ["lines"])
    before = torch.get_rng_state()
    told_of.tell("run_started", run=run)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "g/l1": 1.0}\n{"step": 1, "validation/psnr": 20.5}\n')
    told_of.tell("step_ended", run=run, scalars=None)
    told_of.tell("run_ended", run=run, reason="interrupted")
    assert torch.equal(torch.get_rng_state(), before), "a logger has drawn from the training's generator"
    assert [each[1:3] for each in told(run)[1:]] == [
        [1, {"g/l1": 1.0}],
        [1, {"validation/psnr": 20.5}],
        ["interrupted", {"g/l1": 1.0, "validation/psnr": 20.5}],
    ]


# --- TensorBoard, by its own reader -----------------------------------------------------------------------------------


def accumulated(run: Run) -> Any:
    """What TensorBoard reads of a run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(run.folder / "logs" / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    found.Reload()
    return found


def check_scalars(found: Any, run: Run) -> None:
    for name in values_of(run.metrics[0]):
        written = [(each.step, each.value) for each in found.Scalars(name)]
        assert written == [(row["step"], pytest.approx(row[name], rel=1e-6)) for row in run.metrics], name


def test_tensorboard_reads_back_all_that_was_logged(plain: Run, tmp_path: Path) -> None:
    run = fit(tmp_path / "run", ["tensorboard"])
    same_weights(plain, run)
    found = accumulated(run)
    assert set(found.Tags()["scalars"]) == set(values_of(run.metrics[0]))
    check_scalars(found, run)
    pictures = found.Images("samples")
    assert [each.step for each in pictures] == [0, 1, 3, 4]
    assert pictures[2].encoded_image_string == (run.samples / "step-00000003.png").read_bytes()
    height, width, _ = translate.images.read(run.samples / "step-00000003.png").pixels.shape
    assert (pictures[2].height, pictures[2].width) == (height, width)
    (text,) = found.Tensors("options/text_summary" if "options/text_summary" in found.Tags()["tensors"] else "options")
    assert b"| generator | unet(width=4) |" in text.tensor_proto.string_val[0]
    from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG, parse_session_start_info_plugin_data

    content = found.SummaryMetadata(SESSION_START_INFO_TAG).plugin_data.content
    options = parse_session_start_info_plugin_data(content).hparams
    assert (options["steps"].number_value, options["generator"].string_value) == (4, "unet(width=4)")


def test_tensorboard_shows_a_step_that_was_trained_twice_once(tmp_path: Path) -> None:
    run = fit(tmp_path / "run", "tensorboard", steps=5)
    resumed = translate.resume(back_to(run, 2, tmp_path / "half"), optimizer=["adam(lr=0.1)"])
    found = accumulated(resumed)
    check_scalars(found, resumed)
    assert [each.step for each in found.Images("samples")] == [0, 1, 3, 5]
    # What is logged after the change is the second training's.
    assert found.Scalars("generator/l1")[-1].value != pytest.approx(run.metrics[-1]["generator/l1"], rel=1e-6)


def test_a_logger_that_comes_later_gets_what_was_before(tmp_path: Path) -> None:
    run = fit(tmp_path / "run", (), steps=2)
    resumed = translate.resume(run.folder, steps=4, log="tensorboard")
    found = accumulated(resumed)
    check_scalars(found, resumed)
    assert {0, 1, 2, 4} <= {each.step for each in found.Images("samples")}


def test_a_full_disk_leaves_tensorboard_out(
    plain: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from translate_loggers.tensorboard import TensorBoard

    start, full = TensorBoard.start, io.FileIO("/dev/full", "wb")

    def start_on_full_disk(self: Any, run: Any) -> int | None:
        held = start(self, run)
        self.finish("", {})
        self._file, self._writer = full, self._records.RecordWriter(full)
        return held

    monkeypatch.setattr(TensorBoard, "start", start_on_full_disk)
    with full:
        run = fit(tmp_path / "run", "tensorboard")
    same_weights(plain, run)
    (line,) = [line for line in caplog.messages if "logger" in line]
    assert "the logger tensorboard failed and is left out, the training goes on: OSError: [Errno 28]" in line


# --- the others, by small stand-ins of their packages ----------------------------------------------------------------


class Recorder:
    """Notes every call, by its dotted name; answers with itself unless told otherwise."""

    def __init__(self, calls: list[Any], name: str = "", answers: Mapping[str, Any] | None = None) -> None:
        self._calls, self._name, self._answers = calls, name, answers or {}

    def __getattr__(self, name: str) -> Recorder:
        if name.startswith("__"):
            raise AttributeError(name)
        return Recorder(self._calls, f"{self._name}.{name}".lstrip("."), self._answers)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._calls.append((self._name, args, kwargs))
        answer = self._answers.get(self._name, self)
        return answer(*args, **kwargs) if callable(answer) and answer is not self else answer


@pytest.fixture
def calls() -> list[Any]:
    return []


def stand_in(monkeypatch: pytest.MonkeyPatch, calls: list[Any], *names: str, **answers: Any) -> None:
    for name in names:
        recorder = Recorder(
            calls, name.partition(".")[2], {key.replace("__", "."): each for key, each in answers.items()}
        )
        monkeypatch.setitem(sys.modules, name, recorder)


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_MODE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_ERROR_REPORTING", "MLFLOW_DISABLE_TELEMETRY"):
        # So that what is set for the package is unset again.
        monkeypatch.setenv(name, "true")


def of(calls: list[Any], name: str) -> list[Any]:
    return [(args, kwargs) for called, args, kwargs in calls if called == name]


def test_wandb_is_offline_under_one_identifier(
    plain: Run, calls: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(monkeypatch, calls, "wandb")
    run = fit(tmp_path / "run", "wandb(project=faces)")
    same_weights(plain, run)
    translate.resume(run.folder, steps=5)
    first, second = (kwargs for _, kwargs in of(calls, "init"))
    assert {each["mode"] for each in (first, second)} == {"offline"}
    assert (first["project"], first["name"], first["resume"]) == ("faces", "run", "allow")
    assert first["id"] == second["id"] != ""
    assert Path(first["dir"]) == run.folder / "logs" / "wandb"
    assert first["config"]["generator"] == "unet(width=4)"
    assert not of(calls, "login")
    rows = [args[0] for args, _ in of(calls, "init.log") + of(calls, "log")]
    assert [row["step"] for row in rows if "epoch" in row] == [1, 2, 3, 4, 5]
    assert all(
        row == json.loads(json.dumps(each))
        for row, each in zip([r for r in rows if "epoch" in r], Run.open(run.folder).metrics, strict=True)
    )
    assert [Path(args[0]).name for args, _ in of(calls, "Image")][:2] == ["step-00000000.png", "step-00000001.png"]


@pytest.mark.parametrize(
    ("log", "environment", "mode"),
    [
        ("wandb(mode=online)", None, "online"),
        ("wandb", "online", "online"),
        ("wandb", "disabled", "disabled"),
        ("wandb(mode=offline)", "online", "offline"),
        ("wandb", "dryrun", "offline"),
    ],
)
def test_wandb_goes_online_only_where_the_user_says_so(
    log: str, environment: str | None, mode: str, calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, calls, "wandb")
    if environment is not None:
        monkeypatch.setenv("WANDB_MODE", environment)
    built = build_loggers(log)
    assert built["wandb"]._mode == mode  # type: ignore[attr-defined]
    assert len(of(calls, "login")) == (mode == "online")


def build_loggers(log: str) -> Mapping[str, Any]:
    from translate.plugins import discover

    return loggers.Loggers.build(discover(), parse_loggers(log, "fit"))._loggers


def test_wandb_without_a_key_is_refused_before_the_training(calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, calls, "wandb", login=False)
    with pytest.raises(TranslateError, match="the logger wandb has no key to go online; run `wandb login`"):
        build_loggers("wandb(mode=online)")
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    with pytest.raises(TranslateError, match="the logger wandb has no mode 'sometimes'; set WANDB_MODE"):
        build_loggers("wandb")


def test_mlflow_has_a_store_in_the_run_and_goes_on_in_the_same_run(
    plain: Run, calls: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    there: list[Any] = []

    def search(*_: Any, **__: Any) -> list[Any]:
        return list(there)

    made = SimpleNamespace(info=SimpleNamespace(run_id="r1"), data=SimpleNamespace(params={"steps": "4"}))
    client = "tracking.MlflowClient"
    answers = {
        f"{client}.get_experiment_by_name": None,
        f"{client}.create_experiment": "e1",
        f"{client}.search_runs": search,
        f"{client}.create_run": made,
        "entities.Metric": lambda *args: args,
    }
    stand_in(monkeypatch, calls, "mlflow", "mlflow.entities", "mlflow.tracking", "sqlalchemy", "alembic", **answers)
    run = fit(tmp_path / "run", "mlflow")
    same_weights(plain, run)
    there.append(made)
    translate.resume(run.folder, steps=5)
    store = f"sqlite:///{run.folder / 'logs' / 'mlflow' / 'mlflow.db'}"
    assert [kwargs["tracking_uri"] for _, kwargs in of(calls, client)] == [store, store]
    assert len(of(calls, f"{client}.create_run")) == 1
    assert (("r1",), {"status": "RUNNING"}) in of(calls, f"{client}.update_run")
    batches = [kwargs["metrics"] for _, kwargs in of(calls, f"{client}.log_batch")]
    assert [{metric[3] for metric in each} for each in batches] == [{1}, {2}, {3}, {4}, {5}]
    assert {metric[0]: metric[1] for metric in batches[0]} == values_of(run.metrics[0])
    assert (("r1", "generator", "unet(width=4)"), {}) in of(calls, f"{client}.log_param")
    assert (("r1", "resumed.steps", "5"), {}) in of(calls, f"{client}.set_tag")
    assert [args for args, _ in of(calls, f"{client}.set_terminated")] == [("r1", "FINISHED")] * 2
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:///elsewhere")
    assert build_loggers("mlflow")["mlflow"]._uri == "file:///elsewhere"
    assert build_loggers("mlflow(uri='http://127.0.0.1:5000')")["mlflow"]._uri == "http://127.0.0.1:5000"


def test_mlflow_writes_nothing_to_where_a_run_lay_before(
    calls: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The store knows its pictures by the whole path, and is moved with its run."""
    local = tmp_path / "moved run" / "logs" / "mlflow"
    local.mkdir(parents=True)
    before, other = "file:///before/100%25_run/logs/mlflow/artifacts", "file:///before/100%25_run/logs/mlflow/art"
    with closing(sqlite3.connect(local / "mlflow.db")) as store, store:
        store.execute("CREATE TABLE experiments (experiment_id, artifact_location)")
        store.execute("CREATE TABLE runs (run_uuid, artifact_uri)")
        store.execute("INSERT INTO experiments VALUES (1, ?), (2, ?)", (before, other))
        store.execute(
            "INSERT INTO runs VALUES ('r1', ?), ('r2', ?)", (f"{before}/r1/artifacts", f"{other}/r2/artifacts")
        )
    found = SimpleNamespace(experiment_id="1", artifact_location=before)
    answers = {"tracking.MlflowClient.get_experiment_by_name": found, "tracking.MlflowClient.search_runs": []}
    stand_in(monkeypatch, calls, "mlflow", "mlflow.entities", "mlflow.tracking", "sqlalchemy", "alembic", **answers)
    build_loggers("mlflow")["mlflow"].start(LoggedRun("moved run", local, {}, 0, 4))
    now = (local / "artifacts").as_uri()
    with closing(sqlite3.connect(local / "mlflow.db")) as store:
        assert store.execute("SELECT * FROM experiments").fetchall() == [(1, now), (2, other)]
        uris = dict(store.execute("SELECT * FROM runs").fetchall())
    assert uris == {"r1": f"{now}/r1/artifacts", "r2": f"{other}/r2/artifacts"}


@pytest.mark.parametrize("name", ["what?", "50%20"])
def test_mlflow_is_given_no_path_that_it_reads_as_another(
    name: str, calls: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers = {"tracking.MlflowClient.search_runs": []}
    stand_in(monkeypatch, calls, "mlflow", "mlflow.entities", "mlflow.tracking", "sqlalchemy", "alembic", **answers)
    run = LoggedRun(name, tmp_path / name / "logs" / "mlflow", {}, 0, 4)
    with pytest.raises(TranslateError, match=r"MLflow keeps no store below a path with \? or %, as .*; name one by"):
        build_loggers("mlflow")["mlflow"].start(run)
    assert not of(calls, "tracking.MlflowClient")
    # A store that the user names has its own path.
    build_loggers("mlflow(uri='http://127.0.0.1:5000')")["mlflow"].start(run)
    assert of(calls, "tracking.MlflowClient") == [((), {"tracking_uri": "http://127.0.0.1:5000"})]


def test_trackio_goes_on_in_the_same_run_and_prints_nothing(
    plain: Run, calls: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = Recorder(calls)

    def init(**_: Any) -> Recorder:
        sys.stdout.write("* Trackio project initialized\n")
        return fake

    stand_in(monkeypatch, calls, "trackio", init=init)
    run = fit(tmp_path / "run", "trackio")
    same_weights(plain, run)
    translate.resume(run.folder, steps=5)
    run.folder.rename(tmp_path / "another name")
    translate.resume(tmp_path / "another name", steps=6)
    first, second, third = (kwargs for _, kwargs in of(calls, "init"))
    assert first["name"] == second["name"] == third["name"]
    assert first["name"].startswith("run-")
    assert (first["project"], first["resume"]) == ("translate", "allow")
    assert [kwargs["step"] for args, kwargs in of(calls, "log") if "epoch" in args[0]] == [1, 2, 3, 4, 5, 6]
    assert of(calls, "finish") == [((), {})] * 3
    assert "Trackio" not in capsys.readouterr().out


def test_only_one_thread_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    from translate_loggers.quiet import quiet_thread

    other = threading.Thread(target=lambda: sys.stdout.write("of another thread\n"))
    with quiet_thread():
        sys.stdout.write("of this thread\n")
        other.start()
        other.join()
    sys.stdout.write("afterwards\n")
    assert capsys.readouterr().out == "of another thread\nafterwards\n"


def test_other_ranks_build_no_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    from translate import setup

    monkeypatch.setattr(setup, "rank_and_world_size", lambda: (1, 2))
    values = {**SMALL, "method": "pix2pix", "data": DEMO, "log": "nothing"}
    assert not setup.Setup.make(Config.from_values(values)).loggers._loggers
    monkeypatch.undo()
    with pytest.raises(TranslateError, match="there is no logger 'nothing'"):
        setup.Setup.make(Config.from_values(values))


CHECKED = """
import random
import numpy
from translate import hookimpl

class Good:
    def __init__(self) -> None: pass
    def start(self, run):
        run.folder.mkdir(parents=True, exist_ok=True)
        self.path = run.folder / "steps"
        held = [int(each) for each in self.path.read_text().split()] if self.path.exists() else []
        return max(held, default=None)
    def log_scalars(self, step, values):
        with self.path.open("a") as file: file.write(f"{step} ")
    def log_image(self, step, name, path): path.read_bytes()
    def finish(self, reason, final): pass

class Draws(Good):
    def log_image(self, step, name, path): random.random()
class DrawsToo(Good):
    def finish(self, reason, final): numpy.random.rand()
class Boasts(Good):
    def start(self, run): return 10**6 if super().start(run) else None
class Early(Good):
    def start(self, run): super().start(run); return 5
class Text(Good):
    def start(self, run): super().start(run); return "5"
class Writes(Good):
    def finish(self, reason, final): (self.path.parents[2] / "metrics.jsonl").unlink(missing_ok=True)
class Takes(Good):
    def log_scalars(self, step, values): values.clear()
class Half:
    def start(self, run): ...
class Lacks(Good):
    def __init__(self):
        from translate.errors import TranslateError
        raise TranslateError("it needs a package")

@hookimpl
def parts():
    every = [Good, Draws, DrawsToo, Boasts, Early, Text, Writes, Takes, Half, Lacks]
    return {"loggers": {each.__name__.lower(): each for each in every}}
"""


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("good", ""),
        ("draws", "draws: log_image draws from Python's global generator"),
        ("drawstoo", "drawstoo: finish draws from NumPy's global generator"),
        ("boasts", "its log ends at step 20, and start says that it holds step 1000000"),
        ("early", "the log of a new run holds nothing, and start says step 5"),
        ("text", "start must return a step or None, not '5'"),
        ("writes", "it changes metrics.jsonl of the run"),
        ("takes", "log_scalars changes the values that it is given"),
        ("half", "it has no method log_scalars()"),
        ("lacks", "it cannot be built here: it needs a package"),
    ],
)
def test_the_contract_of_a_logger_is_checked(name: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "checked.py"
    file.write_text(CHECKED)
    if not told:
        check_logger(name, plugins=[str(file)])
        return
    with pytest.raises(AssertionError) as caught:
        check_logger(name, plugins=[str(file)])
    assert told in str(caught.value)


def test_tensorboard_keeps_the_contract() -> None:
    pytest.importorskip("tensorboard")
    check_logger("tensorboard")
