"""Layouts with streams: folders of masks, alpha as a mask, arrays, and tables of vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from translate import images
from translate.data import Dataset, Domain
from translate.errors import TranslateError
from translate.images import Image, ImageError
from translate.inspection import inspect
from translate.layouts import open_dataset
from translate.plugins import discover
from translate_datasets.demo import demo
from translate_datasets.streams import asked_for, read_vectors

CATALOG = discover()
WHITE = Domain(3, alpha="white")


def save(path: Path, pixels: NDArray[Any], alpha: NDArray[Any] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, Image(pixels if pixels.ndim == 3 else pixels[..., None], alpha))


def photo(seed: int, height: int = 8, width: int = 9) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def mask(seed: int, high: int = 255) -> NDArray[np.uint8]:
    """Flat halves, cut elsewhere in each."""
    found = np.zeros((8, 9), np.uint8)
    found[:, 2 + seed % 5 :] = high
    return found


def pairs(root: Path, count: int = 4, split: str = "train/") -> None:
    for number in range(count):
        for side in ("source", "target"):
            save(root / f"{split}{side}" / f"{number}.png", photo(number))


def opened(root: Path, layout: str) -> Dataset:
    """The data set, which is the same when it is opened by what it says of itself."""
    dataset = open_dataset(CATALOG, str(root), layout)
    again = open_dataset(CATALOG, str(root), dataset.layout)
    assert again.domains == dataset.domains
    assert again.aligned == dataset.aligned
    return dataset


def pixels(dataset: Dataset, stream: str, row: int = 0, split: str = "train") -> NDArray[Any]:
    return images.read_example(dataset.splits[split][stream][row], dataset.domains[stream])


# --- folders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place", ["train/holes/{}.png", "holes/train/{}.png", "trainholes/{}.png", "train_holes/{}.png", "holes/{}.png"]
)
def test_masks_are_found_where_domains_are(place: str, tmp_path: Path) -> None:
    pairs(tmp_path)
    for number in range(4):
        save(tmp_path / place.format(number), mask(number))
    dataset = opened(tmp_path, "folders(aligned='mask=holes')")
    assert dataset.aligned == {"mask": "source"}
    assert dataset.domains["mask"] == Domain(1, nearest=True)
    assert [np.array_equal(pixels(dataset, "mask", row)[..., 0], mask(row)) for row in range(4)] == [True] * 4
    assert not any("left out" in note for note in dataset.notes)
    # Unasked for, the folder is told of, and the listing is what it was.
    plain = opened(tmp_path, "folders")
    assert set(plain.domains) == set(plain.splits["train"]) == {"source", "target"}


def test_masks_follow_held_out_images_and_the_partner_that_is_named(tmp_path: Path) -> None:
    for number in range(12):
        for side in ("a", "b"):
            save(tmp_path / side / f"{number:02d}.png", photo(number))
        save(tmp_path / "m" / f"{number:02d}_mask.png", mask(number))
    dataset = opened(tmp_path, "folders(source=a, target=b, aligned='mask=m@target')")
    assert dataset.aligned == {"mask": "target"}
    for split, count in (("train", 11), ("val", 1)):
        names = [each.name for each in dataset.splits[split]["target"]]
        assert len(names) == count
        assert [each.pixels.name for each in dataset.splits[split]["mask"]] == [f"{name}_mask.png" for name in names]  # type: ignore[union-attr]


def test_an_image_without_its_mask_has_one_that_is_broken(tmp_path: Path) -> None:
    pairs(tmp_path, 4)
    pairs(tmp_path, 2, "val/")
    for name in ("0", "1", "3", "other"):
        save(tmp_path / "train" / "mask" / f"{name}.png", mask(1))
    dataset = opened(tmp_path, "folders(aligned=mask)")
    assert [each.name for each in dataset.splits["train"]["mask"]] == ["0", "1", "2", "3"]
    with pytest.raises(ImageError, match=r"source/2\.png has no partner in .*mask; add an image of the same name"):
        pixels(dataset, "mask", 2)
    assert "mask" not in dataset.splits["val"]
    notes = " ".join(dataset.notes)
    assert "1 image has no partner in mask; where mask is used, it is left out as a broken one" in notes
    assert "1 file (other.png) of mask belongs to no image of the source" in notes
    assert "the split val has no images of mask" in notes
    assert dataset.refusal is None
    assert inspect(dataset).exit_code == 1


def test_masks_of_few_indices_are_maps_and_those_of_0_and_255_are_not(tmp_path: Path) -> None:
    pairs(tmp_path)
    for number in range(4):
        indices = mask(number, 2)
        indices[:2] = 1
        indices[-1] = 255
        save(tmp_path / "train" / "mask" / f"{number}.png", indices)
        save(tmp_path / "train" / "relief" / f"{number}.png", photo(number)[..., :1].astype(np.uint16) * 257)
        save(tmp_path / "train" / "parts" / f"{number}.png", mask(number, 1))
    dataset = opened(tmp_path, "folders(aligned='mask, relief, parts@target')")
    assert dataset.domains["mask"] == Domain(3, classes=3, ignore=255, nearest=True)
    assert dataset.domains["relief"] == Domain(1, "uint16", nearest=True)
    assert dataset.domains["parts"] == Domain(2, classes=2, ignore=255, nearest=True)
    assert dataset.aligned == {"mask": "source", "relief": "source", "parts": "target"}


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("folders(aligned=nothing)", "there is no folder 'nothing' for aligned=nothing"),
        ("folders(aligned='mask@label')", "there is no 'label'"),
        ("folders(aligned='mask, mask')", "is not understood"),
        ("folders(aligned='=mask')", "is not understood"),
        ("folders(aligned='source')", "stands for something else in a batch"),
        ("folders(aligned='Mask=mask')", "lower-case letters"),
        ("folders(aligned='empty')", "no image in .* has the name of one of the source"),
        ("folders(vectors=text)", r"there is no table text\.csv or text\.npy"),
        ("folders(vectors='text@target')", "vectors belong to the images that they name"),
        ("folders(alpha=mask, aligned=mask)", "both give the stream mask"),
    ],
)
def test_what_is_asked_for_wrongly_is_one_sentence(layout: str, message: str, tmp_path: Path) -> None:
    pairs(tmp_path)
    for number in range(4):
        save(tmp_path / "train" / "mask" / f"{number}.png", mask(number))
    (tmp_path / "empty").mkdir()
    with pytest.raises(TranslateError, match=message):
        open_dataset(CATALOG, str(tmp_path), layout)


def test_one_domain_and_unpaired_domains_have_masks_too(tmp_path: Path) -> None:
    for number in range(3):
        for label in ("cat", "dog", "owl"):
            save(tmp_path / "one" / label / f"{number}.png", photo(number))
            save(tmp_path / "one" / "mask" / label / f"{number}.png", mask(number))
        for side in ("trainA", "trainB"):
            save(tmp_path / "two" / side / f"{side}{number}.png", photo(number))
        save(tmp_path / "two" / "trainmask" / f"trainB{number}.png", mask(number))
        save(tmp_path / "halves" / f"{number}.png", np.concatenate([photo(number), photo(number)], axis=1))
        save(tmp_path / "halves" / "mask" / f"{number}.png", mask(number))
    one = opened(tmp_path / "one", "classes(aligned=mask)")
    assert one.domains["source"].labels == ("cat", "dog", "owl")
    assert [len(each) for each in one.splits["train"].values()] == [9, 9]
    two = opened(tmp_path / "two", "unpaired(aligned='mask@target')")
    assert not two.paired
    assert [each.name for each in two.splits["train"]["mask"]] == ["trainB0", "trainB1", "trainB2"]
    halves = opened(tmp_path / "halves", "side_by_side(aligned=mask)")
    assert len(halves.splits["train"]["source"]) == 3
    assert inspect(halves).unlike == {}


# --- alpha ------------------------------------------------------------------------------------------------------------


def test_alpha_is_the_mask_of_the_source(tmp_path: Path) -> None:
    for number in range(3):
        alpha = None if number == 2 else mask(number)
        save(tmp_path / "source" / f"{number}.png", photo(number), alpha)
        save(tmp_path / "target" / f"{number}.png", photo(number))
    dataset = opened(tmp_path, "folders(alpha=mask)")
    assert dataset.aligned == {"mask": "source"}
    assert dataset.domains["mask"] == Domain(1, alpha="only", nearest=True)
    assert dataset.domains["source"] == WHITE
    assert np.array_equal(pixels(dataset, "mask", 1)[..., 0], mask(1))
    assert (pixels(dataset, "mask", 2) == 255).all()
    hidden = pixels(dataset, "source", 1)
    assert (hidden[mask(1) == 0] == 255).all()
    shown = opened(tmp_path, "folders(alpha=mask, background=none)")
    assert np.array_equal(pixels(shown, "source", 1), photo(1))
    found = inspect(dataset)
    assert found.exit_code == 0
    side = found.sides["train"]["mask"]
    assert (side.channels, side.lowest, side.highest) == ({1: 3}, 0, 255)
    assert opened(tmp_path, "unpaired(alpha=mask)").aligned == {"mask": "source"}


def test_alpha_of_halves_deep_files_and_arrays(tmp_path: Path) -> None:
    wide, alpha = np.concatenate([photo(0), photo(1)], axis=1), np.concatenate([mask(0), mask(3)], axis=1)
    save(tmp_path / "halves" / "0.png", wide, alpha)
    halves = opened(tmp_path / "halves", "side_by_side(alpha=mask, direction=BtoA)")
    assert np.array_equal(pixels(halves, "mask")[..., 0], mask(3))
    rgba = np.concatenate([photo(2), mask(2)[..., None]], axis=2)
    np.savez(tmp_path / "a.npz", source=rgba[None], target=photo(2)[None])
    dataset = opened(tmp_path / "a.npz", "arrays(alpha=mask)")
    assert dataset.domains["source"] == WHITE
    assert np.array_equal(pixels(dataset, "mask")[..., 0], mask(2))
    assert (pixels(dataset, "source")[mask(2) == 0] == 255).all()
    np.savez(tmp_path / "b.npz", source=rgba[None].astype(np.float32) / 255, target=photo(2)[None])
    floats = opened(tmp_path / "b.npz", "arrays(alpha=mask)")
    assert np.array_equal(pixels(floats, "mask")[..., 0], mask(2) / np.float32(255))
    save(tmp_path / "c" / "label" / "0.png", mask(0, 3))
    save(tmp_path / "c" / "photo" / "0.png", photo(0))
    with pytest.raises(TranslateError, match="maps of classes, which have no alpha"):
        open_dataset(CATALOG, str(tmp_path / "c"), "folders(source=label, target=photo, alpha=mask)")


# --- vectors ----------------------------------------------------------------------------------------------------------


def test_tables_of_vectors_are_matched_by_name(tmp_path: Path) -> None:
    pairs(tmp_path)
    (tmp_path / "text.csv").write_text("file,x,y\n0.png,1,2\n1.png,3,4\n1.png,5,6\ntrain/target/2.png,7,8\n3,9,10\n")
    dataset = opened(tmp_path, "folders(vectors=text)")
    assert dataset.problems == ()
    found = {side: [each.extras.get("text") for each in dataset.splits["train"][side]] for side in dataset.domains}
    assert found["source"][0].tolist() == [1, 2]  # type: ignore[union-attr]
    assert found["target"][1].tolist() == [[3, 4], [5, 6]]  # type: ignore[union-attr]
    assert found["source"][2] is None
    assert found["target"][2].tolist() == [7, 8]  # type: ignore[union-attr]
    assert found["source"][3].tolist() == [9, 10]  # type: ignore[union-attr]
    (tmp_path / "text.csv").write_text("0.png,1\nnone.png,2\n")
    problems = open_dataset(CATALOG, str(tmp_path), "folders(vectors=text)").problems
    assert "gives vectors to 1 file (none.png) not in the data; remove these rows" in problems[0]
    np.save(tmp_path / "code.npy", np.arange(24, dtype=np.float32).reshape(4, 3, 2))
    (tmp_path / "code.txt").write_text("3.png\n2.png\n1.png\n0.png\n")
    dataset = opened(tmp_path, "folders(vectors='words=code')")
    assert dataset.splits["train"]["source"][3].extras["words"].tolist() == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no vectors"), ("file,x\n", "holds no vectors"), ("a,1\nb,1,2\n", "row 2 of .* has 2 numbers"),
        ("a,1\nb,x\n", "row 2 of .* no number"), ("a\n", "row 1 of .* has 0 numbers"),
    ],
)  # fmt: skip
def test_a_table_that_is_none_is_one_sentence(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "text.csv").write_text(text)
    with pytest.raises(TranslateError, match=message):
        read_vectors(tmp_path / "text.csv")


def test_an_array_of_vectors_needs_the_names_of_its_rows(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.zeros((2, 3)))
    with pytest.raises(TranslateError, match=r"needs the names of its rows in t\.txt"):
        read_vectors(tmp_path / "t.npy")
    (tmp_path / "t.txt").write_text("a\na\n")
    with pytest.raises(TranslateError, match=r"has 2 rows and t\.txt 1 different names"):
        read_vectors(tmp_path / "t.npy")
    np.save(tmp_path / "t.npy", np.zeros(2))
    with pytest.raises(TranslateError, match=r"of shape \(2,\); vectors are rows of numbers"):
        read_vectors(tmp_path / "t.npy")


# --- arrays -----------------------------------------------------------------------------------------------------------


def test_arrays_of_masks_and_vectors_follow_their_rows(tmp_path: Path) -> None:
    count = 12
    source = np.stack([photo(row) for row in range(count)])
    np.savez(
        tmp_path / "d.npz", source_train=source, target_train=source, source_test=source[:2], target_test=source[:2],
        mask_train=np.stack([mask(row) for row in range(count)]), mask_test=np.stack([mask(5), mask(6)]),
        holes=source[..., 0] > 127, parts=source[..., 0] % 3, text_train=np.arange(count * 4).reshape(count, 2, 2),
        text_test=np.zeros((2, 2, 2)), source_code=np.arange(count)[:, None],
    )  # fmt: skip
    dataset = opened(tmp_path / "d.npz", "arrays(aligned='mask, holes, parts@target', vectors='text, code')")
    assert dataset.domains["mask"] == Domain(1, nearest=True)
    assert dataset.domains["holes"] == Domain(2, classes=2, nearest=True)
    assert dataset.domains["parts"] == Domain(3, classes=3, nearest=True)
    for split in ("train", "val"):
        sides = dataset.splits[split]
        assert len(sides["mask"]) == len(sides["source"]) > 0
        for row, example in enumerate(sides["source"]):
            number = int(example.name)
            assert np.array_equal(pixels(dataset, "mask", row, split)[..., 0], mask(number))
            assert np.array_equal(pixels(dataset, "holes", row, split)[..., 0], source[number, ..., 0] > 127)
            assert example.extras["text"].tolist() == sides["target"][row].extras["text"].tolist()
            assert example.extras["text"][0, 0] == 4 * number
            assert example.extras["code"].tolist() == [number]
            assert "code" not in sides["target"][row].extras
    assert np.array_equal(pixels(dataset, "mask", 1, "test")[..., 0], mask(6))
    assert "holes" not in dataset.splits["test"]


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("arrays(aligned=x)", "there is no array 'x' in .*, for aligned=x"),
        ("arrays(vectors=x)", "there is no array 'x'"),
        ("arrays(aligned=short)", "'short' in .* has 3 rows in train, and the source has more images"),
        ("arrays(vectors=source)", r"of shape \(4, 8, 9, 3\); vectors are rows of numbers"),
        ("arrays(paired=False, vectors=text)", "may belong to the source or the target; name it source_text or target"),
    ],
)
def test_arrays_that_do_not_fit_are_one_sentence(layout: str, message: str, tmp_path: Path) -> None:
    source = np.stack([photo(row) for row in range(4)])
    np.savez(tmp_path / "d.npz", source=source, target=source, short=source[:3], text=np.zeros((4, 2)))
    with pytest.raises(TranslateError, match=message):
        open_dataset(CATALOG, str(tmp_path / "d.npz"), layout)


# --- the made-up one --------------------------------------------------------------------------------------------------


def test_the_demo_masks_the_sky_and_describes_its_scenes() -> None:
    dataset = demo(size=16, count=3, aligned="mask, sky@target", vectors="text")
    assert dataset.aligned == {"mask": "source", "sky": "target"}
    sky = (pixels(dataset, "source", 2, "val") == (142, 202, 230)).all(2)
    assert np.array_equal(pixels(dataset, "mask", 2, "val")[..., 0] == 255, sky)
    example = dataset.splits["test"]["source"][0]
    assert example.extras["text"].argmax() == example.label or example.extras["text"][example.label] == 1
    assert demo(size=16, count=3).aligned == {}


def test_names_and_places() -> None:
    assert [str(each.partner) for each in asked_for("a,b@source,c=x/y@target", "aligned", ("source", "target"))] == [
        "source", "source", "target",
    ]  # fmt: skip
    assert asked_for(None, "aligned", ()) == []
