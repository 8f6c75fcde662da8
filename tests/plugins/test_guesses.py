"""Guesses: what a layout cannot know for sure is asked with lines to paste, and what it takes images for is told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from translate import images
from translate.data import Dataset, Domain
from translate.errors import TranslateError
from translate.images import Image
from translate.layouts import open_dataset
from translate.options import check_options, options_of, parse_call
from translate.plugins import discover
from translate_datasets import recognize
from translate_datasets.arrays import arrays
from translate_datasets.classes import classes
from translate_datasets.folders import folders
from translate_datasets.pairing import by_name, by_order, natural
from translate_datasets.side_by_side import side_by_side
from translate_datasets.unpaired import unpaired

FACTORIES: dict[str, Any] = {
    "folders": folders, "unpaired": unpaired, "classes": classes, "side_by_side": side_by_side, "arrays": arrays,
}  # fmt: skip
WHITE = Domain(3, alpha="white")


def photo(seed: int = 0, channels: int = 3, side: int = 16) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (side, side, channels), dtype=np.uint8)


def patches(values: list[int], side: int = 16) -> NDArray[np.uint8]:
    """Flat stripes of values."""
    return np.repeat(np.asarray(values, np.uint8), side)[None].repeat(side, 0)[:, :: len(values)]


def save(path: Path, pixels: NDArray[Any] | Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(pixels, Image):
        images.write(path, pixels)
    elif pixels.ndim == 2:
        PIL.Image.fromarray(pixels).save(path)
    else:
        images.write(path, Image(pixels))


def indexed(path: Path, pixels: NDArray[np.uint8], palette: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = PIL.Image.frombytes("P", pixels.shape[::-1], pixels.tobytes())
    image.putpalette(palette)
    image.save(path)


def pasted(error: TranslateError | str) -> list[str]:
    return re.findall(r'--layout "(.+?)"', str(error))


def opened(root: Path, text: str) -> Dataset:
    call = parse_call(text)
    factory = FACTORIES[call.name]
    return factory(root, **check_options(call.options, options_of(factory), call.name))  # type: ignore[no-any-return]


# --- pictures or maps -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["folders", "unpaired"])
@pytest.mark.parametrize("side", ["source", "target"])
def test_gray_files_of_small_values_are_asked_about(tmp_path: Path, side: str, layout: str) -> None:
    other = "target" if side == "source" else "source"
    for number in range(3):
        save(tmp_path / side / f"{number}.png", patches([0, 3, 11, 56 - number]))
        save(tmp_path / other / f"{number}.png", photo(number))
    with pytest.raises(
        TranslateError, match=f"gray files of the {side} .*pictures or maps of 57 class indices"
    ) as asked:
        FACTORIES[layout](tmp_path)
    pictures, maps = pasted(asked.value)
    assert opened(tmp_path, pictures).domains == {side: Domain(1, alpha="white"), other: WHITE}
    assert opened(tmp_path, maps).domains == {side: Domain(57, classes=57), other: WHITE}
    for text in (pictures, maps):  # what a data set says of itself opens it again
        dataset = opened(tmp_path, text)
        assert opened(tmp_path, dataset.layout).domains == dataset.domains


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_images_of_few_bits_are_pictures(tmp_path: Path, bits: int) -> None:
    for number in range(2):
        pixels = patches([0, 2**bits - 1])
        path = tmp_path / "target" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        if bits == 1:
            PIL.Image.fromarray(pixels * 255).convert("1").save(path)
        else:
            write_png(path, pixels, bits)
        save(tmp_path / "source" / f"{number}.png", photo(number))
    dataset = folders(tmp_path)
    assert dataset.domains["target"] == Domain(1, alpha="white")
    stored = images.read_example(dataset.splits["train"]["target"][0], dataset.domains["target"])
    assert sorted(np.unique(stored)) == [0, 255]
    assert folders(tmp_path, maps="target").domains["target"].classes == 2**bits


def write_png(path: Path, pixels: NDArray[np.uint8], bits: int) -> None:
    """A gray PNG of few bits, which Pillow does not write."""
    import struct
    import zlib

    height, width = pixels.shape
    packed = np.packbits(np.unpackbits(pixels[..., None], axis=2)[..., -bits:].reshape(height, -1), axis=1)
    rows = np.concatenate([np.zeros((height, 1), np.uint8), packed], axis=1).tobytes()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def test_a_palette_counts_only_if_all_files_share_it(tmp_path: Path) -> None:
    palette = [10, 20, 30, 200, 0, 0, 0, 200, 0]
    order = np.array([2, 0, 1])
    other = np.asarray(palette).reshape(3, 3)[order].ravel().tolist()
    for number in range(20):  # of which 16 are looked at
        for name in ("same", "mixed"):
            save(tmp_path / name / "photo" / f"{number:02}.png", photo(number))
            pixels = patches([0, 1, 2])
            if name == "mixed" and number == 18:
                indexed(
                    tmp_path / name / "label" / f"{number:02}.png", np.argsort(order)[pixels].astype(np.uint8), other
                )
            else:
                indexed(tmp_path / name / "label" / f"{number:02}.png", pixels, palette)
    assert folders(tmp_path / "same").domains["source"] == Domain(3, classes=3)
    mixed = folders(tmp_path / "mixed")
    assert mixed.domains["source"] == WHITE
    first, odd = (
        images.read_example(example, WHITE)
        for example in sorted(
            (each for sides in mixed.splits.values() for each in sides["source"]), key=lambda each: each.name
        )[17:19]
    )
    assert np.array_equal(first, odd)  # the same picture, whatever the order of its palette


def test_one_side_may_be_maps_and_the_other_is_asked_about(tmp_path: Path) -> None:
    for number in range(2):
        save(tmp_path / "label" / f"{number}.png", patches([0, 1, 2]))
        save(tmp_path / "photo" / f"{number}.png", patches([0, 30, 50]))
    with pytest.raises(TranslateError, match="of the target") as asked:
        folders(tmp_path)
    pictures, both = pasted(asked.value)
    assert [each.classes for each in opened(tmp_path, pictures).domains.values()] == [3, 0]
    assert [each.classes for each in opened(tmp_path, both).domains.values()] == [3, 51]


def test_more_than_64_classes_are_recognized(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(4):
        values = [*random.permutation(150)[:8].tolist(), 149]
        save(tmp_path / "label" / f"{number}.png", patches(values, 32))
        save(tmp_path / "photo" / f"{number}.png", photo(number))
    assert folders(tmp_path).domains["source"] == Domain(150, classes=150)


@pytest.mark.parametrize("kind", ["gray", "palette"])
def test_the_index_255_is_asked_about_and_may_be_ignored(tmp_path: Path, kind: str) -> None:
    for number in range(2):
        pixels = patches([0, 3, 255, 18])
        path = tmp_path / "label" / f"{number}.png"
        save(path, pixels) if kind == "gray" else indexed(path, pixels, photo(5).ravel()[:768].tolist())
        save(tmp_path / "photo" / f"{number}.png", photo(number))
    with pytest.raises(TranslateError, match="255") as asked:
        folders(tmp_path)
    chosen = next(text for text in pasted(asked.value) if "ignore" in text)
    dataset = opened(tmp_path, chosen)
    assert dataset.domains["source"] == Domain(19, classes=19, ignore=255)
    assert opened(tmp_path, dataset.layout).domains == dataset.domains
    assert images.read_example(dataset.splits["train"]["source"][0], dataset.domains["source"]).max() == 255
    assert folders(tmp_path, maps="source", ignore=255).domains["source"].classes == 19


def test_options_of_maps_that_contradict_are_refused(tmp_path: Path) -> None:
    for number in range(2):
        save(tmp_path / "source" / f"{number}.png", photo(number))
        save(tmp_path / "target" / f"{number}.png", photo(number))
    with pytest.raises(TranslateError, match="classes=0 means"):
        folders(tmp_path, classes=0, ignore=255)
    with pytest.raises(TranslateError, match="maps=target, but the target's files are no gray"):
        folders(tmp_path, maps="target")
    with pytest.raises(TranslateError, match="ignore=255, but none"):
        folders(tmp_path, ignore=255)


# --- ranges -----------------------------------------------------------------------------------------------------------


def twelve_bits(root: Path, layout: str) -> None:
    for number in range(3):
        values = np.linspace(0, 4000 + number, 256).reshape(16, 16, 1).astype(np.uint16)
        if layout == "side_by_side":
            save(root / f"{number}.png", np.concatenate([values, values], 1))
        elif layout == "classes":
            save(root / "abc"[number] / f"{number}.png", values)
        elif layout == "arrays":
            np.savez(root / "a.npz", source=np.stack([values] * 3), target=np.stack([values] * 3))
        else:
            save(root / "source" / f"{number}.png", values)
            save(root / "target" / f"{number}.png", photo(number))


@pytest.mark.parametrize("layout", ["folders", "unpaired", "classes", "side_by_side", "arrays"])
def test_a_range_that_is_hardly_used_is_told_and_can_be_given(tmp_path: Path, layout: str) -> None:
    twelve_bits(tmp_path, layout)
    root = tmp_path / "a.npz" if layout == "arrays" else tmp_path
    dataset = opened(root, layout)
    note = dataset.notes[0]
    assert "less than a quarter of 0 to 65535" in note
    assert "-1.00 to -0.88" in note
    (text,) = pasted(note)
    assert "bits=12" in text
    ranged = opened(root, text)
    assert ranged.notes == ()
    domain = ranged.domains["source"]
    assert (domain.limits, domain.depth, domain.ranged) == ((0, 4095), "uint16", True)
    assert opened(root, ranged.layout).domains == ranged.domains
    by_hand = opened(root, f"{layout}(low=0, high=4095)")
    assert by_hand.domains == ranged.domains
    if layout in ("folders", "unpaired"):  # 8 bits cannot hold 12
        assert ranged.domains["target"] == WHITE


def test_a_range_can_be_for_one_side(tmp_path: Path) -> None:
    for side in ("source", "target"):
        save(tmp_path / side / "a.png", photo(1, 1))
    dataset = folders(tmp_path, low=0, high=100, ranged="target")
    assert (dataset.domains["source"].limits, dataset.domains["target"].limits) == ((0, 255), (0, 100))
    with pytest.raises(TranslateError, match="fits none of the domains"):
        folders(tmp_path, bits=12)
    with pytest.raises(TranslateError, match="low=5 must be below high=5"):
        folders(tmp_path, low=5, high=5)
    with pytest.raises(TranslateError, match="twice"):
        folders(tmp_path, bits=8, high=5)
    assert folders(tmp_path, bits=8).domains["source"] == Domain(1, alpha="white")  # the full range


def test_bits_are_for_signed_integers_too_and_not_for_floats(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    stored = np.array([[-1024, 3071], [0, 5]], np.int16)
    np.save(tmp_path / "source" / "a.npy", stored)
    save(tmp_path / "target" / "a.png", photo(1, 1))
    np.savez(tmp_path / "a.npz", source=stored[None], target=np.zeros((1, 2, 2), np.float32))
    assert folders(tmp_path, bits=12, ranged="source").domains["source"].limits == (0, 4095)
    assert folders(tmp_path, low=-1024, high=3071).domains["source"].limits == (-1024, 3071)
    assert arrays(tmp_path / "a.npz", bits=12, ranged="source").domains["source"].limits == (0, 4095)
    with pytest.raises(TranslateError, match="fits none of the domains"):
        arrays(tmp_path / "a.npz", bits=12, ranged="target")


def test_signed_integers_train_by_their_range(tmp_path: Path) -> None:
    for number in range(2):
        for side in ("source", "target"):
            (tmp_path / side).mkdir(exist_ok=True)
            np.save(tmp_path / side / f"{number}.npy", np.linspace(-1000, 3000, 64, dtype=np.int16).reshape(8, 8))
    assert folders(tmp_path).domains["source"].limits == (-1000, 3000)
    given = folders(tmp_path, low=-1024, high=3071).domains["source"]
    assert given == Domain(1, "float32", -1024.0, 3071.0, alpha="white")
    np.savez(tmp_path / "a.npz", source=np.full((3, 4, 4), -7, np.int16), target=np.full((3, 4, 4), 900, np.int32))
    assert arrays(tmp_path / "a.npz", low=-1024, high=3071).domains["target"].limits == (-1024, 3071)


# --- alpha ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["folders", "unpaired", "classes", "side_by_side", "arrays"])
def test_transparency_can_be_asked_for_in_every_layout(tmp_path: Path, layout: str) -> None:
    pixels = photo(0, 4)
    pixels[..., 3] = 0
    hidden = Image(pixels[..., :3], np.ascontiguousarray(pixels[..., 3]))
    wide = Image(np.tile(hidden.pixels, (1, 2, 1)), np.tile(np.zeros((16, 16), np.uint8), (1, 2)))
    for number in range(3):
        for side in ("source", "target"):
            save(tmp_path / "folders" / side / f"{number}.png", hidden)
        save(tmp_path / "classes" / "abc"[number] / f"{number}.png", hidden)
        save(tmp_path / "side_by_side" / f"{number}.png", wide)
    np.savez(tmp_path / "a.npz", source=np.stack([pixels] * 3), target=np.stack([pixels] * 3))
    root = {"arrays": tmp_path / "a.npz", "unpaired": tmp_path / "folders"}.get(layout, tmp_path / layout)

    def seen(options: str) -> list[int]:
        dataset = opened(root, f"{layout}({options})")
        assert opened(root, dataset.layout).domains == dataset.domains
        domain = dataset.domains["source"]
        return images.read_example(dataset.splits["train"]["source"][0], domain)[0, 0].tolist()  # type: ignore[no-any-return]

    raw = pixels[0, 0].tolist()
    assert seen("background=white") == [255, 255, 255]
    assert seen("background=black") == [0, 0, 0]
    assert seen("background=gray") == [128, 128, 128]
    assert seen("alpha=plane") == raw
    assert seen("background=none") == (raw if layout == "arrays" else raw[:3])
    if layout != "arrays":
        assert seen("") == [255, 255, 255]


# --- pairs ------------------------------------------------------------------------------------------------------------


def fill(folder: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        save(folder / name, photo(number, side=8))


def pairs_of(dataset: Dataset) -> list[tuple[str, str]]:
    both = dataset.splits["train"]
    return [(a.pixels.name, b.pixels.name) for a, b in zip(both["source"], both["target"], strict=True)]  # type: ignore[union-attr]


def test_order_compares_numbers_as_numbers(tmp_path: Path) -> None:
    fill(tmp_path / "source", [f"a{number}.png" for number in range(1, 10)])
    fill(tmp_path / "target", [f"b{number:02}.png" for number in range(1, 10)])
    for side, name in (("source", "a10.png"), ("target", "b10.png"), ("source", "a11.png"), ("target", "b11.png")):
        fill(tmp_path / side, [name])
    dataset = folders(tmp_path, match="order", holdout=0)
    assert pairs_of(dataset) == [(f"a{number}.png", f"b{number:02}.png") for number in range(1, 12)]
    assert dataset.problems == ()


def test_different_numbers_in_a_pair_are_a_problem(tmp_path: Path) -> None:
    fill(tmp_path / "source", ["a1.png", "a2.png", "a3.png"])
    fill(tmp_path / "target", ["b1.png", "b3.png", "b4.png"])
    (problem,) = folders(tmp_path, match="order").problems
    assert "2 pairs (a2.png with b3.png, a3.png with b4.png) by order have different numbers" in problem
    anyway = folders(tmp_path, match="index")
    assert anyway.problems == ()
    assert opened(tmp_path, anyway.layout).layout == anyway.layout


def test_numbers_that_all_names_share_do_not_count(tmp_path: Path) -> None:
    fill(tmp_path / "source", ["s1_512.png", "s2_512.png"])
    fill(tmp_path / "target", ["t1_256.png", "t2_256.png"])
    assert folders(tmp_path, match="order").problems == ()


@pytest.mark.parametrize(
    ("sources", "targets"),
    [
        (["car3", "car10", "bus1"], ["car3_mask", "car10_mask", "bus1_mask"]),
        (["car3_image", "car10_image"], ["car3", "car10"]),
        (["3_in", "10_in"], ["3_out", "10_out"]),
        (["a/car3", "b/car3"], ["a/car3-gt", "b/car3-gt"]),
        (["car3"], ["car3_mask"]),
    ],
)
def test_names_pair_by_a_common_tail(tmp_path: Path, sources: list[str], targets: list[str]) -> None:
    fill(tmp_path / "source", [f"{name}.jpg" for name in sources])
    fill(tmp_path / "target", [f"{name}.png" for name in targets])
    assert recognize(tmp_path) == ["folders"]
    dataset = folders(tmp_path)
    assert dataset.problems == ()
    assert sorted(pairs_of(dataset)) == sorted(
        (f"{Path(a).name}.jpg", f"{Path(b).name}.png") for a, b in zip(sources, targets, strict=True)
    )
    assert any("without their common tail" in note for note in dataset.notes)


def test_what_has_no_common_tail_is_not_paired(tmp_path: Path) -> None:
    fill(tmp_path / "source", ["1.png", "2.png"])
    fill(tmp_path / "target", ["11.png", "21.png"])  # a tail of a digit would be another number
    assert recognize(tmp_path) == ["unpaired"]
    assert any("have no partner" in problem for problem in folders(tmp_path).problems)


def test_a_file_without_a_partner_is_named_beside_a_tail(tmp_path: Path) -> None:
    fill(tmp_path / "source", ["car1.png", "car2.png", "car3.png"])
    fill(tmp_path / "target", ["car1_mask.png", "car3_mask.png"])
    (problem,) = folders(tmp_path).problems
    assert "1 file (car2.png) has no partner" in problem


def test_natural_order() -> None:
    assert sorted(["b1", "a10", "a2", "2", "10", ""], key=natural) == ["", "2", "10", "a2", "a10", "b1"]
    files = {name: Path(name) for name in ("a10", "a9")}
    assert [stem for stem, _, _ in by_order(files, files)] == ["a9", "a10"]
    assert by_name({}, {}).pairs == []


# --- test data alone --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["folders", "unpaired", "side_by_side", "classes"])
def test_test_data_alone_is_recognized(tmp_path: Path, kind: str) -> None:
    for number in range(3):
        if kind == "side_by_side":
            save(tmp_path / "test" / f"{number}.png", np.tile(photo(number), (1, 2, 1)))
        elif kind == "classes":
            save(tmp_path / "test" / f"c{number}" / "1.png", photo(number))
        else:
            save(tmp_path / "test" / "A" / f"{number}.png", photo(number))
            save(tmp_path / "test" / "B" / (f"{number}.png" if kind == "folders" else f"x{number + 7}.png"), photo(9))
    assert recognize(tmp_path) == [kind]
    dataset = open_dataset(discover(), str(tmp_path))
    assert list(dataset.splits) == ["test"]
    assert len(dataset.splits["test"]["source"]) == 3
    assert dataset.problems == ()
    assert dataset.refusal == f"{tmp_path.name} has no training images"
