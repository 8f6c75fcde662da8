"""Contracts of the plugin, and shards against the folders that were packed into them."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from translate_shards.dataset import shards

from translate import images
from translate.data import Dataset
from translate.errors import TranslateError
from translate.images import Image, ImageError
from translate.inspection import inspect
from translate.testing import check_plugin


def pack(
    folder: Path, numbers: range, name: str = "0.tar", mode: str = "w", sides: tuple[str, ...] = ("source", "target")
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / name, mode) as archive:  # type: ignore[call-overload]
        for number in numbers:
            for side in sides:
                pixels = np.random.default_rng(number).integers(0, 256, (9, 12, 3), np.uint8)
                path = folder / "image.png"
                images.write(path, Image(pixels if side == "source" else 255 - pixels))
                data = path.read_bytes()
                path.unlink()
                member = tarfile.TarInfo(f"some/{number}.{side}.png")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        text = tarfile.TarInfo("0.json")
        archive.addfile(text, io.BytesIO())
    return folder / name


def pixels_of(dataset: Dataset, side: str, row: int) -> np.ndarray:
    return images.read_example(dataset.splits["train"][side][row], dataset.domains[side])


def test_contracts() -> None:
    check_plugin("shards")


def test_images_are_those_that_were_packed(tmp_path: Path) -> None:
    pack(tmp_path / "train", range(3))
    pack(tmp_path / "train", range(3, 5), "1.tar")
    pack(tmp_path / "val", range(9, 10))
    dataset = shards(tmp_path)
    assert dataset.paired
    assert {split: len(sides["target"]) for split, sides in dataset.splits.items()} == {"train": 5, "val": 1}
    for row in range(5):
        wanted = np.random.default_rng(row).integers(0, 256, (9, 12, 3), np.uint8)
        assert np.array_equal(pixels_of(dataset, "source", row), wanted)
        assert np.array_equal(pixels_of(dataset, "target", row), 255 - wanted)
    assert inspect(dataset, full=True).exit_code == 0


def test_keys_change_with_the_shard_alone(tmp_path: Path) -> None:
    shard = pack(tmp_path, range(3))

    def keys() -> list[str]:
        return [each.key for each in shards(tmp_path).splits["train"]["source"]]

    first = keys()
    assert len(set(first)) == 3
    assert keys() == first
    os.utime(shard, ns=(0, 1))
    assert not set(keys()) & set(first)


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    shard = pack(tmp_path / "whole", range(2))
    dataset = shards(tmp_path / "whole")
    content = bytearray(shard.read_bytes())
    place = dataset.splits["train"]["source"][0].pixels.args[0]
    content[place.start : place.start + 40] = bytes(40)
    shard.write_bytes(content)
    with pytest.raises(ImageError, match=r"0\.tar: some/0\.source\.png"):
        pixels_of(dataset, "source", 0)
    shard.write_bytes(content[: place.start + 9])
    with pytest.raises(ImageError, match="is cut off"):
        pixels_of(dataset, "source", 0)
    pack(tmp_path / "packed", range(2), "0.tar", "w:gz")
    with pytest.raises(TranslateError, match="not compressed"):
        shards(tmp_path / "packed")
    pack(tmp_path / "alone", range(2))
    pack(tmp_path / "alone", range(2, 3), "1.tar", sides=("source",))
    assert shards(tmp_path / "alone").problems[0].startswith("some/2 in")
    pack(tmp_path / "twice", range(2))
    pack(tmp_path / "twice", range(1), "1.tar")
    assert "is there twice" in shards(tmp_path / "twice").problems[0]
