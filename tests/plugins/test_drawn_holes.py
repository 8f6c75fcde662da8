"""Drawn holes: photos with a mask each, held-out ones fixed by their names, and masks drawn anew in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import translate
from translate import images
from translate.data import Domain
from translate.errors import TranslateError
from translate.images import ImageError
from translate.inspection import inspect
from translate.layouts import open_dataset
from translate.loader import Loader
from translate.method import Needs
from translate.parts import build
from translate.plugins import discover
from translate.testing import check_augmentation
from translate_datasets.drawing import draw_holes
from translate_datasets.holes import Holes, draw


def photos(root: Path, names: list[str], size: tuple[int, int] = (24, 32)) -> Path:
    for name in names:
        path = root / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(sum(name.encode())).integers(0, 256, (*size, 3), np.uint8)
        images.write(path, images.Image(pixels))
    return root


SEEDS = torch.arange(200) * 7919


def test_a_box_has_sides_between_its_limits_and_lies_inside() -> None:
    drawn = draw_holes(Holes("box", 0.25, 0.5), SEEDS, (40, 80))[:, 0]
    for mask in drawn:
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        height, width = len(rows), len(columns)
        assert 10 <= height <= 20
        assert 20 <= width <= 40
        assert int(mask.sum()) == height * width
        assert int(rows[-1] - rows[0]) == height - 1
    touched = drawn.any(0)
    assert float(touched.float().mean()) > 0.95
    assert bool(touched[0].any() and touched[-1].any() and touched[:, 0].any() and touched[:, -1].any())
    assert int(draw_holes(Holes("box", 1, 1), SEEDS[:3], (4, 6)).sum()) == 3 * 24


def test_strokes_hang_together_and_have_the_width_of_the_brush() -> None:
    drawn = draw_holes(Holes("strokes", 0.4, 0.4), SEEDS, (40, 40))[:, 0]
    shares = drawn.float().mean((1, 2))
    # A round tip of a quarter of 16 px, at least.
    assert float(shares.min()) * 1600 >= 4
    assert float(shares.max()) < 0.5
    for mask in drawn[:20]:
        inside = mask.clone()
        found = torch.zeros_like(inside)
        first = inside.nonzero()[0]
        found[first[0], first[1]] = True
        for _ in range(1600):
            grown = torch.nn.functional.max_pool2d(found[None, None].float(), 3, 1, 1)[0, 0].bool() & inside
            if torch.equal(grown, found):
                break
            found = grown
        assert torch.equal(found, inside)


def test_mixed_is_either_and_a_hole_depends_on_its_seed_alone() -> None:
    both = {shape: draw_holes(Holes(shape), SEEDS, (32, 32)) for shape in ("box", "strokes", "mixed")}
    boxes = (both["mixed"] == both["box"]).flatten(1).all(1)
    strokes = (both["mixed"] == both["strokes"]).flatten(1).all(1)
    assert bool((boxes | strokes).all())
    assert 60 < int(boxes.sum()) < 140
    assert torch.equal(draw_holes(Holes(), SEEDS[17:18], (32, 32))[0], both["mixed"][17])
    with pytest.raises(TranslateError, match="the smallest, 0.6, is larger than the largest, 0.5"):
        Holes(smallest=0.6)


def test_photos_are_source_and_target_with_masks_fixed_by_their_names(tmp_path: Path) -> None:
    root = photos(tmp_path / "photos", [f"p{number}" for number in range(12)])
    dataset = open_dataset(discover(), str(root), "holes(smallest=0.3)")
    assert dataset.paired
    assert dataset.aligned == {"mask": "source"}
    assert dataset.layout == "holes(shape='mixed', smallest=0.3, largest=0.5, seed=0)"
    assert {split: len(sides["mask"]) for split, sides in dataset.splits.items()} == {"train": 11, "val": 1}

    def masks(layout: str) -> dict[str, Any]:
        opened = open_dataset(discover(), str(root), layout)
        return {
            each.name: images.read_example(each, opened.domains["mask"])
            for sides in opened.splits.values()
            for each in sides["mask"]
        }

    first = masks("holes")
    assert all(mask.shape == (24, 32, 1) and set(np.unique(mask)) == {0, 255} for mask in first.values())
    photos(root, ["another", "p0"])
    again, other = masks("holes"), masks("holes(seed=1)")
    assert all(np.array_equal(mask, again[name]) for name, mask in first.items())
    assert not any(np.array_equal(mask, other[name]) for name, mask in first.items())
    (root / "p3.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match="p3"):
        masks("holes")


def test_splits_and_empty_folders(tmp_path: Path) -> None:
    for split in ("train", "test"):
        photos(tmp_path / "photos" / split, ["a/one", "two"])
    dataset = open_dataset(discover(), str(tmp_path / "photos"), "holes")
    assert {split: [each.name for each in sides["target"]] for split, sides in dataset.splits.items()} == {
        "train": ["a/one", "two"], "test": ["a/one", "two"],
    }  # fmt: skip
    (tmp_path / "none").mkdir()
    assert "has no training images" in str(open_dataset(discover(), str(tmp_path / "none"), "holes").refusal)
    with pytest.raises(TranslateError, match="there is no folder"):
        open_dataset(discover(), str(tmp_path / "missing"), "holes")
    assert not inspect(str(tmp_path / "photos"), layout="holes").exit_code


def test_a_large_photo_has_the_hole_of_a_small_one(tmp_path: Path) -> None:
    photos(tmp_path, ["large"], (1536, 2048))
    mask = draw(Holes(), 5, tmp_path / "large.png")
    assert mask.shape == (1536, 2048, 1)
    small = draw_holes(Holes(), torch.tensor([5]), (384, 512))[0, 0].numpy()
    assert np.array_equal(mask[2::4, 2::4, 0] == 255, small)


def test_holes_are_drawn_anew_for_each_epoch_whatever_the_cache(tmp_path: Path) -> None:
    root = photos(tmp_path / "photos", [f"p{number}" for number in range(4)], (18, 18))
    dataset = open_dataset(discover(), str(root), "holes")
    change = build(discover(), "augmentations", "random_holes(largest=0.9)")

    def batches(cache: Any, augment: Any) -> list[dict[str, torch.Tensor]]:
        with Loader(
            dataset.splits["train"], dataset.domains, paired=True, needs=Needs(aligned=frozenset({"mask"})), batch=4,
            size=(16, 16), load_size=None, resize="stretch", flip=True, augment=augment, cache=cache, seed=3,
            device=torch.device("cpu"), aligned=dataset.aligned,
        ) as loader:  # fmt: skip
            return [loader.batch(index) for index in range(3)]

    drawn, again, plain = batches("device", [change]), batches("stream", [change]), batches("device", [])
    for one, two, three in zip(drawn, again, plain, strict=True):
        assert all(torch.equal(one[name], two[name]) for name in one)
        assert torch.equal(one["source"], three["source"])
        assert torch.equal(one["source"], one["target"])
        assert not torch.equal(one["mask"], three["mask"])
        assert set(one["mask"].unique().tolist()) == {-1.0, 1.0}
    masks = torch.cat([each["mask"] for each in drawn])
    assert len(masks.flatten(1).unique(dim=0)) == 12
    with pytest.raises(TranslateError, match="changes the aligned stream 'hole', and the method asks for none of that"):
        batches("device", [build(discover(), "augmentations", "random_holes(stream=hole)")])


def test_drawn_masks_fit_their_domains() -> None:
    check_augmentation("random_holes")
    change = build(discover(), "augmentations", "random_holes(shape=box)")
    seeds = torch.tensor([4])
    gray = change(torch.zeros(1, 1, 8, 8), seeds, domain=Domain(1))
    assert torch.equal(change(torch.zeros(1, 1, 8, 8), seeds, domain=Domain(1, alpha="only")), -gray)
    classes = change(torch.zeros(1, 2, 8, 8), seeds, domain=Domain(2, classes=2))
    assert torch.equal(classes, torch.cat([-gray, gray], 1))


def test_a_folder_of_photos_trains_with_holes(tmp_path: Path) -> None:
    root = photos(tmp_path / "photos", [f"p{number}" for number in range(10)], (18, 18))
    run = translate.fit(
        "pix2pix", root, output=tmp_path / "run", layout="holes", mask="mask", augment=("random_holes",), size=16, steps=2,
        generator="unet(width=4, depth=2)", discriminator="patch(width=4, receptive_field=16)", log_every=1,
    )  # fmt: skip
    translator = translate.load(run.folder)
    assert translator.taken.inputs["mask"].hole
    # The same folder as both sides, with masks of one's own beside.
    for number in range(10):
        mask = np.zeros((18, 18, 1), np.uint8)
        mask[number : number + 5, 3:9] = 255
        (tmp_path / "all" / "masks").mkdir(parents=True, exist_ok=True)
        images.write(tmp_path / "all" / "masks" / f"p{number}.png", images.Image(mask))
    root.rename(tmp_path / "all" / "photos")
    dataset = open_dataset(
        discover(), str(tmp_path / "all"), "folders(source=photos, target=photos, aligned='mask=masks', classes=0)"
    )
    assert dataset.refusal is None
    assert dataset.domains["mask"].channels in (1, 2)
    assert len(dataset.splits["train"]["mask"]) == 9
