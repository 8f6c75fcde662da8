"""Training, from a config to a run: exact resume, what is kept, what stops it, and how it is told."""

from __future__ import annotations

import json
import shutil
import signal
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forking import Forked

import translate
from translate import checkpoint, images
from translate.engine.step import Engine
from translate.errors import NotFiniteError, TranslateError
from translate.plugins import Catalog
from translate.run import Config, Run
from translate.setup import Setup
from translate.training import plan

SMALL: dict[str, Any] = {
    "size": 32,
    "batch": 2,
    "generator": "unet(width=4)",
    "discriminator": "patch(width=4, receptive_field=16)",
    "log_every": 2,
    "save_every": 3,
    "keep": 9,
}
DEMO = "demo(size=32, count=7)"


def fit(folder: Path, **options: Any) -> Run:
    return translate.fit("pix2pix", DEMO, output=folder, **{**SMALL, "steps": 8, **options})


def state(run: Run) -> dict[str, torch.Tensor]:
    return checkpoint.load(run.checkpoints[-1])[0]


def back_to(run: Run, step: int, folder: Path) -> Path:
    """A copy of the run as it was when killed after ``step``: its later checkpoints never came to be."""
    shutil.copytree(run.folder, folder)
    for path in Run.open(folder).checkpoints:
        if int(path.stem.rpartition("-")[2]) > step:
            path.unlink()
    return folder


def rows(run: Run) -> list[dict[str, Any]]:
    """The rows of the log, without what depends on the clock."""
    timed = ("images_per_second", "seconds", "memory")
    return [{key: value for key, value in row.items() if key not in timed} for row in run.metrics]


def equal(one: Run, two: Run) -> None:
    first, second = state(one), state(two)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    assert rows(one) == rows(two)


FULL = {
    "ema": 0.9,
    "pool": 3,
    "schedule": "cosine",
    "clip_norm": 1.0,
    "matching_aware": True,
    "augment": ["jitter(p=0.5)"],
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An uninterrupted run with everything on that has a state."""
    return fit(tmp_path_factory.mktemp("runs") / "whole", **FULL)


@pytest.mark.parametrize("step", [0, 3, 6])
def test_a_resumed_run_equals_the_uninterrupted_one_to_the_bit(whole: Run, step: int, tmp_path: Path) -> None:
    resumed = translate.resume(back_to(whole, step, tmp_path / "half"))
    assert resumed.step == 8
    equal(whole, resumed)


@pytest.mark.parametrize("options", [{"workers": 1, "cache": "stream"}, {"cache": "host"}, {"accumulate": 2}])
def test_resume_is_exact_for_other_ways_of_feeding(options: dict[str, Any], tmp_path: Path) -> None:
    run = fit(tmp_path / "run", steps=5, **options)
    equal(run, translate.resume(back_to(run, 3, tmp_path / "half")))


def test_caches_and_workers_train_the_same(whole: Run, tmp_path: Path) -> None:
    equal(whole, fit(tmp_path / "run", **FULL, cache="stream", workers=3))


def test_another_seed_trains_another_network(whole: Run, tmp_path: Path) -> None:
    other = fit(tmp_path / "run", **FULL, seed=1)
    name = "method/generator.0.weight" if "method/generator.0.weight" in state(whole) else next(iter(state(whole)))
    assert not torch.equal(state(whole)[name], state(other)[name])


def test_a_run_folder_holds_what_it_should(whole: Run) -> None:
    config = json.loads((whole.folder / "config.json").read_text())
    assert config["versions"]["torch"] == torch.__version__
    assert config["versions"]["image-translate"] == translate.__version__
    assert config["config"]["options"]["pool"] == 3
    assert [path.name for path in whole.checkpoints] == [f"step-{step:08d}.safetensors" for step in (3, 6, 8)]
    assert [line["step"] for line in whole.metrics] == [2, 4, 6, 8]
    assert {"generator/l1", "generator/adversarial", "discriminator/adversarial"} < whole.metrics[0].keys()
    assert whole.translator.exists()
    assert sorted(path.name for path in whole.samples.iterdir())[0] == "step-00000000.png"
    assert not list(whole.folder.rglob("*.part"))


MEAN = """
from torch import nn
from translate import hookimpl
from translate.method import Method, Update

class Mean(Method):
    def __init__(self, parts):
        super().__init__()
        self.network = nn.Conv2d(3, 3, 1)
    @property
    def players(self): return {"network": self.network}
    @property
    def translators(self): return {"forward": self.network}
    def updates(self, batch, step):
        yield Update("network", {"l": (self.network(batch["source"]) - batch["target"]).square().mean()})

@hookimpl
def methods(): return {"mean": Mean}
"""


def test_accumulated_batches_are_those_that_follow_one_another(tmp_path: Path) -> None:
    """Gradients averaged over three batches of one are those of a batch of three."""
    plugin = tmp_path / "means.py"
    plugin.write_text(MEAN)
    common = {"size": 16, "steps": 4, "optimizer": ["sgd(lr=0.1)"], "plugins": [str(plugin)], "log_every": 1}
    runs = [
        translate.fit("mean", "demo(size=16, count=8)", output=tmp_path / f"{batch}", **common, **more)
        for batch, more in ((1, {"batch": 1, "accumulate": 3}), (3, {"batch": 3, "accumulate": 1}))
    ]
    one, other = (state(run)["method/network.weight"] for run in runs)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    losses = [[line["network/l"] for line in run.metrics] for run in runs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_samples_are_drawn_at_the_beginning_every_so_often_and_at_the_end(tmp_path: Path) -> None:
    run = fit(tmp_path / "run", sample_every=3)
    assert sorted(int(path.stem[5:]) for path in run.samples.iterdir()) == [0, 1, 3, 6, 8]


def means(folder: Path, **options: Any) -> Run:
    """A run of the smallest method, out of a plugin that is not installed."""
    folder.mkdir(exist_ok=True)
    plugin = folder / "small_means.py"
    plugin.write_text(MEAN)
    given = {"size": 16, "plugins": [str(plugin)], "log_every": 10, **options}
    return translate.fit("mean", "demo(size=16, count=8)", output=folder / "run", **given)


def test_samples_and_checkpoints_come_ten_times_unless_asked_otherwise(tmp_path: Path) -> None:
    run = means(tmp_path, steps=20, keep=99)
    assert [int(path.stem[5:]) for path in sorted(run.samples.iterdir())] == [0, 1, *range(2, 21, 2)]
    assert [int(path.stem[5:]) for path in run.checkpoints] == list(range(2, 21, 2))
    short = means(tmp_path / "short", steps=3, keep=99)
    assert [int(path.stem[5:]) for path in short.checkpoints] == [1, 2, 3]


def test_a_plugin_that_has_moved_is_given_anew_and_remembered(tmp_path: Path) -> None:
    run = means(tmp_path, steps=1)
    moved = tmp_path / "moved_means.py"
    (tmp_path / "small_means.py").rename(moved)
    with pytest.raises(TranslateError, match=r"names the plugin .*small_means\.py.*, which is code"):
        translate.resume(run.folder, steps=2)
    assert translate.resume(run.folder, steps=2, plugins=[str(moved)]).step == 2
    assert Run.open(run.folder).config.plugins == (str(moved),)
    assert translate.resume(run.folder, steps=3).step == 3


def test_a_run_that_is_resumed_before_its_first_checkpoint_has_its_initial_weights(tmp_path: Path) -> None:
    other = means(tmp_path / "other", steps=1, seed=5)
    for folder in ("straight", "stopped"):
        (tmp_path / folder).mkdir()
    straight = means(tmp_path / "straight", steps=2, init=other.folder)
    stopped = means(tmp_path / "stopped", steps=2, init=other.folder)
    for path in stopped.checkpoints:
        path.unlink()
    equal(straight, translate.resume(stopped.folder))


def test_what_compilation_decides_is_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is resumed does not try again."""

    class Decided:
        """Decides after the second step."""

        chosen = "yes"

        def __init__(self, asked: str, _networks: Any, *, left: int, **_more: Any) -> None:
            assert (asked, left) == ("auto", 4)
            self.steps = 0

        is_timing = False
        paused = staticmethod(nullcontext)

        def passed(self) -> bool:
            self.steps += 1
            return self.steps == 2

    monkeypatch.setattr("translate.training.Compilation", Decided)
    run = means(tmp_path, steps=4)
    assert run.config.compile == Run.open(run.folder).config.compile == "yes"
    assert json.loads((run.folder / "config.json").read_text())["versions"]["torch"] == torch.__version__


def test_plugins_can_be_blocked(tmp_path: Path) -> None:
    with pytest.raises(TranslateError, match="there is no method 'pix2pix'"):
        fit(tmp_path / "run", no_plugins=["pix2pix"])
    with pytest.raises(TranslateError, match="there is no method 'pix2pix'"):
        translate.resume(fit(tmp_path / "run", steps=1).folder, steps=2, no_plugins=["pix2pix"])


def test_only_so_many_checkpoints_are_kept(tmp_path: Path) -> None:
    run = fit(tmp_path / "run", save_every=2, keep=2, steps=7)
    assert [int(path.stem[5:]) for path in run.checkpoints] == [6, 7]


def test_more_steps_recompute_the_schedule_and_say_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = fit(tmp_path / "run", steps=4, schedule="linear(constant=0)")
    longer = translate.resume(run.folder, steps=8)
    assert longer.step == longer.steps == 8
    assert Run.open(run.folder).config.steps == 8
    assert "was to take 4 steps and now takes 8: the learning-rate schedule is recomputed" in caplog.text
    with pytest.raises(TranslateError, match="has done 8 steps already"):
        translate.resume(run.folder, steps=5)


def test_a_damaged_checkpoint_is_passed_over(whole: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = back_to(whole, 6, tmp_path / "half")
    last = Run.open(folder).checkpoints[-1]
    content = bytearray(last.read_bytes())
    content[-7] ^= 4
    last.write_bytes(content)
    (folder / "checkpoints" / ".step-00000009.safetensors.part").write_bytes(b"torn")
    equal(whole, translate.resume(folder))
    assert "is damaged: its checksum does not match" in caplog.text
    assert not list(folder.rglob("*.part"))
    for path in Run.open(folder).checkpoints:
        path.write_bytes(b"")
    with pytest.raises(TranslateError, match="no checkpoint of .* can be read"):
        translate.resume(folder)


def test_changed_data_cannot_be_resumed(tmp_path: Path) -> None:
    run = fit(tmp_path / "run", steps=3)
    path = run.folder / "config.json"
    path.write_text(path.read_text().replace("count=7", "count=8"))
    with pytest.raises(TranslateError, match="the data of .* has changed since.*--init"):
        translate.resume(run.folder)


def test_init_takes_over_the_weights_and_nothing_else(whole: Run, tmp_path: Path) -> None:
    begun = fit(tmp_path / "run", **FULL, init=whole.folder, steps=1)
    moved, start = state(begun), state(whole)
    assert checkpoint.load(begun.checkpoints[-1])[1]["engine"]["step"] == 1
    name = next(name for name in start if name.startswith("method/generator") and start[name].dim() == 4)
    assert 0 < (moved[name] - start[name]).abs().max() < 1e-2


def test_the_translator_holds_the_averages(tmp_path: Path) -> None:
    run = fit(tmp_path / "run", ema=0.9)
    tensors, _ = checkpoint.load(run.translator)
    saved = state(run)
    for name, value in tensors.items():
        key = name.partition("/")[2]
        assert torch.equal(value, saved[f"ema/forward/{key}"])
        if value.dim() == 4:
            assert not torch.equal(value, saved[f"method/generator.{key}"])


def test_a_users_own_files_beside_the_checkpoints_are_left_alone(tmp_path: Path) -> None:
    run = translate.fit("pix2pix", "demo(size=32, count=4)", output=tmp_path / "run", **{**SMALL, "steps": 2})
    folder = run.folder / "checkpoints"
    own = [folder / name for name in ("step-00000001-mine.safetensors", "step-1.safetensors", "step-x.safetensors")]
    for path in own:
        shutil.copy(run.checkpoints[-1], path)
    later = translate.resume(run.folder, steps=4, keep=1)
    assert all(path.exists() for path in own)
    assert [path.name for path in later.checkpoints] == ["step-00000004.safetensors"]


@pytest.mark.parametrize("data", ["~nobody-of-this-name/data", "x" * 5000, "a/" + "b" * 300])
def test_data_whose_name_is_no_path_is_one_sentence(data: str, tmp_path: Path) -> None:
    with pytest.raises(TranslateError) as caught:
        translate.fit("pix2pix", data, output=tmp_path / "run", **SMALL)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_values_that_are_not_finite_stop_the_run_and_keep_the_last_good_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(NotFiniteError, match=r"not .*finite.* the last good checkpoint is .*step-000000"):
        fit(
            tmp_path / "run",
            steps=40,
            optimizer=["adam", "discriminator=sgd(lr=100)"],
            save_every=1,
            keep=3,
            adversarial="lsgan",
        )
    run = Run.open(tmp_path / "run")
    for path in run.checkpoints:
        checkpoint.load(path)
    checkpoint.load(run.translator)


@pytest.mark.parametrize(
    "optimizers",
    [
        ("adam(lr=0.1)", "discriminator=sgd(lr=0.5)"),
        ("discriminator=sgd(lr=0.5)", "adam(lr=0.1)"),
        ("discriminator=sgd(lr=0.5)", "generator=adam(lr=0.1)"),
    ],
    ids=" ".join,
)
def test_one_optimizer_a_player(optimizers: tuple[str, ...]) -> None:
    """A player's own one counts, whether it is named before or after everybody's."""
    values = {"method": "pix2pix", "data": DEMO, **SMALL, "steps": 1, "optimizer": optimizers}
    players = Setup.make(Config.from_values(values)).engine.players
    assert players["generator"].rates == [0.1]
    assert type(players["generator"].optimizer).__name__ == "Adam"
    assert players["discriminator"].rates == [0.5]
    assert type(players["discriminator"].optimizer).__name__ == "SGD"


def test_an_optimizer_of_nobody_is_told(tmp_path: Path) -> None:
    with pytest.raises(TranslateError, match="there is no player 'critic'"):
        fit(tmp_path / "run", optimizer=["critic=adam"])


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["adam", "sgd"], "--optimizer gives adam and sgd for all players; give one"),
        (
            ["generator=sgd", "adam", "generator=adam"],
            "gives generator=sgd and generator=adam for the player generator",
        ),
    ],
)
def test_of_two_optimizers_for_the_same_players_none_is_dropped(
    given: list[str], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(TranslateError, match=sentence):
        fit(tmp_path / "run", optimizer=given)
    with pytest.raises(TranslateError, match=sentence):
        plan(Config.from_values({"method": "pix2pix", "data": DEMO, **SMALL, "optimizer": given}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"generator": "unett"}, "there is no generator 'unett'; did you mean unet"),
        ({"generator": "unet(dept=3)"}, "unet has no option 'dept'; did you mean depth"),
        (
            {"generator": "resnet", "size": "30x32"},
            r"resnet needs sides that divide by 4, which 30x32 does not; train with --size 28x32 or 32x32",
        ),
        ({"adversarial": "hinge + r2"}, "there is no regularizer 'r2'; choose from clip, critic"),
        ({"adversarial": "l1"}, "there is no adversarial loss 'l1'"),
        ({"schedule": "lineer"}, "did you mean linear"),
        ({"optimizer": ["adamm"]}, "did you mean adam"),
        ({"augment": ["jiter"]}, "did you mean jitter"),
        ({"device": "cuda:99"}, "there is no device 'cuda:99' here"),
        ({"stepz": 3}, "pix2pix has no option 'stepz'"),
        ({"load_size": 16}, "load.size"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_no_folder(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(TranslateError, match=message) as caught:
        fit(tmp_path / "run", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_plan_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = plan(Config.from_values({"method": "pix2pix", "data": DEMO, **SMALL, "epochs": 3.0}))
    text = "\n".join(lines)
    assert "train: 7 source, 7 target" in text
    assert "11 steps of 2 at 32x32" in text
    assert "generator/l1" in text
    players = Setup.make(Config.from_values({"method": "pix2pix", "data": DEMO, **SMALL, "epochs": 3.0})).method.players
    for name, module in players.items():
        assert f"  {name}: {sum(weight.numel() for weight in module.parameters()):,} weights" in lines
    assert not list(tmp_path.iterdir())


LONG = {**SMALL, "steps": 5000, "ema": 0.9, "pool": 3, "schedule": "none", "sample_every": 10_000}
"""A run that is stopped long before its end; its rates do not depend on where that is."""


def start(folder: Path, until: Callable[[Run], bool], **options: Any) -> Forked:
    """Begin a training in a process of its own, and wait until its run looks so."""
    given = [f"--{name.replace('_', '-')}={value}" for name, value in {**LONG, **options}.items()]
    process = Forked("fit", "pix2pix", DEMO, "-o", folder, *given)
    for _ in range(1200):
        if (folder / "metrics.jsonl").exists() and until(Run.open(folder)):
            return process
        time.sleep(0.05)
    process.kill()
    raise AssertionError(process.communicate()[1])


def resumed_for(run: Run, more: int, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Go on with a run for a few steps after its last checkpoint, and no others."""
    taken: list[int] = []
    step = Engine.step

    def counted(self: Engine, batches: Any) -> None:
        taken.append(self.step_count)
        step(self, batches)

    first = int(run.checkpoints[-1].stem[5:])
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "step", counted)
        resumed = translate.resume(run.folder, steps=first + more)
    assert taken == list(range(first, first + more))
    return resumed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_real_signal_saves_and_the_rest_is_exact(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends as a run of as many steps that was never stopped, whose every step was played in another process."""
    process = start(tmp_path / "run", lambda run: True, save_every=10_000)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "go on with `translate fit --resume" in told
    run = Run.open(tmp_path / "run")
    assert len(run.checkpoints) == 1
    assert run.translator.exists()
    resumed = resumed_for(run, 3, monkeypatch)
    straight = fit(tmp_path / "straight", **{**LONG, "steps": resumed.step})
    equal(straight, resumed)


def test_kill_9_costs_only_the_steps_since_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = start(
        tmp_path / "run", lambda run: (run.folder / "checkpoints/step-00000006.safetensors").exists(), save_every=3
    )
    process.kill()
    process.communicate()
    run = Run.open(tmp_path / "run")
    kept = int(run.checkpoints[-1].stem[5:])
    assert kept >= 6
    assert kept % 3 == 0
    resumed = resumed_for(run, 2, monkeypatch)
    straight = fit(tmp_path / "straight", **{**LONG, "steps": kept + 2})
    equal(straight, resumed)


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_anew(tmp_path: Path) -> None:
    process = start(tmp_path / "run", lambda run: True, save_every=10_000)
    process.kill()
    process.communicate()
    run = Run.open(tmp_path / "run")
    for path in run.checkpoints:  # the early ones
        path.unlink()
    equal(fit(tmp_path / "straight", **{**LONG, "steps": 3}), translate.resume(run.folder, steps=3))


@pytest.mark.parametrize(
    ("number", "error", "code"), [(signal.SIGINT, KeyboardInterrupt, None), (signal.SIGTERM, SystemExit, 143)]
)
def test_how_a_stopped_training_ends(
    number: signal.Signals, error: type[BaseException], code: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """The step in progress is finished and saved; then Ctrl-C is an interrupt, and SIGTERM ends the program."""
    events: list[tuple[str, Any]] = []

    def tell(_catalog: Catalog, event: str, **arguments: Any) -> None:
        events.append((event, arguments.get("reason")))
        if event == "step_ended" and arguments["scalars"].step == 2:
            signal.raise_signal(number)

    monkeypatch.setattr(Catalog, "tell", tell)
    with pytest.raises((KeyboardInterrupt, SystemExit)) as caught:
        means(tmp_path, steps=9, log_every=1, save_every=9)
    assert type(caught.value) is error
    sentence = f"interrupted at step 3 of 9 and saved; go on with `translate fit --resume {tmp_path / 'run'}`"
    assert (str(caught.value) if code is None else caplog.messages[-1]) == sentence
    assert getattr(caught.value, "code", None) == code
    assert [path.stem for path in Run.open(tmp_path / "run").checkpoints] == ["step-00000003"]
    assert events[-1] == ("run_ended", "interrupted")
    assert signal.getsignal(number) is not None


def test_a_run_without_a_folder_is_named_after_method_and_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small_means.py").write_text(MEAN)
    given: dict[str, Any] = {"size": 16, "steps": 1, "plugins": ["small_means.py"]}
    for name in ("mean-demo", "mean-demo-2"):
        assert translate.fit("mean", "demo(size=16, count=2)", **given).folder == Path("runs") / name
    shutil.copytree(translate_data(tmp_path), tmp_path / "my photos_1.0")
    run = translate.fit("mean", "my photos_1.0", **given)
    assert run.folder == Path("runs/mean-my-photos_1-0")
    # By which it can be resumed from any folder.
    assert run.config.data == str(tmp_path / "my photos_1.0")
    assert run.config.plugins == (str(tmp_path / "small_means.py"),)


def translate_data(folder: Path) -> Path:
    """A folder of two pairs."""
    draws = np.random.default_rng(0)
    for side in ("source", "target"):
        (folder / "pairs" / side).mkdir(parents=True)
        for name in "ab":
            pixels = draws.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            images.write(folder / "pairs" / side / f"{name}.png", images.Image(pixels, None))
    return folder / "pairs"


def test_training_in_a_thread_leaves_signals_alone(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    runs: list[Run] = []
    thread = threading.Thread(target=lambda: runs.append(fit(tmp_path / "run", steps=2)))
    thread.start()
    thread.join()
    assert runs[0].step == 2
    assert signal.getsignal(signal.SIGINT) is before


def test_bf16_trains(tmp_path: Path) -> None:
    run = fit(tmp_path / "run", precision="bf16", steps=3, adversarial="hinge + r1(weight=1)")
    assert all(
        value.dtype == torch.float32
        for name, value in state(run).items()
        if name.startswith("method/") and value.is_floating_point()
    )
