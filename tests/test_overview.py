"""Overview: messages say what was seen and which layout takes it; ``data`` and ``fit`` agree on what is fit."""

from __future__ import annotations

import json
import logging
import os
import re
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner

from translate import images, inspection
from translate.cli import cli
from translate.cli.flags import Session
from translate.errors import TranslateError
from translate.images import Image
from translate.layouts import open_dataset
from translate.overview import first_only_among_some
from translate.plugins import discover
from translate.run import Config
from translate.setup import Setup


def fill(folder: Path, names: list[str], height: int = 16, width: int = 16, channels: int = 3) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for name in names:
        images.write(folder / name, Image(random.integers(0, 256, (height, width, channels), dtype=np.uint8)))


def refused(root: Path) -> str:
    with pytest.raises(TranslateError) as caught:
        open_dataset(discover(), str(root))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_that_may_not_be_entered_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests as the superuser may enter every folder."""
    fill(tmp_path / "shut", ["a.png"])
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (tmp_path / "shut", os.X_OK))
    assert refused(tmp_path / "shut") == f"cannot enter {tmp_path / 'shut'}: Permission denied; check its permissions"
    with pytest.raises(TranslateError, match="cannot enter"):
        open_dataset(discover(), str(tmp_path / "shut"), "classes")


def test_a_text_too_long_for_a_file_is_still_the_name_of_a_dataset(tmp_path: Path) -> None:
    name = f"demo(size=16, count=4{' ' * 300})"
    assert open_dataset(discover(), name).splits["train"]["source"]
    assert look(Path(name), "--export", str(tmp_path / "copy"))[0] == 0
    assert "there is no folder 'aaa" in refused(Path("a" * 5000))
    assert "there is no folder" in refused(tmp_path / "file\0")


def look(root: Path, *flags: str) -> tuple[int, str]:
    """Exit code and output of ``translate data``."""
    result = CliRunner().invoke(cli, ["data", str(root), *flags], obj=Session((), ()))
    error = result.exception
    return (
        (getattr(error, "exit_code", result.exit_code), str(error))
        if isinstance(error, TranslateError)
        else (
            result.exit_code,
            result.output,
        )
    )


def setup(root: Path, **options: object) -> Setup:
    small = {"size": (32, 32), "device": "cpu", "generator": "unet(width=4)", "discriminator": "patch(width=4)"}
    return Setup.make(Config.from_values({"method": "cyclegan", "data": str(root), **small, **options}))


# --- what was seen ----------------------------------------------------------------------------------------------------


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "holds no images; put images into it" in refused(tmp_path)
    for name in ("A", "B"):
        (tmp_path / name).mkdir()
    assert "no image that is read here, only the folders A, B" in refused(tmp_path)
    (tmp_path / "A" / "1.cr2").write_bytes(b"")
    assert "1 .cr2 file is left out (1.cr2): no format that is read here" in refused(tmp_path)


def test_an_empty_side_is_named(tmp_path: Path) -> None:
    fill(tmp_path / "A", ["1.png", "2.png", "3.bmp"])
    (tmp_path / "B").mkdir()
    message = refused(tmp_path)
    assert "it holds images in A (2 .png, 1 .bmp), and none in B; put the images of the other domain into B" in message


@pytest.mark.parametrize("inside", [".", "train"])
def test_a_flat_folder_of_photos(tmp_path: Path, inside: str) -> None:
    fill(tmp_path / inside, ["1.png", "2.png"], 12, 16)
    fill(tmp_path / inside, ["3.png"], 14, 16)
    message = refused(tmp_path)
    assert "2 .png" in message or "3 .png" in message
    assert pasted(message) == ["classes"]
    assert len(open_dataset(discover(), str(tmp_path), "classes").splits["train"]["source"]) == 3


def test_pairs_whose_halves_are_not_square(tmp_path: Path) -> None:
    fill(tmp_path, ["1.png", "2.png"], 10, 30)
    message = refused(tmp_path)
    assert "each file is a pair of two halves (of 10 x 15)" in message
    dataset = open_dataset(discover(), str(tmp_path), pasted(message)[1])
    assert inspection.inspect(dataset).sides["train"]["target"].sizes == {(10, 15): 2}


def test_more_folders_than_two(tmp_path: Path) -> None:
    for name in ("a", "b"):
        fill(tmp_path / name, ["1.png"])
    fill(tmp_path, ["loose.png"])
    fill(tmp_path / "c", ["1.png"])
    choices = pasted(refused(tmp_path))
    assert choices[:2] == ["folders(source='a', target='b')", "unpaired(source='a', target='b')"]
    open_dataset(discover(), str(tmp_path), choices[0])


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    fill(tmp_path, ["1.png"])
    assert "is one file; give the folder" in refused(tmp_path / "1.png")


def pasted(message: str) -> list[str]:
    return re.findall(r'--layout "(.+?)"', message)


# --- what is left out -------------------------------------------------------------------------------------------------


def test_what_is_left_out_is_told_by_data_and_fit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for side in ("A", "B"):
        fill(tmp_path / side, ["1.png", "2.png"])
    for name in ("A/1.CR2", "A/2.cr2", "B/3.psd", "notes.txt", "noname"):
        (tmp_path / name).write_bytes(b"")
    fill(tmp_path, ["palette.png"])
    code, text = look(tmp_path, "--picture", str(tmp_path.parent / f"{tmp_path.name}-look.png"))
    assert code == 0
    told = [
        "2 .cr2 files are left out (1.CR2, 2.cr2)",
        "1 .psd file is left out (3.psd)",
        "1 image is in none of the layout's folders and left out (palette.png)",
    ]
    assert all(sentence in text for sentence in told)
    assert "notes.txt" not in text
    assert "noname" not in text
    with caplog.at_level(logging.WARNING, "translate"):
        setup(tmp_path)
    lines = [record.getMessage() for record in caplog.records]
    assert all(any(line.startswith(sentence) for line in lines) for sentence in told)


def test_fit_tells_what_it_takes_each_domain_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path / "A", ["1.png", "2.png"], channels=1)
    fill(tmp_path / "B", ["1.png", "2.png"])
    with caplog.at_level(logging.WARNING, "translate"):
        made = setup(tmp_path)
    expected = {
        "source": "gray images of 8 bits, 0 to 255 become -1 to 1, transparency on white",
        "target": "RGB images of 8 bits, 0 to 255 become -1 to 1, transparency on white",
    }
    assert [record.getMessage() for record in caplog.records][:2] == [
        f"{side}: {kind}" for side, kind in expected.items()
    ]
    assert json.loads(json.dumps(made.metadata))["domains"] == expected


# --- what is fit for training -----------------------------------------------------------------------------------------


def test_data_and_fit_agree(tmp_path: Path) -> None:
    for side, names in (("source", ["1.png", "2.png"]), ("target", ["1.png", "3.png"])):
        fill(tmp_path / side, names)
    code, text = look(tmp_path, "--json")
    found = json.loads(text)
    with pytest.raises(TranslateError) as caught:
        setup(tmp_path)
    assert code == caught.value.exit_code == 2
    assert str(caught.value) == f"{found['refusal']}; see `translate data`"
    assert f"{tmp_path.name} is not fit for training:" in "\n".join(
        inspection.inspect(open_dataset(discover(), str(tmp_path))).lines()
    )


def test_data_of_a_test_alone_is_shown_and_no_training_data(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for side in ("A", "B"):
        fill(data / "test" / side, ["1.png", "2.png"])
    picture = tmp_path / "look.png"
    code, text = look(data, "--picture", str(picture))
    assert code == 2
    assert "data has no training images" in text
    assert picture.exists()
    with pytest.raises(TranslateError, match="has no training images"):
        setup(data)


def test_unreadable_images_are_exit_code_1(tmp_path: Path) -> None:
    for side in ("A", "B"):
        fill(tmp_path / side, ["1.png", "2.png", "3.png"])
    (tmp_path / "A/2.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert look(tmp_path, "--json")[0] == 1
    (tmp_path / "A/2.png").unlink()
    (tmp_path / "B/2.png").unlink()
    assert look(tmp_path, "--json")[0] == 0


def test_data_shows_lowest_highest_and_alpha(tmp_path: Path) -> None:
    for side in ("A", "B"):
        fill(tmp_path / side, ["1.png"])
    pixels = np.full((8, 8, 3), 90, np.uint8)
    pixels[0, 0] = 7
    alpha = np.full((8, 8), 255, np.uint8)
    images.write(tmp_path / "A/1.png", Image(pixels, alpha))
    images.write(tmp_path / "B/1.png", Image(np.linspace(0, 60000, 64).reshape(8, 8, 1).astype(np.uint16)))
    found = inspection.inspect(open_dataset(discover(), str(tmp_path)))
    source, target = found.sides["train"]["source"], found.sides["train"]["target"]
    assert (source.lowest, source.highest, source.transparent) == (7, 90, 1)
    assert (target.lowest, target.highest, target.transparent) == (0, 60000, 0)
    text = "\n".join(found.lines())
    assert "RGB uint8, 7 to 90, alpha in 1" in text
    assert "gray uint16, 0 to 60000" in text


@pytest.mark.parametrize("counts", [(4, 40), (40, 4)])
def test_an_epoch_of_unpaired_data_is_the_longer_side(tmp_path: Path, counts: tuple[int, int]) -> None:
    for side, count in zip("AB", counts, strict=True):
        fill(tmp_path / f"train{side}", [f"{side}{number}.png" for number in range(count)], 8, 8)
    assert setup(tmp_path, epochs=2).steps == 80


def save_several(folder: Path) -> None:
    """Four files of each side: two animations, a TIFF file of two pages, and one image."""
    frames = [PIL.Image.fromarray(np.full((16, 16, 3), 40 * number, np.uint8)) for number in range(3)]
    for side in ("source", "target"):
        (folder / side).mkdir(parents=True)
        frames[0].save(folder / side / "a.gif", save_all=True, append_images=frames[1:])
        frames[0].save(folder / side / "b.webp", save_all=True, append_images=frames[1:], lossless=True)
        frames[0].save(folder / side / "c.tif", save_all=True, append_images=frames[1:])
        frames[0].save(folder / side / "d.png")


def test_further_frames_and_pages_are_told_once_a_kind(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_several(tmp_path / "data")
    told = [
        "4 files hold further frames, and only the first is taken (source/a.gif, source/b.webp, target/a.gif, ...)",
        "2 files hold further pages, and only the first is taken (source/c.tif, target/c.tif)",
    ]
    found = CliRunner().invoke(cli, ["data", str(tmp_path / "data"), "--json"])
    assert [note for note in json.loads(found.output)["notes"] if "further" in note] == told
    shown = CliRunner().invoke(cli, ["data", str(tmp_path / "data")])
    assert [line for line in shown.output.splitlines() if "further" in line] == told
    dataset = open_dataset(discover(), str(tmp_path / "data"))
    assert first_only_among_some(dataset) == told
    setup(tmp_path / "data")
    assert [each for each in caplog.messages if "further" in each] == told


def test_of_many_files_some_are_looked_into_before_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_several(tmp_path / "data")
    monkeypatch.setattr("translate.overview.LOOKED_AT", 2)
    dataset = open_dataset(discover(), str(tmp_path / "data"))
    # The first and the third of each side.
    assert first_only_among_some(dataset) == [
        "of 4 files that were looked at, 2 files hold further frames, and only the first is taken (source/a.gif, target/a.gif)",
        "of 4 files that were looked at, 2 files hold further pages, and only the first is taken (source/c.tif, target/c.tif)",
    ]


def test_files_of_one_image_each_are_not_told_of(tmp_path: Path) -> None:
    fill(tmp_path / "data" / "source", ["a.png", "b.tif"])
    fill(tmp_path / "data" / "target", ["a.png", "b.tif"])
    dataset = open_dataset(discover(), str(tmp_path / "data"))
    assert first_only_among_some(dataset) == []
    assert not any("further" in note for note in inspection.inspect(dataset).notes)
