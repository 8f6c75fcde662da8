"""Layouts: what a folder holds is listed right, recognised where it is clear, and told where it is not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from translate import images
from translate.data import Dataset, Domain
from translate.errors import TranslateError
from translate.images import Image, ImageError
from translate.options import check_options, options_of, parse_call
from translate_datasets import listing, recognize
from translate_datasets.arrays import arrays
from translate_datasets.demo import demo
from translate_datasets.folders import folders
from translate_datasets.palettes import read_palette
from translate_datasets.side_by_side import side_by_side
from translate_datasets.unpaired import unpaired

SHARED = Path(__file__).parents[2] / "../shared/data"
CAMVID = SHARED / "paired/camvid"


factories: dict[str, Callable[..., Dataset]] = {
    "folders": folders,
    "unpaired": unpaired,
    "side_by_side": side_by_side,
    "arrays": arrays,
}


def noise(height: int = 8, width: int = 8, channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def fill(folder: Path, names: list[str], pixels: NDArray[Any] | None = None) -> None:
    for index, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(path, Image(noise(seed=index) if pixels is None else pixels))


def names(dataset: Dataset, split: str, side: str = "source") -> list[str]:
    return [example.name for example in dataset.splits[split][side]]


def counts(dataset: Dataset) -> dict[str, tuple[int, int]]:
    return {split: (len(sides["source"]), len(sides["target"])) for split, sides in dataset.splits.items()}


def reopen(dataset: Dataset, root: Path) -> Dataset:
    """Open a dataset again by what it says of its layout."""
    call = parse_call(dataset.layout)
    factory = factories[call.name]
    return factory(root, **check_options(call.options, options_of(factory), call.name))


# --- folders --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["{split}/{side}", "{side}/{split}", "{split}{side}", "{split}_{side}"])
@pytest.mark.parametrize(
    ("source", "target"), [("source", "target"), ("A", "B"), ("label", "photo"), ("masks", "images")]
)
def test_every_arrangement_is_found_and_recognized(tmp_path: Path, place: str, source: str, target: str) -> None:
    for split, count in (("train", 3), ("val", 2), ("test", 1)):
        for side in (source, target):
            fill(tmp_path / place.format(split=split, side=side), [f"{number}.png" for number in range(count)])
    dataset = folders(tmp_path)
    assert counts(dataset) == {"train": (3, 3), "val": (2, 2), "test": (1, 1)}
    assert dataset.problems == ()
    for sides in dataset.splits.values():
        assert [e.name for e in sides["source"]] == [e.name for e in sides["target"]]
        assert all(f"{source}" in str(e.pixels).removeprefix(str(tmp_path)) for e in sides["source"])
    (call,) = recognize(tmp_path)
    assert call.startswith("folders")
    assert ("source=" in call) == (source in ("label", "masks"))
    assert counts(reopen(dataset, tmp_path)) == counts(dataset)


def test_names_pair_across_suffixes_and_below_folders(tmp_path: Path) -> None:
    fill(tmp_path / "source", ["city/1.png", "city/2.bmp", "3.png"])
    fill(tmp_path / "target", ["city/1.webp", "city/2.png", "3.png"])
    dataset = folders(tmp_path)
    assert names(dataset, "train") == ["3", "city/1", "city/2"]
    assert [Path(str(example.pixels)).name for example in dataset.splits["train"]["target"]] == [
        "3.png",
        "1.webp",
        "2.png",
    ]


def test_files_without_a_partner_are_told_and_left_out(tmp_path: Path) -> None:
    fill(tmp_path / "source", [f"{number}.png" for number in range(9)])
    fill(tmp_path / "target", ["0.png", "1.png", "8.png", "9.png"])
    dataset = folders(tmp_path)
    assert names(dataset, "train") == ["0", "1", "8"]
    assert any("6 files (2.png, 3.png, 4.png, ...) have no partner" in problem for problem in dataset.problems)
    assert any("1 file (9.png)" in problem for problem in dataset.problems)
    assert recognize(tmp_path) == ["folders"]


def test_two_files_of_one_stem_are_told(tmp_path: Path) -> None:
    fill(tmp_path / "source", ["a.png", "a.bmp"])
    fill(tmp_path / "target", ["a.png"])
    assert any("shares its name" in problem for problem in folders(tmp_path).problems)


def test_order_pairs_what_names_do_not(tmp_path: Path) -> None:
    fill(tmp_path / "source", ["a1.png", "a2.png"])
    fill(tmp_path / "target", ["b1.png", "b2.png"])
    assert any("no training pairs" in problem for problem in folders(tmp_path).problems)
    dataset = folders(tmp_path, match="order")
    assert names(dataset, "train", "target") == ["a1", "a2"]
    assert dataset.problems == ()
    assert counts(reopen(dataset, tmp_path)) == counts(dataset)
    fill(tmp_path / "target", ["b3.png"])
    assert any("only equal numbers" in problem for problem in folders(tmp_path, match="order").problems)


def test_mistakes_are_told_with_the_choices(tmp_path: Path) -> None:
    with pytest.raises(TranslateError, match="there is no folder"):
        folders(tmp_path / "none")
    with pytest.raises(TranslateError, match="it has no folders"):
        folders(tmp_path)
    fill(tmp_path / "left", ["a.png"])
    fill(tmp_path / "right", ["a.png"])
    with pytest.raises(TranslateError, match=r"no folders of 'left' and 'wright' .*left, right"):
        folders(tmp_path, source="left", target="wright")
    with pytest.raises(TranslateError, match="both folders or of none"):
        folders(tmp_path, source="left")
    (tmp_path / "source").mkdir()
    (tmp_path / "target").mkdir()
    assert any("holds no images" in problem for problem in folders(tmp_path).problems)
    assert len(folders(tmp_path, source="left", target="right").splits["train"]["source"]) == 1


def test_unreadable_files_are_told(tmp_path: Path) -> None:
    for side in ("source", "target"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "a.png").write_bytes(b"nothing")
    problems = folders(tmp_path).problems
    assert sum("none of the" in problem and "a.png" in problem for problem in problems) == 2


@given(
    ours=st.sets(st.sampled_from("abcdefghijkl"), max_size=8),
    theirs=st.sets(st.sampled_from("abcdefghijkl"), max_size=8),
)
@settings(max_examples=25, deadline=None)
def test_pairs_are_the_common_names(tmp_path_factory: pytest.TempPathFactory, ours: set[str], theirs: set[str]) -> None:
    root = tmp_path_factory.mktemp("pairs")
    for side, stems in (("source", ours), ("target", theirs)):
        (root / side).mkdir()
        for stem in stems:
            (root / side / f"{stem}.png").write_bytes(b"")
    dataset = folders(root, holdout=0)
    assert names(dataset, "train", "source") == names(dataset, "train", "target") == sorted(ours & theirs)
    assert all(("no partner" in problem) <= (ours != theirs) for problem in dataset.problems)


# --- splits ---------------------------------------------------------------------------------------------------------


@given(
    stems=st.sets(st.text(min_size=1, max_size=6), max_size=60),
    share=st.floats(0, 0.99, allow_nan=False),
    shuffled=st.randoms(use_true_random=False),
)
def test_hold_out(stems: set[str], share: float, shuffled: Any) -> None:
    listed = sorted(stems)
    held = listing.hold_out(listed, share)
    assert held <= stems
    if len(stems) < 10 or share == 0:
        assert not held
    else:
        assert len(held) == min(len(stems) - 1, max(1, round(share * len(stems))))
    shuffled.shuffle(listed)
    assert listing.hold_out(listed, share) == held


def test_without_split_folders_a_tenth_validates(tmp_path: Path) -> None:
    every = [f"{number:02d}.png" for number in range(20)]
    fill(tmp_path / "source", every)
    fill(tmp_path / "target", every)
    dataset = folders(tmp_path)
    assert counts(dataset) == {"train": (18, 18), "val": (2, 2)}
    assert not set(names(dataset, "train")) & set(names(dataset, "val"))
    assert names(dataset, "val", "source") == names(dataset, "val", "target")
    assert counts(folders(tmp_path, holdout=0.5)) == {"train": (10, 10), "val": (10, 10)}
    assert counts(folders(tmp_path, holdout=0)) == {"train": (20, 20)}


# --- unpaired -------------------------------------------------------------------------------------------------------


def test_unpaired(tmp_path: Path) -> None:
    fill(tmp_path / "trainA", ["1.png", "2.png", "3.png"])
    fill(tmp_path / "trainB", ["x.png", "y.png"])
    fill(tmp_path / "testA", ["5.png"])
    dataset = unpaired(tmp_path)
    assert not dataset.paired
    assert counts(dataset) == {"train": (3, 2), "test": (1, 0)}
    assert recognize(tmp_path) == ["unpaired"]
    assert counts(reopen(dataset, tmp_path)) == counts(dataset)


def test_unpaired_holds_out_of_both_sides_or_none(tmp_path: Path) -> None:
    fill(tmp_path / "source", [f"{number}.png" for number in range(10)])
    fill(tmp_path / "target", [f"other{number}.png" for number in range(9)])
    assert counts(unpaired(tmp_path)) == {"train": (10, 9)}
    fill(tmp_path / "target", ["other9.png"])
    assert counts(unpaired(tmp_path)) == {"train": (9, 9), "val": (1, 1)}


# --- side by side ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", [True, False])
def test_side_by_side(tmp_path: Path, split: bool) -> None:
    wide = noise(6, 12)
    fill(tmp_path / ("train" if split else ""), [f"{number}.png" for number in range(3)], wide)
    if split:
        fill(tmp_path / "val", ["7.png"], wide)
    assert recognize(tmp_path) == ["side_by_side"]
    for direction, (first, second) in (("AtoB", (wide[:, :6], wide[:, 6:])), ("BtoA", (wide[:, 6:], wide[:, :6]))):
        dataset = side_by_side(tmp_path, direction=direction)  # type: ignore[arg-type]
        assert counts(dataset) == ({"train": (3, 3), "val": (1, 1)} if split else {"train": (3, 3)})
        train = dataset.splits["train"]
        assert np.array_equal(images.read_example(train["source"][0], dataset.domains["source"]), first)
        assert np.array_equal(images.read_example(train["target"][0], dataset.domains["target"]), second)
        assert reopen(dataset, tmp_path).splits["train"]["source"][0].region == train["source"][0].region


def test_odd_widths_and_empty_folders_are_told(tmp_path: Path) -> None:
    assert any("holds no images" in problem for problem in side_by_side(tmp_path).problems)
    fill(tmp_path, ["a.png"], noise(6, 13))
    assert any("1 file (a.png)" in problem and "halves" in problem for problem in side_by_side(tmp_path).problems)
    assert recognize(tmp_path) == []


# --- arrays ---------------------------------------------------------------------------------------------------------


def test_arrays_of_one_file(tmp_path: Path) -> None:
    source, target = noise(20, 8, 8), noise(20, 8, 8 * 3).reshape(20, 8, 8, 3)
    path = tmp_path / "all.npz"
    np.savez(path, source=source, target=target, labels=np.arange(20))
    assert recognize(path) == recognize(tmp_path) == ["arrays"]
    dataset = arrays(path)
    assert dataset.paired
    assert dataset.domains == {"source": Domain(channels=1), "target": Domain(channels=3)}
    assert counts(dataset) == {"train": (18, 18), "val": (2, 2)}
    for examples in (dataset.splits["train"], dataset.splits["val"]):
        for first, second in zip(examples["source"], examples["target"], strict=True):
            assert first.name == second.name
            assert np.array_equal(images.read_example(second, dataset.domains["target"]), target[int(second.name)])
            assert np.array_equal(
                images.read_example(first, dataset.domains["source"])[..., 0], source[int(first.name)]
            )
    assert counts(reopen(dataset, path)) == counts(dataset)


def test_arrays_of_several_files_and_splits(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "one.npz", x_train=noise(5, 4, 4), x_test=noise(2, 4, 4))
    np.save(tmp_path / "two.npy", noise(7, 4, 4))
    dataset = arrays(tmp_path, source="one.npz:x_train", target="two")
    assert not dataset.paired
    assert counts(dataset) == {"train": (5, 7)}
    with pytest.raises(TranslateError, match="no array 'twoo' in .*did you mean two"):
        arrays(tmp_path, source="x_train", target="twoo")
    with pytest.raises(TranslateError, match="name two as arrays"):
        arrays(tmp_path)
    assert counts(arrays(tmp_path, source="x", target="x_train", paired=False)) == {"train": (5, 5), "test": (2, 0)}
    (tmp_path / "source.npy").write_bytes(b"no array")
    np.save(tmp_path / "target.npy", noise(7, 4, 4))
    with pytest.raises(TranslateError, match=r"source\.npy cannot be read"):
        arrays(tmp_path)


def test_array_splits_by_name(tmp_path: Path) -> None:
    for split, count in (("train", 4), ("val", 2)):
        np.save(tmp_path / f"{split}_source.npy", noise(count, 4, 4).astype(np.float32) / 255)
        np.save(tmp_path / f"{split}_target.npy", noise(count, 4, 4).astype(np.uint16))
    dataset = arrays(tmp_path)
    assert counts(dataset) == {"train": (4, 4), "val": (2, 2)}
    assert dataset.domains["source"] == Domain(channels=1, depth="float32", low=0, high=1)
    assert dataset.domains["target"].depth == "uint16"
    assert recognize(tmp_path) == ["arrays"]


def test_arrays_that_are_no_images(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "a.npz",
        source=np.zeros(4),
        target=np.zeros((4, 3, 3), np.complex64),
        A=noise(4, 3, 3),
        B=noise(3, 3, 3),
    )
    with pytest.raises(TranslateError, match=r"'source' .*shape \(4,\)"):
        arrays(tmp_path / "a.npz", source="source", target="A")
    with pytest.raises(TranslateError, match="complex64"):
        arrays(tmp_path / "a.npz", source="A", target="target")
    assert any(
        "4 and 3 rows" in told for told in arrays(tmp_path / "a.npz", source="A", target="B", paired=True).problems
    )
    (tmp_path / "b.npz").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(TranslateError, match=r"b\.npz is no readable"):
        arrays(tmp_path / "b.npz")
    assert recognize(tmp_path / "b.npz") == ["arrays"]  # opening it says why it cannot be read


# --- domains --------------------------------------------------------------------------------------------------------


def test_the_larger_number_of_channels_and_depth_counts(tmp_path: Path) -> None:
    fill(tmp_path / "source", ["1.png"], noise(channels=1))
    fill(tmp_path / "source", ["2.png"], noise(channels=3))
    fill(tmp_path / "target", ["1.png"], noise(channels=1))
    fill(tmp_path / "target", ["2.png"], noise(channels=1).astype(np.uint16) * 257)
    assert folders(tmp_path).domains == {
        "source": Domain(channels=3, alpha="white"),
        "target": Domain(channels=1, depth="uint16", alpha="white"),
    }


@pytest.mark.parametrize(
    ("scale", "shift", "expected"), [(1, 0, (0, 1)), (2, -1, (-1, 1)), (200, 0, (0, 255)), (50, -20, None)]
)
def test_the_range_of_floats(tmp_path: Path, scale: float, shift: float, expected: tuple[float, float] | None) -> None:
    values = (noise(channels=5) / 255 * scale + shift).astype(np.float32)
    fill(tmp_path / "source", ["1.npy"], values)
    fill(tmp_path / "target", ["1.npy"], values)
    domain = folders(tmp_path).domains["source"]
    low, high = expected or (float(values.min()), float(values.max()))
    assert domain == Domain(channels=5, depth="float32", low=low, high=high)


def blocks(classes: int, side: int = 16) -> NDArray[np.uint8]:
    return np.asarray(np.indices((side, side))[1] * classes // side, np.uint8)[..., None]


@pytest.mark.parametrize("kind", ["gray", "palette"])
def test_class_maps_are_told_from_their_values(tmp_path: Path, kind: str) -> None:
    for number, classes in enumerate((3, 5, 2)):
        (tmp_path / "label").mkdir(exist_ok=True)
        image = PIL.Image.fromarray(blocks(classes)[..., 0])
        if kind == "palette":
            image = PIL.Image.frombytes("P", (16, 16), blocks(classes).tobytes())
            image.putpalette(noise(5, 3, 1).ravel().tolist())
        image.save(tmp_path / "label" / f"{number}.png")
    fill(tmp_path / "photo", ["0.png", "1.png", "2.png"])
    dataset = folders(tmp_path)
    assert dataset.domains == {"source": Domain(channels=5, classes=5), "target": Domain(channels=3, alpha="white")}
    assert dataset.layout == "folders(source='label', target='photo', classes=5)"
    assert reopen(dataset, tmp_path).domains == dataset.domains
    assert folders(tmp_path, classes=7).domains["source"] == Domain(channels=7, classes=7)
    plain = folders(tmp_path, classes=0)
    assert plain.domains["source"] == Domain(channels=1 if kind == "gray" else 3, alpha="white")
    assert reopen(plain, tmp_path).domains == plain.domains
    few = folders(tmp_path, classes=3)
    with pytest.raises(ImageError, match=r"1\.png holds the class index 4, but there are 3 classes.*classes=5"):
        images.read_example(few.splits["train"]["source"][1], few.domains["source"])


def test_photos_are_not_taken_for_class_maps(tmp_path: Path) -> None:
    dark = noise(32, 32, 1) // 8  # below 64, but no two neighbours alike
    smooth = (np.indices((64, 64)).sum(0) // 2)[..., None].astype(np.uint8)
    black_and_white = np.where(blocks(2) > 0, 255, 0).astype(np.uint8)
    for number, pixels in enumerate((dark, smooth, black_and_white)):
        root = tmp_path / str(number)
        fill(root / "source", ["a.png"], pixels)
        fill(root / "target", ["a.png"])
        assert folders(root).domains["source"] == Domain(channels=1, alpha="white"), number
    with pytest.raises(TranslateError, match="none of the sides are maps"):
        folders(root, palette=tmp_path / "p.png")
    fill(tmp_path / "rgb/source", ["a.png"])
    fill(tmp_path / "rgb/target", ["a.png"])
    with pytest.raises(TranslateError, match="classes=4, but none"):
        folders(tmp_path / "rgb", classes=4)


def test_palettes(tmp_path: Path) -> None:
    colours = ((1, 2, 3), (250, 0, 9), (7, 7, 7))
    images.write(tmp_path / "p.png", Image(np.array([[*colours, (0, 0, 0)]], np.uint8)))
    (tmp_path / "list.json").write_text(json.dumps(colours))
    (tmp_path / "named.json").write_text(json.dumps({"a": colours[0], "b": colours[1], "c": colours[2]}))
    (tmp_path / "p.txt").write_text("# classes\n1 2 3 road\n\n#fa0009 sky\n7, 7, 7\n")
    for name in ("p.png", "list.json", "named.json", "p.txt"):
        assert read_palette(tmp_path / name, 3) == colours
        with pytest.raises(TranslateError, match="but there are 9 classes"):
            read_palette(tmp_path / name, 9)
    for name, text in (("bad.json", "{"), ("bad.txt", "1 2\n"), ("high.txt", "1 2 300\n"), ("bad2.json", "3")):
        (tmp_path / name).write_text(text)
        with pytest.raises(TranslateError, match="is no palette"):
            read_palette(tmp_path / name, 1)
    with pytest.raises(TranslateError, match="cannot read the palette"):
        read_palette(tmp_path / "none.txt", 1)
    fill(tmp_path / "label", ["a.png"], blocks(3))
    fill(tmp_path / "photo", ["a.png"])
    dataset = folders(tmp_path, palette=Path("p.png"))  # found beside the data
    assert dataset.domains["source"] == Domain(channels=3, classes=3, palette=colours)
    assert reopen(dataset, tmp_path).domains == dataset.domains


# --- recognition ----------------------------------------------------------------------------------------------------


def test_unknown_names_are_told_in_both_directions(tmp_path: Path) -> None:
    fill(tmp_path / "one/winter", ["a.png"])
    fill(tmp_path / "one/summer", ["a.png"])
    assert recognize(tmp_path / "one") == [
        "folders(source='summer', target='winter')",
        "folders(source='winter', target='summer')",
    ]
    fill(tmp_path / "two/train/winter", ["a.png"])
    fill(tmp_path / "two/train/summer", ["b.png"])
    assert recognize(tmp_path / "two") == [
        "unpaired(source='summer', target='winter')",
        "unpaired(source='winter', target='summer')",
        "classes",
    ]


def test_what_is_no_data_set_is_not_recognized(tmp_path: Path) -> None:
    assert recognize(tmp_path) == recognize(tmp_path / "none") == []
    (tmp_path / "notes.txt").write_text("no images")
    assert recognize(tmp_path) == recognize(tmp_path / "notes.txt") == []
    (tmp_path / "source").mkdir()
    (tmp_path / "target").mkdir()
    assert recognize(tmp_path) == []
    fill(tmp_path / "photos", ["a.png", "b.png"])
    assert recognize(tmp_path / "photos") == []


def test_the_plugin_is_light() -> None:
    code = "import sys, translate_datasets; assert not {'torch', 'cv2', 'numpy', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- the demonstration ----------------------------------------------------------------------------------------------


def test_demo_is_the_same_each_time_and_never_twice_the_same() -> None:
    dataset = demo(size=32, count=6, seed=1)
    assert counts(dataset) == {"train": (6, 6), "val": (20, 20), "test": (20, 20)}
    read = images.read_example
    seen: list[bytes] = []
    for split in dataset.splits:
        for side in ("source", "target"):
            for index in range(3):
                domain = dataset.domains[side]
                first = read(dataset.splits[split][side][index], domain)
                again = read(demo(size=32, count=6, seed=1).splits[split][side][index], domain)
                assert first.shape == (32, 32, 3)
                assert np.array_equal(first, again)
                seen.append(first.tobytes())
    assert len(set(seen)) == len(seen)
    other = read(demo(size=32, seed=2).splits["train"]["target"][0], dataset.domains["target"])
    assert other.tobytes() not in seen


def test_demo_maps_are_flat_and_paintings_follow_them() -> None:
    dataset = demo(size=48, count=24)
    known = {(142, 202, 230), (255, 214, 10), (226, 226, 240)}
    sky_by_day: list[float] = []
    sky_by_night: list[float] = []
    windows: list[float] = []
    for source, target in zip(dataset.splits["train"]["source"], dataset.splits["train"]["target"], strict=True):
        flat, painted = (
            images.read_example(example, Domain(channels=3, alpha="white")) for example in (source, target)
        )
        colours = {tuple(colour) for colour in np.unique(flat.reshape(-1, 3), axis=0).tolist()}
        assert len(colours) <= 12
        assert colours & known
        night = (226, 226, 240) in colours
        sky = painted[(flat == (142, 202, 230)).all(2)]
        (sky_by_night if night else sky_by_day).append(float(sky.mean()))
        if night and (255, 150, 20) in colours:
            windows.append(painted[(flat == (255, 150, 20)).all(2)].mean().item())
    assert max(sky_by_night) < min(sky_by_day)
    assert min(windows) > max(sky_by_night)  # lit


# --- real data ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not CAMVID.is_dir(), reason="CamVid is not here")
def test_camvid() -> None:
    assert recognize(CAMVID) == ["folders(source='label', target='photo')"]
    dataset = folders(CAMVID, source="label", target="photo")
    assert dataset.layout == "folders(source='label', target='photo', classes=12)"
    assert dataset.domains == {"source": Domain(channels=12, classes=12), "target": Domain(channels=3, alpha="white")}
    assert counts(dataset) == {"train": (92, 92), "val": (21, 21), "test": (30, 30)}
    assert dataset.problems == ()
    coloured = folders(CAMVID, palette=Path("palette_camvid11.png")).domains["source"]
    assert coloured.channels == 3
    assert coloured.palette[:2] == ((128, 128, 128), (128, 0, 0))
    assert folders(CAMVID, source="photo", target="label").domains["target"].classes == 12


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data is not here")
def test_other_real_data() -> None:
    assert recognize(SHARED / "unpaired/single_image_monet_etretat") == ["unpaired"]
    assert recognize(SHARED / "photos/lowlight_DICM") == []
    digits = arrays(SHARED / "labelled", source="usps/usps.npz:x_train", target="usps/usps.npz:x_test", paired=False)
    assert digits.domains["source"] == Domain(channels=1, labels=tuple("0123456789"))
    assert sum(len(sides["source"]) for sides in digits.splits.values()) == 7291


def test_a_folder_that_may_not_be_entered_is_no_folder_of_a_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another user finds it: even to ask whether there is a folder inside is refused."""
    (tmp_path / "trainA").mkdir()
    whether = Path.is_dir

    def is_dir(path: Path) -> bool:
        if tmp_path in path.parents:
            raise PermissionError(13, "Permission denied", str(path))
        return whether(path)

    monkeypatch.setattr(Path, "is_dir", is_dir)
    assert listing.is_folder(tmp_path)
    assert not listing.is_folder(tmp_path / "trainA")
    assert listing.usual_sides(tmp_path) is None
