"""The log of a run: its rows and lines, their order, and what becomes of a damaged file."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_training import MEAN as METHOD

import translate
from translate import metrics_file
from translate.background import Background
from translate.errors import TranslateError
from translate.ordered import OrderedLog
from translate.progress import Progress
from translate.run import Run, Scalars


def fit(folder: Path, **more: Any) -> Run:
    plugin = folder.parent / "means.py"
    plugin.write_text(METHOD, encoding="utf-8")
    options = {"size": 16, "steps": 8, "log_every": 2, "save_every": 4, "plugins": [str(plugin)], **more}
    return translate.fit("mean", "demo(size=16, count=6)", output=folder, **options)


def test_a_row_has_the_step_the_epoch_the_seconds_and_the_learning_rates(tmp_path: Path) -> None:
    run = fit(tmp_path / "run", batch=2, accumulate=2, schedule="linear(constant=0.5)", optimizer=["adam(lr=0.01)"])
    rows = run.metrics
    assert [list(row) for row in rows] == [
        ["step", "epoch", "seconds", "learning_rate/network", "network/l", "images_per_second", "memory"]
    ] * 4
    # Four images a step of six an epoch.
    assert [row["epoch"] for row in rows] == pytest.approx([8 / 6, 16 / 6, 24 / 6, 32 / 6], abs=1e-6)
    # The rate of a row's own step: the sixth is the second after the half, the eighth the last.
    assert [row["learning_rate/network"] for row in rows] == pytest.approx([0.01, 0.01, 0.0075, 0.0025])
    seconds = [row["seconds"] for row in rows]
    assert seconds == sorted(seconds)
    assert 0 < seconds[0] < seconds[-1]


def test_a_row_has_the_seconds_of_the_training_by_its_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a clock that goes on by a minute with each step, from 1000 seconds on."""
    now = [1000.0]
    count = Progress.count

    def counted(self: Progress, images: int) -> None:
        count(self, images)
        now[0] += 60

    monkeypatch.setattr(Progress, "count", counted)
    monkeypatch.setattr("translate.run.Progress", lambda: Progress(clock=lambda: now[0]))
    rows = fit(tmp_path / "run").metrics
    assert [(row["step"], row["seconds"]) for row in rows] == [(2, 120), (4, 240), (6, 360), (8, 480)]


def test_epochs_and_seconds_go_on_over_a_resumption(tmp_path: Path) -> None:
    run = fit(tmp_path / "run")
    before = run.metrics
    for path in run.checkpoints:
        if path.stem > "step-00000004":
            path.unlink()
    rows = translate.resume(run.folder).metrics
    assert [row["step"] for row in rows] == [2, 4, 6, 8]
    assert [row["epoch"] for row in rows] == [row["epoch"] for row in before]
    assert rows[:2] == before[:2]
    seconds = [row["seconds"] for row in rows]
    assert seconds == sorted(seconds)
    assert seconds[2] > before[1]["seconds"]


def test_progress_counts_what_was_seen_by_the_length_of_its_time() -> None:
    now = [10.0]
    progress = Progress(clock=lambda: now[0])
    progress.begin(10, 20)
    progress.count(5)
    now[0] = 14.0
    assert (progress.epoch, progress.seconds) == (2.5, 4.0)
    later = Progress(progress.facts(), clock=lambda: now[0])
    now[0] = 100.0
    later.begin(5, 777)
    later.count(5)
    now[0] = 101.0
    assert (later.epoch, later.seconds) == (3.5, 5.0)


def test_early_samples_and_checkpoints_replace_one_another(tmp_path: Path) -> None:
    run = fit(tmp_path / "run", steps=12, save_every=50, sample_every=50)
    assert sorted(int(path.stem[5:]) for path in run.samples.iterdir()) == [0, 1, 10, 12]
    assert [int(path.stem[5:]) for path in run.checkpoints] == [12]
    begun = fit(tmp_path / "begun", steps=11, save_every=5, keep=2)
    assert [int(path.stem[5:]) for path in begun.checkpoints] == [10, 11]


def test_a_later_row_of_a_step_counts_and_rows_come_in_order(tmp_path: Path) -> None:
    lines = ['{"step": 4, "a": 1}', '{"step": 2, "a": 1}', '{"step": 4, "a": 2}', '{"step": 6, "a']
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    assert metrics_file.read(tmp_path) == [{"step": 2, "a": 1}, {"step": 4, "a": 2}]
    metrics_file.cut(tmp_path, 9)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 2, "a": 1}\n{"step": 4, "a": 2}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


@pytest.mark.parametrize(
    "garbage", [b"\xff\xfe\x00\x01", b"[1, 2]", b'{"step": "2"}', b'{"step": -1}', b"[" * 100_000, b"1" * 5000]
)
def test_lines_that_cannot_be_read_are_told_and_the_file_is_kept(
    garbage: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 2}\n' + garbage + b'\n{"step": 4}\n')
    content = path.read_bytes()
    assert metrics_file.read(tmp_path) == [{"step": 2}, {"step": 4}]
    metrics_file.cut(tmp_path, 4)
    assert [row["step"] for row in map(json.loads, path.read_text().splitlines())] == [2, 4]
    assert (tmp_path / "metrics.damaged.jsonl").read_bytes() == content
    assert "holds 1 line that cannot be read, which are left out" in caplog.text


def test_something_else_in_its_place_is_one_sentence(tmp_path: Path) -> None:
    run = fit(tmp_path / "run", steps=2)
    path = run.folder / "metrics.jsonl"
    for make in (path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to("/dev/zero")):
        path.rmdir() if path.is_dir() else path.unlink()
        make()
        with pytest.raises(TranslateError, match=r"cannot read .*metrics.jsonl: .*; move it away and try again"):
            translate.resume(run.folder, steps=4)
    path.unlink()
    assert [row["step"] for row in translate.resume(run.folder, steps=4).metrics] == [4]


def test_a_fifo_in_its_place_does_not_wait_for_a_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "metrics.jsonl")
    with pytest.raises(TranslateError, match=r"cannot write .*metrics.jsonl: No such device"):
        metrics_file.append(tmp_path, {"step": 1})


def test_intervals_wait_for_the_checkpoint_before_them() -> None:
    told: list[int] = []
    setup: Any = SimpleNamespace(tell=lambda _event, run, scalars: told.append(scalars.step))
    gate = threading.Event()
    with Background() as background:
        ordered = OrderedLog(setup, SimpleNamespace(), background)  # type: ignore[arg-type]

        def save() -> None:
            gate.wait(10)
            told.append(-2)

        def ended(step: int) -> None:
            ordered.add(Scalars(step, {}, 1.0, 1.0, 0))

        ended(1)
        background.begin(save)
        ended(3)
        ended(4)
        assert told == [1]
        gate.set()
        ordered.catch_up()
        assert told == [1, -2, 3, 4]
        ended(5)
        assert told == [1, -2, 3, 4, 5]


def test_lines_of_a_run_come_in_the_order_of_steps(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fit(tmp_path / "run", steps=60, log_every=1, save_every=7)
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("step ")]
    steps = [int(line.split()[1].partition("/")[0]) for line in lines]
    assert steps == sorted(steps)
    assert sum("saved" in line for line in lines) == 10


def test_the_first_line_says_where_and_how(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = fit(tmp_path / "run", steps=2, batch=2, compile="no", precision="bf16")
    (line,) = [message for message in caplog.messages if message.startswith("training: ")]
    assert line.startswith("training: 6 images an epoch, 2 steps of 2, on cpu (")
    assert line.endswith("), bf16, not compiled")
    assert "thread" in line
    caplog.clear()
    shutil.rmtree(run.samples)
    translate.resume(run.folder, steps=3)
    assert "6 images an epoch, steps 3 to 3 of 2, on cpu" in caplog.text
    caplog.clear()
    translate.resume(run.folder, steps=3)
    assert "6 images an epoch, all 3 steps done, on cpu" in caplog.text
