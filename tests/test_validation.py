"""Validation in training: the scores of ``evaluate``, a training that it leaves alone, and the best checkpoint."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forking import ran
from recorder import Recorder
from torch import Tensor

import translate
from translate import checkpoint
from translate.best import Best, best_checkpoint, best_translator
from translate.errors import TranslateError
from translate.evaluation import evaluate
from translate.run import Run
from translate.setup import Setup
from translate.validation import scores_of

PLUGIN = '''
"""A method with everything that a pass may disturb, one without pairs, and metrics that say what a test wants."""
import random
from math import inf, nan
import numpy
import torch
from torch import nn
from translate import hookimpl
from translate.method import Method, Update

CALLS = []

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.utils.spectral_norm(nn.Conv2d(3, 6, 3, padding=1))
        self.norm = nn.BatchNorm2d(6)
        self.last = nn.Conv2d(6, 3, 1)
    def forward(self, image):
        CALLS.append((self.training, torch.is_grad_enabled()))
        return self.last(nn.functional.dropout(self.norm(self.first(image)), 0.5, self.training)).tanh()

class Delicate(Method):
    def __init__(self, parts):
        super().__init__()
        self.there, self.back = Net(), Net()
    @property
    def players(self): return {"player": nn.ModuleList([self.there, self.back])}
    @property
    def translators(self): return {"forward": self.there, "backward": self.back}
    def updates(self, batch, step):
        there = (self.there(batch["source"]) - batch["target"]).square().mean()
        back = (self.back(batch["target"]) - batch["source"]).square().mean()
        yield Update("player", {"there": there, "back": back, "drawn": torch.rand(()) * there})

class Scripted:
    """Scores as the script says, one more at each result."""
    needs = frozenset({"fake"})
    better = {"scripted": "higher", "cost": "lower"}
    protocol = "as the script says"
    SCRIPT = []
    def __init__(self): pass
    def update(self, batch):
        random.random(), numpy.random.random(), torch.rand(3)
    def result(self):
        value = self.SCRIPT.pop(0)
        if value == "fails":
            raise RuntimeError("the disk\\nis \\x1b[31mgone")
        return {"scripted": value, "cost": -value}

class Sideless:
    needs = frozenset({"fake"})
    protocol = "nothing"
    def update(self, batch): pass
    def result(self): return {"sideless": 1.0}

@hookimpl
def methods(): return {"delicate": Delicate}

@hookimpl
def metrics(): return {"scripted": Scripted, "sideless": Sideless}
'''
DEMO = "demo(size=16, count=4)"
SMALL: dict[str, Any] = {
    "size": 16, "steps": 6, "log_every": 2, "save_every": 2, "sample_every": 100, "keep": 9, "batch": 2,
}  # fmt: skip
VALID: dict[str, Any] = {"validate": "psnr, ssim", "validate_every": 2}


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("plugin") / "delicate_of_mine.py"
    path.write_text(PLUGIN)
    return str(path)


@pytest.fixture
def fit(plugin: str, tmp_path: Path) -> Any:
    """Train the delicate method, by default validated every second step."""

    def train(name: str = "run", **options: Any) -> Run:
        return translate.fit(
            "delicate", DEMO, output=tmp_path / name, plugins=[plugin], **{**SMALL, **VALID, **options}
        )

    return train


@pytest.fixture
def scripted(plugin: str) -> Any:
    """Append the metric's scores to the plugin before its copy is loaded."""

    def write(folder: Path, scores: Sequence[Any]) -> str:
        path = folder / "delicate_of_mine.py"
        # Both directions are measured each time.
        each = [score for score in scores for _ in range(2)]
        path.write_text(Path(plugin).read_text() + f"\nScripted.SCRIPT.extend({each!r})\n")
        return str(path)

    return write


def state(run: Run) -> dict[str, Tensor]:
    return checkpoint.load(run.checkpoints[-1])[0]


def same(one: Run, two: Run) -> None:
    first, second = state(one), state(two)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def log_of(run: Run, *, validation: bool) -> list[dict[str, Any]]:
    """The rows of the log without what depends on clock and process, with or without the validation's."""
    timed = ("images_per_second", "seconds", "memory")
    return [
        {
            name: value
            for name, value in row.items()
            if name not in timed and (validation or not name.startswith("validation/"))
        }
        for row in run.metrics
    ]


def back_to(run: Run, step: int, folder: Path) -> Path:
    """A copy of the run as it was when killed after ``step``, but for its best files."""
    shutil.copytree(run.folder, folder)
    for path in Run.open(folder).checkpoints:
        if int(path.stem.rpartition("-")[2]) > step:
            path.unlink()
    return folder


# --- it leaves the training alone -------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"ema": 0.9}, {"accumulate": 2}, {"cache": "stream"}])
def test_weights_are_equal_to_the_bit_with_and_without_validation(fit: Any, options: dict[str, Any]) -> None:
    without = fit("without", **options, validate=(), validate_every=None)
    with_it = fit("with", **options, keep_best="psnr", patience=99)
    same(without, with_it)
    assert log_of(without, validation=False) == log_of(with_it, validation=False)


def test_of_two_ranks_the_weights_are_equal_with_and_without(plugin: str, tmp_path: Path) -> None:
    words = ["--size=16", "--steps=4", "--log-every=2", "--save-every=2", "--sample-every=100", "--devices=2"]
    further = ["--validate=psnr, ssim", "--validate-every=1", "--keep-best=psnr", "--compile=no"]
    for name, more in (("without", ["--compile=no"]), ("with", further)):
        done = ran("-p", plugin, "fit", "delicate", DEMO, "-o", tmp_path / name, *words, *more)
        assert done.returncode == 0, done.stderr
    same(Run.open(tmp_path / "without"), Run.open(tmp_path / "with"))
    assert "best:     psnr" in done.stdout
    assert [row["step"] for row in Run.open(tmp_path / "with").metrics if "validation/psnr" in row] == [1, 2, 3, 4]
    assert best_checkpoint(tmp_path / "with", "psnr").exists()


def test_a_recorded_step_is_not_recorded_again(fit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    recorders: list[Recorder] = []

    def recorder() -> Recorder:
        recorders.append(Recorder())
        return recorders[-1]

    monkeypatch.setattr("translate.setup.is_recorded", lambda *_: True)
    monkeypatch.setattr("translate.setup.cuda_graphs", lambda _device: recorder)
    monkeypatch.setattr("translate.opening.is_recorded", lambda *_: False)
    without = fit("without", validate=(), validate_every=None)
    count = len(recorders)
    assert count > 0
    same(without, fit("with"))
    assert len(recorders) == 2 * count


def test_the_trainings_networks_are_never_called(plugin: str, fit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """So neither modes nor statistics nor what is compiled or recorded of them is touched."""
    made: list[Setup] = []
    make = Setup.make
    calls: list[bool] = []

    def noted(*arguments: Any, **further: Any) -> Setup:
        setup = make(*arguments, **further)
        made.append(setup)
        for module in setup.method.translators.values():
            module.register_forward_hook(lambda module, _inputs, _output: calls.append(module.training))
        return setup

    monkeypatch.setattr(Setup, "make", noted)
    fit("with", sample_every=1000, steps=5)
    with_it, calls[:] = list(calls), []
    fit("without", sample_every=1000, steps=5, validate=(), validate_every=None)
    assert with_it == calls
    assert all(module.training for setup in made for module in setup.method.modules())
    assert all(weight.requires_grad for setup in made for weight in setup.method.parameters())


def test_random_generators_have_the_same_state(scripted: Any, tmp_path: Path) -> None:
    def after(name: str, **options: Any) -> tuple[Any, ...]:
        random.seed(3)
        np.random.seed(4)
        path = scripted(tmp_path, [1.0, 2.0, 3.0])
        translate.fit("delicate", DEMO, output=tmp_path / name, plugins=[path], **SMALL, **options)
        return random.random(), float(np.random.random()), torch.rand(4).tolist()

    assert after("without") == after("with", validate="scripted", validate_every=2)


@pytest.mark.parametrize("step", [0, 2, 4])
def test_a_resumed_run_equals_the_uninterrupted_one(fit: Any, step: int, tmp_path: Path) -> None:
    whole = fit("whole", ema=0.9, keep_best="psnr", patience=5)
    half = back_to(whole, step, tmp_path / "half")
    resumed = translate.resume(half)
    same(whole, resumed)
    assert log_of(whole, validation=True) == log_of(resumed, validation=True)
    facts = [checkpoint.load(run.checkpoints[-1])[1]["best"] for run in (whole, resumed)]
    assert facts[0] == facts[1]
    assert resumed.config.validate == ("psnr, ssim",)
    assert (resumed.config.validate_every, resumed.config.keep_best, resumed.config.patience) == (2, "psnr", 5)


def test_a_run_goes_on_without_and_with_validation_as_it_would_have(fit: Any, tmp_path: Path) -> None:
    whole = fit("whole")
    without = translate.resume(back_to(whole, 2, tmp_path / "half"), validate="none", validate_every=None)
    same(whole, without)
    assert [row["step"] for row in without.metrics if "validation/psnr" in row] == [2]
    assert {each.what for each in without.changes} == {"validate", "validate_every"}
    again = translate.resume(back_to(without, 2, tmp_path / "again"), validate=["psnr"], validate_every=1)
    same(whole, again)
    assert [row["step"] for row in again.metrics if "validation/psnr" in row] == [2, 3, 4, 5, 6]


# --- what is measured -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_scores_are_those_of_an_evaluation(fit: Any, plugin: str, ema: float) -> None:
    run = fit(ema=ema)
    for direction, prefix in (("forward", ""), ("backward", "backward/")):
        found = evaluate(
            run.folder, DEMO, metrics=["psnr", "ssim"], split="val", direction=direction, plugins=[plugin]
        ).scores
        row = run.metrics[-1]
        assert {f"validation/{prefix}{name}": value for name, value in found.items()}.items() <= row.items()
    assert [row["step"] for row in run.metrics if "validation/psnr" in row] == [2, 4, 6]


def test_a_limit_takes_evenly_spaced_images(fit: Any, plugin: str) -> None:
    run = fit(validate_limit=3)
    found = evaluate(run.folder, DEMO, metrics=["psnr"], split="val", limit=3, plugins=[plugin]).scores["psnr"]
    assert run.metrics[-1]["validation/psnr"] == found


def test_a_score_that_is_not_finite_is_text(scripted: Any, fit: Any, tmp_path: Path) -> None:
    path = scripted(tmp_path, [float("inf"), float("nan"), 1.0])
    run = translate.fit(
        "delicate", DEMO, output=tmp_path / "run", plugins=[path], **SMALL, validate="scripted", validate_every=2,
        keep_best="scripted",
    )  # fmt: skip
    text = (run.folder / "metrics.jsonl").read_text()
    rows = [json.loads(line, parse_constant=lambda name: pytest.fail(name)) for line in text.splitlines()]
    assert [row["validation/scripted"] for row in rows if "validation/scripted" in row] == ["inf", "nan", 1.0]
    assert (run.best.value, run.best.step) == (float("inf"), 2)  # type: ignore[union-attr]


def test_a_validation_that_fails_is_told_and_ends_nothing(
    scripted: Any, fit: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = scripted(tmp_path, [1.0, "fails", 2.0])
    run = translate.fit(
        "delicate", DEMO, output=tmp_path / "run", plugins=[path], **SMALL, validate="scripted", validate_every=2
    )
    assert [row.get("validation/scripted") for row in run.metrics] == [1.0, None, 2.0]
    told = [line for line in caplog.messages if "the validation of step 4 by scripted failed, and the" in line]
    assert len(told) == 1
    assert "\x1b" not in told[0]
    same(run, fit("without", validate=(), validate_every=None))


def test_a_metric_that_fails_leaves_out_neither_others_nor_other_directions(
    plugin: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "delicate_of_mine.py"
    # Forward it fails, with others and alone, and backward it does not.
    path.write_text(Path(plugin).read_text() + "\nScripted.SCRIPT.extend(['fails', 'fails', 5.0] * 3)\n")
    run = translate.fit(
        "delicate", DEMO, output=tmp_path / "run", plugins=[str(path)], **SMALL, validate="l1, scripted, psnr",
        validate_every=2, keep_best="backward/scripted",
    )  # fmt: skip
    rows = [row for row in run.metrics if "validation/psnr" in row]
    assert [row["step"] for row in rows] == [2, 4, 6]
    assert all({"validation/l1", "validation/backward/l1", "validation/backward/psnr"} <= row.keys() for row in rows)
    assert [row["validation/backward/scripted"] for row in rows] == [5.0] * 3
    assert not any("validation/scripted" in row for row in rows), "a score of another direction has taken the name"
    assert sum("by scripted failed" in line for line in caplog.messages) == 3
    assert (run.best.value, run.best.step) == (5.0, 2)  # type: ignore[union-attr]


def test_a_score_that_never_is_a_number_is_told(
    scripted: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nothing = float("nan")
    run = best_of_script(scripted, tmp_path, [nothing] * 6, patience=2)
    assert run.step == 2
    assert any(
        "ends at step 2 of 6: 2 validations have given no number as scripted" in line for line in caplog.messages
    )
    assert scores_of(run)[-1] == "best:     none, since no validation has given a number as scripted"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"validate": "bits_per_dim"}, r"--validate: bits_per_dim needs exact likelihoods, which the direction"),
        ({"validate": "psnr, pnsr"}, "pnsr"),
        ({"keep_best": "kid"}, "--keep-best kid is no score of the validation by which to choose; choose from psnr, "),
        ({"validate": "sideless", "keep_best": "sideless"}, "--keep-best sideless is no score .* there are none"),
        ({"validate": ()}, "--validate-every needs --validate"),
        ({"validate": (), "validate_every": None, "validate_limit": 3}, "--validate-limit needs --validate"),
        ({"validate": (), "validate_every": None, "keep_best": "psnr"}, "--keep-best needs --validate"),
        ({"patience": 2}, "--patience needs --keep-best"),
        ({"size": 8}, "ssim needs sides of at least 11 pixels"),
    ],
)
def test_what_does_not_fit_is_told_before_the_training(
    fit: Any, options: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(TranslateError, match=sentence):
        fit(**options)
    assert not (tmp_path / "run").exists()


def test_data_without_a_held_out_split_is_told_before_the_training(
    fit: Any, plugin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    for side in ("a", "b"):
        (tmp_path / "data" / side).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (16, 16), (number, 0, 0)).save(tmp_path / "data" / side / f"{number}.png")
    with pytest.raises(TranslateError, match=r"--validate needs held-out images, and .* has none in the split 'val'"):
        translate.fit(
            "delicate", tmp_path / "data", layout="folders(source=a, target=b, holdout=0)", output=tmp_path / "run",
            plugins=[plugin], **SMALL, **VALID,
        )  # fmt: skip
    assert not (tmp_path / "run").exists()


# --- the best checkpoint ----------------------------------------------------------------------------------------------


def best_of_script(scripted: Any, folder: Path, scores: Sequence[float], **options: Any) -> Run:
    path = scripted(folder, scores)
    asked = {**SMALL, "keep": 1, "validate": "scripted", "validate_every": 1, "keep_best": "scripted", **options}
    return translate.fit("delicate", DEMO, output=folder / "run", plugins=[path], **asked)


def test_the_best_checkpoint_outlives_keep(scripted: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = best_of_script(scripted, tmp_path, [1.0, 2.0, 5.0, 4.0, 5.0, 3.0])
    assert [path.stem for path in run.checkpoints] == ["step-00000006"]
    assert run.best == Best("scripted", 5.0, 3, 3)
    tensors, facts = checkpoint.load(best_checkpoint(run.folder, "scripted"), holds="training")
    assert facts["engine"]["step"] == 3
    trained, about = checkpoint.load(best_translator(run.folder, "scripted"))
    assert about["chosen"] == {"score": "scripted", "value": 5.0, "split": "val"}
    assert (about["step"], "chosen" in checkpoint.load(run.translator)[1]) == (3, False)
    for name, value in trained.items():
        direction, _, key = name.partition("/")
        assert torch.equal(value, tensors[f"method/{'there' if direction == 'forward' else 'back'}.{key}"])


def test_lower_is_better_where_the_metric_says_so(scripted: Any, tmp_path: Path) -> None:
    run = best_of_script(scripted, tmp_path, [1.0, 2.0, 5.0, 4.0, 5.0, 3.0], keep_best="cost")
    assert run.best == Best("cost", -5.0, 3, 3)


def test_the_best_translator_is_measured_as_its_score_says(fit: Any, plugin: str) -> None:
    run = fit(keep_best="backward/psnr", optimizer="sgd(lr=30)")
    found = evaluate(
        best_translator(run.folder, "backward/psnr"), DEMO, metrics=["psnr"], split="val", direction="backward",
        plugins=[plugin],
    )  # fmt: skip
    assert found.scores["psnr"] == run.best.value  # type: ignore[union-attr]


def test_patience_ends_a_training_which_is_saved(
    scripted: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = best_of_script(scripted, tmp_path, [1.0, 3.0, 2.0, 2.0, 9.0, 9.0], patience=2, save_every=100)
    assert (run.step, run.steps) == (4, 6)
    assert run.checkpoints[-1].stem == "step-00000004"
    assert checkpoint.load(run.translator)[1]["step"] == 4
    assert any(
        "ends at step 4 of 6: 2 validations have not found a better scripted than 3, of step 2" in line
        for line in caplog.messages
    )


def test_without_patience_a_run_that_has_ended_goes_on(scripted: Any, fit: Any, tmp_path: Path) -> None:
    run = best_of_script(scripted, tmp_path, [3.0, 2.0, 2.0], patience=1)
    assert run.step == 2
    resumed = translate.resume(run.folder, patience="none")
    assert resumed.step == 6
    same(resumed, fit("other"))


def test_other_scores_begin_anew(fit: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = fit(keep_best="psnr")
    half = back_to(run, 4, tmp_path / "half")
    resumed = translate.resume(half, validate_limit=2)
    assert (resumed.best.step, resumed.best.waited) == (6, 0)  # type: ignore[union-attr]


def test_a_best_file_of_a_later_step_is_told(scripted: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = best_of_script(scripted, tmp_path, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], keep=9, save_every=2)
    half = back_to(run, 2, tmp_path / "half")
    caplog.clear()
    resumed = translate.resume(half, plugins=[scripted(tmp_path, [0.0] * 4)])
    assert any("best-scripted.safetensors is of step 6, after step 2" in line for line in caplog.messages)
    assert resumed.best == Best("scripted", 2.0, 2, 4)


def test_the_end_tells_of_the_last_and_the_best(plugin: str, tmp_path: Path) -> None:
    words = ["--size=16", "--steps=2", "--validate=psnr", "--validate=ssim", "--validate-every=1", "--keep-best=psnr"]
    done = ran("-p", plugin, "fit", "delicate", DEMO, "-o", tmp_path / "run", *words, "--compile=no")
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert any(line.startswith("last:     psnr ") and line.endswith(" on val, step 2") for line in lines)
    best = next(line for line in lines if line.startswith("best:     psnr "))
    assert "on val, by which it was chosen, step" in best
    assert best.endswith("best-psnr.safetensors")
    assert "step 1/2  validation/psnr" in done.stderr
    shown = ran("show", tmp_path / "run" / "best-psnr.safetensors")
    assert "chosen" in shown.stdout
    assert "psnr" in shown.stdout
