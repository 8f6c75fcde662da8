"""Plans and manifests: conversions that go on, in shards, by several writers, and never over somebody else's files."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_conversion import Negative, files, many, random_image, real_translator, save
from translate import atomic, images
from translate.cli import cli
from translate.conversion import convert, pipeline
from translate.conversion.identity import identity_of
from translate.conversion.lines import append, fields_of, line_of, read_lines
from translate.conversion.manifest import Entry, Ledger, Making, Manifest
from translate.conversion.plan import Shard, name_outputs, parse_shard, same_name
from translate.conversion.sources import SMALL, Sources
from translate.conversion.stages import Stages
from translate.conversion.stamps import Stamp
from translate.conversion.stored_plan import StoredPlan
from translate.errors import FullDiskError, TranslateError
from translate.inputs import gather


class Known(Negative):
    """A translator with an identity, so that what it has made is known again."""

    identity = "one"


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files(folder)}


def times_of(folder: Path) -> dict[str, int]:
    return {name: (folder / name).stat().st_mtime_ns for name in files(folder)}


# --- lines ------------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(), st.recursive(st.integers() | st.text(), st.lists)))
def test_lines_come_back_and_a_torn_one_does_not(fields: dict[str, Any]) -> None:
    fields["name"] = "a\n\udcff.png"
    line = line_of(fields)
    assert line.count(b"\n") == 1
    assert fields_of(line) == fields
    for cut in {1, len(line) // 2, len(line) - 2}:
        assert fields_of(line[:cut]) is None


def test_a_flipped_bit_and_other_texts_are_passed_over(tmp_path: Path) -> None:
    sound = line_of({"name": "a.png", "outputs": []})
    for place in range(len(sound) - 1):
        changed = bytearray(sound)
        changed[place] ^= 1
        assert fields_of(bytes(changed)) is None, place
    file = tmp_path / "lines.jsonl"
    file.write_bytes(b"\n{}\nhello\n\xff\n" + sound + b"[" * 100_000 + b"\n" + sound[:-9])
    assert [found["name"] for found in read_lines(file)] == ["a.png"]


# --- going on ---------------------------------------------------------------------------------------------------------


def test_what_is_done_is_kept_and_the_rest_is_done(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 6)
    first = convert(Known(), source, tmp_path / "out")
    assert (first.converted, first.kept) == (6, 0)
    whole, before = bytes_of(tmp_path / "out"), times_of(tmp_path / "out")
    (tmp_path / "out" / "002.png").unlink()
    save(source / "004.png", random_image((10, 11, 3), seed=99))
    save(source / "new.png", random_image((10, 11, 3), seed=98))
    again = convert(Known(), source, tmp_path / "out")
    assert (again.converted, again.kept) == (3, 4)
    now = times_of(tmp_path / "out")
    assert {name for name in before if now[name] == before[name]} == {"000.png", "001.png", "003.png", "005.png"}
    assert (tmp_path / "out" / "002.png").read_bytes() == whole["002.png"]
    assert (images.read(tmp_path / "out" / "004.png").pixels == 255 - images.read(source / "004.png").pixels).all()
    assert convert(Known(), source, tmp_path / "out", again=True).converted == 7


def test_what_is_made_otherwise_is_done_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = many(tmp_path / "in", 3)
    convert(Known(), source, tmp_path / "out")
    assert convert(Known(), source, tmp_path / "out", at=(8, 8)).converted == 3
    assert "3 images are converted anew: their outputs were made with other options" in caplog.text
    assert convert(Known(), source, tmp_path / "out", at=(8, 8)).kept == 3
    other = Known()
    other.identity = "two"
    assert convert(other, source, tmp_path / "out", at=(8, 8)).converted == 3
    assert "made by another translator" in caplog.text
    # The first way's outputs are gone since then.
    assert convert(Known(), source, tmp_path / "out").converted == 3


def test_a_touched_file_is_compared_by_its_bytes_and_verify_compares_all(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 3)
    convert(Known(), source, tmp_path / "out")
    os.utime(source / "000.png")
    shutil.copytree(tmp_path / "out", tmp_path / "moved", copy_function=shutil.copyfile)
    assert convert(Known(), source, tmp_path / "moved").kept == 3
    # Same size and time, other bytes: only --verify can tell.
    file = source / "001.png"
    known = file.stat()
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(known.st_atime_ns, known.st_mtime_ns))
    assert convert(Known(), source, tmp_path / "out").kept == 3
    assert convert(Known(), source, tmp_path / "out", verify=True).kept == 2


def test_a_file_that_changes_while_it_is_converted_is_done_again(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 1)

    class Slow(Known):
        def translate(self, batch: Any, /, *, samples: int | None = None, seed: int = 0) -> Any:
            save(source / "000.png", random_image((12, 16, 3), seed=5))
            return super().translate(batch, samples=samples, seed=seed)

    convert(Slow(), source, tmp_path / "out")
    assert convert(Known(), source, tmp_path / "out").converted == 1
    assert (images.read(tmp_path / "out" / "000.png").pixels == 255 - images.read(source / "000.png").pixels).all()
    assert convert(Known(), source, tmp_path / "out").kept == 1


def test_a_translator_that_nobody_can_tell_from_others_keeps_nothing(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 2)
    convert(Negative(), source, tmp_path / "out")
    assert convert(Negative(), source, tmp_path / "out").converted == 2


def test_the_identity_of_a_translator_is_that_of_its_weights() -> None:
    one, other = real_translator(), real_translator()
    assert identity_of(one) == identity_of(other)
    with torch.no_grad():
        next(other.network.parameters()).view(-1)[0] += 1e-3
    assert identity_of(one) != identity_of(other)


# --- somebody else's files --------------------------------------------------------------------------------------------


def test_no_file_is_replaced_that_no_conversion_has_made(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 3)
    (tmp_path / "out").mkdir()
    mine = tmp_path / "out" / "001.png"
    mine.write_bytes(b"mine")
    with pytest.raises(TranslateError, match=r"001\.png exists already, not made by a conversion of this image"):
        convert(Known(), source, tmp_path / "out")
    assert files(tmp_path / "out") == ["001.png"]
    assert convert(Known(), source, tmp_path / "out", overwrite=True).converted == 3
    # An output that somebody has edited since is theirs.
    mine.write_bytes(b"edited")
    with pytest.raises(TranslateError, match=r"001\.png exists already"):
        convert(Known(), source, tmp_path / "out")
    assert mine.read_bytes() == b"edited"


def test_a_file_that_came_after_a_failure_is_somebody_elses(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 3)
    (source / "001.png").write_bytes(b"broken")
    convert(Known(), source, tmp_path / "out")
    save(source / "001.png", random_image((4, 4, 3)))
    (tmp_path / "out" / "001.png").write_bytes(b"mine")
    with pytest.raises(TranslateError, match=r"001\.png exists already"):
        convert(Known(), source, tmp_path / "out")


def test_failures_are_flushed_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for number in range(100):
        (source / f"{number:03}.png").write_bytes(b"broken")
    flushed: list[bytes] = []

    def noted(handle: int, data: bytes, *, flush: bool = True) -> None:
        if flush:
            flushed.append(data)
        append(handle, data, flush=flush)

    monkeypatch.setattr("translate.conversion.manifest.append", noted)
    assert len(convert(Known(), source, tmp_path / "out").failed) == 100
    # One for each 16 that are begun, whose line takes what failed before with it, and one at the end.
    assert len(flushed) <= 100 // 16 + 3
    assert Manifest.read(tmp_path / "out").begun == {}
    (tmp_path / "out" / "099.png").write_bytes(b"mine")
    with pytest.raises(TranslateError, match=r"099\.png exists already"):
        convert(Known(), source, tmp_path / "out")


def killed_in(target: Path, source: Path, made: str, begun: str) -> None:
    """Leave what a conversion leaves that is killed between the name of one output and that of the next."""
    target.mkdir()
    ledger = Ledger(target, Making("translator", {})).__enter__()
    ledger.begin([target / made, target / begun])
    atomic.write(target / made, (source / made).read_bytes())
    atomic.witnesses.clear()


def test_a_kill_leaves_no_claim_on_what_somebody_puts_there_afterwards(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 2)
    killed_in(tmp_path / "out", source, "000.png", "001.png")
    mine = tmp_path / "out" / "001.png"
    mine.write_bytes(b"mine")
    with pytest.raises(TranslateError, match=r"001\.png exists already, not made by a conversion of this image"):
        convert(Known(), source, tmp_path / "out")
    assert mine.read_bytes() == b"mine"
    # What was named before the kill is ours, though no line says what became of it.
    mine.unlink()
    assert convert(Known(), source, tmp_path / "out").converted == 2


def test_after_a_power_cut_what_was_begun_is_told_by_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = many(tmp_path / "in", 2)
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "machine", lambda: "another boot")
        killed_in(tmp_path / "out", source, "000.png", "001.png")
    older = tmp_path / "out" / "001.png"
    older.write_bytes(b"older")
    os.utime(older, ns=(0, 0))
    with pytest.raises(TranslateError, match=r"001\.png exists already"):
        convert(Known(), source, tmp_path / "out")
    os.utime(older)
    assert convert(Known(), source, tmp_path / "out").converted == 2


def entries_of(folder: Path) -> dict[str, Entry]:
    return {name: entries[-1] for name, entries in Manifest.read(folder).entries.items()}


@pytest.mark.parametrize("side", [8, 400], ids=["small", "large"])
def test_what_is_known_of_files_is_true_of_their_bytes(tmp_path: Path, side: int) -> None:
    source = many(tmp_path / "in", 2, sizes=((side, side),))
    assert ((source / "000.png").stat().st_size > SMALL) == (side == 400)
    convert(Known(), source, tmp_path / "out")
    for name, entry in entries_of(tmp_path / "out").items():
        assert entry.source == Stamp.of(source / name)
        assert [stamp for _, stamp in entry.outputs] == [Stamp.of(tmp_path / "out" / name)]
        assert entry.source.hash == hashlib.blake2b((source / name).read_bytes(), digest_size=16).hexdigest()


@pytest.mark.parametrize("side", [8, 400], ids=["small", "large"])
def test_a_file_that_changes_while_it_is_converted_is_converted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    source = many(tmp_path / "in", 3, sizes=((side, side),))
    write = pipeline.write

    def changed(answer: Any, work: Any) -> Any:
        if answer.task.name == "001.png":
            save(answer.task.source, random_image((side, side, 3), np.uint8, seed=77))
        return write(answer, work)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "write", changed)
        convert(Known(), source, tmp_path / "out")
    before = bytes_of(tmp_path / "out")
    result = convert(Known(), source, tmp_path / "out")
    assert (result.converted, result.kept) == (1, 2)
    assert [name for name, data in bytes_of(tmp_path / "out").items() if data != before[name]] == ["001.png"]


def test_a_small_file_is_read_once_and_a_large_one_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = many(tmp_path / "in", 1, sizes=((8, 8),))
    save(source / "large.png", random_image((400, 400, 3), np.uint8))
    sources = Sources()
    for path in (source / "000.png", source / "large.png"):
        sources.begin(path)
    assert sources.held(source / "large.png") is None
    held = sources.held(source / "000.png")
    assert held is not None
    assert held.header.width == 8
    sources.release(source / "000.png")
    assert sources.held(source / "000.png") is None
    assert sources.end(source / "000.png") == Stamp.of(source / "000.png")
    opened: list[str] = []
    open_, path_open = os.open, Path.open

    def noted(path: Any, *given_: Any, **more: Any) -> int:
        opened.append(Path(path).parent.name + "/" + Path(path).name)
        return open_(path, *given_, **more)

    def noted_too(path: Path, *given_: Any, **more: Any) -> Any:
        opened.append(path.parent.name + "/" + path.name)
        return path_open(path, *given_, **more)

    monkeypatch.setattr(os, "open", noted)
    monkeypatch.setattr(Path, "open", noted_too)
    convert(Known(), source, tmp_path / "out")
    assert opened.count("in/000.png") == 1
    assert opened.count("in/large.png") > 1
    # An output is hashed as it is written.
    assert opened.count("out/000.png") == opened.count("out/large.png") == 0


def test_failures_are_told_when_the_last_image_failed(tmp_path: Path) -> None:
    with Ledger(tmp_path, Making("a", {})) as ledger:
        ledger.begin([tmp_path / "a.png", tmp_path / "b.png"])
        ledger.fail([tmp_path / "a.png"])
    assert list(Manifest.read(tmp_path).begun) == ["b.png"]


def test_a_single_image_hashes_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = many(tmp_path / "in", 1)
    hashed: list[object] = []

    def noted(translator: object) -> str:
        hashed.append(translator)
        return "one"

    monkeypatch.setattr("translate.conversion.converting.identity_of", noted)
    convert(Negative(), source / "000.png", tmp_path / "a.png")
    assert not hashed
    convert(Negative(), source / "000.png", tmp_path / "b.png", report=tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text())["translator"] == "one"


def test_outputs_of_another_folder_are_not_replaced(tmp_path: Path) -> None:
    convert(Known(), many(tmp_path / "a", 3), tmp_path / "out")
    for number in range(3):
        save(tmp_path / "b" / f"{number:03}.png", random_image((9, 9, 3), seed=50 + number))
    with pytest.raises(TranslateError, match=r"000\.png and 2 more exist already, made of other images"):
        convert(Known(), tmp_path / "b", tmp_path / "out")
    # The same files elsewhere are the same images.
    (tmp_path / "a").rename(tmp_path / "archive")
    assert convert(Known(), tmp_path / "archive", tmp_path / "out").kept == 3


def test_one_image_replaces_nothing(tmp_path: Path) -> None:
    source = many(tmp_path / "a", 1) / "000.png"
    save(tmp_path / "a" / "000.jpg", random_image((4, 4, 3)))
    before = (tmp_path / "a" / "000.jpg").read_bytes()
    with pytest.raises(TranslateError, match=r"000\.jpg exists already.*--overwrite"):
        convert(Known(), source, tmp_path / "a", format="jpg")
    assert (tmp_path / "a" / "000.jpg").read_bytes() == before
    assert convert(Known(), source, tmp_path / "a", format="jpg", overwrite=True).converted == 1
    assert not (tmp_path / "a" / ".translate").exists()


@pytest.mark.parametrize("names", [("a.png", "A.png"), ("caf\u00e9.png", "cafe\u0301.png"), ("Sub/a.png", "sub/A.PNG")])
def test_names_that_some_file_systems_do_not_tell_apart_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        save(tmp_path / "in" / name, random_image((4, 4, 3)))
    with pytest.raises(TranslateError, match="differ only in case or Unicode form"):
        convert(Known(), tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_takes_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(TranslateError, match="cannot write into"):
        convert(Known(), many(tmp_path / "in", 2), tmp_path / "out")


# --- several inputs ---------------------------------------------------------------------------------------------------


def test_several_inputs_keep_the_tree_below_their_common_folder(tmp_path: Path) -> None:
    many(tmp_path / "x" / "a", 2)
    many(tmp_path / "x" / "b" / "c", 1)
    save(tmp_path / "x" / "d.png", random_image((4, 4, 3)))
    given_ = [
        tmp_path / "x" / "a",
        tmp_path / "x" / "b" / "c",
        tmp_path / "x" / "d.png",
        tmp_path / "x" / "a" / "001.png",
    ]
    result = convert(Known(), given_, tmp_path / "out")
    assert result.converted == 4
    assert files(tmp_path / "out") == ["a/000.png", "a/001.png", "b/c/000.png", "d.png"]


def test_globs_and_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(tmp_path / "in" / "deep", 3)
    monkeypatch.chdir(tmp_path)
    assert [name for name, _ in gather([Path("in/**/*[12].png")]).files] == ["001.png", "002.png"]
    Path("list.txt").write_text("in/deep/000.png\r\nin/gone.png\n\nin/deep/002.png\nin\n")
    found = gather([Path("@list.txt")])
    assert [name for name, _ in found.files] == ["000.png", "002.png"]
    assert [str(path) for path, _ in found.missing] == ["in/gone.png", "in"]
    Path("list.txt").write_bytes(b"in/deep/000.png\0in/deep/001.png\0")
    assert len(gather([Path("@list.txt")]).files) == 2
    result = convert(Known(), "@list.txt", "out")
    assert (result.converted, files(Path("out"))) == (2, ["000.png", "001.png"])
    for wrong, sentence in (
        ("@none.txt", "cannot read the list"),
        ("*.jpg", "fits no file"),
        ("gone", "does not exist"),
    ):
        with pytest.raises(TranslateError, match=sentence):
            gather([Path(wrong)])


def test_what_a_glob_fits_beside_images_is_left_out_and_named(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 2)
    (source / "gone.png").symlink_to("nowhere")
    (source / "round.png").symlink_to("round.png")
    os.mkfifo(source / "pipe.png")
    result = convert(Known(), source / "*.png", tmp_path / "out")
    assert (result.converted, files(tmp_path / "out")) == (2, ["000.png", "001.png"])
    assert [path.name for path, _ in result.failed] == ["gone.png", "pipe.png", "round.png"]
    assert "a broken link" in result.failed[0][1]
    # Even where it fits nothing else.
    beside = convert(Known(), [source / "000.png", source / "g*.png"], tmp_path / "beside")
    assert (beside.converted, [path.name for path, _ in beside.failed]) == (1, ["gone.png"])
    assert files(tmp_path / "beside") == ["000.png"]
    with pytest.raises(TranslateError, match=r"g\*\.png holds no images.*a broken link"):
        gather([source / "g*.png"])
    # A file that is named is no slip of the pattern.
    with pytest.raises(TranslateError, match=r"no file or folder .*gone\.png"):
        gather([source / "gone.png"])


def test_a_folder_that_a_glob_fits_and_nobody_may_enter_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(tmp_path / "in" / "a", 1)
    closed = many(tmp_path / "in" / "b", 1)
    may = os.access
    # The superuser may enter any folder.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed and may(path, mode))
    found = gather([tmp_path / "in" / "*"])
    assert ([name for name, _ in found.files], [path.name for path, _ in found.closed]) == (["000.png"], ["b"])


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_empty_path_is_not_the_working_folder(
    place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    many(tmp_path, 1)
    monkeypatch.chdir(tmp_path)
    arguments = ["translator.safetensors", "000.png", "out"]
    arguments[place] = ""
    with pytest.raises(TranslateError, match="a path is empty"):
        convert(*arguments)
    with pytest.raises(TranslateError, match="a path is empty"):
        cli.main(["convert", *arguments], standalone_mode=False)
    assert files(tmp_path) == ["000.png"]


def test_a_file_named_by_a_dash_is_no_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a.png", random_image((6, 8, 3)))
    (tmp_path / "a.png").rename(tmp_path / "-")
    assert convert(Known(), "./-", "out.png").converted == 1
    assert files(tmp_path) == ["-", "out.png"]


def test_outputs_are_never_among_the_inputs(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 2)
    for target in (source, source / "out", source / "a" / "b"):
        with pytest.raises(TranslateError, match="outputs would mix with inputs"):
            convert(Known(), source, target)
    with pytest.raises(TranslateError, match="is an image to convert and would be overwritten"):
        convert(Known(), [source / "000.png", source / "001.png"], source, overwrite=True)


def test_one_image_through_pipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.png", random_image((6, 8, 3)))

    class Stream(io.TextIOWrapper):
        def isatty(self) -> bool:
            return False

    def streams() -> io.BytesIO:
        made = io.BytesIO()
        monkeypatch.setattr(sys, "stdin", Stream(io.BytesIO((tmp_path / "a.png").read_bytes())))
        monkeypatch.setattr(sys, "stdout", Stream(made))
        return made

    made = streams()
    assert convert(Known(), "-", "-").converted == 1
    assert (images.load(made.getvalue()).pixels == 255 - images.read(tmp_path / "a.png").pixels).all()
    one = streams()
    assert convert(Known(), tmp_path / "a.png", "-", samples=1, seed=5).converted == 1
    convert(Known(), tmp_path / "a.png", tmp_path / "one.png", samples=1, seed=5)
    seeded = images.read(tmp_path / "one-1.png").pixels
    assert (images.load(one.getvalue()).pixels == seeded).all()
    assert (seeded != 255 - images.read(tmp_path / "a.png").pixels).any()
    streams()
    with pytest.raises(TranslateError, match="a gallery lies with its outputs"):
        convert(Known(), "-", "-", gallery=True)
    streams()
    assert convert(Known(), "-", tmp_path / "b.png").converted == 1
    assert (images.read(tmp_path / "b.png").pixels == images.load(made.getvalue()).pixels).all()
    (tmp_path / "list.txt").write_text(f"{tmp_path / 'a.png'}\n")
    for several in (f"@{tmp_path / 'list.txt'}", tmp_path / "a*.png", tmp_path):
        streams()
        with pytest.raises(TranslateError, match="- stands for one image"):
            convert(Known(), several, "-")
    streams()
    with pytest.raises(TranslateError, match="leave out .*--engine"):
        convert(Known(), "-", "-", engine="ray")


def test_what_standard_output_holds_is_the_image_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    save(tmp_path / "a.png", random_image((6, 8, 3)))
    monkeypatch.setattr("translate.conversion.converting.load_asked", lambda *_, **__: Known())
    cli.main(["convert", "run", str(tmp_path / "a.png"), "-", "--json"], standalone_mode=False)
    out, err = capfdbinary.readouterr()
    assert (images.load(out).pixels == 255 - images.read(tmp_path / "a.png").pixels).all()
    assert out.endswith(b"IEND\xaeB`\x82")
    assert json.loads(err) == {"converted": 1, "kept": 0, "failed": [], "target": "-"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_standard_output_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.png", random_image((6, 8, 3)))
    with open("/dev/full", "w") as full:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(FullDiskError, match="the disk of standard output is full"):
            convert(Known(), tmp_path / "a.png", "-")
        monkeypatch.undo()
        # What is left in its buffer cannot be written when it is closed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("target", ["-", "b.png"])
def test_nothing_names_the_files_behind_pipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broken: bool, target: str
) -> None:
    save(tmp_path / "a.png", random_image((6, 8, 3)))
    data = (tmp_path / "a.png").read_bytes()

    class Stream(io.TextIOWrapper):
        def isatty(self) -> bool:
            return False

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", Stream(io.BytesIO(data[:70] if broken else data)))
    monkeypatch.setattr(sys, "stdout", Stream(io.BytesIO()))
    translator = Known()
    result = convert(translator, "-", target, report="report.json")
    assert str(result.target) == target
    found = json.loads((tmp_path / "report.json").read_text())
    (row,) = found["images"]
    assert (row["name"], row["source"], row["outputs"], found["target"]) == ("-", "-", [target], target)
    assert translator.events[1][1]["source"] == Path("-")
    told = json.dumps([found, translator.events, caplog.text, result.failed], default=str)
    assert "translate-" not in told
    if broken:
        ((file, reason),) = result.failed
        assert file == Path("-")
        assert reason == row["reason"] == translator.events[1][1]["error"]
        assert "standard input" in reason


def test_a_request_that_piping_cannot_serve_names_no_file_behind_pipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "a.png", random_image((6, 8, 3)))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((tmp_path / "a.png").read_bytes())))
    with pytest.raises(TranslateError) as refused:
        convert(Known(), "-", tmp_path / "b.png", shard=Shard(1, 2))
    assert "translate-" not in str(refused.value)


# --- shards -----------------------------------------------------------------------------------------------------------


def test_shards_share_a_plan_and_make_what_one_conversion_makes(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 7)
    save(source / "000.jpg", random_image((4, 4, 3)))
    convert(Known(), source, tmp_path / "one", format="png")
    counts = []
    for number in (3, 1, 2):
        counts.append(convert(Known(), source, tmp_path / "out", format="png", shard=Shard(number, 3)).converted)
        # What comes in between is added at the end of the plan, so that no other image changes its shard.
        save(source / f"-late{number}.png", random_image((4, 4, 3)))
    assert sum(counts[:1]) in (2, 3)
    convert(Known(), source, tmp_path / "one", format="png")
    convert(Known(), source, tmp_path / "out", format="png")
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "one")
    assert "000.jpg.png" in files(tmp_path / "out")


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/0", "-1/3", "1/3/5"])
def test_wrong_shards_are_refused(text: str) -> None:
    with pytest.raises(TranslateError, match="no part of several"):
        parse_shard(text)


@given(
    st.lists(st.sampled_from(["a", "b", "B", "sub/a", "é"]), unique=True),
    st.lists(st.sampled_from([".png", ".jpg", ".bmp", ".gif"]), unique=True),
    st.randoms(),
)
def test_plans_that_grow_name_each_output_once(stems: list[str], suffixes: list[str], drawn: random.Random) -> None:
    names = [stem + suffix for stem in stems for suffix in suffixes]
    drawn.shuffle(names)
    found: dict[str, Sequence[str]] = {}
    while names:
        some, names = names[:3], names[3:]
        others = [path for paths in found.values() for path in paths]
        found |= zip(some, name_outputs(some, lambda _: ".png", others=others), strict=True)
    every = [same_name(path) for paths in found.values() for path in paths]
    assert len(set(every)) == len(every)


def test_a_plan_that_leads_out_of_its_folder_is_not_taken(tmp_path: Path) -> None:
    file = tmp_path / "plan.jsonl"
    for path in ("../a.png", "/etc/a.png", "b/../../a.png"):
        file.write_bytes(
            line_of({"version": 1, "root": "x", "count": 1}) + line_of({"name": "a.png", "outputs": [path]})
        )
        assert StoredPlan.read(file) is None


# --- kills, disks, writers --------------------------------------------------------------------------------------------

KILLED = """
import sys, threading, os, signal
from pathlib import Path
from tests.test_going_on import Known
from translate.conversion import convert
for line in sys.stdin:
    number = os.fork()
    if not number:
        threading.Timer(float(line), lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
        convert(Known(), Path(sys.argv[1]), Path(sys.argv[2]), workers=2)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]), flush=True)
"""
"""A process that converts in forks of itself, each of which is killed so many seconds after it began."""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_killed_conversions_go_on_and_end_at_the_same_bytes(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 40, sizes=((60, 64), (33, 40)))
    convert(Known(), source, tmp_path / "whole")
    drawn = random.Random(0)
    kept = 0
    codes: list[int] = []
    arguments = [sys.executable, "-c", KILLED, str(source), str(tmp_path / "out")]
    with subprocess.Popen(
        arguments, cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(6):
            print(drawn.uniform(0.0, 0.08), file=process.stdin, flush=True)
            codes.append(int(process.stdout.readline()))
            done = [name for name in files(tmp_path / "out") if not Path(name).name.startswith(".")]
            for name in done:
                images.read(tmp_path / "out" / name)
            kept = len(done)
        process.stdin.close()
    assert set(codes) <= {0, -signal.SIGKILL}
    assert -signal.SIGKILL in codes
    result = convert(Known(), source, tmp_path / "out")
    assert result.converted + result.kept == 40
    assert result.kept >= kept - 40
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")


def test_a_file_whose_line_was_lost_is_made_again_without_a_word(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 3)
    convert(Known(), source, tmp_path / "out")
    (manifest,) = (tmp_path / "out" / ".translate" / "manifest").glob("*.jsonl")
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join(lines[:-2]) + lines[-2][:20])
    result = convert(Known(), source, tmp_path / "out")
    assert (result.converted, result.kept) == (2, 1)


def test_a_full_disk_ends_a_conversion_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = many(tmp_path / "in", 30)
    real = images.put
    written = 0

    def full(path: Path, *given_: Any, **more: Any) -> Any:
        nonlocal written
        written += 1
        if written > 5:
            try:
                raise OSError(28, "No space left on device")
            except OSError:
                raise images.ImageError(f"cannot write {path}") from None
        return real(path, *given_, **more)

    monkeypatch.setattr(images, "put", full)
    with pytest.raises(FullDiskError, match="the disk of .* is full; free space, and run the same command again"):
        convert(Known(), source, tmp_path / "out", workers=1)
    assert FullDiskError.exit_code == 5
    assert written < 20
    monkeypatch.undo()
    result = convert(Known(), source, tmp_path / "out")
    assert result.kept == 5
    assert result.converted == 25


def test_a_disk_that_is_full_for_the_manifest_ends_it_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("translate.conversion.manifest.append", full)
    with pytest.raises(FullDiskError, match="is full; free space, and run the same command again"):
        convert(Known(), many(tmp_path / "in", 3), tmp_path / "out")


def test_shards_go_by_the_stored_plan_whatever_came_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = many(tmp_path / "in", 6)
    read = StoredPlan.read
    calls = []

    def late(path: Path) -> Any:
        """Another shard stores its plan, of an older listing, after this one has looked for one."""
        calls.append(path)
        if len(calls) == 2 and not path.exists():
            names = [f"{number:03}.png" for number in range(6)]
            path.write_bytes(StoredPlan(str(source), {name: (name,) for name in names}).to_bytes())
        return read(path)

    save(source / "-new.png", random_image((4, 4, 3)))
    monkeypatch.setattr(StoredPlan, "read", late)
    convert(Known(), source, tmp_path / "out", shard=Shard(1, 7))
    assert files(tmp_path / "out") == ["000.png"]


def test_two_writers_share_a_tree(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 30)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            convert(Known(), source, tmp_path / "out", workers=2)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert convert(Known(), source, tmp_path / "out").kept == 30
    convert(Known(), source, tmp_path / "one")
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "one")
    assert len(Manifest.read(tmp_path / "out").entries) == 30


def test_a_making_is_known_by_what_changes_bytes() -> None:
    keys = {Making(name, {"at": at}).key for name in "ab" for at in (None, (8, 8), (8, 9))}
    assert len(keys) == 6


def test_what_a_killed_writer_began_is_no_claim_once_another_has_made_it(tmp_path: Path) -> None:
    """A file that somebody has changed since stays, also where a line of a killed conversion names it."""
    source, out = many(tmp_path / "in", 3), tmp_path / "out"
    out.mkdir()
    killed = Ledger(out, Making("one", {}))
    killed.__enter__()
    killed.begin([out / "000.png", out / "001.png"])
    assert set(Manifest.read(out).begun) == {"000.png", "001.png"}
    assert convert(Known(), source, out).converted == 3
    assert Manifest.read(out).begun == {}
    (out / "000.png").write_bytes(b"somebody's own")
    with pytest.raises(TranslateError, match="000.png exists already, not made by a conversion of this image"):
        convert(Known(), source, out)
    assert (out / "000.png").read_bytes() == b"somebody's own"
    # What is begun after that is a claim again.
    killed.begin([out / "002.png"])
    assert set(Manifest.read(out).begun) == {"002.png"}


@pytest.mark.parametrize("kind", ["folder", "pipe", "loop"])
@pytest.mark.parametrize("place", ["plan", "manifest"])
def test_what_is_no_file_in_place_of_one_is_named_and_never_waited_for(kind: str, place: str, tmp_path: Path) -> None:
    source, out = many(tmp_path / "in", 2), tmp_path / "out"
    convert(Known(), source, out)
    (file,) = (out / ".translate").glob("plan-*.jsonl" if place == "plan" else "manifest/*.jsonl")
    file.unlink()
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to(file.name)
    before = bytes_of(out)
    for options in ({}, {"dry_run": True}):
        with pytest.raises(TranslateError, match=re.escape(str(file))) as refused:
            convert(Known(), source, out, **options)
        assert "\n" not in str(refused.value)
    assert bytes_of(out) == before


def test_a_link_that_leads_back_lets_no_outputs_mix_with_inputs(tmp_path: Path) -> None:
    many(tmp_path / "all" / "deep", 2)
    source = many(tmp_path / "in", 1)
    (source / "link").symlink_to(tmp_path / "all", target_is_directory=True)
    for target in (tmp_path / "all" / "out", tmp_path / "all"):
        with pytest.raises(TranslateError, match="a link among the folders to convert"):
            convert(Known(), source, target)
    assert not (tmp_path / "all" / "out").exists()
    assert convert(Known(), source, tmp_path / "out").converted == 3


def test_names_that_are_missing_or_closed_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = many(tmp_path / "in", 2)
    (source / "self.png").symlink_to("self.png")
    listed = tmp_path / "list.txt"
    listed.write_bytes(b"\xef\xbb\xbf" + f"{source / '000.png'}\r\n{source / 'gone.png'}\r\n".encode())
    result = convert(Known(), [source, f"@{listed}"], tmp_path / "out")
    assert result.converted == 2
    assert len(result.failed) == 2
    told = [record.message for record in caplog.records]
    assert f"left out: {source / 'gone.png'} does not exist; check the list" in told
    assert f"left out: {source / 'self.png'}: too many levels of symbolic links" in told
    alone = convert(Known(), f"@{listed}", tmp_path / "listed")
    assert (alone.converted, files(tmp_path / "listed")) == (1, ["000.png"])


@pytest.mark.parametrize(
    "outputs",
    [
        ("a.exe", "001.png"),
        ("001.png", "001.png"),
        ("../000.png", "001.png"),
        ("/000.png", "001.png"),
        ("a", "001.png"),
    ],
)
def test_a_stored_plan_that_no_conversion_makes_is_made_anew(outputs: tuple[str, str], tmp_path: Path) -> None:
    source, out = many(tmp_path / "in", 2), tmp_path / "out"
    convert(Known(), source, out)
    (plan,) = (out / ".translate").glob("plan-*.jsonl")
    sound = plan.read_bytes()
    lines = [{"name": f"{number:03}.png", "outputs": [path]} for number, path in enumerate(outputs)]
    first = {"version": 1, "root": os.path.realpath(source), "count": 2}
    plan.write_bytes(b"".join(map(line_of, (first, *lines))))
    result = convert(Known(), source, out)
    assert (result.kept, result.failed, files(out)) == (2, (), ["000.png", "001.png"])
    assert plan.read_bytes() == sound


@pytest.mark.parametrize("place", ["plan-*.jsonl", "manifest/*.jsonl"])
def test_what_a_newer_version_wrote_is_left_alone(place: str, tmp_path: Path) -> None:
    source, out = many(tmp_path / "in", 2), tmp_path / "out"
    convert(Known(), source, out)
    (file,) = (out / ".translate").glob(place)
    lines = list(read_lines(file))
    for line in lines:
        line.pop("sum", None)
    newer = b"".join(map(line_of, [{**lines[0], "version": 2}, *lines[1:]]))
    file.write_bytes(newer)
    for options in ({}, {"dry_run": True}, {"again": True}):
        with pytest.raises(TranslateError, match=re.escape(f"{file} was written by a newer version")):
            convert(Known(), source, out, **options)
    assert file.read_bytes() == newer


def test_numbers_that_are_none_are_no_entry() -> None:
    endless = [float("inf"), 1, "00"]
    assert Entry.from_json({"name": "a.png", "source": endless, "made": "", "outputs": []}) is None
    assert Entry.from_json({"name": "a.png", "source": [1, 1, ""], "made": "", "outputs": [["a", *endless]]}) is None


# --- dry runs and reports ---------------------------------------------------------------------------------------------


def test_a_dry_run_foretells_and_writes_nothing(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 8)
    save(source / "000.jpg", random_image((12, 16, 3)))
    (source / "scan.psd").write_bytes(b"8BPS")
    result = convert(Known(), source, tmp_path / "out", format="png", dry_run=True)
    foretold = result.forecast
    assert foretold is not None
    assert not (tmp_path / "out").exists()
    assert (foretold.images, foretold.kept, result.converted) == (9, 0, 0)
    assert foretold.read == sum(path.stat().st_size for path in source.iterdir()) - 4
    assert foretold.renamed == (str(tmp_path / "out" / "000.jpg.png"),)
    assert foretold.left_out == (str(source / "scan.psd"),)
    assert foretold.seconds is not None
    assert foretold.written is not None
    assert foretold.names["001.png"] == (str(tmp_path / "out" / "001.png"),)
    assert json.loads(json.dumps(foretold.to_json()))["images"] == 9
    assert any("time: " in line for line in foretold.lines())
    convert(Known(), source, tmp_path / "out", format="png")
    again = convert(Known(), source, tmp_path / "out", format="png", dry_run=True).forecast
    assert again is not None
    assert (again.images, again.kept) == (0, 9)


@pytest.mark.parametrize(
    "options",
    [{"side_by_side": True}, {"gallery": True}, {"gallery": True, "side_by_side": True, "format": "webp"}],
)
def test_a_dry_run_foretells_what_is_made_beside_outputs(options: dict[str, Any], tmp_path: Path) -> None:
    source, out = many(tmp_path / "in", 4), tmp_path / "out"
    plain = convert(Known(), source, out, dry_run=True).forecast
    foretold = convert(Known(), source, out, dry_run=True, **options).forecast
    assert not out.exists()
    convert(Known(), source, out, **options)
    made = [path for path in out.rglob("*") if path.suffix in (".png", ".webp", ".jpg")]
    written = sum(path.stat().st_size for path in made)
    assert foretold is not None
    assert plain is not None
    assert foretold.written is not None
    assert 0.9 * written < foretold.written < 1.1 * written
    assert foretold.memory > plain.memory


def test_a_dry_run_refuses_what_the_conversion_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = many(tmp_path / "in", 2), tmp_path / "out"
    out.mkdir()
    (out / "gallery.html").write_text("<p>mine</p>")
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "odd" / ".translate").mkdir(parents=True)
    (tmp_path / "odd" / ".translate" / "manifest").write_text("")
    cases: list[tuple[Path, Path, dict[str, Any], str]] = [
        (source, out, {"gallery": True}, "was not made by --gallery"),
        (source, tmp_path / "link" / "out", {}, "a file has that name"),
        (source, tmp_path / "odd", {}, "a file has that name|file exists"),
        (source / "000.png", tmp_path / "file" / "out.png", {}, "cannot make the folder"),
    ]
    for inputs, target, options, sentence in cases:
        for dry_run in (True, False):
            with pytest.raises(TranslateError, match=sentence):
                convert(Known(), inputs, target, dry_run=dry_run, **options)
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path and may(path, mode))
    for inputs in (source, source / "000.png"):
        with pytest.raises(TranslateError, match="cannot write into"):
            convert(Known(), inputs, tmp_path / "new" / "deep", dry_run=True)
    assert files(out) == ["gallery.html"]


def test_a_dry_run_names_images_that_do_not_fit_beside_those_that_are_timed(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 40)
    save(source / "013.png", np.zeros((3000, 3000, 3), np.uint8))
    foretold = convert(Known(), source, tmp_path / "out", dry_run=True, memory=30_000_000).forecast
    assert foretold is not None
    (reason,) = foretold.failed
    assert "013.png has 3000 x 3000 pixels and needs" in reason


def test_a_dry_run_names_outputs_whose_names_are_too_long(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 1)
    name = "x" * (os.pathconf(tmp_path, "PC_NAME_MAX") - 4) + ".png"
    save(tmp_path / "a.png", random_image((6, 8, 3)))
    (tmp_path / "a.png").rename(source / name)
    foretold = convert(Known(), source, tmp_path / "out", suffix="_cat", dry_run=True).forecast
    assert foretold is not None
    (reason,) = foretold.failed
    assert reason.startswith(f"{source / name}: the name of its output has ")
    result = convert(Known(), source, tmp_path / "out", suffix="_cat")
    assert [path.name for path, _ in result.failed] == [name]
    assert convert(Known(), source, tmp_path / "plain", dry_run=True).forecast.failed == ()  # type: ignore[union-attr]


def test_one_image_says_where_it_was_put(tmp_path: Path) -> None:
    save(tmp_path / "a.png", random_image((6, 8, 3)))
    assert convert(Known(), tmp_path / "a.png", tmp_path / "b.png", suffix="_cat").target == tmp_path / "b_cat.png"
    (tmp_path / "out").mkdir()
    assert convert(Known(), tmp_path / "a.png", tmp_path / "out", suffix="_cat").target == tmp_path / "out"


def test_a_dry_run_with_nothing_to_do_foretells_no_more_than_that(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 1)
    (source / "scan.psd").write_bytes(b"8BPS")
    before = convert(Known(), source, tmp_path / "out", dry_run=True).forecast
    convert(Known(), source, tmp_path / "out")
    after = convert(Known(), source, tmp_path / "out", dry_run=True).forecast
    assert before is not None
    assert after is not None
    assert before.lines()[0].startswith("1 image of ")
    assert after.lines() == [
        f"0 images of 0 bytes would be converted into {tmp_path / 'out'}, 1 is done already",
        f"left out: {source / 'scan.psd'}",
    ]


def test_a_report_tells_what_became_of_every_image(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 3)
    (source / "broken.png").write_bytes(b"broken")
    (source / "scan.psd").write_bytes(b"8BPS")
    report = tmp_path / "report.json"
    convert(Known(), source, tmp_path / "out", report=report)
    save(source / "new.png", random_image((4, 4, 3)))
    convert(Known(), source, tmp_path / "out", report=report)
    found = json.loads(report.read_text())
    results = {image["name"]: image["result"] for image in found["images"]}
    kept = dict.fromkeys(("000.png", "001.png", "002.png"), "kept")
    assert results == {**kept, "broken.png": "failed", "new.png": "converted", "scan.psd": "left out"}
    assert found["counts"] == {"kept": 3, "failed": 1, "converted": 1, "left out": 1}
    (new,) = (image for image in found["images"] if image["name"] == "new.png")
    assert set(new["seconds"]) == {"decode", "translate", "write"}
    assert all(seconds > 0 for seconds in new["seconds"].values())
    (broken,) = (image for image in found["images"] if image["name"] == "broken.png")
    assert "broken.png" in broken["reason"]
    report.write_text("mine")
    with pytest.raises(TranslateError, match="exists already"):
        convert(Known(), source, tmp_path / "out", report=report)


def test_a_report_may_lie_with_the_outputs(tmp_path: Path) -> None:
    source, out = many(tmp_path / "in", 2), tmp_path / "out"
    for counts in ({"converted": 2}, {"kept": 2}):
        convert(Known(), source, out, report=out / "report.json")
        assert json.loads((out / "report.json").read_text())["counts"] == counts
    for place, sentence in (
        (tmp_path / "new", "is a folder; name a file for the report"),
        (source, "is a folder; name a file for the report"),
        (tmp_path / "new" / "deep" / "report.json", "there is no folder"),
    ):
        for overwrite in (False, True):
            with pytest.raises(TranslateError, match=sentence):
                convert(Known(), source, tmp_path / "new", report=place, overwrite=overwrite)
    with pytest.raises(TranslateError, match="there is no folder"):
        convert(Known(), source / "000.png", tmp_path / "b.png", report=tmp_path / "b.png" / "report.json")
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "b.png").exists()


def test_the_slowest_stage_is_known() -> None:
    stages = Stages()
    assert stages.bottleneck(2) == ""
    stages.add(Path("a.png"), "decode", 3.0)
    stages.add(Path("a.png"), "translate", 2.0)
    stages.add(Path("a.png"), "write", 1.0)
    # Two threads decode, one translates.
    assert stages.bottleneck(2) == "translate"
    assert stages.bottleneck(1) == "decode"
    stages.share(4)
    assert stages.bottleneck(2) == "decode"


def test_a_damaged_plan_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        save(tmp_path / "in" / name, random_image((6, 8, 3)))
    convert(Known(), tmp_path / "in", tmp_path / "out")
    assert "damaged" not in caplog.text
    (plan,) = (tmp_path / "out" / ".translate").glob("plan-*.jsonl")
    plan.write_bytes(plan.read_bytes()[:-9])
    assert convert(Known(), tmp_path / "in", tmp_path / "out").kept == 2
    assert f"{plan} is damaged and made anew" in caplog.text


def test_images_in_tiles_are_made_anew_with_other_memory(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        save(tmp_path / "in" / name, random_image((6, 8, 3)))
    for statistics, kept in (("exact", 2), ("tile", 0)):
        asked = {"statistics": statistics, "memory": "900MB"}
        convert(Known(), tmp_path / "in", tmp_path / statistics, **asked)
        assert convert(Known(), tmp_path / "in", tmp_path / statistics, **asked).kept == 2
        assert convert(Known(), tmp_path / "in", tmp_path / statistics, **asked | {"memory": "800MB"}).kept == kept


def test_a_report_that_cannot_be_written_is_refused_before_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "a.png", random_image((6, 8, 3)))
    monkeypatch.setattr("translate.conversion.report.os.access", lambda *_: False)
    with pytest.raises(TranslateError, match=r"report .*out\.json cannot be written into its folder"):
        convert(Known(), tmp_path / "a.png", tmp_path / "b.png", report=tmp_path / "out.json")
    assert not (tmp_path / "b.png").exists()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("-", "a report is written to a file, not to standard output"),
        ("out/000.png", "named as another kind of file"),
        ("in/000.png", "named as another kind of file"),
        ("translator.safetensors", "named as another kind of file"),
        ("out/.translate/report.json", "named as another kind of file"),
        ("out/gallery.html", "named as another kind of file"),
    ],
)
def test_a_report_takes_the_place_of_no_other_file(name: str, sentence: str, tmp_path: Path) -> None:
    source = many(tmp_path / "in", 1)
    before = bytes_of(source)
    (tmp_path / "out" / ".translate").mkdir(parents=True)
    report = Path("-") if name == "-" else tmp_path / name
    with pytest.raises(TranslateError, match=sentence):
        convert(Known(), source, tmp_path / "out", report=report, overwrite=True, gallery=True)
    assert bytes_of(source) == before
    assert files(tmp_path / "out") == []


def test_a_dry_run_says_that_it_writes_no_report(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = many(tmp_path / "in", 1)
    convert(Known(), source, tmp_path / "out", report=tmp_path / "report.json", dry_run=True)
    assert "no report" in caplog.text
    assert not (tmp_path / "report.json").exists()


def test_others_are_timed_in_the_place_of_bad_images(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 6)
    for name in ("000.png", "003.png", "004.png"):
        (source / name).write_bytes(b"broken")
    foretold = convert(Known(), source, tmp_path / "out", dry_run=True).forecast
    assert foretold is not None
    assert foretold.seconds is not None
    assert foretold.written is not None
    assert {Path(reason.split()[0]).name for reason in foretold.failed} == {"000.png", "003.png", "004.png"}
    assert sum("cannot be converted: " in line for line in foretold.lines()) == 3
    for path in source.iterdir():
        path.write_bytes(b"broken")
    foretold = convert(Known(), source, tmp_path / "out", dry_run=True).forecast
    assert foretold is not None
    assert (foretold.seconds, foretold.written, len(foretold.failed)) == (None, None, 6)


def test_a_list_may_come_by_a_pipe_and_is_no_folder(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 2)
    reading, writing = os.pipe()
    os.write(writing, str(source / "001.png").encode())
    os.close(writing)
    assert [name for name, _ in gather([Path(f"@/dev/fd/{reading}")]).files] == ["001.png"]
    os.close(reading)
    with pytest.raises(TranslateError, match=r"the list .*in is a folder; give a file with a name a line"):
        gather([Path(f"@{source}")])
    with pytest.raises(TranslateError, match="@ names no list"):
        gather([Path("@")])
    (tmp_path / "list").write_text("nope.png\nno.png\n")
    with pytest.raises(TranslateError, match=r"none of the 2 names in the list is an image: nope\.png does not exist"):
        gather([Path(f"@{tmp_path / 'list'}")])


def test_outputs_below_a_file_are_refused(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 1)
    (tmp_path / "notes.txt").write_text("mine")
    for target in (tmp_path / "notes.txt" / "out", tmp_path / "notes.txt" / "a" / "b"):
        for dry_run in (False, True):
            with pytest.raises(TranslateError, match=r"notes\.txt is a file, so .* can be no folder in it"):
                convert(Known(), source, target, dry_run=dry_run)


@pytest.mark.parametrize(
    ("dtype", "suffix", "told"),
    [
        (np.uint16, "jpg", "16 bits are rounded to 8 bits: .jpg files hold no more"),
        (np.uint16, "webp", "16 bits are rounded to 8 bits: .webp files hold no more"),
        (np.float32, "png", "floats are rounded to 16 bits: .png files hold no more"),
        (np.uint16, "png", None),
        (np.uint8, "jpg", None),
        (np.float32, "tiff", None),
    ],
)
def test_bits_that_a_format_does_not_hold_are_told(
    dtype: Any, suffix: Any, told: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "in").mkdir()
    scale = 1 if dtype == np.float32 else np.iinfo(dtype).max
    np.save(tmp_path / "in" / "a.npy", (np.linspace(0, 1, 12 * 16 * 3).reshape(12, 16, 3) * scale).astype(dtype))
    convert(Known(), tmp_path / "in", tmp_path / "out", format=suffix, report=tmp_path / "report.json")
    (row,) = json.loads((tmp_path / "report.json").read_text())["images"]
    assert row["warnings"] == ([] if told is None else [told])
    assert ("rounded to" in caplog.text) == (told is not None)


def test_links_to_folders_that_are_taken_already_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = many(tmp_path / "in" / "real", 1).parent
    (source / "link").symlink_to(source / "real")
    result = convert(Known(), source, tmp_path / "out")
    assert (result.converted, result.failed, files(tmp_path / "out")) == (1, (), ["real/000.png"])
    assert f"{source / 'link'} leads to {source / 'real'}, whose images are taken once" in caplog.text
