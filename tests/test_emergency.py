"""What ends a training: what is in memory is saved, one sentence says how to go on, and the exit code is its own."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from forking import ran
from torch import distributed

import translate
from translate import checkpoint
from translate.emergency import Emergency
from translate.errors import StoppedError, TranslateError
from translate.ranks import LostRankError
from translate.run import Run, Scalars

METHOD = """
import os, pathlib, sys
import torch
from torch import nn
from translate import hookimpl
from translate.method import Method, Update

class Two(Method):
    '''Two players, so that a step may fail between their moves.'''
    def __init__(self, parts):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
    @property
    def players(self): return {"first": self.first, "second": self.second}
    @property
    def translators(self): return {"forward": self.first}
    def loss(self, network, batch): return {"l": (network(batch["source"]) - batch["target"]).square().mean()}
    def updates(self, batch, step):
        fail(step, "start")
        yield Update("first", self.loss(self.first, batch))
        fail(step, "between")
        yield Update("second", self.loss(self.second, batch))

def fail(step, where): pass

@hookimpl
def methods(): return {"two": Two}
"""


def failing(where: str, what: str) -> str:
    """The method, which fails in its fourth step."""
    return METHOD.replace(
        "def fail(step, where): pass", f"def fail(step, where):\n    if step == 3 and where == {where!r}: {what}"
    )


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "two_players.py"
    path.write_text(METHOD, encoding="utf-8")
    return path


def fit(folder: Path, plugin: Path, **more: Any) -> Run:
    options = {"size": 16, "steps": 6, "log_every": 1, "save_every": 100, "sample_every": 100, "seed": 3, **more}
    return translate.fit("two", "demo(size=16, count=4)", output=folder, plugins=[str(plugin)], **options)


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(Run.open(folder).checkpoints[-1])[0]


def goes_on_exactly(folder: Path, plugin: Path, reference: Path) -> None:
    """The run in ``folder`` ends as one that nothing has ended."""
    plugin.write_text(METHOD, encoding="utf-8")
    fit(reference, plugin)
    assert translate.resume(folder, plugins=[str(plugin)]).step == 6
    wanted, got = tensors(reference), tensors(folder)
    assert wanted.keys() == got.keys()
    assert all(torch.equal(value, got[name]) for name, value in wanted.items())


def at_step(step: int, do: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something while the training goes on: after the row of that step."""
    record = Run.record

    def recorded(self: Run, scalars: Scalars) -> None:
        record(self, scalars)
        if scalars.step == step:
            while not self.translator.exists():  # the early checkpoint is being written
                time.sleep(0.01)
            do()

    monkeypatch.setattr(Run, "record", recorded)


def watching(folder: Path, *, ranks: int) -> Emergency:
    """What watches a training of several ranks, on another than the first, which saves nothing."""
    nothing: Any = SimpleNamespace(finish=lambda: None, settle=lambda: None, tell_all=lambda: None, ending=None)
    engine = SimpleNamespace(in_step=False)
    setup: Any = SimpleNamespace(group=SimpleNamespace(size=ranks, rank=ranks - 1, is_main=False), engine=engine)
    run: Any = SimpleNamespace(step=0, folder=folder / "run")
    return Emergency(setup, run, nothing, nothing, nothing)


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (LostRankError(), True),
        (distributed.DistBackendError("a peer is gone"), True),
        (RuntimeError("[../third_party/gloo/transport/tcp/pair.cc:534] Connection closed by peer"), True),
        (RuntimeError("the number of channels is wrong"), False),
        (OSError("/gloo/ is no folder"), False),
    ],
)
def test_who_has_lost_the_others_ends_as_such(tmp_path: Path, error: BaseException, lost: bool) -> None:
    with pytest.raises(LostRankError if lost else StoppedError) as caught, watching(tmp_path, ranks=2).watched():
        raise error
    if not lost:
        assert str(caught.value).startswith("rank 1 of 2: the training failed after step 0: ")


def test_what_fails_beside_the_steps_of_several_ranks_is_kept_until_they_end_together(tmp_path: Path) -> None:
    safe = watching(tmp_path, ranks=2)
    with safe.beside_the_steps():
        pass
    assert safe.failed is False
    with safe.beside_the_steps():
        raise OSError("the disk is full")
    assert safe.failed is True
    alone = watching(tmp_path, ranks=1)
    with pytest.raises(OSError, match="the disk is full"), alone.beside_the_steps():
        raise OSError("the disk is full")
    assert alone.failed is False


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("raise KeyError('colour')", r"the training failed in step 4: KeyError: 'colour' \(two_players.py, line \d+\)"),
        ("sys.exit(1)", r"the training failed in step 4: SystemExit: 1 \(two_players.py, line \d+\)"),
        ("raise KeyboardInterrupt", r"the training failed in step 4: KeyboardInterrupt"),
        ("raise GeneratorExit", r"the training failed in step 4: GeneratorExit"),
        ("raise MemoryError", "out of memory in step 4: free some, or train with a smaller --batch or --size"),
        ("raise torch.OutOfMemoryError('CUDA out of memory. Tried ...')", "out of memory in step 4"),
        ("raise OSError(28, 'No space left on device', '/x/y')", "/x/y: No space left on device"),
        ("nn.Conv2d(3, 3, 1)(torch.ones(2, 2))", r"the training failed in step 4: RuntimeError: Expected 3D"),
    ],
)
def test_a_method_that_fails_is_told_and_what_was_done_is_saved(
    what: str, reason: str, plugin: Path, tmp_path: Path
) -> None:
    plugin.write_text(failing("start", what), encoding="utf-8")
    folder = tmp_path / "my run"
    with pytest.raises(StoppedError, match=f"^{reason}") as caught:
        fit(folder, plugin)
    assert caught.value.exit_code == 5
    assert "; step 3 of 6 is saved" in str(caught.value)
    assert str(caught.value).endswith(f"; go on with `translate fit --resume '{folder}'`")
    assert "\n" not in str(caught.value)
    assert Run.open(folder).checkpoints[-1].stem == "step-00000003"
    assert checkpoint.load(Run.open(folder).translator)[1]["step"] == 3
    assert not (folder / "lock.json").exists()


def test_a_step_that_fails_in_its_middle_is_told_to_be_partial(
    plugin: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plugin.write_text(failing("between", "raise ValueError('x')"), encoding="utf-8")
    with pytest.raises(StoppedError, match="step 3 of 6 is saved, but not to the last bit; go on"):
        fit(tmp_path / "run", plugin)
    plugin.write_text(METHOD, encoding="utf-8")
    assert translate.resume(tmp_path / "run", plugins=[str(plugin)]).step == 6
    assert "ended within a step; it is resumed from there, but not to the last bit" in caplog.text


def test_an_exact_checkpoint_is_not_replaced_by_a_partial_one(plugin: Path, tmp_path: Path) -> None:
    plugin.write_text(failing("between", "raise ValueError('x')"), encoding="utf-8")
    with pytest.raises(StoppedError, match="step 3 of 6 is saved; go on"):
        fit(tmp_path / "run", plugin, save_every=3)
    goes_on_exactly(tmp_path / "run", plugin, tmp_path / "whole")


def test_wrong_use_that_shows_in_the_first_step_stays_wrong_use(plugin: Path, tmp_path: Path) -> None:
    plugin.write_text(METHOD.replace('yield Update("second"', 'yield Update("third"'), encoding="utf-8")
    with pytest.raises(TranslateError, match="there is no player 'third'") as caught:
        fit(tmp_path / "run", plugin)
    assert caught.value.exit_code == 2
    assert Run.open(tmp_path / "run").checkpoints == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
def test_a_log_on_a_full_disk(plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"

    def fill() -> None:
        (folder / "metrics.jsonl").unlink()
        (folder / "metrics.jsonl").symlink_to("/dev/full")

    at_step(2, fill, monkeypatch)
    with pytest.raises(
        StoppedError, match=r"cannot write .*metrics.jsonl: No space left on device; step 3 of 6 is saved"
    ):
        fit(folder, plugin)
    monkeypatch.undo()
    (folder / "metrics.jsonl").unlink()
    goes_on_exactly(folder, plugin, tmp_path / "whole")


def test_a_checkpoint_that_cannot_be_written(plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"

    def block() -> None:
        shutil.rmtree(folder / "checkpoints")
        (folder / "checkpoints").write_text("in the way")

    at_step(3, block, monkeypatch)
    with pytest.raises(StoppedError) as caught:
        fit(folder, plugin, save_every=4)
    assert str(caught.value).startswith("cannot write ")
    assert "step-00000004.safetensors: " in str(caught.value)
    assert "could not be saved (cannot write " in str(caught.value)
    assert ", and the last checkpoint is missing; go on with" in str(caught.value)


def test_a_disk_that_is_full_for_a_while(plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a write that failed, the newest state is written once more."""
    save, failed = checkpoint.save, []

    def sometimes(path: Path, *rest: Any) -> None:
        if path.stem == "step-00000003" and not failed:
            failed.append(path)
            raise checkpoint.CheckpointError(f"cannot write {path}: No space left on device")
        save(path, *rest)

    monkeypatch.setattr(checkpoint, "save", sometimes)
    with pytest.raises(
        StoppedError, match=r"step-00000003.safetensors: No space left on device; step [3-6] of 6 is saved;"
    ):
        fit(tmp_path / "run", plugin, save_every=3)
    monkeypatch.undo()
    goes_on_exactly(tmp_path / "run", plugin, tmp_path / "whole")


def test_a_folder_that_is_gone_is_made_again(plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "runs" / "one"
    at_step(3, lambda: folder.rename(tmp_path / "away"), monkeypatch)
    with pytest.raises(
        StoppedError, match=r"folder .*one is gone; step 4 of 6 is saved in .*one, which was made again; "
    ):
        fit(folder, plugin)
    monkeypatch.undo()
    goes_on_exactly(folder, plugin, tmp_path / "whole")


def test_nothing_is_written_where_a_disk_is_no_longer_mounted(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"

    def unmount() -> None:
        disk.rename(tmp_path / "elsewhere")
        disk.mkdir()

    at_step(3, unmount, monkeypatch)
    with pytest.raises(
        StoppedError, match=r"step 4 of 6 is not saved, since the run's folder .*one is gone; go on with"
    ):
        fit(disk / "one", plugin)
    assert not list(disk.iterdir())


def test_another_run_in_its_place_is_left_alone(plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "one"

    def replace() -> None:
        folder.rename(tmp_path / "moved")
        shutil.copytree(tmp_path / "moved", folder)

    at_step(3, replace, monkeypatch)
    with pytest.raises(StoppedError, match=r"step 4 of 6 is not saved, since .*one is another folder than when"):
        fit(folder, plugin)
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 3


def test_the_command_ends_with_its_own_code_and_no_traceback(plugin: Path, tmp_path: Path) -> None:
    plugin.write_text(failing("start", "raise ZeroDivisionError"), encoding="utf-8")
    flags = ["--size", "16", "--steps", "6", "-o", tmp_path / "run"]
    done = ran("-p", plugin, "fit", "two", "demo(size=16, count=4)", *flags)
    assert done.returncode == 5
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: the training failed in step 4: ZeroDivisionError (two_play")
