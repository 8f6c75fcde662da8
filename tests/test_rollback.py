"""Rollback: a training whose values explode goes on from its last good checkpoint at half the learning rates."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from forking import ran
from torch import Tensor

import translate
from translate import checkpoint
from translate.changes import Change
from translate.engine.step import Engine
from translate.errors import NotFiniteError, TranslateError
from translate.numbered import steps_of
from translate.run import Run

PLUGIN = '''
"""A method whose loss explodes by gradient descent at a large rate, as quadratics do, but not at a small one."""
import torch
from torch import nn
from translate import hookimpl
from translate.method import Method, Update

class Steep(Method):
    def __init__(self, parts):
        super().__init__()
        self.net = nn.Conv2d(3, 3, 1)
    @property
    def players(self): return {"net": self.net}
    @property
    def translators(self): return {"forward": self.net}
    def updates(self, batch, step):
        drop = nn.functional.dropout(batch["source"], 0.1)
        yield Update("net", {"far": 1e4 * (self.net(drop) - batch["target"]).square().mean()})

@hookimpl
def methods(): return {"steep": Steep}
'''
RATE = 1.1e-3
"""At this rate the loss explodes, at half of it more slowly; at a quarter it falls."""

DEMO = "demo(size=16, count=4)"
STEEP: dict[str, Any] = {
    "size": 16, "steps": 60, "log_every": 2, "save_every": 30, "sample_every": 100, "keep": 99, "schedule": "none",
    "on_nan": "rollback",
}  # fmt: skip


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("plugin") / "steep_of_mine.py"
    path.write_text(PLUGIN)
    return str(path)


def fit(plugin: str, folder: Path, rate: float, **options: Any) -> Run:
    asked = {**STEEP, "optimizer": f"sgd(lr={rate})", **options}
    return translate.fit("steep", DEMO, output=folder, plugins=[plugin], **asked)


def state(run: Run) -> dict[str, Tensor]:
    return checkpoint.load(run.checkpoints[-1])[0]


def same(one: Run, two: Run) -> None:
    for name, value in state(one).items():
        assert torch.equal(value, state(two)[name]), name


@pytest.fixture(scope="module")
def run(plugin: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that explodes at step 24 and again, at half the rate, after step 30; then it holds."""
    return fit(plugin, tmp_path_factory.mktemp("run") / "run", RATE)


def test_it_goes_back_at_half_the_rate_until_it_holds(
    plugin: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = fit(plugin, tmp_path / "run", RATE)
    assert (run.step, run.rollbacks) == (60, 2)
    told = [line for line in caplog.messages if "goes back" in line]
    assert [line.partition(" (roll")[2] for line in told] == ["back 1 of 3)", "back 2 of 3)"]
    assert told[0].startswith("net/far is not a finite number at step 24: the training goes back from step 24 to 10, ")
    assert "halved to 0.5 of what was asked for" in told[0]
    assert [str(each) for each in run.changes] == [
        "learning rate factor 1.0 -> 0.5 from step 10 on",
        "learning rate factor 0.5 -> 0.25 from step 30 on",
    ]
    assert [row["step"] for row in run.metrics] == list(range(2, 61, 2))
    assert run.metrics[-1]["learning_rate/net"] == RATE / 4
    assert run.metrics[10]["learning_rate/net"] == RATE / 2
    assert run.metrics[3]["learning_rate/net"] == RATE
    assert json.loads((run.folder / "config.json").read_text())["rollbacks"] == 2
    assert checkpoint.load(run.translator)[1]["step"] == 60


def killed_after(calls: int, last: int, plugin: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run that was killed before its so many-th step, once the checkpoint of ``last`` was written."""
    made, step = [0], Engine.step

    def counted(self: Engine, batches: Any) -> None:
        made[0] += 1
        if made[0] == calls:
            while steps_of(folder).keys() != {last} or any(folder.rglob(".*.part")):
                time.sleep(0.01)
            shutil.copytree(folder, folder.parent / "killed")
            raise KeyboardInterrupt
        step(self, batches)

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "step", counted)
        with pytest.raises((KeyboardInterrupt, TranslateError)):
            fit(plugin, folder, RATE)
    (folder.parent / "killed" / "lock.json").unlink()
    return folder.parent / "killed"


@pytest.mark.parametrize(("calls", "last"), [(32, 10), (49, 30)])
def test_a_resumed_run_is_the_same_to_the_bit_after_a_rollback(
    run: Run, calls: int, last: int, plugin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed before, and after, the first checkpoint that follows the first rollback."""
    folder = killed_after(calls, last, plugin, tmp_path / "half", monkeypatch)
    assert Run.open(folder).rollbacks == 1
    resumed = translate.resume(folder)
    same(run, resumed)
    timed = ("seconds", "images_per_second", "memory")
    one, two = ([{k: v for k, v in row.items() if k not in timed} for row in each.metrics] for each in (run, resumed))
    assert one == two
    assert resumed.rollbacks == 2


def test_after_three_rollbacks_it_ends_with_the_exit_code_of_values_that_are_not_finite(
    plugin: str, tmp_path: Path
) -> None:
    with pytest.raises(NotFiniteError, match=r"at step \d+, after 3 rollbacks; the last good checkpoint is ") as raised:
        fit(plugin, tmp_path / "run", 1e3)
    assert raised.value.exit_code == 3
    run = Run.open(tmp_path / "run")
    assert run.rollbacks == 3
    with pytest.raises(NotFiniteError, match="after 3 rollbacks"):
        translate.resume(run.folder)


def test_it_stops_by_default(plugin: str, tmp_path: Path) -> None:
    with pytest.raises(NotFiniteError, match="net/far is not a finite number at step 24; the last good checkpoint is"):
        fit(plugin, tmp_path / "run", RATE, on_nan="stop")
    assert Run.open(tmp_path / "run").rollbacks == 0
    resumed = translate.resume(tmp_path / "run", on_nan="rollback")
    assert (resumed.step, resumed.rollbacks) == (60, 2)


def test_without_a_checkpoint_there_is_nothing_to_go_back_to(plugin: str, tmp_path: Path) -> None:
    with pytest.raises(NotFiniteError, match="at step 1, and there is no checkpoint to go back to; no checkpoint was"):
        fit(plugin, tmp_path / "run", 1e38, log_every=1)


def test_a_checkpoint_that_leads_there_again_is_left_for_an_earlier_one(
    plugin: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With a checkpoint at each fourth step the last one is beyond saving."""
    run = fit(plugin, tmp_path / "run", RATE, save_every=4, steps=40)
    assert run.step == 40
    told = [line for line in caplog.messages if "goes back" in line]
    assert "goes back from step 24 to 20" in told[0]
    assert "goes back from step 26 to 24" in told[1]
    assert "goes back from step 26 to 20" in told[2]
    assert any("step-00000024.safetensors is removed, since" in line for line in caplog.messages)
    assert [str(each) for each in run.changes][-1].endswith("from step 20 on")


def test_other_rates_on_the_way_count_as_they_are(run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = Path(shutil.copytree(run.folder, tmp_path / "copy"))
    resumed = translate.resume(folder, steps=62, optimizer="sgd(lr=1e-6)")
    assert resumed.metrics[-1]["learning_rate/net"] == 1e-6
    assert (resumed.rollbacks, Run.open(folder).rollbacks) == (0, 0)
    assert Change(60, "learning rate factor", 0.25, 1.0) in resumed.changes
    assert any("resume: learning rate factor 0.25 -> 1.0 from step 60 on" in line for line in caplog.messages)


def test_two_ranks_go_back_together(run: Run, plugin: str, tmp_path: Path) -> None:
    words = [f"--{name.replace('_', '-')}={value}" for name, value in STEEP.items()]
    done = ran(
        "-p", plugin, "fit", "steep", DEMO, "-o", tmp_path / "run", *words, f"--optimizer=sgd(lr={RATE})",
        "--devices=2", "--compile=no",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    two = Run.open(tmp_path / "run")
    assert two.rollbacks == 2
    assert two.metrics[-1]["learning_rate/net"] == RATE / 4
