"""Resuming with other settings: what is taken, what follows from it, what is told and recorded, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import translate
import translate.cli
from translate import checkpoint
from translate.changes import Change
from translate.cli.flags import given
from translate.cli.training import fit
from translate.engine.step import Engine
from translate.errors import TranslateError
from translate.resuming import as_flags
from translate.run import Config, Run

PLUGIN = '''
"""A method of two small players."""
from typing import Annotated
import torch
from torch import nn
from translate import hookimpl
from translate.method import Method, Update
from translate.options import Option

class Two(Method):
    def __init__(self, parts, *, weight: Annotated[float, Option("weight of the loss", ge=0)] = 1.0):
        super().__init__()
        self.first = nn.Conv2d(3, 3, 1)
        self.second = nn.Conv2d(3, 3, 1)
        self.weight = weight
    @property
    def players(self): return {"first": self.first, "second": self.second}
    @property
    def translators(self): return {"forward": self.first}
    def updates(self, batch, step):
        for name, network in self.players.items():
            yield Update(name, {"l": self.weight * (network(batch["source"]) - batch["target"]).square().mean()})

class Staged(Two):
    @property
    def stages(self): return (0.5,)

@hookimpl
def methods(): return {"two": Two, "staged": Staged}
'''
DEMO = "demo(size=16, count=4)"


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plugin") / "two_of_mine.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture(scope="module")
def finished(plugin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps with Adam and a linear schedule, of which each step is kept."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    translate.fit("two", DEMO, output=folder, plugins=[str(plugin)], **SMALL)
    return folder


SMALL: dict[str, Any] = {"size": 16, "steps": 4, "log_every": 1, "save_every": 1, "sample_every": 100, "keep": 99}


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


Rates = dict[int, dict[str, float]]


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> Rates:
    """The players' learning rates in each step that is made."""
    found: Rates = {}
    step = Engine.step

    def noted(self: Engine, batches: Any) -> None:
        step(self, batches)
        found[self.step_count - 1] = {
            name: float(player.optimizer.param_groups[0]["lr"]) for name, player in self.players.items()
        }

    monkeypatch.setattr(Engine, "step", noted)
    return found


def last(run: Path | Run) -> dict[str, Tensor]:
    return checkpoint.load((run if isinstance(run, Run) else Run.open(run)).checkpoints[-1])[0]


def steps_of_adam(run: Run, player: str) -> float:
    return float(last(run)[f"optimizer/{player}/0/step"])


def both(rate: float) -> dict[str, float]:
    return {"first": pytest.approx(rate), "second": pytest.approx(rate)}


# --- optimizers and schedules -----------------------------------------------------------------------------------------


def test_another_rate_keeps_the_moments_is_told_and_recorded(
    run: Path, rates: Rates, caplog: pytest.LogCaptureFixture
) -> None:
    resumed = translate.resume(run, steps=6, optimizer="adam(lr=0.01)", schedule="none")
    assert rates == {4: both(0.01), 5: both(0.01)}
    assert steps_of_adam(resumed, "first") == steps_of_adam(resumed, "second") == 6
    wanted = [
        Change(4, "schedule", "linear", "none"),
        Change(4, "learning rate", 0.0002, 0.01),
        Change(4, "steps", 4, 6),
    ]
    assert resumed.changes == Run.open(run).changes == wanted
    told = [each.removeprefix("resume: ") for each in caplog.messages if each.startswith("resume: ")]
    assert told[:3] == [str(each) for each in wanted]
    assert told[1] == "learning rate 0.0002 -> 0.01 from step 4 on"
    assert told[3].startswith("the learning rate is 0.01 at step 4, where it was to be 0; the schedule none counts 6")
    caplog.clear()
    again = translate.resume(run, steps=7)
    assert rates[6] == both(0.01)
    assert again.changes == [*wanted, Change(6, "steps", 6, 7)]
    assert [each for each in caplog.messages if "resume: learning rate" in each] == []


def test_the_same_settings_change_nothing(finished: Path, run: Path) -> None:
    for path in Run.open(run).checkpoints[2:]:
        path.unlink()
    resumed = translate.resume(run, steps=4, optimizer=["adam(lr=2e-4)"], schedule="linear", batch=1)
    assert resumed.changes == []
    assert not (run / "changes.json").exists()
    assert all(torch.equal(value, last(finished)[name]) for name, value in last(resumed).items())


@pytest.mark.parametrize("settings", [{"workers": 3}, {"save_every": 2, "log_every": 2}, {"cache": "stream"}])
def test_what_does_not_matter_to_the_weights_leaves_them_to_the_bit(
    settings: dict[str, Any], finished: Path, run: Path
) -> None:
    for path in Run.open(run).checkpoints[2:]:
        path.unlink()
    resumed = translate.resume(run, **settings)
    assert {each.what: each.after for each in resumed.changes} == settings
    assert {each.step for each in resumed.changes} == {2}
    wanted = last(finished)
    assert all(torch.equal(value, wanted[name]) for name, value in last(resumed).items() if not name.startswith("log/"))


def test_another_optimizer_begins_anew_and_that_of_others_goes_on(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    resumed = translate.resume(run, steps=6, optimizer="second=adamw(lr=0.001)")
    assert resumed.config.optimizer == ("second=adamw(lr=0.001)",)
    assert steps_of_adam(resumed, "first") == 6
    assert steps_of_adam(resumed, "second") == 2
    assert resumed.changes[0] == Change(4, "optimizer of second", "adam", "adamw(lr=0.001)")
    assert "the optimizer's state of second does not fit the new optimizer, which starts anew" in caplog.text
    third = translate.resume(run, steps=8, optimizer="first=adam(betas=(0.9, 0.99))")
    assert third.config.optimizer == ("second=adamw(lr=0.001)", "first=adam(betas=(0.9, 0.99))")
    assert steps_of_adam(third, "first") == 8
    assert third.changes[2] == Change(6, "betas of first", [0.5, 0.999], [0.9, 0.99])
    every = translate.resume(run, steps=9, optimizer="sgd")
    assert every.config.optimizer == ("sgd",)
    with pytest.raises(TranslateError, match="--optimizer gives adam and sgd for all players; give one"):
        translate.resume(run, steps=10, optimizer=["adam", "sgd"])
    assert [each.what for each in every.changes if each.step == 8] == [
        "optimizer of first", "optimizer of second", "steps",
    ]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), [("sgd(momentum=0)", "sgd"), ("sgd", "sgd(momentum=0)")])
def test_options_that_need_another_state_begin_anew(
    before: str, after: str, plugin: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    translate.fit("two", DEMO, output=tmp_path / "run", plugins=[str(plugin)], **SMALL, optimizer=before)
    resumed = translate.resume(tmp_path / "run", steps=5, optimizer=after)
    assert "state of first, second does not fit the new optimizer, which starts anew" in caplog.text
    assert ("optimizer/first/0/momentum_buffer" in last(resumed)) == (after == "sgd")


def test_a_longer_training_computes_the_schedule_anew(
    run: Path, rates: Rates, caplog: pytest.LogCaptureFixture
) -> None:
    translate.resume(run, steps=8)
    # Constant for half of eight steps, then down to 0 at the eighth.
    assert [rates[step]["first"] for step in (4, 5, 6, 7)] == pytest.approx([2e-4, 1.5e-4, 1e-4, 0.5e-4])
    assert (
        "resume: the learning rate is 0.0002 at step 4, where it was to be 0; the schedule linear counts 8 steps"
        in (caplog.text)
    )


def test_a_shorter_training_ends_sooner_with_the_schedule_of_its_length(run: Path, rates: Rates) -> None:
    for path in Run.open(run).checkpoints[2:]:
        path.unlink()
    resumed = translate.resume(run, steps=3)
    assert resumed.step == resumed.steps == 3
    assert rates == {2: both(2e-4 * (1 - 2 / 3) / 0.5)}
    assert resumed.changes == [Change(2, "steps", 4, 3)]


def test_epochs_give_another_number_of_steps(run: Path) -> None:
    resumed = translate.resume(run, epochs=1.5)
    assert (resumed.steps, resumed.config.steps, resumed.config.epochs) == (6, None, 1.5)
    assert resumed.changes == [Change(4, "steps", 4, 6)]
    with pytest.raises(TranslateError, match="has done 6 steps already"):
        translate.resume(run, epochs=1)


def test_another_batch_leaves_the_length(plugin: Path, tmp_path: Path) -> None:
    short = {**SMALL, "steps": None, "epochs": 1, "batch": 2}
    translate.fit("two", DEMO, output=tmp_path / "run", plugins=[str(plugin)], **short)
    for path in Run.open(tmp_path / "run").checkpoints[1:]:
        path.unlink()
    resumed = translate.resume(tmp_path / "run", batch=1, flip=False)
    assert resumed.steps == 2
    assert [each.what for each in resumed.changes] == ["batch", "flip"]
    assert translate.resume(tmp_path / "run").steps == 2


def test_another_length_may_lead_into_another_stage(
    plugin: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    translate.fit("staged", DEMO, output=tmp_path / "run", plugins=[str(plugin)], **SMALL)
    for path in Run.open(tmp_path / "run").checkpoints[3:]:
        path.unlink()
    translate.resume(tmp_path / "run", steps=8)
    assert "resume: step 3 of 8 is in stage 1, of 4 in 2" in caplog.text


def test_moving_averages_can_begin_and_end(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    weight = last(run)["method/first.weight"]
    resumed = translate.resume(run, steps=5, ema=0.5, optimizer="sgd(lr=0.1)", schedule="none")
    averages, weights = last(resumed)["ema/forward/weight"], last(resumed)["method/first.weight"]
    # A young average follows closely: after five steps the decay is at most 6 / 15.
    assert torch.allclose(averages, 0.4 * weight + 0.6 * weights)
    assert "resume: the moving averages start from the weights of step 4" in caplog.text
    again = translate.resume(run, steps=6, ema=0.25)
    assert torch.allclose(
        last(again)["ema/forward/weight"], 0.25 * averages + 0.75 * last(again)["method/first.weight"]
    )
    ended = translate.resume(run, steps=7, ema=0)
    assert not any(name.startswith("ema/") for name in last(ended))
    assert [each.after for each in ended.changes if each.what == "ema"] == [0.5, 0.25, 0.0]


def test_a_run_that_has_saved_nothing_begins_with_them(run: Path, rates: Rates) -> None:
    for path in Run.open(run).checkpoints:
        path.unlink()
    resumed = translate.resume(run, optimizer="adam(lr=0.5)", steps=1)
    assert rates == {0: both(0.5)}
    assert [(each.step, each.what) for each in resumed.changes] == [(0, "learning rate"), (0, "steps")]


def test_changes_whose_checkpoints_are_lost_hold_from_the_step_that_it_goes_on_from(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    translate.resume(run, steps=5, clip_norm=1.0)
    for path in Run.open(run).checkpoints[2:]:
        path.unlink()
    resumed = translate.resume(run)
    assert [(each.step, each.what) for each in resumed.changes] == [(2, "clip_norm"), (2, "steps")]
    assert "the checkpoints after an earlier change are lost: clip_norm none -> 1.0 from step 2 on" in caplog.text


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"steps": 3}, "has done 4 steps already; give more --steps than that"),
        ({"size": 32}, "keeps its size, since networks and image pools are made for it; .* --size ... --init"),
        ({"init": "x"}, "keeps its init, since it has begun with other weights"),
        ({"weight": 2.0}, "keeps its weight, since the method two was built with it; .* --weight ... --init"),
        ({"method": "gan"}, "keeps its method"),
        ({"data": "demo"}, "demo does not hold the data of .* --changed-data"),
        ({"options": {}}, "keeps its options"),
        ({"rate": 1e-4}, "resume has no option 'rate'"),
        ({"batch": 0}, "batch must be a whole number >= 1"),
        ({"steps": 0}, "steps must be a whole number >= 1"),
        ({"optimizer": "adma"}, "there is no optimizer 'adma'"),
        ({"optimizer": "third=adam"}, "there is no player 'third'"),
        ({"optimizer": "adam(rate=1)"}, "adam has no option 'rate'"),
        ({"schedule": "linear(constant=2)"}, "constant must be a number"),
        ({"device": "tpu"}, "tpu"),
    ],
)
def test_what_cannot_change_is_one_sentence_and_nothing_is_written(
    settings: dict[str, Any], sentence: str, run: Path
) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(TranslateError, match=sentence) as told:
        translate.resume(run, **settings)
    assert "\n" not in str(told.value)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_damaged_record_is_told_before_anything_is_done(run: Path) -> None:
    (run / "changes.json").write_text("{")
    before = (run / "config.json").read_bytes()
    with pytest.raises(TranslateError, match=r"changes\.json is damaged"):
        translate.resume(run, steps=9)
    assert (run / "config.json").read_bytes() == before


def test_each_option_of_a_training_can_change_or_says_why_not() -> None:
    fixed = {name for name, each in Config.parameters().items() if each.option.fixed}
    assert fixed == {"size", "init"}


# --- the command line -------------------------------------------------------------------------------------------------


VALUES: dict[str, list[Any]] = {
    "layout": ["folders(source=a)", None],
    "steps": [7],
    "epochs": [1.5],
    "clip_norm": [0.1, None],
    "augment": [("jitter(hue=0.1)", "affine"), ()],
    "optimizer": [("adam(lr=1e-05, betas=(0.5, 0.9))", "second=sgd")],
    "load_size": [(48, 64), None],
    "albumentations": [Path("/a b/c.yaml"), None],
    "cache_folder": [Path("/a=b"), None],
    "memory": [6_000_000_000, None],
    "flip": [True, False],
    "ema": [0.999],
    "compile": ["no", "yes"],
    "sample_every": [3, None],
}


def test_flags_are_read_back_as_the_same_settings() -> None:
    """So ranks that are started anew go on with what was asked."""
    changeable = {name: each.default for name, each in Config.parameters().items() if not each.option.fixed}
    for place in (0, -1):
        settings = changeable | {name: values[place] for name, values in VALUES.items()}
        context = fit.make_context("fit", ["--resume", "x", *as_flags(settings)])
        typed = {name: value for name, value in given(context).items() if name != "resume"}
        assert typed.keys() == settings.keys()
        common = {"method": "m", "data": "d"}
        assert Config.from_values({**common, **typed}) == Config.from_values({**common, **settings})


def command(*words: object, code: int = 0) -> None:
    with pytest.raises(SystemExit) as ended:
        translate.cli.main([str(word) for word in words])
    assert ended.value.code == code


def test_the_command_line_takes_records_and_shows_them(
    run: Path, tmp_path: Path, plugin: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    settings = ["--steps", "6", "--optimizer", "adam(lr=1e-4)", "--save-every", "3", "--no-flip"]
    command("-p", plugin, "fit", "--resume", run, *settings)
    lines = [
        "flip yes -> no from step 4 on",
        "save_every 1 -> 3 from step 4 on",
        "learning rate 0.0002 -> 0.0001 from step 4 on",
        "steps 4 -> 6 from step 4 on",
    ]
    assert [line for line in caplog.messages if line.startswith("resume: ")][:4] == [
        f"resume: {each}" for each in lines
    ]
    assert [line.strip() for line in capsys.readouterr().out.splitlines() if "changed:" in line] == [
        f"changed:  {line}" for line in lines
    ]
    command("-p", plugin, "fit", "--config", run / "config.json", "-o", tmp_path / "again", "--steps", "1")
    assert "holds the settings after these changes, and the new run has them from its first step" in (
        capsys.readouterr().err
    )
    assert Run.open(tmp_path / "again").config.flip is False
    assert not (tmp_path / "again" / "changes.json").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--weight", "3"], "error: a resumed run keeps its weight, since the method two was built with it"),
        (["--weight=3"], "error: a resumed run keeps its weight, since the method two was built with it"),
        (["--size", "32"], "error: a resumed run keeps its size, since networks and image pools are made for it"),
        (["--nonsense"], "No such option '--nonsense'"),
    ],
)
def test_the_command_line_refuses_in_one_sentence(
    words: list[str], sentence: str, run: Path, plugin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command("-p", plugin, "fit", *words, "--resume", run, code=2)
    assert sentence in capsys.readouterr().err


def test_options_without_a_run_a_method_or_a_config_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    command("fit", "--batch", "3", code=2)
    assert "options need METHOD and DATA before them, or --resume RUN, or --config FILE" in capsys.readouterr().err


def test_help_shows_what_can_change(capsys: pytest.CaptureFixture[str]) -> None:
    command("fit", "--help")
    _, _, changeable = capsys.readouterr().out.partition("With --resume: other settings")
    assert "--optimizer NAME(...)" in changeable
    assert "--save-every N" in changeable
    assert "--size" not in changeable
    assert "--init" not in changeable


def test_a_typed_length_replaces_either_kind_of_length(tmp_path: Path, plugin: Path) -> None:
    file = tmp_path / "config.json"
    values = {"method": "two", "data": DEMO, **SMALL, "steps": 50}
    file.write_text(json.dumps(values))
    for words in (["fit", "--config", str(file)], ["fit", "two", "--config", str(file)]):
        folder = tmp_path / str(len(words))
        command("-p", plugin, *words, "--epochs", "0.5", "-o", folder)
        assert Run.open(folder).steps == 2
