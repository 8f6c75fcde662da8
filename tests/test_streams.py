"""Streams beside source and target in a training: masks follow their images from every cache, vectors and references."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from translate.data import Dataset, Domain, Example
from translate.errors import TranslateError
from translate.images import Image, ImageError, write
from translate.loader import BrokenImagesError, LeftOut, Loader
from translate.method import Needs
from translate.streams import Present, Streams, refuse_unmet, vector_of
from translate_datasets.affine import affine
from translate_datasets.jitter import jitter

CPU = torch.device("cpu")
CACHES = ("device", "host", "stream")
MASK = Needs(aligned=frozenset({"mask"}))
DOMAINS = {"source": Domain(3), "target": Domain(3), "mask": Domain(1, nearest=True)}


def photos(count: int, seed: int = 0, height: int = 12, width: int = 10) -> list[Example]:
    """Images whose green is noise, and whose blue is their number."""
    made = np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)
    made[..., 2] = np.arange(count)[:, None, None]
    return [Example(each, f"{row}") for row, each in enumerate(made)]


def masks(examples: list[Example]) -> list[Example]:
    """Where green is bright."""
    return [Example(np.where(each.pixels[..., 1:2] > 127, 255, 0).astype(np.uint8), each.name) for each in examples]  # type: ignore[index]


def make(examples: dict[str, list[Example]], **changes: Any) -> Loader:
    options: dict[str, Any] = {
        "paired": False, "needs": MASK, "batch": 2, "size": (8, 8), "load_size": (12, 10), "resize": "stretch",
        "flip": True, "workers": 2, "device": CPU, "cache": "device",
        "aligned": {"mask": "source"} if "mask" in examples else {},
    }  # fmt: skip
    domains = changes.pop("domains", {name: DOMAINS[name] for name in examples})
    return Loader(examples, domains, **{**options, **changes})


def batches(loader: Loader, count: int = 6) -> list[dict[str, Tensor]]:
    with loader:
        return [loader.batch(index) for index in range(count)]


def same(one: list[dict[str, Tensor]], two: list[dict[str, Tensor]]) -> bool:
    return all(
        a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a) for a, b in zip(one, two, strict=True)
    )


def bright(images: Tensor) -> Tensor:
    return torch.where(images[:, 1:2] > 0, 1.0, -1.0)


def rows(images: Tensor) -> list[int]:
    return ((images[:, 2, 0, 0] + 1) * 127.5).round().int().tolist()  # type: ignore[no-any-return]


# --- aligned streams --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("partner", ["source", "target"])
@pytest.mark.parametrize("paired", [True, False])
def test_a_mask_stays_the_threshold_of_its_image_from_every_cache(paired: bool, partner: str, tmp_path: Path) -> None:
    listed = {"source": photos(5), "target": photos(5, seed=1)}
    listed["mask"] = masks(listed[partner])
    options: dict[str, Any] = {"paired": paired, "aligned": {"mask": partner}, "batch": 3}
    found = [batches(make(listed, cache=cache, **options)) for cache in CACHES]
    for batch in found[0]:
        assert batch["mask"].shape == (3, 1, 8, 8)
        assert torch.equal(batch["mask"], bright(batch[partner]))
    assert same(found[0], found[1])
    assert same(found[0], found[2])
    keyed = {
        name: [Example(lambda one=one: one.pixels, one.name, key=f"{name} {one.name}") for one in each]
        for name, each in listed.items()
    }
    for _ in range(2):
        assert same(found[0], batches(make(keyed, cache_folder=tmp_path / "kept", **options)))
    assert len(list((tmp_path / "kept").glob("*.npy"))) == 3
    # Whoever does not ask for it sees what there was before it came.
    plain = batches(make({name: listed[name] for name in ("source", "target")}, needs=Needs(), paired=paired, batch=3))
    assert same(plain, batches(make(listed, needs=Needs(), paired=paired, batch=3)))
    assert all(torch.equal(one["source"], two["source"]) for one, two in zip(plain, found[0], strict=True))


def test_masks_are_shared_out_by_rank_and_do_not_depend_on_workers() -> None:
    listed = {"source": photos(5)}
    listed["mask"] = masks(listed["source"])
    whole = batches(make(listed, batch=4))
    for rank in range(2):
        for cache in CACHES:
            part = batches(make(listed, cache=cache, rank=rank, ranks=2, workers=1 + rank))
            assert all(torch.equal(one["mask"], two["mask"][rank::2]) for one, two in zip(part, whole, strict=True))


def test_resizing_gives_a_mask_no_value_of_its_own() -> None:
    mask = np.zeros((30, 31), np.uint8)
    mask[7:19, 3:17] = 255
    listed = {"source": photos(2, height=30, width=31), "mask": [Example(mask, "0"), Example(255 - mask, "1")]}
    for resize in ("stretch", "cover"):
        for batch in batches(make(listed, resize=resize), 2):
            assert set(batch["mask"].unique().tolist()) == {-1.0, 1.0}
    indices = {"source": photos(1), "mask": [Example(np.arange(120, dtype=np.uint8).reshape(12, 10) % 3, "0")]}
    domains = {"source": Domain(3), "mask": Domain(3, classes=3, nearest=True)}
    (batch,) = batches(make(indices, domains=domains, batch=1), 1)
    assert batch["mask"].shape == (1, 3, 8, 8)
    assert bool(((batch["mask"] > 0).sum(1) == 1).all())


def test_affine_moves_a_mask_with_its_image_and_jitter_leaves_it() -> None:
    # Both are flat: nearest and bilinear interpolation differ at the edges alone.
    image = np.zeros((32, 32, 3), np.uint8)
    image[8:20, 4:18] = 255
    listed = {"source": [Example(image, "0")], "target": [Example(image[..., 0], "0")]}
    listed["mask"] = [Example(image[..., :1], "0")]
    domains = {**DOMAINS, "target": Domain(2, classes=2)}
    listed["target"] = [Example(image[..., 0] // 255, "0")]
    move = affine(shift=0.2, rotate=30, smallest=0.8, largest=1.2, fill=-1)
    options: dict[str, Any] = {
        "paired": True, "domains": domains, "batch": 4, "size": (32, 32), "load_size": (32, 32),
    }  # fmt: skip
    still, moved, coloured = (
        batches(make(listed, augment=each, **options), 2) for each in ((), (move,), (jitter(brightness=0.5), move))
    )
    for plain, batch in zip(still, moved, strict=True):
        pure = batch["source"][:, :1].abs() == 1
        assert pure.float().mean() > 0.5
        assert torch.equal(batch["mask"][pure], batch["source"][:, :1][pure])
        assert not torch.equal(batch["mask"], plain["mask"])
        # Class maps of either domain move as well, since the image that they belong to does.
        assert torch.equal(batch["target"][:, 1:], batch["mask"])
        assert set(batch["mask"].unique().tolist()) == {-1.0, 1.0}
    alone, with_colours = (
        batches(make(listed, augment=each, **options), 2)[0]["mask"] for each in ((), (jitter(brightness=0.5),))
    )
    assert torch.equal(alone, with_colours)
    assert coloured[0]["mask"].shape == (4, 1, 32, 32)


@pytest.mark.parametrize("paired", [True, False])
def test_albumentations_moves_masks_and_keeps_their_values(paired: bool, tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text(
        "- HorizontalFlip: {p: 0.5}\n- Transpose: {p: 0.5}\n- RandomCrop: {height: 8, width: 8}\n"
        "- RandomBrightnessContrast: {brightness_limit: [0.0, 0.0], contrast_limit: [0.0, 0.0], p: 1}\n"
    )
    listed = {"source": photos(4, height=12, width=12), "target": photos(4, 1, 12, 12)}
    listed["mask"] = masks(listed["source"])
    options: dict[str, Any] = {"albumentations": file, "cache": "auto", "paired": paired}
    found = batches(make(listed, **options))
    assert all(torch.equal(batch["mask"], bright(batch["source"])) for batch in found)
    assert same(found, batches(make(listed, workers=1, **options)))
    file.write_text("- Affine: {rotate: [10, 40], p: 1}\n- ColorJitter: {p: 1}\n")
    for batch in batches(make(listed, **options), 2):
        assert set(batch["mask"].unique().tolist()) <= {-1.0, 1.0}
    # A mask of 16 bits keeps its values as well.
    listed["mask"] = [Example(each.pixels.astype(np.uint16) * 257, each.name) for each in listed["mask"]]  # type: ignore[union-attr]
    domains = {**DOMAINS, "mask": Domain(1, "uint16", nearest=True)}
    file.write_text("- HorizontalFlip: {p: 0.5}\n")
    for batch in batches(make(listed, domains=domains, size=(12, 12), load_size=(12, 12), **options), 2):
        assert torch.equal(batch["mask"], bright(batch["source"]))


@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.parametrize("paired", [True, False])
def test_a_broken_mask_leaves_its_image_out(paired: bool, cache: str, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Any:
        raise ImageError("2.png has no partner in masks; add an image of the same name")

    listed = {"source": photos(7), "target": photos(7, 1)}
    listed["mask"] = masks(listed["source"])
    listed["mask"][2] = Example(broken, "2", key="missing")
    left_out = LeftOut("skip")
    found = batches(make(listed, paired=paired, cache=cache, left_out=left_out), 14)
    assert left_out.rows == {"source": [2]}
    assert all(torch.equal(batch["mask"], bright(batch["source"])) for batch in found)
    assert 2 not in [row for batch in found for row in rows(batch["source"])]
    assert len([text for text in caplog.messages if "no partner in masks" in text]) == 1
    with pytest.raises((BrokenImagesError, TranslateError), match="no partner in masks"):
        batches(make(listed, paired=paired, cache=cache, left_out=LeftOut("stop")), 14)
    # It is nothing to those who do not look at it.
    left_out = LeftOut("stop")
    assert len(batches(make(listed, needs=Needs(), paired=paired, cache=cache, left_out=left_out), 14)) == 14


@pytest.mark.parametrize("cache", CACHES)
def test_cover_leaves_out_a_mask_of_another_aspect_ratio(cache: str, tmp_path: Path) -> None:
    listed = {"source": photos(6, height=24, width=12)}
    listed["mask"] = masks(listed["source"])
    write(tmp_path / "2.png", Image(np.zeros((12, 12, 1), np.uint8), None))
    listed["mask"][2] = Example(tmp_path / "2.png", "2")
    # Half of the size in both directions is no harm.
    listed["mask"][3] = Example(np.zeros((12, 6), np.uint8), "3")
    listed["mask"][4] = Example(lambda: np.zeros((12, 6), np.uint8), "4")
    left_out = LeftOut("skip")
    batches(make(listed, cache=cache, resize="cover", left_out=left_out), 12)
    assert left_out.rows == {"source": [2]}
    with pytest.raises(
        TranslateError, match=r"2\.png has 12 x 12 pixels, and the image that it belongs to 24 x 12, so"
    ):
        batches(make(listed, cache=cache, resize="cover"), 12)
    left_out = LeftOut("stop")
    batches(make(listed, cache=cache, left_out=left_out), 12)


def test_the_choice_of_a_cache_counts_masks_and_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {"source": photos(10)}  # 3,600 bytes of 60 % of what is free
    listed["mask"] = masks(listed["source"])  # 1,200
    texts = [Example(each.pixels, each.name, extras={"text": np.zeros((2, 50))}) for each in listed["source"]]  # 4,000
    for needs, bytes_ in ((Needs(), 3600), (MASK, 4800), (Needs(vectors=frozenset({"text"})), 7600)):
        for free, expected in ((bytes_ / 0.6 + 2, "device"), (bytes_ / 0.6 - 2, "stream")):
            monkeypatch.setattr("translate.loader.batches.free_memory", lambda device, free=free: int(free))
            with make({**listed, "source": texts}, needs=needs, cache="auto") as loader:
                assert loader.cache == expected


# --- vectors ----------------------------------------------------------------------------------------------------------


def described(count: int, most: int = 3, width: int = 4, labels: list[int] | None = None) -> list[Example]:
    """Images with 1 to ``most`` vectors; a vector's first number is its image's, the second its own."""
    return [
        Example(
            one.pixels, one.name, label=-1 if labels is None else labels[row],
            extras={"text": np.array([[row, k, *[0.5] * (width - 2)] for k in range(1 + row % most)])},
        )
        for row, one in enumerate(photos(count))
    ]  # fmt: skip


@pytest.mark.parametrize("paired", [True, False])
def test_vectors_belong_to_their_images_from_every_cache(paired: bool) -> None:
    listed = {"source": described(5), "target": described(5, most=2)}
    needs = Needs(vectors=frozenset({"source_text", "target_text", "text", "mismatched_text"}))
    found = [batches(make(listed, needs=needs, paired=paired, cache=cache, batch=3), 30) for cache in CACHES]
    assert same(found[0], found[1])
    assert same(found[0], found[2])
    seen = Counter[tuple[int, int]]()
    for batch in found[0]:
        assert batch["source_text"].shape == (3, 4)
        assert batch["source_text"].dtype == torch.float32
        for side in ("source", "target"):
            assert batch[f"{side}_text"][:, 0].tolist() == rows(batch[side])
        assert torch.equal(batch["text"], batch["target_text"])
        assert bool((batch["mismatched_text"][:, 0] != batch["target_text"][:, 0]).all())
        seen.update((int(row), int(k)) for row, k, *_ in batch["source_text"].tolist())
    assert set(seen) == {(row, k) for row in range(5) for k in range(1 + row % 3)}  # all of them are drawn


def test_all_streams_are_the_same_from_a_cache_folder_and_under_albumentations(tmp_path: Path) -> None:
    listed = {"source": described(6, labels=[0, 0, 1, 1, 0, 1])}
    listed["mask"] = masks(listed["source"])
    needs = Needs(
        aligned=frozenset({"mask"}), vectors=frozenset({"source_text", "mismatched_text"}), references=True,
        labels=frozenset({"source"}),
    )  # fmt: skip
    options: dict[str, Any] = {"needs": needs, "batch": 3, "size": (12, 10), "load_size": (12, 10), "flip": False}
    plain = batches(make(listed, **options))
    streams = {"source", "mask", "reference", "reference2", "source_text", "mismatched_text"}
    assert plain[0].keys() == streams | {"source_label", "reference_label"}
    keyed = {
        name: [
            Example(lambda one=one: one.pixels, one.name, label=one.label, extras=one.extras, key=f"{name} {one.name}")
            for one in each
        ]
        for name, each in listed.items()
    }
    for cache in ("device", "host"):
        assert same(plain, batches(make(keyed, cache_folder=tmp_path / "kept", cache=cache, **options))), cache
    # One that changes nothing must change nothing.
    (tmp_path / "still.yaml").write_text("- HorizontalFlip: {p: 0.0}\n")
    for workers in (1, 3):
        still = make(listed, albumentations=tmp_path / "still.yaml", **{**options, "cache": "auto", "workers": workers})
        assert same(plain, batches(still))
    (tmp_path / "moving.yaml").write_text("- Transpose: {p: 0.5}\n- RandomCrop: {height: 8, width: 8}\n")
    moving = make(listed, albumentations=tmp_path / "moving.yaml", **{**options, "cache": "auto", "size": (8, 8)})
    for one, two in zip(plain, batches(moving), strict=True):
        assert torch.equal(two["mask"], bright(two["source"]))
        assert all(rows(one[name]) == rows(two[name]) for name in ("source", "reference", "reference2"))
        assert all(torch.equal(one[name], two[name]) for name in one if name.endswith(("text", "label")))


def test_vectors_are_drawn_by_seed_and_place_alone() -> None:
    listed = {"source": described(6)}
    needs = Needs(vectors=frozenset({"source_text", "mismatched_text"}))
    whole = batches(make(listed, needs=needs, batch=4), 8)
    with make(listed, needs=needs, batch=4) as loader:
        assert same([loader.batch(7)], whole[7:])
    for rank in range(2):
        part = batches(make(listed, needs=needs, batch=2, rank=rank, ranks=2, cache="host"), 8)
        assert all(
            torch.equal(one[name], two[name][rank::2]) for one, two in zip(part, whole, strict=True) for name in one
        )
    other = batches(make(listed, needs=needs, batch=4, seed=1), 8)
    assert not all(torch.equal(one["source_text"], two["source_text"]) for one, two in zip(other, whole, strict=True))


def test_a_mismatched_vector_is_never_an_equal_one_nor_of_the_same_class() -> None:
    labels = [0, 0, 1, 1, 2, -1]
    values = [[0.0], [1.0], [1.0], [2.0], [-0.0], [3.0]]
    listed = {
        "source": [
            Example(one.pixels, one.name, label=label, extras={"text": value})
            for one, label, value in zip(photos(6), labels, values, strict=True)
        ]
    }
    needs = Needs(vectors=frozenset({"mismatched_text", "source_text"}))
    drawn: dict[int, set[float]] = {row: set() for row in range(6)}
    for batch in batches(make(listed, needs=needs, batch=6), 40):
        for row, value in zip(rows(batch["source"]), batch["mismatched_text"][:, 0].tolist(), strict=True):
            drawn[row].add(value)
    assert drawn == {0: {1.0, 2.0, 3.0}, 1: {2.0, 0.0, 3.0}, 2: {0.0, 3.0}, 3: {0.0, 1.0, 3.0}, 4: {1.0, 2.0, 3.0},
                     5: {0.0, 1.0, 2.0}}  # fmt: skip
    # Of many equal ones the few that differ are found.
    many = [Example(one.pixels, one.name, extras={"text": [float(row == 7)]}) for row, one in enumerate(photos(400))]
    batch = batches(make({"source": many}, needs=needs, batch=8), 1)[0]
    assert torch.equal(batch["mismatched_text"], 1 - batch["source_text"])
    alike = [Example(one.pixels, one.name, extras={"text": [1.0]}) for one in photos(3)]
    with pytest.raises(TranslateError, match="no mismatched vector for 0"):
        make({"source": alike}, needs=needs)
    one_class = described(3, labels=[1, 1, 1])
    with pytest.raises(TranslateError, match="no mismatched vector for 0"):
        make({"source": one_class}, needs=needs)


def test_a_substitute_brings_its_own_vectors() -> None:
    def broken() -> Any:
        raise ImageError("broken")

    listed = described(8)
    listed[3] = Example(broken, "3", extras=listed[3].extras)
    needs = Needs(vectors=frozenset({"text", "mismatched_text"}))
    for cache in CACHES:
        for batch in batches(make({"source": listed}, needs=needs, cache=cache, left_out=LeftOut("skip")), 16):
            assert batch["text"][:, 0].tolist() == rows(batch["source"])
            assert bool((batch["mismatched_text"][:, 0] != batch["text"][:, 0]).all())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array(["a"]), "it must be numbers"),
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"),
        (np.array([]), "shape"),
        (np.array([1.0, np.nan, 0, 0]), "not finite"),
        (np.array([1e300, 0, 0, 0]), "not finite"),
        ([1.0, 2.0], "has 2 numbers, and that of 0 has 4"),
        (None, "it must be numbers"),
    ],
)
def test_a_vector_that_does_not_fit_is_named(value: Any, message: str) -> None:
    listed = described(3)
    listed[2] = Example(listed[2].pixels, "the third", extras={"text": value})
    with pytest.raises(TranslateError, match=message) as caught:
        make({"source": listed}, needs=Needs(vectors=frozenset({"text"})))
    assert "the vector text of the example the third" in str(caught.value)


# --- references -------------------------------------------------------------------------------------------------------


def test_references_are_two_images_of_one_class_of_all_classes_equally_often() -> None:
    labels = [0, 0, 0, 0, 0, 2, 2, 1, -1, 1, 1]
    listed = {"source": [Example(one.pixels, one.name, label=labels[row]) for row, one in enumerate(photos(11))]}
    needs = Needs(references=True)
    found = [batches(make(listed, needs=needs, batch=4, cache=cache), 45) for cache in CACHES]
    assert same(found[0], found[1])
    assert same(found[0], found[2])
    classes, pairs, firsts = Counter[int](), set[tuple[int, int]](), Counter[int]()
    for batch in found[0]:
        one, two = rows(batch["reference"]), rows(batch["reference2"])
        assert [labels[row] for row in one] == [labels[row] for row in two] == batch["reference_label"].tolist()
        assert all(a != b for a, b in zip(one, two, strict=True))
        classes.update(batch["reference_label"].tolist())
        firsts.update(one)
        pairs.update(zip(one, two, strict=True))
    assert classes == {0: 60, 1: 60, 2: 60}
    # A class's images come equally often, too, and with each other.
    assert firsts == {row: {0: 12, 1: 20, 2: 30}[label] for row, label in enumerate(labels) if label >= 0}
    assert len(pairs) == 5 * 4 + 2 * 1 + 3 * 2
    plain = batches(make(listed, needs=Needs(), batch=4), 45)
    assert all(torch.equal(one["source"], two["source"]) for one, two in zip(plain, found[0], strict=True))
    for rank in range(2):
        part = batches(make(listed, needs=needs, batch=2, rank=rank, ranks=2), 45)
        assert all(
            torch.equal(one[name], two[name][rank::2]) for one, two in zip(part, found[0], strict=True) for name in one
        )


def test_a_broken_reference_is_replaced_within_its_class() -> None:
    def broken() -> Any:
        raise ImageError("broken")

    labels = [0, 0, 0, 1, 1, 1]
    listed = [Example(one.pixels, one.name, label=labels[row]) for row, one in enumerate(photos(6))]
    listed[1] = Example(broken, "1", label=0)
    found = []
    for cache in CACHES:
        loader = make({"source": listed}, needs=Needs(references=True), cache=cache, left_out=LeftOut("skip"), batch=4)
        found.append(batches(loader, 10))
        for batch in found[-1]:
            one, two = rows(batch["reference"]), rows(batch["reference2"])
            assert [labels[row] for row in one] == [labels[row] for row in two] == batch["reference_label"].tolist()
            assert all(1 not in pair and len(set(pair)) == 2 for pair in zip(one, two, strict=True))
    assert same(found[0][3:], found[1][3:])
    listed[2] = Example(broken, "2", label=0)
    with pytest.raises(TranslateError):
        batches(make({"source": listed}, needs=Needs(references=True), left_out=LeftOut("skip")), 10)
    few = [Example(each.pixels, each.name, label=min(1, row)) for row, each in enumerate(photos(200))]
    few.append(Example(photos(1)[0].pixels, "200", label=0))
    few[0] = Example(broken, "0", label=0)
    with pytest.raises(TranslateError, match="fewer than two images of a class of the source are left"):
        batches(make({"source": few}, needs=Needs(references=True), left_out=LeftOut("skip")), 10)


# --- what data lacks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("needs", "changes", "message"),
    [
        (MASK, {}, "m needs 'mask' among the aligned streams, and d has none; use data that lists it"),
        (
            Needs(aligned=frozenset({"depth"})), {"mask": masks(photos(2))},
            "m needs 'depth' among the aligned streams, and d has only mask; use data that lists it",
        ),
        (
            MASK, {"mask": masks(photos(3))},
            "d has 3 mask images beside 2 of the source, to which they belong; give every image its partner",
        ),
        (
            Needs(vectors=frozenset({"text"})), {},
            "m needs 'text' among the vectors of the source, and d has none; use data that lists it",
        ),
        (
            Needs(vectors=frozenset({"mismatched_code"})), {"source": described(2)},
            "m needs 'code' among the vectors of the source, and d has only text; use data that lists it",
        ),
        (
            Needs(vectors=frozenset({"target_text"})), {"source": described(2)},
            "m needs the vectors 'text' of the target, and d has no target",
        ),
        (
            Needs(vectors=frozenset({"source_text"})), {"source": [*described(1), *photos(1)]},
            "m needs the vectors 'text' of the source, and 1 of the 2 training images of d have none (0); give them "
            "some, or leave these images out",
        ),
        (
            Needs(references=True), {},
            "m needs references, two images of one class, and the source of d has no labels; label its images",
        ),
        (
            Needs(references=True), {"source": described(3, labels=[0, 1, 0])},
            "m needs references, two images of one class, and the class dog of the source of d has one image; add "
            "another, or remove its label",
        ),
    ],
)  # fmt: skip
def test_what_data_lacks_is_one_sentence(needs: Needs, changes: dict[str, list[Example]], message: str) -> None:
    examples = {"source": photos(2), **changes}
    aligned = {"mask": "source"} if "mask" in examples else {}
    domains = {"source": Domain(3, labels=("cat", "dog"))}
    with pytest.raises(TranslateError) as caught:
        refuse_unmet(
            needs, examples, domains, aligned, method="m", data="d", hint=lambda *_: "; use data that lists it"
        )
    assert str(caught.value) == message


def test_parts_say_in_a_sentence_what_there_is_not() -> None:
    there = Present("vectors", {"text": 5})
    assert there["text"] == 5
    assert "code" not in there
    assert there.get("code") is None
    with pytest.raises(TranslateError, match="needs 'code' among the vectors, and the data has only text"):
        there["code"]


@pytest.mark.parametrize(
    ("aligned", "message"),
    [
        ({"mask": "label"}, "aligns 'mask' with 'label'"),
        ({"mask": "target"}, "aligns 'mask' with 'target'; name source"),
        ({"depth": "source"}, "does not say its domain"),
        ({"source_x": "source"}, "stands for something else"),
        ({"reference": "source"}, "stands for something else"),
        ({"Mask": "source"}, "lower-case"),
        ({"a mask": "source"}, "lower-case"),
    ],
)
def test_a_stream_that_cannot_be_one_is_refused(aligned: dict[str, str], message: str) -> None:
    domains = {"source": Domain(3), **{name: Domain(1) for name in aligned if name != "depth"}}
    with pytest.raises(TranslateError, match=message):
        Dataset("d", "l", False, domains, {}, aligned=aligned)


def test_streams_are_kept_as_far_as_they_are_asked_for() -> None:
    listed = described(2)
    dataset = Dataset(
        "d", "l", False, {"source": Domain(3), "mask": Domain(1), "depth": Domain(1, "uint16")},
        {"train": {"source": listed, "mask": masks(listed), "depth": []}}, aligned={"mask": "source", "depth": "source"},
    )  # fmt: skip
    found = Streams.of(dataset)
    assert dict(found.aligned) == {"mask": Domain(1, nearest=True)}
    assert dict(found.vectors) == {"text": 4}
    assert found.to_json(Needs()) == {}
    asked = found.to_json(Needs(aligned=frozenset({"mask"}), vectors=frozenset({"mismatched_text"})))
    assert Streams.from_json(asked) == found
    assert vector_of("mismatched_text") == ("mismatched", "text")
    assert vector_of("sourcery") == ("", "sourcery")
