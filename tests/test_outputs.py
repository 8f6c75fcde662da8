"""Outputs: no command writes where it was not told to, nor over a file that it has not made."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import translate
from translate import images, outputs
from translate.errors import TranslateError
from translate.images import Image
from translate.run import Config, Run
from translate.training import plan

TOYS = str(Path(__file__).with_name("toys.py"))
SMALL: dict[str, Any] = {
    "size": 32,
    "generator": "unet(width=4)",
    "discriminator": "patch(width=4, receptive_field=16)",
    "steps": 1,
}


def call(*arguments: object, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "translate", *(str(each) for each in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, with their bytes."""
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three pairs, in a folder that also holds a photo of its name."""
    folder = tmp_path / "holiday"
    for side, start in (("source", 0), ("target", 90)):
        (folder / side).mkdir(parents=True)
        for number in range(3):
            images.write(folder / side / f"{number}.png", Image(np.full((32, 32, 3), start + number, np.uint8)))
    images.write(tmp_path / "holiday.png", Image(np.full((5, 5, 3), 7, np.uint8)))
    return folder


# --- data -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "place"), [("holiday", "."), (".", "holiday")])
def test_data_writes_nothing_of_its_own_accord(photos: Path, name: str, place: str) -> None:
    before = contents(photos.parent)
    done = call("data", name, cwd=photos.parent / place)
    assert contents(photos.parent) == before
    assert done.stdout.splitlines()[-1] == "See some of them: add --picture FILE, such as --picture look.png"


def test_data_writes_a_picture_where_it_is_told_and_over_nothing(photos: Path) -> None:
    there = photos.parent
    before = contents(there)
    told = call("data", "holiday", "--picture", "holiday.png", cwd=there, code=2).stderr
    assert told == "error: holiday.png exists already; name another place, or replace it with --overwrite\n"
    assert contents(there) == before
    assert "picture: look.png" in call("data", "holiday", "--picture", "look.png", cwd=there).stdout
    assert contents(there).keys() - before.keys() == {"look.png"}
    call("data", "holiday", "--picture", "holiday.png", "--overwrite", cwd=there)
    assert contents(there)["holiday.png"] == contents(there)["look.png"] != before["holiday.png"]


@pytest.mark.parametrize(
    "flags", [["--picture", "holiday/look.png"], ["--export", "holiday"], ["--export", "holiday/out"]]
)
def test_data_writes_nothing_into_the_data(photos: Path, flags: list[str]) -> None:
    before = contents(photos.parent)
    told = call("data", "holiday", *flags, "--overwrite", cwd=photos.parent, code=2).stderr
    assert "lies in holiday, the data itself" in told
    assert contents(photos.parent) == before


def test_data_as_json_stays_json_with_a_picture(photos: Path) -> None:
    done = call("data", "holiday", "--json", "--picture", "look.png", cwd=photos.parent)
    assert json.loads(done.stdout)["paired"] is True
    assert (photos.parent / "look.png").exists()


# --- fit --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", ["1.png", "notes.txt", "deep/1.png", "checkpoints/mine.txt", ".hidden.png"])
def test_a_run_is_put_into_no_folder_that_holds_anything(tmp_path: Path, entry: str) -> None:
    folder = tmp_path / "mine"
    (folder / entry).parent.mkdir(parents=True)
    (folder / entry).write_bytes(b"x")
    before = contents(folder)
    first = entry.partition("/")[0]
    with pytest.raises(TranslateError, match=f"mine holds {first}, which no run has made; choose a new or empty"):
        translate.fit("pix2pix", "demo(size=32, count=3)", output=folder, **SMALL)
    assert contents(folder) == before


def test_a_folder_of_nothing_but_what_an_early_end_leaves_is_taken(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    for name in (".DS_Store", ".config.json.00000000-1-00000000.part"):
        (folder / name).write_bytes(b"")
    assert Run.create(folder, Config("pix2pix", "photos"), steps=1, metadata={}).folder == folder


@pytest.mark.parametrize("place", ["holiday/run", "holiday/source", "holiday"])
def test_a_run_is_not_put_into_its_data(photos: Path, place: str) -> None:
    before = contents(photos)
    options = ["--steps", "1", "--size", "32"]
    told = call("fit", "pix2pix", "holiday", "-o", place, *options, cwd=photos.parent, code=2).stderr
    assert "the data itself, where a run's sample pictures" in told or "which no run has made" in told
    assert len(told.splitlines()) == 1
    assert contents(photos) == before


def test_a_cache_is_not_put_into_the_data(photos: Path, tmp_path: Path) -> None:
    before = contents(photos)
    with pytest.raises(TranslateError, match="the data itself, where decoded images would be taken for data"):
        translate.fit("pix2pix", photos, output=tmp_path / "run", cache_folder=photos / "kept", **SMALL)
    assert contents(photos) == before
    assert not (tmp_path / "run").exists()


def test_a_dry_run_keeps_no_cache(photos: Path, tmp_path: Path) -> None:
    values = {"method": "pix2pix", "data": str(photos), **SMALL, "cache": "host", "cache_folder": tmp_path / "kept"}
    assert plan(Config.from_values(values))
    assert not (tmp_path / "kept").exists()


# --- sample, bench ----------------------------------------------------------------------------------------------------


def test_samples_replace_no_file_unasked(tmp_path: Path) -> None:
    run = translate.fit("toy", "demo(size=16, count=4)", output=tmp_path / "run", plugins=(TOYS,), size=16, steps=1)
    out = tmp_path / "made"
    out.mkdir()
    (out / "000001.png").write_bytes(b"mine")
    with pytest.raises(TranslateError, match=r"000001\.png exists already; .*--overwrite"):
        translate.sample(run.folder, out, count=3, plugins=(TOYS,))
    assert contents(out) == {"000001.png": b"mine"}
    assert len(translate.sample(run.folder, out, count=3, plugins=(TOYS,), overwrite=True)) == 3
    assert images.read(out / "000001.png").pixels.shape == (16, 16, 3)


def test_a_benchmark_replaces_no_file_unasked(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("mine")
    told = call("bench", "pix2pix", "--json", "mine.json", cwd=tmp_path, code=2).stderr
    assert told == "error: mine.json exists already; name another place, or replace it with --overwrite\n"
    assert "there is no folder" in call("bench", "pix2pix", "--json", "no/a.json", cwd=tmp_path, code=2).stderr
    assert contents(tmp_path) == {"mine.json": b"mine"}


# --- the rules --------------------------------------------------------------------------------------------------------


def test_what_exists_is_refused(tmp_path: Path) -> None:
    outputs.refuse_existing(tmp_path / "none", Path("/dev/null"))
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(TranslateError, match="link exists already"):
        outputs.refuse_existing(tmp_path / "none", tmp_path / "link")
    with pytest.raises(TranslateError, match="and 1 more exist already"):
        outputs.refuse_existing(tmp_path, tmp_path / "link")


def test_a_link_into_the_data_is_no_way_around(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "other").symlink_to(tmp_path / "data")
    with pytest.raises(TranslateError, match="the data itself"):
        outputs.refuse_within(tmp_path / "other" / "a.png", [tmp_path / "data"], "it")
    outputs.refuse_within(tmp_path / "data2" / "a.png", [tmp_path / "data"], "it")
