"""Inspection: counts are right, bad files are named, pictures and exports show what is there."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from translate import images, inspection
from translate.cli import main
from translate.data import Dataset, Domain, Example
from translate.errors import TranslateError
from translate.images import Image
from translate.plugins import Catalog

CAMVID = Path(__file__).parents[1] / "../shared/data/paired/camvid"


def noise(
    height: int, width: int, channels: int, seed: int = 0
) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Three pairs of files of two sizes, one of them broken, and one pair of arrays to validate."""
    train: dict[str, list[Example]] = {"source": [], "target": []}
    for index, (height, width) in enumerate([(8, 12), (8, 12), (10, 6)]):
        for side, channels in (("source", 1), ("target", 3)):
            path = tmp_path / "data" / f"{side}{index}.png"
            path.parent.mkdir(exist_ok=True)
            images.write(path, Image(noise(height, width, channels, index)))
            train[side].append(Example(path, str(index)))
    (tmp_path / "data" / "target1.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    val = {"source": [Example(noise(5, 5, 1), "v")], "target": [Example(lambda: noise(5, 5, 3), "v")]}
    domains = {"source": Domain(channels=1), "target": Domain(channels=3)}
    return Dataset("mine", "by_hand", True, domains, {"train": train, "val": val}, ("1 file (x) has no partner",))


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_inspect(dataset: Dataset, workers: int) -> None:
    found = inspection.inspect(dataset, workers=workers)
    source, target = found.sides["train"]["source"], found.sides["train"]["target"]
    assert (source.count, source.sizes, source.channels) == (3, {(8, 12): 2, (10, 6): 1}, {1: 3})
    assert (target.count, target.sizes, target.depths) == (3, {(8, 12): 1, (10, 6): 1}, {"uint8": 2})
    assert found.sides["val"]["target"].sizes == {(5, 5): 1}
    assert [Path(path).name for path in found.unreadable] == ["target1.png"]
    assert found.decoded
    assert found.unreadable or found.problems


def test_lines_are_aligned_and_tell_everything(dataset: Dataset) -> None:
    lines = inspection.inspect(dataset).lines()
    text = "\n".join(lines)
    assert lines[0] == "mine: paired, by_hand"
    assert "8..10 x 6..12, most 8 x 12" in text
    assert "1 file (x) has no partner" in text
    assert "1 of these cannot be read:" in text
    assert "target1.png" in text
    rows = [line for line in lines if line.startswith(("split", "train", "val"))]
    assert len(rows) == 5
    assert (
        len(
            {
                row.index(word)
                for row, word in zip(rows, ("domain", "source", "target", "source", "target"), strict=True)
            }
        )
        == 1
    )


def test_json_goes_round(dataset: Dataset) -> None:
    values = json.loads(json.dumps(inspection.inspect(dataset).to_json()))
    assert values["splits"]["train"]["source"]["sizes"] == {"8x12": 2, "10x6": 1}
    assert values["paired"] is True
    assert list(values["unreadable"]) == [str(dataset.splits["train"]["target"][1].pixels)]


def test_classes_are_counted(tmp_path: Path) -> None:
    labels = {"source": (2, 0, -1, 2, 0, 2), "target": (-1, -1, -1, -1, -1, 5)}
    sides = {
        side: [Example(noise(4, 4, 1, row), f"{side}{row}", label=label) for row, label in enumerate(given)]
        for side, given in labels.items()
    }
    domains = {"source": Domain(channels=1, labels=("cat", "dog", "fox")), "target": Domain(channels=1)}
    animals = Dataset("a", "by_hand", False, domains, {"train": sides})
    found = inspection.inspect(animals)
    source, target = found.sides["train"]["source"], found.sides["train"]["target"]
    assert (source.labels, source.unlabelled) == ({"cat": 2, "fox": 3}, 1)
    assert (target.labels, target.unlabelled) == ({"5": 1}, 5)
    lines = found.lines()
    assert "train source: 2 classes: cat (2), fox (3); 1 without a label" in lines
    assert "train target: 1 class: 5 (1); 5 without a label" in lines
    told = json.loads(json.dumps(found.to_json()))["splits"]["train"]["source"]
    assert (told["labels"], told["unlabelled"]) == ({"cat": 2, "fox": 3}, 1)
    assert inspection.export(animals, tmp_path) == 12
    assert (tmp_path / "labels.csv").read_text().splitlines() == [
        "file,label",
        "train/source/source0.png,fox",
        "train/source/source1.png,cat",
        "train/source/source3.png,fox",
        "train/source/source4.png,cat",
        "train/source/source5.png,fox",
        "train/target/target5.png,5",
    ]


def test_of_many_classes_the_largest_are_told() -> None:
    listed = [Example(noise(2, 2, 1), str(row), label=row % 25 if row < 25 else 7) for row in range(30)]
    names = tuple(f"c{number}" for number in range(25))
    many = Dataset("m", "by_hand", False, {"source": Domain(1, labels=names)}, {"train": {"source": listed}})
    found = inspection.inspect(many)
    assert found.lines()[0] == "m: one domain, by_hand"
    (line,) = [line for line in found.lines() if line.startswith("train source: ")]
    assert line.startswith("train source: 25 classes: c7 (6), c0 (1), ")
    assert line.endswith(" and 5 more")


def test_data_without_labels_says_nothing_of_them(dataset: Dataset) -> None:
    found = inspection.inspect(dataset)
    assert not any(line.startswith("train source:") for line in found.lines())
    assert found.to_json()["splits"]["train"]["source"]["labels"] == {}


def test_halves_are_counted_as_halves(tmp_path: Path) -> None:
    images.write(tmp_path / "a.png", Image(noise(6, 12, 3)))
    sides = {
        "source": [Example(tmp_path / "a.png", "a", region="left")],
        "target": [Example(tmp_path / "a.png", "a", region="right")],
    }
    pairs = Dataset("p", "halves", True, dict.fromkeys(sides, Domain(channels=3)), {"train": sides})
    assert inspection.inspect(pairs).sides["train"]["target"].sizes == {(6, 6): 1}


def test_of_very_many_files_only_headers_are_read(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "_opened", 3)
    monkeypatch.setattr(images, "read_example", None)  # calling it would raise
    found = inspection.inspect(dataset)
    assert not found.decoded
    assert found.sides["train"]["source"].count == 3


def test_full_decodes_every_image_and_names_every_broken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "_opened", 3)
    for number in range(30):
        path = tmp_path / "data" / f"{number:02d}.png"
        path.parent.mkdir(exist_ok=True)
        images.write(path, Image(noise(8, 8, 3, number)))
        if number >= 5:
            content = path.read_bytes()
            path.write_bytes(content[: len(content) // 2])
    plain = inspection.inspect(str(tmp_path / "data"), layout="classes(holdout=0)")
    assert (plain.unreadable, plain.decoded, plain.exit_code) == ({}, False, 0)
    assert plain.lines()[-1] == "Checked: the headers of 30 files; --full decodes them all."
    told: list[tuple[int, int]] = []
    found = inspection.inspect(
        tmp_path / "data", layout="classes(holdout=0)", full=True, on_progress=lambda *place: told.append(place)
    )
    assert (len(found.unreadable), found.decoded, found.exit_code) == (25, True, 1)
    assert told == [(number, 30) for number in range(1, 31)]
    text = found.lines()
    assert all(any(f"{number:02d}.png" in line for line in text) for number in range(5, 30))
    assert text[-1] == "Checked: all 30 files were decoded."
    assert inspection.inspect(tmp_path / "data", layout="classes", full=True, memory=1).exit_code == 1


def test_a_dataset_s_function_that_fails_is_named() -> None:
    def fail() -> object:
        raise LookupError("no such member")

    made = Dataset("mine", "by_hand", False, {"source": Domain(3)}, {"train": {"source": [Example(fail, "it")]}})  # type: ignore[arg-type]
    assert "it cannot be made by its dataset: LookupError" in inspection.inspect(made).unreadable["it"]


def test_class_indices_too_large_are_found(tmp_path: Path) -> None:
    images.write(tmp_path / "a.png", Image(np.full((4, 4, 1), 7, np.uint8)))
    sides = {"source": [Example(tmp_path / "a.png", "a")]}
    maps = Dataset("m", "maps", False, {"source": Domain(channels=3, classes=3)}, {"train": sides})
    (reason,) = inspection.inspect(maps).unreadable.values()
    assert "class index 7" in reason
    assert "classes=8" in reason


def test_picture_shows_pairs_and_skips_the_broken(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    inspection.picture(dataset, path, count=4, side=32)
    shown = images.read(path).pixels
    # Two readable rows, 21 and 32 pixels high, two columns of 32, and gaps of 2.
    assert shown.shape == (2 + 21 + 2 + 32 + 2, 2 + 32 + 2 + 32 + 2, 3)
    assert (shown[:2] == 255).all()
    row = shown[2:23, 2:34]
    assert (row[..., 0] == row[..., 1]).all()  # the source is gray
    with pytest.raises(TranslateError, match="no split 'test'; it has train, val"):
        inspection.picture(dataset, path, split="test")
    before = path.read_bytes()
    with pytest.raises(TranslateError, match=r"picture\.png exists already; .*--overwrite"):
        inspection.picture(dataset, path, count=1)
    assert path.read_bytes() == before
    inspection.picture(dataset, path, count=1, overwrite=True)
    assert path.read_bytes() != before


@pytest.mark.parametrize("place", ["look.png", "deep/look.png"])
def test_nothing_is_written_into_the_data(dataset: Dataset, tmp_path: Path, place: str) -> None:
    data = tmp_path / "data"
    before = sorted(data.rglob("*"))
    with pytest.raises(TranslateError, match="lies in .*data, the data itself.*name a place outside"):
        inspection.picture(dataset, data / place, overwrite=True)
    with pytest.raises(TranslateError, match="lies in .*data, the data itself"):
        inspection.export(dataset, data, overwrite=True)
    with pytest.raises(TranslateError, match="lies in .*, the data itself"):
        inspection.export(dataset, tmp_path / "copy", root=tmp_path, overwrite=True)
    assert sorted(data.rglob("*")) == before


def test_an_export_replaces_nothing_unasked(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("mine")
    sides = {"source": [Example(noise(4, 4, 1), "a", label=0)]}
    data = Dataset("d", "by_hand", False, {"source": Domain(1, labels=("cat",))}, {"train": sides})
    with pytest.raises(TranslateError, match=r"labels\.csv exists already; .*--overwrite"):
        inspection.export(data, tmp_path)
    assert (tmp_path / "labels.csv").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["labels.csv"]
    assert inspection.export(data, tmp_path, overwrite=True) == 1
    assert "train/source/a.png,cat" in (tmp_path / "labels.csv").read_text()


def test_export_keeps_every_value(dataset: Dataset, tmp_path: Path) -> None:
    whole = {side: [examples[0], examples[2]] for side, examples in dataset.splits["train"].items()}
    sound = Dataset("s", "by_hand", True, dataset.domains, {"train": whole, "val": dataset.splits["val"]})
    folder = tmp_path / "out"
    assert inspection.export(sound, folder) == 6
    written = sorted(path.relative_to(folder).as_posix() for path in images.find(folder))
    assert written == [
        "train/source/0.png", "train/source/2.png", "train/target/0.png", "train/target/2.png",
        "val/source/v.png", "val/target/v.png",
    ]  # fmt: skip
    assert np.array_equal(images.read(folder / "val/target/v.png").pixels, noise(5, 5, 3))
    with pytest.raises(TranslateError, match=r"out/train and 1 more exist already; .*--overwrite"):
        inspection.export(sound, folder)


def test_a_function_of_a_dataset_that_fails_is_an_unreadable_image(tmp_path: Path) -> None:
    def fails() -> np.ndarray:
        raise KeyError("no such scene")

    listed = [Example(fails, "a"), Example(lambda: noise(8, 8, 3), "b")]
    made = Dataset("mine", "by_hand", False, {"source": Domain(3)}, {"train": {"source": listed}})
    reason = "a cannot be made by its dataset: KeyError: 'no such scene'"
    assert inspection.inspect(made).unreadable == {"a": reason}
    inspection.picture(made, tmp_path / "look.png", side=8)
    assert images.read(tmp_path / "look.png").pixels.shape[0] == 8 + 2 * 2
    with pytest.raises(TranslateError) as caught:
        inspection.export(made, tmp_path / "copy")
    assert str(caught.value) == reason


@pytest.mark.parametrize("error", [KeyboardInterrupt, TranslateError("full")])
def test_an_export_that_ends_early_writes_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    written: list[Path] = []

    def write(path: Path, _image: Image) -> None:
        written.append(path)
        time.sleep(0.001)
        raise error

    monkeypatch.setattr(images, "write", write)
    listed = [Example(noise(4, 4, 3), str(number)) for number in range(500)]
    made = Dataset("mine", "by_hand", False, {"source": Domain(3)}, {"train": {"source": listed}})
    with pytest.raises((KeyboardInterrupt, TranslateError)):
        inspection.export(made, tmp_path / "copy", workers=1)
    assert len(written) < 400


def test_export_of_floats_and_many_planes(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).random((4, 5, 7), dtype=np.float32)
    domain = Domain(channels=7, depth="float32")
    odd = Dataset("o", "by_hand", False, {"source": domain}, {"train": {"source": [Example(pixels, "a")]}})
    inspection.export(odd, tmp_path)
    assert np.array_equal(images.read(tmp_path / "train/source/a.npy").pixels, pixels)


@pytest.mark.skipif(not CAMVID.is_dir(), reason="CamVid is not here")
def test_camvid(tmp_path: Path) -> None:
    label, photo = (sorted((CAMVID / "val" / side).glob("*.png"))[:4] for side in ("label", "photo"))
    sides = {
        "source": [Example(path, path.stem) for path in label],
        "target": [Example(path, path.stem) for path in photo],
    }
    domains = {"source": Domain(channels=12, classes=12), "target": Domain(channels=3)}
    camvid = Dataset("camvid", "by_hand", True, domains, {"val": sides})
    found = inspection.inspect(camvid)
    assert not found.unreadable
    assert not found.problems
    assert found.sides["val"]["source"].sizes == {(360, 480): 4}
    inspection.picture(camvid, tmp_path / "a.png", split="val", count=1, side=64)
    colours = np.unique(images.read(tmp_path / "a.png").pixels[2:-2, 2:66].reshape(-1, 3), axis=0)
    assert 3 < len(colours) <= 12


def test_the_command_checks_in_full_with_a_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr(Catalog, "tell", lambda self, event, **arguments: told.append((event, arguments)))
    for side in ("source", "target"):
        for number in range(12):
            path = tmp_path / "data" / side / f"{number:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            images.write(path, Image(noise(8, 8, 3, number)))
    os.truncate(tmp_path / "data" / "target" / "04.png", 70)
    with pytest.raises(SystemExit) as ended:
        main(["data", str(tmp_path / "data"), "--full", "--layout", "folders(source=source, target=target)"])
    assert ended.value.code == 1
    out = capsys.readouterr().out
    assert "04.png" in out
    assert "Checked: all 24 files were decoded." in out
    assert told[-1] == ("images_decoded", {"done": 24, "total": 24})
