"""The translator of a run is what its last good checkpoint makes of it, whatever happened to the file."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forking import ran

import translate
from translate import checkpoint, derived, images
from translate.checkpoint import CheckpointError
from translate.errors import TranslateError
from translate.images import Image
from translate.lock import locked
from translate.numbered import steps_of
from translate.run import Run
from translate.saved import load_classifier, load_sampler
from translate.translator import load

TOYS = str(Path(__file__).with_name("toys.py"))
DEMO = "demo(size=32, count=4)"
SMALL: dict[str, Any] = {
    "size": 32,
    "generator": "unet(width=4)",
    "discriminator": "patch(width=4, receptive_field=16)",
    "save_every": 2,
    "keep": 9,
    "ema": 0.5,
    "schedule": "none",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of six steps with moving averages and three checkpoints."""
    return translate.fit("pix2pix", DEMO, output=tmp_path_factory.mktemp("runs") / "run", steps=6, **SMALL)


@pytest.fixture
def run(finished: Run, tmp_path: Path) -> Run:
    """A copy of it, to be harmed."""
    shutil.copytree(finished.folder, tmp_path / "run")
    opened = Run.open(tmp_path / "run")
    opened.step = 6
    return opened


def translators_at(finished: Run, step: int) -> dict[str, torch.Tensor]:
    """What the translator of a step must hold: the averages, and whatever has none."""
    tensors = checkpoint.load(steps_of(finished.folder)[step])[0]
    prefix = "ema/forward/"
    return {f"forward/{name.removeprefix(prefix)}": value for name, value in tensors.items() if name.startswith(prefix)}


def same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[name], value) for name, value in wanted.items())


def make_missing(run: Run) -> None:
    run.translator.unlink()


def make_truncated(run: Run) -> None:
    run.translator.write_bytes(run.translator.read_bytes()[:-100])


def make_empty(run: Run) -> None:
    run.translator.write_bytes(b"")


def make_flipped(run: Run) -> None:
    content = bytearray(run.translator.read_bytes())
    content[-5] ^= 1
    run.translator.write_bytes(content)


def make_older(run: Run) -> None:
    """As it was when the checkpoint of step 4 was the last one."""
    later = steps_of(run.folder)[6]
    aside = run.folder / "aside"
    later.rename(aside)
    run.translator.unlink()
    derived_again = load(run.folder)
    assert derived_again.direction == "forward"
    assert checkpoint.load(run.translator)[1]["step"] == 4
    aside.rename(later)


def make_older_without_step(run: Run) -> None:
    """Written by a version that noted no step, before the last checkpoint."""
    make_older(run)
    tensors, metadata = checkpoint.load(run.translator)
    checkpoint.save(run.translator, tensors, {name: value for name, value in metadata.items() if name != "step"})
    before = steps_of(run.folder)[6].stat().st_mtime - 10
    os.utime(run.translator, (before, before))


HARMS = [make_missing, make_truncated, make_empty, make_flipped, make_older, make_older_without_step]


def by_use(run: Run) -> None:
    assert load(run.folder).size == (32, 32)


def by_resume(run: Run) -> None:
    resumed = translate.resume(run.folder)
    assert resumed.step == resumed.steps == 6


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("mend", [by_use, by_resume])
def test_a_translator_is_built_again(
    harm: Callable[[Run], None], mend: Callable[[Run], None], run: Run, finished: Run, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = checkpoint.load(finished.translator)
    assert same(wanted[0], translators_at(finished, 6))
    harm(run)
    caplog.clear()
    mend(run)
    found = checkpoint.load(run.translator)
    assert found[1] == wanted[1]
    assert found[1]["step"] == 6
    assert same(found[0], wanted[0])
    if mend is by_use:
        (line,) = caplog.messages
        assert line.startswith(f"{run.translator} was ")
        assert line.endswith("and was built again from step-00000006.safetensors")
        caplog.clear()
        mend(run)
        assert not caplog.messages


def test_a_sound_translator_is_left_alone(run: Run) -> None:
    before = run.translator.stat().st_ino
    by_use(run)
    by_resume(run)
    assert run.translator.stat().st_ino == before


def test_a_damaged_checkpoint_is_passed_over(run: Run, finished: Run) -> None:
    make_missing(run)
    steps_of(run.folder)[6].write_bytes(b"torn")
    by_use(run)
    assert same(checkpoint.load(run.translator)[0], translators_at(finished, 4))
    # The damaged one says nothing against a translator that is as old as the last good one.
    before = run.translator.stat().st_ino
    by_use(run)
    assert run.translator.stat().st_ino == before


def test_where_all_are_damaged_the_translator_is_named(run: Run) -> None:
    for path in run.checkpoints:
        path.write_bytes(b"torn")
    by_use(run)
    make_truncated(run)
    with pytest.raises(CheckpointError, match=r"translator\.safetensors"):
        by_use(run)
    make_missing(run)
    with pytest.raises(TranslateError, match=r"holds no translator\.safetensors"):
        by_use(run)


def test_a_translator_that_cannot_be_written_is_built_in_memory(
    run: Run, finished: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make_older(run)
    caplog.clear()
    before = run.translator.read_bytes()

    def refuse(path: Path, *_: Any) -> None:
        raise CheckpointError(f"cannot write {path}: Read-only file system; nothing that was there before is lost")

    monkeypatch.setattr(checkpoint, "save", refuse)
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(load(run.folder)(image), load(finished.folder)(image))
    assert run.translator.read_bytes() == before
    (line,) = caplog.messages
    assert "is older than the last checkpoint, so the weights are taken from step-00000006.safetensors" in line
    assert "Read-only file system" in line
    found = translate.evaluate(run.folder, DEMO, metrics=["l1"], split="train")
    assert found.scores == translate.evaluate(finished.folder, DEMO, metrics=["l1"], split="train").scores


def test_a_run_that_trains_keeps_its_translator_to_itself(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    make_missing(run)
    with locked(run.folder):
        by_use(run)
        assert not run.translator.exists()
    assert "is being trained by process" in caplog.text
    by_use(run)
    assert run.translator.exists()


# --- the window between checkpoint and translator ---------------------------------------------------------------------

KILLED = """
import os, signal
from translate import checkpoint
save = checkpoint.save
def killed(path, *rest):
    if path.name == "translator.safetensors" and rest[1]["step"] == int(os.environ["KILLED_AT"]):
        if os.environ["KILLED_HOW"] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    save(path, *rest)
# Not where the run is resumed, which names this plugin.
if "KILLED_AT" in os.environ:
    checkpoint.save = killed
"""


def stopped(folder: Path, step: int, how: str, options: dict[str, Any]) -> str:
    """Train until the translator of a step should be written, and be killed there, or find the disk full."""
    plugin = folder.with_name("killed.py")
    plugin.write_text(KILLED, encoding="utf-8")
    given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    told = {**os.environ, "KILLED_AT": str(step), "KILLED_HOW": how}
    done = ran("-p", plugin, "fit", "pix2pix", DEMO, "-o", folder, *given, env=told)
    assert done.returncode == (-9 if how == "kill" else 5), done.stderr
    assert max(steps_of(folder)) == step
    return done.stderr


@pytest.mark.parametrize(
    ("how", "step", "mend"),
    [("kill", 2, by_use), ("kill", 6, by_use), ("kill", 6, by_resume), ("full", 2, by_resume), ("full", 6, by_use)],
)
def test_what_ends_between_checkpoint_and_translator_leaves_no_stale_one(
    how: str, step: int, mend: Callable[[Run], None], finished: Run, tmp_path: Path
) -> None:
    """At step 2 there is only the early translator, at step 6 nothing is left to train."""
    folder = tmp_path / "run"
    told = stopped(folder, step, how, {**SMALL, "steps": 6})
    if how == "full":
        assert "cannot write" in told
        assert "nothing that was there before is lost" in told
    run = Run.open(folder)
    assert checkpoint.load(run.translator)[1]["step"] == (1 if step == 2 else 4)
    mend(run)
    reached = step if mend is by_use else 6
    found, metadata = checkpoint.load(run.translator)
    assert metadata["step"] == reached
    assert same(found, translators_at(finished, reached))
    assert not list(folder.rglob("*.part"))


def test_with_one_save_there_is_a_translator_all_the_same(tmp_path: Path) -> None:
    """A network as deep as the default of pix2pix at 256 px, killed between its only two files."""
    folder = tmp_path / "run"
    options = {"size": 256, "steps": 1, "generator": "unet(width=12)", "discriminator": "patch(width=4)"}
    stopped(folder, 1, "kill", {**options, "compile": "no", "sample_every": 100})
    run = Run.open(folder)
    assert not run.translator.exists()
    image = tmp_path / "a.png"
    images.write(image, Image(np.zeros((256, 256, 3), np.uint8)))
    assert translate.convert(folder, image, tmp_path / "b.png").converted == 1
    tensors, metadata = checkpoint.load(run.translator)
    assert metadata["step"] == 1
    assert sum(value.numel() for value in tensors.values()) > 1_500_000
    weights = checkpoint.load(run.checkpoints[-1])[0]
    for name, value in tensors.items():
        assert torch.equal(value, weights[f"method/generator.{name.removeprefix('forward/')}"])


# --- any checkpoint ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [2, 4, 6])
def test_any_checkpoint_converts(finished: Run, step: int, tmp_path: Path) -> None:
    file = steps_of(finished.folder)[step]
    before = {path: path.stat().st_mtime_ns for path in finished.folder.rglob("*")}
    by_step, by_file = load(finished.folder, step=step), load(file)
    wanted = translators_at(finished, step)
    for translator in (by_step, by_file):
        state = translator.network.state_dict()
        assert state
        assert all(torch.equal(value, wanted[f"forward/{name}"]) for name, value in state.items())
    given = tmp_path / "a.png"
    images.write(given, Image(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)))
    translate.convert(finished.folder, given, tmp_path / "step.png", step=step)
    translate.convert(file, given, tmp_path / "file.png")
    assert (tmp_path / "step.png").read_bytes() == (tmp_path / "file.png").read_bytes()
    assert {path: path.stat().st_mtime_ns for path in finished.folder.rglob("*")} == before


def test_the_last_checkpoint_answers_as_the_translator_does(finished: Run) -> None:
    image = torch.rand(1, 3, 32, 32)
    last = load(finished.folder)(image)
    assert torch.equal(load(finished.folder, step=6)(image), last)
    assert not torch.equal(load(finished.folder, step=2)(image), last)


def test_without_averages_the_weights_are_taken(tmp_path: Path) -> None:
    run = translate.fit("pix2pix", DEMO, output=tmp_path / "run", steps=4, **{**SMALL, "ema": 0.0})
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(load(run.folder, step=4)(image), load(run.folder)(image))
    weights = checkpoint.load(steps_of(run.folder)[2])[0]
    for name, value in load(run.folder, step=2).network.state_dict().items():
        assert torch.equal(value, weights[f"method/generator.{name}"])


def test_any_checkpoint_is_evaluated(finished: Run) -> None:
    def scores(*path: Path, **more: Any) -> Any:
        return translate.evaluate(*path, DEMO, metrics=["l1"], split="train", **more)

    early = scores(finished.folder, step=2)
    assert early.scores == scores(steps_of(finished.folder)[2]).scores
    assert early.subject == "run/step-00000002"
    assert scores(finished.folder).subject == "run"
    assert scores(finished.folder, step=6).scores == scores(finished.folder).scores != early.scores


def test_any_checkpoint_samples_and_classifies(tmp_path: Path) -> None:
    toy = {"plugins": (TOYS,), "size": 16, "steps": 3, "save_every": 1, "keep": 9}
    run = translate.fit("toy", "demo(size=16, count=4)", output=tmp_path / "run", **toy)
    file = steps_of(run.folder)[1]
    one, other = load_sampler(run.folder, step=1, plugins=(TOYS,)), load_sampler(file, plugins=(TOYS,))
    assert torch.equal(one.draw([0, 1]), other.draw([0, 1]))
    assert not torch.equal(one.draw([0]), load_sampler(run.folder, plugins=(TOYS,)).draw([0]))
    made = translate.sample(run.folder, tmp_path / "made", count=2, step=1, plugins=(TOYS,))
    stored = images.to_stored(one.draw([0, 1]), one.domain, "uint8").permute(0, 2, 3, 1).numpy()
    assert np.array_equal(images.read(made[1]).pixels, stored[1])
    (told,) = translate.classify(run.folder, made[0], step=1, plugins=(TOYS,))
    pixels = torch.from_numpy(images.read(made[0]).pixels).permute(2, 0, 1)[None] / 127.5 - 1
    judge = load_classifier(file, plugins=(TOYS,))
    assert told.probability == pytest.approx(float(judge.classify(pixels).max()), abs=1e-4)


def test_a_step_that_is_not_there_is_one_sentence(finished: Run, tmp_path: Path) -> None:
    with pytest.raises(TranslateError, match=r"run has no checkpoint of step 3; choose from 2, 4, 6, and keep"):
        load(finished.folder, step=3)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(TranslateError, match="has no checkpoint of step 3; it has none at all"):
        load(tmp_path, step=3)
    with pytest.raises(TranslateError, match="is no folder of a run, so it has no step 2 to choose"):
        load(finished.translator, step=2)
    with pytest.raises(TranslateError, match="this translator is loaded already"):
        translate.convert(load(finished.folder), tmp_path, tmp_path / "out", step=2)


def test_from_the_command_line(finished: Run, tmp_path: Path) -> None:
    given = tmp_path / "a.png"
    images.write(given, Image(np.zeros((32, 32, 3), np.uint8)))

    def call(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = ran(*map(str, arguments))
        assert done.returncode == code, done.stderr
        return done

    call("convert", finished.folder, given, tmp_path / "b.png", "--step", 2)
    wanted = load(finished.folder, step=2)(images.read(given).pixels)
    assert np.array_equal(images.read(tmp_path / "b.png").pixels, wanted)
    told = call("convert", finished.folder, given, tmp_path / "c.png", "--step", 5, code=2).stderr
    assert told.startswith("error: ")
    assert "choose from 2, 4, 6" in told
    assert len(told.splitlines()) == 1


def test_a_checkpoint_of_an_earlier_version(run: Run, finished: Run) -> None:
    """It did not note the facts; those of the run's translator serve, as long as there is one."""
    file = steps_of(run.folder)[2]
    tensors, metadata = checkpoint.load(file)
    checkpoint.save(file, tensors, {name: value for name, value in metadata.items() if name != derived.FACTS})
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(load(file)(image), load(finished.folder, step=2)(image))
    make_missing(run)
    with pytest.raises(TranslateError, match="was written by an earlier version, which did not note"):
        load(file)


def test_weights_of_another_configuration_are_refused(run: Run) -> None:
    file = steps_of(run.folder)[2]
    tensors, metadata = checkpoint.load(file)
    metadata[derived.FACTS]["options"]["generator"] = "unet(width=6)"
    checkpoint.save(file, tensors, metadata)
    with pytest.raises(TranslateError, match="step-00000002.safetensors does not fit its method as it is installed"):
        load(file)
