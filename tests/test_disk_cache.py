"""Decoded images in mapped files: the same batches, found again by content, and never trusted when cut short."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from translate.data import Domain, Example
from translate.errors import TranslateError
from translate.loader.batches import Loader
from translate.loader.disk_cache import decode_stored
from translate.method import Needs

CPU = torch.device("cpu")
DOMAINS = {"source": Domain(3)}


def photos(folder: Path, count: int = 5, depth: str = "uint8") -> list[Example]:
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for number in range(count):
        pixels = generator.integers(0, 255, (12, 10, 3), np.uint8)
        Pillow.fromarray(pixels).save(folder / f"{number}.png")
    return [Example(folder / f"{number}.png", f"{number}.png") for number in range(count)]


def decoded(folder: Path, listed: list[Example], seen: Callable[[int, int], None] | None = None, **changes: Any) -> Any:
    asked: dict[str, Any] = {"size": (8, 8), "resize": "stretch", "device": CPU, "on_progress": seen, **changes}
    return decode_stored(folder, {"source": listed}, DOMAINS, **asked)["source"]


def test_a_second_run_decodes_nothing(tmp_path: Path) -> None:
    listed, told = photos(tmp_path / "photos"), []
    first = decoded(tmp_path / "kept", listed, lambda done, total: told.append((done, total)))
    assert told == [(number, 5) for number in range(1, 6)]
    again = decoded(tmp_path / "kept", listed, lambda *_: pytest.fail("decoded again"))
    assert torch.equal(first, again)
    assert [path.suffix for path in (tmp_path / "kept").iterdir()] == [".npy"]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="finds mapped files in /proc")
def test_a_file_is_mapped_and_not_read(tmp_path: Path) -> None:
    """It takes the memory of the pages in use only."""
    found = decoded(tmp_path / "kept", photos(tmp_path / "photos"))
    (path,) = (tmp_path / "kept").iterdir()
    maps = Path("/proc/self/maps").read_text()
    assert str(path) in maps
    before = path.read_bytes()
    found.zero_()
    assert path.read_bytes() == before


def test_images_are_known_by_content(tmp_path: Path) -> None:
    listed = photos(tmp_path / "photos")
    decoded(tmp_path / "kept", listed)
    (tmp_path / "photos").rename(tmp_path / "moved")
    moved = [Example(tmp_path / "moved" / example.name, example.name) for example in listed]
    decoded(tmp_path / "kept", moved, lambda *_: pytest.fail("decoded again"))
    # Another image, another half or another size is another file.
    shutil.copy(tmp_path / "moved" / "0.png", tmp_path / "moved" / "1.png")
    halves = [Example(example.pixels, example.name, region="left") for example in moved]
    for changed, changes in ((moved, {}), (halves, {}), (moved, {"size": (4, 8)}), (moved, {"resize": "cover"})):
        assert torch.equal(
            decoded(tmp_path / "kept", changed, **changes), decoded(tmp_path / "other", changed, **changes)
        )
    assert len(list((tmp_path / "kept").iterdir())) == 5


@pytest.mark.parametrize("damage", [lambda path: os.truncate(path, 200), lambda path: path.write_bytes(b"nonsense")])
def test_a_damaged_file_is_made_anew(damage: Callable[[Path], None], tmp_path: Path) -> None:
    listed = photos(tmp_path / "photos")
    whole = decoded(tmp_path / "kept", listed).clone()
    (path,) = (tmp_path / "kept").iterdir()
    damage(path)
    assert torch.equal(decoded(tmp_path / "kept", listed), whole)


def test_what_is_in_no_file_is_decoded_each_time(tmp_path: Path) -> None:
    pixels = np.full((8, 8, 3), 7, np.uint8)
    made = decoded(tmp_path / "kept", [Example(pixels, "a"), Example(lambda: pixels, "b")])
    assert bool((made == 7).all())
    assert not (tmp_path / "kept").exists()


def test_a_bad_image_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    listed = photos(tmp_path / "photos")
    (tmp_path / "photos" / "2.png").write_bytes(b"no image")
    with pytest.raises(TranslateError, match=r"1 of 5 images cannot be used: .*2\.png"):
        decoded(tmp_path / "kept", listed)
    assert list((tmp_path / "kept").iterdir()) == []
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(TranslateError, match="cannot keep decoded images in"):
        decoded(tmp_path / "file", photos(tmp_path / "photos"))


def test_the_loader_gives_the_same_batches(tmp_path: Path) -> None:
    listed = photos(tmp_path / "photos")

    def batches(folder: Path | None) -> list[torch.Tensor]:
        with Loader(
            {"source": listed}, DOMAINS, paired=False, needs=Needs(), batch=2, size=(8, 8), load_size=None,
            resize="stretch", flip=True, device=CPU, cache_folder=folder,
        ) as loader:  # fmt: skip
            assert loader.cache == "device"
            return [loader.batch(number)["source"] for number in range(4)]

    plain, kept, mapped = batches(None), batches(tmp_path / "kept"), batches(tmp_path / "kept")
    assert all(
        torch.equal(one, two) and torch.equal(one, three) for one, two, three in zip(plain, kept, mapped, strict=True)
    )


def test_a_mapped_file_may_be_larger_than_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translate.loader.batches.free_memory", lambda device: 10)
    options: dict[str, Any] = {"paired": False, "needs": Needs(), "batch": 1, "size": (8, 8), "load_size": None}
    options |= {"resize": "stretch", "flip": False, "device": CPU}
    listed = {"source": photos(tmp_path / "photos")}
    with Loader(listed, DOMAINS, **options) as loader:
        assert loader.cache == "stream"
    with Loader(listed, DOMAINS, cache_folder=tmp_path / "kept", **options) as loader:
        assert loader.cache == "device"
