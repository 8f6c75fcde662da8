"""albumentations pipelines: the same for any number of threads, shared by a pair, refused in one sentence."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from translate.data import Domain, Example
from translate.errors import TranslateError
from translate.loader.albumentations_file import Pipeline
from translate.loader.batches import Loader
from translate.method import Needs

SHORT = "- HorizontalFlip: {p: 0.5}\n- RandomCrop: {height: 8, width: 8}\n"


def coordinates(count: int, height: int = 12, width: int = 14, plus: int = 0) -> list[Example]:
    """Images that say where their pixels are: red is the line, green the column, blue the number of the image."""
    line, column = np.mgrid[:height, :width]
    return [
        Example(np.stack([line, column, np.full_like(line, row + plus)], axis=-1).astype(np.uint8), f"{row}.png")
        for row in range(count)
    ]


def make(path: Path, examples: dict[str, list[Example]], **changes: Any) -> Loader:
    options: dict[str, Any] = {
        "domains": dict.fromkeys(examples, Domain(3)),
        "paired": False,
        "needs": Needs(),
        "batch": 3,
        "size": (8, 8),
        "load_size": None,
        "resize": "stretch",
        "flip": True,
        "device": torch.device("cpu"),
    }
    return Loader(examples, albumentations=path, **{**options, **changes})


def as_stored(images: Tensor) -> Tensor:
    return ((images + 1) * 127.5).round().long()


@pytest.fixture
def short(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline.yaml"
    path.write_text(SHORT)
    return path


def test_any_number_of_threads_gives_the_same(short: Path) -> None:
    listed = {"source": coordinates(5), "target": coordinates(4)}
    needs = Needs(streams=("mismatched",))
    loaders = [make(short, listed, workers=workers, needs=needs) for workers in (1, 2, 4)]
    assert all(loader.cache == "stream" for loader in loaders)
    for index in (0, 1, 2, 5, 1):
        one, two, four = (loader.batch(index) for loader in loaders)
        assert set(one) == {"source", "target", "mismatched"}
        assert all(torch.equal(one[name], two[name]) and torch.equal(one[name], four[name]) for name in one)
    for loader in loaders:
        loader.close()


def test_a_pair_shares_its_geometry_and_epochs_differ(short: Path) -> None:
    listed = {"source": coordinates(4), "target": coordinates(4, plus=100)}
    corners: Counter[tuple[int, ...]] = Counter()
    with make(short, listed, paired=True, batch=4) as loader:
        for index in range(10):
            source, target = (as_stored(loader.batch(index)[name]) for name in ("source", "target"))
            assert torch.equal(source[:, :2], target[:, :2])
            assert torch.equal(source[:, 2] + 100, target[:, 2])
            corners.update(tuple(corner) for corner in source[:, :2, 0, 0].tolist())
    assert len(corners) > 20


def test_class_maps_get_geometry_only(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(SHORT + "- ColorJitter: {p: 1.0}\n- GaussNoise: {p: 1.0}\n")
    columns = np.tile(np.arange(14, dtype=np.uint8), (12, 1))
    photos = [Example(np.repeat(columns[:, :, None] * 10, 3, 2), str(row)) for row in range(3)]
    maps = [Example(columns, str(row)) for row in range(3)]
    domains = {"source": Domain(14, classes=14), "target": Domain(3)}
    with make(path, {"source": maps, "target": photos}, domains=domains, paired=True) as loader:
        batch = loader.batch(0)
        assert set(batch["source"].unique().tolist()) == {-1.0, 1.0}
        classes = batch["source"].argmax(1)[:, 0]
        assert all(abs(step) == 1 for step in classes.diff(dim=1).unique().tolist())
        ramps = batch["target"].mean((1, 2)).diff(dim=1).sign().sum(1).sign()
        assert torch.equal(ramps, classes.diff(dim=1)[:, 0].float())
        assert not torch.equal(as_stored(batch["target"])[:, 0, 0], classes * 10)
    with make(path, {"source": maps}, domains={"source": Domain(14, classes=14)}) as alone:
        assert set(alone.batch(0)["source"].unique().tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize("domain", [Domain(3, "uint16"), Domain(1, "float32", low=-4.0, high=12.0), Domain(5)])
def test_depths_pass_through(domain: Domain, short: Path) -> None:
    whole = np.linspace(0, 1, 8 * 8 * domain.channels).reshape(8, 8, domain.channels)
    stored = {
        "uint8": (whole * 255).round().astype(np.uint8),
        "uint16": (whole * 65535).round().astype(np.uint16),
        "float32": (whole * 16 - 4).astype(np.float32),
    }[domain.depth]
    found = Pipeline(short, {"source": domain}, copies=1)({"source": stored}, 3)["source"]
    assert found.dtype == stored.dtype
    assert any(np.allclose(found, each, atol=1e-5) for each in (stored, stored[:, ::-1]))


def test_the_answer_is_brought_to_the_size(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text("- VerticalFlip\n")
    with make(path, {"source": coordinates(2)}, batch=2) as loader:
        assert loader.batch(0)["source"].shape == (2, 3, 8, 8)


def test_a_partner_of_another_size_is_brought_to_its_size(short: Path) -> None:
    pixels = {"source": np.zeros((12, 14, 3), np.uint8), "target": np.zeros((24, 28, 3), np.uint8)}
    found = Pipeline(short, dict.fromkeys(pixels, Domain(3)), copies=1)(pixels, 0)
    assert {name: image.shape for name, image in found.items()} == {"source": (8, 8, 3), "target": (8, 8, 3)}


def test_transforms_draw_apart(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text("- HorizontalFlip: {p: 0.5}\n- VerticalFlip: {p: 0.5}\n")
    pipeline = Pipeline(path, {"source": Domain(1)}, copies=1)
    image = np.arange(4, dtype=np.uint8).reshape(2, 2, 1)
    seen = Counter(tuple(pipeline({"source": image}, seed)["source"].ravel().tolist()) for seed in range(200))
    assert len(seen) == 4
    assert min(seen.values()) > 25


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_saved_pipelines_are_read(suffix: str, tmp_path: Path) -> None:
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations

    compose = albumentations.Compose(
        [albumentations.OneOf([albumentations.HorizontalFlip(p=1), albumentations.VerticalFlip(p=1)], p=1)],
        additional_targets={"target": "mask"},
    )
    saved = albumentations.to_dict(compose)
    path = tmp_path / f"pipeline{suffix}"
    path.write_text(json.dumps(saved) if suffix == ".json" else yaml.safe_dump(saved))
    pipeline = Pipeline(path, {"source": Domain(1), "target": Domain(1)}, copies=1)
    image = np.arange(4, dtype=np.uint8).reshape(2, 2, 1)
    seen = set()
    for seed in range(20):
        found = pipeline({"source": image, "target": image}, seed)
        assert np.array_equal(found["source"], found["target"])
        seen.add(tuple(found["source"].ravel().tolist()))
    assert seen == {(1, 0, 3, 2), (2, 3, 0, 1)}


def test_nested_lists_are_read(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text("- OneOf:\n    transforms: [HorizontalFlip: {p: 1}, VerticalFlip]\n    p: 1.0\n")
    image = np.arange(4, dtype=np.uint8).reshape(2, 2, 1)
    found = Pipeline(path, {"source": Domain(1)}, copies=1)({"source": image}, 0)["source"]
    assert found.shape == (2, 2, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- HorizontalFlop: {p: 0.5}", "no transform 'HorizontalFlop'; did you mean HorizontalFlip"),
        ("- Zzz", "no transform 'Zzz'; see its documentation"),
        ("- HorizontalFlip: {q: 0.5}", "refuses the pipeline: .*'q'"),
        ("- RandomCrop: {height: -1, width: 8}", "refuses the pipeline"),
        ("- HorizontalFlip: 0.5", "needs named options"),
        ("- [1, 2]", "is no transform"),
        ("hello", "holds no albumentations pipeline"),
        ("{a: [", "neither YAML nor JSON"),
        ("transform: {__class_fullname__: os.system, p: 1.0}", "no transform 'os.system'"),
    ],
)
def test_a_faulty_file_is_refused_in_one_sentence(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(text)
    with pytest.raises(TranslateError, match=message) as caught:
        Pipeline(path, {"source": Domain(3)}, copies=1)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TranslateError, match="cannot read the albumentations pipeline"):
        Pipeline(tmp_path / "none.yaml", {"source": Domain(3)}, copies=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [("- RandomCrop: {height: 99, width: 99}", "pipeline fails: Crop size"), ("- Normalize", "into float32")],
)
def test_a_pipeline_that_fails_says_so_in_batch(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(text)
    with make(path, {"source": coordinates(2)}) as loader, pytest.raises(TranslateError, match=message):
        loader.batch(0)


@pytest.mark.parametrize("cache", ["device", "host"])
def test_other_caches_are_refused(cache: str, short: Path) -> None:
    with pytest.raises(TranslateError, match=f"cannot use the cache '{cache}'"):
        make(short, {"source": coordinates(2)}, cache=cache)
