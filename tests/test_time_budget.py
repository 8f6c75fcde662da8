"""A length in minutes: how many steps that are is measured, taken back, and then fixed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from forking import ran
from torch import Tensor

import translate
import translate.time_budget
from translate import checkpoint
from translate.engine.step import Engine
from translate.errors import TranslateError
from translate.progress import Progress
from translate.run import Run
from translate.training import plan

DEMO = "demo(size=32, count=7)"
SMALL: dict[str, Any] = {
    "size": 32,
    "generator": "unet(width=4)",
    "discriminator": "patch(width=4, receptive_field=16)",
    "log_every": 2,
    "save_every": 2,
    "keep": 99,
    "schedule": "cosine",
    "pool": 3,
    "ema": 0.9,
}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A clock by which each step takes a second, whatever it does."""
    made = [0]
    step = Engine.step

    def counted(self: Engine, batches: Any) -> None:
        step(self, batches)
        made[0] += 1

    monkeypatch.setattr(Engine, "step", counted)
    monkeypatch.setattr("translate.time_budget.time.perf_counter", lambda: float(made[0]))
    fix = translate.time_budget.fix_steps
    monkeypatch.setattr("translate.training.fix_steps", lambda *given: fix(*given, clock=lambda: float(made[0])))
    return made


def fit(folder: Path, **options: Any) -> Run:
    return translate.fit("pix2pix", DEMO, output=folder, **{**SMALL, **options})


def state(run: Run) -> dict[str, Tensor]:
    return checkpoint.load(run.checkpoints[-1])[0]


def same(one: Run, two: Run) -> None:
    first, second = state(one), state(two)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.mark.parametrize("options", [{}, {"accumulate": 2}, {"cache": "stream", "workers": 1}])
def test_it_is_a_run_of_that_many_steps_to_the_bit(
    options: dict[str, Any], clock: list[int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of 15 seconds 8 go to measuring, 3 of them to settle; the weights are those of a run of 7 steps."""
    run = fit(tmp_path / "run", minutes=0.25, **options)
    assert (run.step, run.steps, clock[0]) == (7, 7, 15)
    assert any(
        line.startswith("0.25 minutes are about 7 steps: one takes 1 s, as 5 of them did, which were then taken back")
        for line in caplog.messages
    )
    same(run, fit(tmp_path / "steps", steps=7, **options))
    config = json.loads((run.folder / "config.json").read_text())
    assert (config["steps"], config["config"]["steps"], config["config"]["minutes"]) == (7, 7, None)
    assert [str(each) for each in run.changes] == ["length 0.25 minutes -> 7 steps from step 0 on"]


def test_a_resumed_run_is_exact(clock: list[int], tmp_path: Path) -> None:
    run = fit(tmp_path / "run", minutes=0.25)
    half = shutil.copytree(run.folder, tmp_path / "half")
    for path in Run.open(half).checkpoints:
        if int(path.stem.rpartition("-")[2]) > 4:
            path.unlink()
    made = clock[0]
    resumed = translate.resume(half)
    assert clock[0] == made + 3
    same(run, resumed)


def test_more_minutes_count_those_before(clock: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = fit(tmp_path / "run", steps=4)
    monkeypatch.setattr(Progress, "seconds_before", 30.0)
    resumed = translate.resume(run.folder, minutes=1)
    assert (resumed.step, resumed.steps) == (4 + 60 - 30 - 8, 26)
    assert [str(each) for each in resumed.changes] == ["steps 4 -> 26 from step 4 on"]
    same(resumed, translate.resume(shutil.copytree(fit(tmp_path / "4", steps=4).folder, tmp_path / "26"), steps=26))
    with pytest.raises(TranslateError, match=r"has trained 0.5 minutes already; give more --minutes"):
        translate.resume(run.folder, minutes=0.5)


def test_a_run_that_was_killed_while_it_measured_measures_again(
    clock: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_given: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("translate.training.fix_steps", killed)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path / "run", minutes=0.25)
    resumed = translate.resume(tmp_path / "run")
    assert (resumed.step, resumed.steps) == (7, 7)


@pytest.mark.parametrize("other", [{"steps": 4}, {"epochs": 1}])
def test_two_lengths_are_refused(other: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(TranslateError, match="a training has one length; give --minutes, or --steps or --epochs"):
        fit(tmp_path / "run", minutes=1, **other)
    run = fit(tmp_path / "steps", steps=1)
    with pytest.raises(TranslateError, match="a training has one length"):
        translate.resume(run.folder, minutes=1, **other)


def test_a_dry_run_tells_of_minutes() -> None:
    from translate.run import Config

    lines = plan(Config.from_values({"method": "pix2pix", "data": DEMO, "minutes": 30, **SMALL}))
    assert "training: 30 minutes, in steps of 1 at 32x32" in lines


def test_two_ranks_take_the_same_number_of_steps(tmp_path: Path) -> None:
    words = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    done = ran("fit", "pix2pix", DEMO, "-o", tmp_path / "run", *words, "--minutes=0.03", "--devices=2", "--compile=no")
    assert done.returncode == 0, done.stderr
    run = Run.open(tmp_path / "run")
    assert f"minutes are about {run.steps} steps" in done.stderr
    assert run.metrics[-1]["step"] == run.steps
