"""A run that is resumed on data that moved, or that lost or gained images; and a job of several devices beside them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from test_broken_images import METHOD

import translate
from translate import checkpoint
from translate.cli import main
from translate.data import Dataset, Domain, Example
from translate.errors import TranslateError
from translate.fingerprint import NAME, Listing, differences, unfit
from translate.method import Needs
from translate.run import Run


def photo(path: Path, value: int, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(value).integers(0, 256, (10, 12, 3), np.uint8)
    Pillow.fromarray(pixels).convert(mode).save(path)


def pair(data: Path, name: str, value: int = 99) -> None:
    for side in ("source", "target"):
        photo(data / "train" / side / f"{name}.png", value)


def lose(data: Path, name: str) -> None:
    for side in ("source", "target"):
        (data / "train" / side / f"{name}.png").unlink()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for number in range(8):
        pair(tmp_path / "data", f"{number}", number)
    for side in ("source", "target"):
        photo(tmp_path / "data" / "val" / side / "v.png", 50)
    return tmp_path / "data"


OPTIONS: dict[str, Any] = {
    "size": 8, "load_size": (10, 12), "steps": 6, "batch": 2, "log_every": 1, "save_every": 2, "keep": 9,
    "sample_every": 100, "optimizer": ["sgd(lr=0.1, momentum=0.5)"], "cache": "stream",
}  # fmt: skip


def fit(data: Path, folder: Path, **options: Any) -> Run:
    plugin = data.parent / "small_mean.py"
    plugin.write_text(METHOD)
    return translate.fit("small_mean", data, output=folder, plugins=[str(plugin)], **{**OPTIONS, **options})


def back_to(run: Run, step: int) -> Path:
    for path in run.checkpoints:
        if int(path.stem[5:]) > step:
            path.unlink()
    return run.folder


def equal(one: Run, two: Run) -> bool:
    first, second = (checkpoint.load(run.checkpoints[-1])[0] for run in (one, two))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_changed_data_is_named_and_used_when_asked_for(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = back_to(fit(data, tmp_path / "run"), 4)
    for name in ("3", "5"):
        lose(data, name)
    for name in ("new a", "new b", "new c", "new d"):
        pair(data, name)
    with pytest.raises(TranslateError) as caught:
        translate.resume(folder)
    told = "lost 2 pairs (3, 5), gained 4 pairs (new a, new b, new c, ...)"
    assert str(caught.value).startswith(f"the data of {folder} has changed since: {told}; ")
    assert "--changed-data" in str(caught.value)
    assert f"--init {folder}" in str(caught.value)
    assert not (folder / "changes.json").exists()
    caplog.clear()
    resumed = translate.resume(folder, changed_data=True)
    assert resumed.step == resumed.steps == 6
    (line,) = [text for text in caplog.messages if "no longer exact" in text]
    assert (
        line == f"the data of {folder} has changed: {told}; the run goes on with it from step 4, and is no longer exact"
    )
    (change,) = resumed.changes
    assert (change.step, change.what, change.before) == (4, "data", str(data))
    assert told in change.after
    # The new state is the run's own now.
    caplog.clear()
    again = translate.resume(back_to(resumed, 4))
    assert equal(resumed, again) or again.step == 6
    assert "no longer exact" not in "".join(caplog.messages)
    assert len(Run.open(folder).changes) == 1
    lose(data, "new a")
    with pytest.raises(TranslateError, match=r"lost 1 pair \(new a\); "):
        translate.resume(folder)


def test_a_run_of_epochs_keeps_its_number_of_steps(data: Path, tmp_path: Path) -> None:
    run = fit(data, tmp_path / "run", steps=None, epochs=2.0)
    assert run.steps == 8
    back_to(run, 4)
    for number in range(10):
        pair(data, f"more {number}")
    resumed = translate.resume(run.folder, changed_data=True)
    assert (resumed.step, resumed.config.steps, resumed.config.epochs) == (8, 8, None)


def test_data_that_moved_is_given_once(data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    straight = fit(data, tmp_path / "straight")
    folder = back_to(fit(data, tmp_path / "run"), 2)
    moved = tmp_path / "else where"
    data.rename(moved)
    with pytest.raises(
        TranslateError, match=r"the data of .*run is no longer at .*data; name its new place with --data"
    ):
        translate.resume(folder)
    resumed = translate.resume(folder, data=moved)
    assert equal(straight, resumed)
    assert resumed.config.data == str(moved)
    assert "no longer exact" not in "".join(caplog.messages)
    assert [(change.what, change.before, change.after) for change in resumed.changes] == [
        ("data", str(data), str(moved))
    ]
    again = translate.resume(folder, steps=7)
    assert again.config.data == str(moved)
    assert [change.what for change in again.changes] == ["data", "steps"]
    assert checkpoint.load(again.checkpoints[-1])[1]["config"]["data"] == str(moved)


def test_data_that_moved_and_changed_is_not_taken_for_the_run_s(data: Path, tmp_path: Path) -> None:
    folder = back_to(fit(data, tmp_path / "run"), 2)
    moved = tmp_path / "moved"
    shutil.copytree(data, moved)
    pair(moved, "new")
    with pytest.raises(TranslateError) as caught:
        translate.resume(folder, data=moved)
    assert str(caught.value).startswith(f"{moved} does not hold the data of {folder} as it was: gained 1 pair (new); ")
    assert "--changed-data" in str(caught.value)
    assert Run.open(folder).config.data == str(data)
    assert translate.resume(folder, data=moved, changed_data=True).config.data == str(moved)
    with pytest.raises(TranslateError, match="there is no folder"):
        translate.resume(folder, data=tmp_path / "nowhere")


def test_a_removed_broken_image_is_one_that_was_lost(data: Path, tmp_path: Path) -> None:
    os.truncate(data / "train" / "target" / "4.png", 60)
    with pytest.raises(TranslateError, match=r"4\.png"):
        fit(data, tmp_path / "run", broken="stop", steps=12)
    lose(data, "4")
    with pytest.raises(TranslateError, match=r"lost 1 pair \(4\); .*--changed-data"):
        translate.resume(tmp_path / "run")
    assert translate.resume(tmp_path / "run", changed_data=True).step == 12


def test_images_that_were_left_out_are_tried_again_when_asked_for(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = data / "train" / "target" / "4.png"
    content = path.read_bytes()
    os.truncate(path, 60)
    run = fit(data, tmp_path / "run")
    path.write_bytes(content)
    translate.resume(run.folder, steps=8)
    assert "still left out, as before: pairs 4" in caplog.messages
    resumed = translate.resume(run.folder, steps=10, changed_data=True)
    assert "1 that were left out are tried again" in "".join(caplog.messages)
    assert "left_out" not in checkpoint.load(resumed.checkpoints[-1])[1]


def test_an_image_that_broke_meanwhile_is_told_to_end_the_exactness(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = back_to(fit(data, tmp_path / "run", cache="device"), 4)
    os.truncate(data / "train" / "target" / "4.png", 60)
    translate.resume(folder)
    assert f"{folder} goes on without images that it has seen: it is no longer exact" in caplog.messages


def test_networks_that_do_not_fit_the_data_are_not_resumed(data: Path, tmp_path: Path) -> None:
    run = fit(data, tmp_path / "run")
    for number in range(8):
        photo(data / "train" / "source" / f"{number}.png", number, mode="L")
    photo(data / "val" / "source" / "v.png", 3, mode="L")
    with pytest.raises(TranslateError, match=r"its networks do not fit: its source was taken for Domain\(channels=3"):
        translate.resume(run.folder, changed_data=True)


def test_a_run_without_a_listing_says_what_it_can(data: Path, tmp_path: Path) -> None:
    folder = back_to(fit(data, tmp_path / "run"), 4)
    pair(data, "new")
    for content in (None, b"", b"[1, 2]\n", b'["source", "x", true]\n["a", 0]\n', b"[" * 100_000, b"\xff"):
        (folder / NAME).unlink(missing_ok=True)
        if content is not None:
            (folder / NAME).write_bytes(content)
        with pytest.raises(TranslateError, match="has changed since: it has 9 source, 9 target images to train on; "):
            translate.resume(folder)
    translate.resume(folder, changed_data=True)
    pair(data, "newer")
    with pytest.raises(TranslateError, match=r"gained 1 pair \(newer\)"):
        translate.resume(folder)


def dataset(source: list[tuple[str, int]], target: list[tuple[str, int]], paired: bool = False) -> Dataset:
    pixels = np.zeros((4, 4, 3), np.uint8)
    sides = {"source": source, "target": target}
    train = {side: [Example(pixels, name, label=label) for name, label in named] for side, named in sides.items()}
    return Dataset("mine", "by_hand", paired, dict.fromkeys(sides, Domain(3)), {"train": train})


def test_what_differs_in_words(tmp_path: Path) -> None:
    before = Listing.of(dataset([("a", 0), ("b", 1)], [("x", -1), ("line\nbreak", 0), ("\udcff", 0)]), Needs())
    before.write(tmp_path)
    read = Listing.read(tmp_path, before.fingerprint)
    assert read is not None
    assert read.fingerprint == before.fingerprint
    assert Listing.read(tmp_path, "0" * 64) is None
    after = Listing.of(dataset([("a", 0)], [("x", -1), ("y", -1), ("line\nbreak", 0), ("\udcff", 0)]), Needs())
    assert differences(before, after) == "lost 1 source image (b), gained 1 target image (y)"
    relabelled = Listing.of(dataset([("a", 1), ("b", 1)], [("x", -1), ("line\nbreak", 0), ("\udcff", 0)]), Needs())
    assert differences(before, relabelled) == "other labels of 1 source image (a)"
    turned = Listing.of(dataset([("b", 1), ("a", 0)], [("x", -1), ("line\nbreak", 0), ("\udcff", 0)]), Needs())
    assert differences(before, turned) == "the order of its images"
    many = Listing.of(dataset([("b", 1)], [("x", -1), *((f"y{number}", -1) for number in range(3))]), Needs())
    more = Listing.of(dataset([("b", 1)], [("x", -1), *((f"y{number}", -1) for number in range(4))]), Needs())
    nothing = Listing.of(dataset([("b", 1)], [("x", -1)]), Needs())
    assert differences(nothing, many) == "gained 3 target images (y0, y1, y2)"
    assert differences(more, nothing) == "lost 4 target images (y0, y1, y2, ...)"
    assert unfit(before, after) is None
    assert unfit(before, Listing.of(dataset([], [], paired=True), Needs())) == "it is paired now"
    assert unfit(before, Listing(before.sides[:1])) == "it has no target any more"


def test_names_that_are_no_text_are_recorded(data: Path, tmp_path: Path) -> None:
    folder = back_to(fit(data, tmp_path / "run"), 4)
    for side in ("source", "target"):
        photo(data / "train" / side / "odd.png", 77)
        (data / "train" / side / "odd.png").rename(data / "train" / side / os.fsdecode(b"odd\xff\n.png"))
    resumed = translate.resume(folder, changed_data=True)
    assert "gained 1 pair (odd\\udcff\\n)" in resumed.changes[0].after
    assert translate.resume(folder, steps=8).step == 8


def test_the_fingerprint_is_that_of_earlier_versions() -> None:
    found = Listing.of(dataset([("a", 0)], [("b", -1)]), Needs()).fingerprint
    assert found == "2bbef64c22b84f399d672f0e6b4973cda5f7054bfb3fb1aa7c8db1e68a960b5a"


def test_the_command_line(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = back_to(fit(data, tmp_path / "run"), 4)
    pair(data, "new")
    moved = tmp_path / "moved"
    data.rename(moved)

    def command(*arguments: str) -> tuple[object, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["fit", *arguments])
        return ended.value.code, capsys.readouterr().err

    for flags in (("--data", "x"), ("--changed-data",), ("--broken", "stop")):
        code, told = command(*flags)
        assert (code, "--resume" in told) == (2, True)
    code, told = command("--resume", str(folder), "--data", str(moved))
    assert (code, told.splitlines()[-1].startswith(f"error: {moved} does not hold")) == (2, True)
    assert command("--resume", str(folder), "--data", str(moved), "--changed-data", "--broken", "stop")[0] == 0
    config = json.loads((folder / "config.json").read_text())["config"]
    assert (config["data"], config["broken"]) == (str(moved), "stop")
    (moved / "train" / "source" / "2.png").write_bytes(b"")
    code, told = command("--resume", str(folder), "--steps", "20")
    assert code == 5
    assert told.splitlines()[-1].startswith("error: stopped at step ")


# --- several devices --------------------------------------------------------------------------------------------------


def test_devices_leave_out_the_same_and_stop_together(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A rank that does not meet the broken image leaves it out all the same, and none waits for another for ever."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    os.truncate(data / "train" / "target" / "4.png", 60)
    together = fit(data, tmp_path / "together", batch=1, devices=2)
    assert capfd.readouterr().err.count("left out, another image") == 1
    alone = fit(data, tmp_path / "alone", batch=2)
    first, second = (checkpoint.load(run.checkpoints[-1]) for run in (together, alone))
    assert first[1]["left_out"] == second[1]["left_out"] == {"source": {"4": "4"}}
    for name, value in second[0].items():
        if name.startswith("method/"):
            assert torch.allclose(value, first[0][name], atol=1e-6), name
    pair(data, "new")
    moved = tmp_path / "moved"
    data.rename(moved)
    (moved / "train" / "source" / "2.png").write_bytes(b"")
    capfd.readouterr()
    with pytest.raises(SystemExit) as stopped:
        translate.resume(together.folder, data=moved, changed_data=True, steps=30)
    told = capfd.readouterr().err
    assert stopped.value.code == 5
    assert told.count("error: stopped at step") == 1
    assert "2 of 9 pairs" in told
    assert "Traceback" not in told
    last = int(Run.open(together.folder).checkpoints[-1].stem[5:])
    assert f"stopped at step {last} of 30 and saved" in told
