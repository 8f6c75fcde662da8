"""Finding: only regular files are images, what cannot be entered is named, what looks like an image is counted."""

from __future__ import annotations

import io
import logging
import os
import socket
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from translate import images
from translate.images import ImageError, finding


def names(paths: object, root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]  # type: ignore[attr-defined]


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    """A folder with one image and much that only looks like one."""
    for name in ("a.png", "raw/1.CR2", "raw/2.cr2", "x.psd", "notes.txt", "README", "c.svg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "dir.png").mkdir()
    (tmp_path / "dir.png" / "inside.jpg").write_bytes(b"")
    (tmp_path / "broken.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "good.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    return tmp_path


def test_only_regular_files_are_listed(strange: Path) -> None:
    place = os.getcwd()  # noqa: PTH109
    os.chdir(strange)  # a socket's path must be short
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("socket.png")
    finally:
        os.chdir(place)
    found = images.survey(strange)
    assert names(found.files, strange) == ["a.png", "dir.png/inside.jpg", "good.png"]
    assert names(found.left_out, strange) == [
        "broken.png", "c.svg", "fifo.png", "raw/1.CR2", "raw/2.cr2", "socket.png", "x.psd",
    ]  # fmt: skip
    ((path, reason),) = found.closed
    assert path == strange / "loop"
    assert "symbolic links" in reason


def test_what_cannot_be_entered_is_told_once(strange: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "translate"):
        first = images.find(strange)
        assert images.find(strange) == first
    (record,) = caplog.records
    assert f"{strange / 'loop'} is left out" in record.getMessage()


def test_an_unreadable_folder_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/1.png", "b/2.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    scan = os.scandir  # root may read every folder, so the refusal is made here

    def refuse(folder: str) -> object:
        if folder.endswith("a"):
            raise PermissionError(13, "Permission denied", folder)
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    found = images.survey(tmp_path)
    assert names(found.files, tmp_path) == ["b/2.png"]
    assert found.closed == ((tmp_path / "a", "permission denied"),)
    with pytest.raises(ImageError, match="cannot list .*Permission denied"):
        images.survey(tmp_path / "a")


def test_names_that_are_no_text_are_listed(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(b"")
    (path,) = images.find(tmp_path)
    assert os.fsencode(path.name) == b"caf\xe9.png"


def test_a_fifo_is_no_image(strange: Path) -> None:
    with pytest.raises(ImageError, match=r"fifo\.png is neither a file nor a folder"):
        images.find(strange / "fifo.png")


def test_what_is_left_out_is_counted_by_kind(strange: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sentences = finding.count_left_out(images.survey(strange).left_out)
    assert sentences[0].startswith("2 .cr2 files are left out (1.CR2, 2.cr2): no format that is read here")
    assert "1 .png file is left out (broken.png): a broken link" in sentences
    assert "1 .png file is left out (fifo.png): no regular file" in sentences
    monkeypatch.setattr(finding, "READABLE", finding.READABLE - finding.HEIF)
    (heif,) = finding.count_left_out([Path("a.HEIC")])
    assert "pip install 'image-translate[heif]'" in heif


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".jif", ".JFIF"])
def test_all_suffixes_of_jpeg_are_read(tmp_path: Path, suffix: str) -> None:
    PIL.Image.new("RGB", (4, 3), (200, 10, 10)).save(tmp_path / f"a{suffix}", "JPEG")
    (path,) = images.find(tmp_path)
    assert abs(images.read(path).pixels.astype(int) - (200, 10, 10)).max() <= 3


def test_avif_is_read_upright_and_with_alpha(tmp_path: Path) -> None:
    pixels = np.zeros((8, 12, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[:, :6] = (250, 20, 20, 128)
    image = PIL.Image.fromarray(pixels)
    image.save(tmp_path / "a.avif", quality=100)
    exif = PIL.Image.Exif()
    exif[274] = 6
    image.convert("RGB").save(tmp_path / "turned.avif", quality=100, exif=exif)
    plain, turned = (images.read(path) for path in images.find(tmp_path))
    assert plain.pixels.shape == (8, 12, 3)
    assert plain.alpha is not None
    assert abs(plain.pixels[4, 2].astype(int) - (250, 20, 20)).max() < 12
    assert turned.pixels.shape == (12, 8, 3)
    assert abs(turned.pixels[2, 4].astype(int) - (250, 20, 20)).max() < 12
    assert (images.probe(tmp_path / "turned.avif").height, images.probe(tmp_path / "a.avif").alpha) == (12, True)
    whole = (tmp_path / "a.avif").read_bytes()
    for share in (0.2, 0.5, 0.9):
        (tmp_path / "cut.avif").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ImageError):
            images.read(tmp_path / "cut.avif")


def test_heif_names_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes((24).to_bytes(4) + b"ftypheic\0\0\0\0mif1heic" + bytes(40))
    with pytest.raises(ImageError, match=r"install pillow-heif to read it \(pip install 'image-translate\[heif\]'\)"):
        images.read(tmp_path / "a.heic")
    (tmp_path / "v.png").write_bytes((24).to_bytes(4) + b"ftypisom\0\0\0\0isommp42" + bytes(40))
    with pytest.raises(ImageError, match="a video"):
        images.read(tmp_path / "v.png")


def test_heif_is_read_by_the_optional_reader(tmp_path: Path) -> None:
    reader = pytest.importorskip("pillow_heif")
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:, :12] = (250, 20, 20)
    file = io.BytesIO()
    reader.from_pillow(PIL.Image.fromarray(pixels)).save(file, quality=95)
    (tmp_path / "a.heic").write_bytes(file.getvalue())
    read = images.read(tmp_path / "a.heic").pixels
    assert read.shape == (16, 24, 3)
    assert abs(read[8, 4].astype(int) - (250, 20, 20)).max() < 12
    assert ".heic" in images.READABLE


def test_a_folder_of_two_names_is_listed_by_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "z" / "deep").mkdir(parents=True)
    (tmp_path / "z" / "deep" / "a.png").write_bytes(b"")
    (tmp_path / "a").symlink_to(tmp_path / "z")
    (tmp_path / "z" / "b").symlink_to(tmp_path / "z" / "deep")
    (tmp_path / "z" / "up").symlink_to(tmp_path)
    found = images.survey(tmp_path)
    assert names(found.files, tmp_path) == ["z/deep/a.png"]
    assert found.doubled == (
        (tmp_path / "a", str(tmp_path / "z")),
        (tmp_path / "z" / "b", str(tmp_path / "z" / "deep")),
    )
    finding._tell_once.cache_clear()
    images.find(tmp_path)
    assert f"{tmp_path / 'a'} leads to {tmp_path / 'z'}, whose images are taken once, by that name" in caplog.text
    assert "up" not in caplog.text.replace(str(tmp_path), "")


def test_of_two_links_to_a_folder_elsewhere_the_first_by_name_is_taken(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.png").write_bytes(b"")
    (tmp_path / "in").mkdir()
    for name in ("2020", "2019", "2021"):
        (tmp_path / "in" / name).symlink_to(tmp_path / "elsewhere")
    found = images.survey(tmp_path / "in")
    assert names(found.files, tmp_path / "in") == ["2019/a.png"]
    assert [link.name for link, _ in found.doubled] == ["2020", "2021"]
