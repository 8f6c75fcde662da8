"""The generated data set: each task lists what it says, pairs are pairs, and pictures are the same on every machine."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from translate import images
from translate.data import Dataset, Example
from translate.errors import TranslateError
from translate.inspection import export, inspect
from translate.layouts import open_dataset
from translate.options import check_options, options_of, parse_call
from translate.plugins import discover
from translate_datasets import digits, exact
from translate_datasets.demo import demo
from translate_datasets.demo_tasks import SCENIC
from translate_datasets.landscapes import CLASSES, SEASONS, TIMES, WEATHERS, Landscape

TASKS = ("painting", *SCENIC, "digits")

# Sums of the first six training images of each side at 32 px. They are drawn by whole numbers and by operations that
# every processor rounds alike, so a machine or a library that draws others has changed the data of all its users.
SUMS = {
    "map": "bf1d00b04ef50e02",
    "sketch": "9273342505261813",
    "night": "d0be1591eadecf7f",
    "gray": "df392c5e0d23175e",
    "hole": "964b6e05bb8bb9dc",
    "frames": "3467d7ed36d2eb55",
    "winter": "41c8bcc684df091a",
    "season": "fe7c0d23565ef56b",
    "weather": "e8416c71feb2257a",
    "digits": "38086c8e15448550",
}


def pixels(example: Example) -> NDArray[np.uint8]:
    assert callable(example.pixels)
    made: NDArray[np.uint8] = example.pixels()
    return made


def first(dataset: Dataset, side: str, split: str = "train") -> NDArray[np.uint8]:
    return pixels(dataset.splits[split][side][0])


@pytest.mark.parametrize("task", SUMS)
def test_pictures_are_the_same_on_every_machine(task: str) -> None:
    found = hashlib.sha256()
    for side, examples in demo(task=task, size=32, count=6).splits["train"].items():  # type: ignore[arg-type]
        if side != "mask":
            for example in examples:
                found.update(pixels(example).tobytes())
    assert found.hexdigest()[:16] == SUMS[task]


def test_the_first_task_is_told_as_it_always_was() -> None:
    assert demo().layout == demo(task="painting").layout == "demo(size=64, count=200, seed=0)"


@pytest.mark.parametrize("task", TASKS)
def test_each_task_lists_what_it_says(task: str) -> None:
    dataset = demo(task=task, size=24, count=5, held_out=3)  # type: ignore[arg-type]
    alone = task in ("season", "weather")
    assert list(dataset.domains)[:2] == (["source"] if alone else ["source", "target"])
    assert dataset.paired is not alone
    assert {split: len(sides["source"]) for split, sides in dataset.splits.items()} == {"train": 5, "val": 3, "test": 3}
    seen: list[bytes] = []
    for sides in dataset.splits.values():
        for side, examples in sides.items():
            assert len(examples) == len(sides["source"])
            for example in examples:
                read = images.read_example(example, dataset.domains[side])
                assert read.shape[:2] == (24, 24)
                assert read.dtype == np.uint8
                assert (example.label >= 0) == (bool(dataset.domains[side].labels) and side != "mask")
        seen += [pixels(example).tobytes() for example in sides["source"]]
    # Frames of one landscape may be alike where nothing in it moves; all else never shows a scene twice.
    assert task == "frames" or len(set(seen)) == len(seen)
    call = parse_call(dataset.layout)
    again = demo(**check_options(call.options, options_of(demo), "demo"))
    assert again.layout == dataset.layout
    assert again.domains == dataset.domains
    assert first(again, "source").tobytes() == first(dataset, "source").tobytes()


@pytest.mark.parametrize("task", TASKS)
def test_each_task_is_exported_and_read_again(task: str, tmp_path: Path) -> None:
    dataset = demo(task=task, size=16, count=4, held_out=2)  # type: ignore[arg-type]
    written = export(dataset, tmp_path / "pairs")
    assert written == sum(len(examples) for sides in dataset.splits.values() for examples in sides.values())
    name = dataset.splits["test"]["source"][1].name
    read = images.read(tmp_path / "pairs" / "test" / "source" / f"{name}.png").pixels
    assert np.array_equal(read, pixels(dataset.splits["test"]["source"][1]))
    layouts = {"map": f"folders(classes={len(CLASSES)})", "hole": "folders(aligned=mask)"}
    again = open_dataset(discover(), str(tmp_path / "pairs"), layouts.get(task))
    assert again.refusal is None
    labels = [
        {example.name.rpartition("/")[2]: each.domains["source"].labels[example.label] for example in examples}
        for each in (dataset, again)
        if (examples := each.splits["train"]["source"]) and each.domains["source"].labels
    ]
    assert labels[1:] == labels[:1]
    if len(dataset.domains) == 1:
        return
    assert again.paired
    assert [example.name for example in again.splits["train"]["target"]] == [
        example.name for example in dataset.splits["train"]["target"]
    ]


conditions = {
    "season": st.sampled_from([None, "any", *SEASONS]),
    "weather": st.sampled_from([None, "any", *WEATHERS]),
    "time": st.sampled_from([None, "any", *TIMES]),
}


@settings(max_examples=25, deadline=None)
@given(
    task=st.sampled_from(TASKS),
    size=st.sampled_from([16, 20, 33, 64]),
    seed=st.integers(0, 2**40),
    paired=st.sampled_from([None, True, False]),
    asked=st.fixed_dictionaries({}, optional=conditions),
)
def test_any_options_give_the_same_pictures_twice_or_one_sentence(
    task: Any, size: int, seed: int, paired: bool | None, asked: dict[str, Any]
) -> None:
    def build() -> Dataset:
        return demo(task=task, size=size, seed=seed, count=2, held_out=1, paired=paired, **asked)

    try:
        dataset, again = build(), build()
    except TranslateError as error:
        assert f"demo(task={task})" in str(error)
        assert "leave out" in str(error)
        return
    for side, examples in dataset.splits["test"].items():
        made = pixels(examples[0])
        assert made.shape[:2] == (size, size)
        assert np.array_equal(made, pixels(again.splits["test"][side][0]))


@pytest.mark.parametrize("task", ["painting", "map", "sketch", "night", "gray", "winter", "digits"])
def test_targets_of_unpaired_data_show_other_scenes(task: Any, tmp_path: Path) -> None:
    pairs, apart = (demo(task=task, size=16, count=6, paired=paired) for paired in (True, False))
    assert pairs.paired
    assert not apart.paired
    assert first(pairs, "source").tobytes() == first(apart, "source").tobytes()
    targets = {pixels(example).tobytes() for example in pairs.splits["train"]["target"]}
    assert not targets & {pixels(example).tobytes() for example in apart.splits["train"]["target"]}
    names = {side: {example.name for example in examples} for side, examples in apart.splits["train"].items()}
    assert not names["source"] & names["target"]
    export(apart, tmp_path / "out")
    assert not open_dataset(discover(), str(tmp_path / "out"), "unpaired(classes=0)").paired
    # Nobody takes it for pairs.
    assert "partner" in (open_dataset(discover(), str(tmp_path / "out"), "folders(classes=0)").refusal or "")


def test_night_and_winter_change_the_light_and_not_the_place() -> None:
    place = Landscape(48, 3, 5)
    moved = place.at(season="winter", weather="cloudy", time="night")
    near = slice(24, None)  # below the sky, where clouds, sun and moon are
    assert np.array_equal(place.classes()[near], moved.classes()[near])
    night = demo(task="night", size=48, count=8)
    days, nights = ([pixels(each).mean() for each in night.splits["train"][side]] for side in ("source", "target"))
    assert max(nights) < min(days)
    winter = demo(task="winter", size=48, count=8)
    ground = [
        [float(pixels(each)[32:].astype(float).mean()) for each in winter.splits["train"][side]]
        for side in ("source", "target")
    ]
    assert min(snow - grass for grass, snow in zip(*ground, strict=True)) > 20


def test_frames_follow_one_another() -> None:
    dataset = demo(task="frames", size=32, count=8)
    sources, targets = (dataset.splits["train"][side] for side in ("source", "target"))
    assert [example.name for example in sources][:5] == [
        "train-00000-0", "train-00000-1", "train-00000-2", "train-00000-3", "train-00001-0"
    ]  # fmt: skip
    for number in (0, 1, 2, 4, 5, 6):
        assert np.array_equal(pixels(targets[number]), pixels(sources[number + 1]))
    moved = np.abs(pixels(targets[0]).astype(int) - pixels(sources[0])).sum(axis=2) > 0
    assert 0.005 < moved.mean() < 0.5  # clouds drift, hills stay


def test_gray_is_the_luminance_of_the_target() -> None:
    dataset = demo(task="gray", size=32, count=1)
    red, green, blue = first(dataset, "target").astype(int).transpose(2, 0, 1)
    assert np.array_equal(first(dataset, "source")[..., 0], (299 * red + 587 * green + 114 * blue) // 1000)


def test_maps_have_a_legend_and_show_every_class() -> None:
    dataset = demo(task="map", size=48, count=60)
    assert all(f"{number} {name}" in dataset.notes[0] for number, name in enumerate(CLASSES))
    domain = dataset.domains["source"]
    assert domain.classes == len(CLASSES)
    assert domain.palette == tuple(CLASSES.values())
    seen = set().union(*({*pixels(example).ravel().tolist()} for example in dataset.splits["train"]["source"]))
    assert seen == set(range(len(CLASSES)))


def test_sketches_are_dark_lines_on_white() -> None:
    made = np.concatenate([pixels(each) for each in demo(task="sketch", size=64, count=6).splits["train"]["source"]])
    assert 0.6 < (made > 240).mean() < 0.95
    assert 0.04 < (made < 120).mean() < 0.3


def test_holes_are_masks_of_pairs_that_are_equal() -> None:
    dataset = demo(task="hole", size=32, count=12)
    assert dataset.aligned == {"mask": "source"}
    sides = dataset.splits["train"]
    assert pixels(sides["source"][0]).tobytes() == pixels(sides["target"][0]).tobytes()
    shares = [float((pixels(example) == 255).mean()) for example in sides["mask"]]
    assert all(0 < share < 0.6 for share in shares)
    assert len(set(shares)) > 6


@pytest.mark.parametrize(("task", "names"), [("season", SEASONS), ("weather", WEATHERS), ("digits", digits.DIGITS)])
def test_labels_are_what_varies(task: Any, names: tuple[str, ...]) -> None:
    dataset = demo(task=task, size=16, count=80, labels_per_class=2)
    assert dataset.domains["source"].labels == names
    labels = [example.label for example in dataset.splits["train"]["source"]]
    assert sorted(label for label in labels if label >= 0) == sorted([*range(len(names))] * 2)
    every = [example.label for example in demo(task=task, size=16, count=80).splits["train"]["source"]]
    assert set(every) == set(range(len(names)))
    assert demo(task="night", size=16, count=1, season="any").domains["target"].labels == SEASONS


def test_streams_of_new_tasks() -> None:
    dataset = demo(task="digits", size=32, count=3, aligned="ink@target", vectors="how")
    ink, written = first(dataset, "ink"), first(dataset, "target")
    assert np.array_equal(ink == 255, written > 127)
    assert dataset.splits["train"]["source"][0].extras["how"].shape == (5,)
    place = demo(task="sketch", size=32, count=3, aligned="mask", vectors="light")
    assert 0.1 < (first(place, "mask") == 255).mean() < 0.7
    assert place.splits["train"]["target"][0].extras["light"][0] == 1  # day
    found = inspect(demo(task="hole", size=16, count=2, held_out=0, aligned="sky"))
    assert found.exit_code == 0
    assert set(dataset.splits) == {"train", "val", "test"}
    assert set(demo(size=16, count=2, held_out=0).splits) == {"train"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"task": "night", "time": "day"}, "task=night.*chooses its time itself; leave out time=day"),
        ({"task": "season", "season": "winter"}, "chooses its season itself"),
        ({"task": "digits", "season": "winter"}, "has no season; leave out season=winter, or choose one of map"),
        ({"season": "winter"}, "demo.task=painting. has no season"),
        ({"task": "weather", "paired": True}, "one domain, so there are no pairs"),
        ({"task": "hole", "paired": False}, "pairs by what it is"),
        ({"task": "frames", "paired": False}, "pairs by what it is"),
        ({"task": "hole", "aligned": "mask"}, "marks the holes; give other names"),
        ({"task": "season", "aligned": "mask@target"}, "there is no 'target'"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(options: dict[str, Any], said: str) -> None:
    with pytest.raises(TranslateError, match=said):
        demo(**options)


@pytest.mark.parametrize("digit", range(10))
def test_a_digit_looks_like_its_own_kind(digit: int) -> None:
    """The mean of its kind, of other digits, is nearer to it than those of most other kinds, however it is written."""
    means = [np.mean([digits.pen(24, 1, 10 * n + kind) for n in range(12)], axis=0) for kind in range(10)]
    right = 0
    for number in range(6):
        apart = [float(np.abs(mean - digits.pen(24, 2, 10 * number + digit)).mean()) for mean in means]
        right += sorted(range(10), key=apart.__getitem__).index(digit) < 3
    assert right >= 4


def test_a_plate_has_the_form_of_its_digit() -> None:
    inside = []
    for index in range(20):
        shown, ink = digits.plate(32, 0, index)[..., 0].astype(float), digits.pen(32, 0, index)[..., 0] > 200
        ground = np.concatenate([shown[:3, 8:-8].ravel(), shown[-3:, 8:-8].ravel()]).mean()
        inside.append(abs(shown[ink].mean() - ground) > 25)
    assert sum(inside) >= 15


def test_exact_means_are_means() -> None:
    plane = np.zeros((9, 9), np.float32)
    plane[4, 4] = 1
    assert exact.softened(np.ones((5, 7), np.float32), 2) == pytest.approx(1)
    found = exact.softened(plane, 1)
    assert np.array_equal(found, found.T)
    assert found[4, 4] == found.max() > 0.08
    assert found[4, 1] == 0


def test_draws_lie_where_they_should() -> None:
    draws = exact.Draws(1)
    plane = draws.plane(40, 50)
    assert plane.min() >= -1
    assert plane.max() < 1
    assert abs(plane.mean()) < 0.05
    grain = draws.grain(64, 5, 9)
    assert grain.shape == (64, 64)
    assert np.abs(np.diff(grain, axis=0)).max() < 0.25  # smooth
    assert {draws.whole(2, 4) for _ in range(60)} == {2, 3, 4}
    points = np.array(exact.circle(16))
    assert points.shape == (16, 2)
    assert (points**2).sum(axis=1) == pytest.approx(1)
