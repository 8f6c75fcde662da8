"""Training beside broken and vanished images: what is left out, what stands in its place, and what is saved."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import Tensor

import translate
from translate import checkpoint
from translate.data import Domain, Example
from translate.engine.step import Engine
from translate.errors import StoppedError, TranslateError
from translate.loader import BrokenImagesError, LeftOut, Loader, preview_batch
from translate.loader.sampling import Order
from translate.method import Needs
from translate.run import Run

CPU = torch.device("cpu")
CACHES = ("device", "host", "stream")


def photos(folder: Path, count: int, suffix: str = ".png") -> list[Path]:
    """Images that say in their pixels which they are."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:03d}{suffix}" for number in range(count)]
    for number, path in enumerate(paths):
        Pillow.new("RGB", (12, 10), (number, 3 * number % 256, 0)).save(path)
    return paths


def listed(paths: list[Path], labels: list[int] | None = None) -> list[Example]:
    return [Example(path, path.name, label=-1 if labels is None else labels[row]) for row, path in enumerate(paths)]


def make(examples: dict[str, list[Example]], left_out: LeftOut | None = None, **changes: Any) -> Loader:
    options: dict[str, Any] = {
        "paired": False, "needs": Needs(), "batch": 2, "size": (8, 8), "load_size": (10, 12), "resize": "stretch",
        "flip": True, "workers": 2, "device": CPU, "cache": "stream",
    }  # fmt: skip
    return Loader(
        examples, dict.fromkeys(examples, Domain(3)), left_out=left_out or LeftOut("skip"), **{**options, **changes}
    )


def batches(loader: Loader, count: int, first: int = 0) -> list[dict[str, Tensor]]:
    with loader:
        return [loader.batch(index) for index in range(first, first + count)]


def same(one: list[dict[str, Tensor]], two: list[dict[str, Tensor]]) -> bool:
    return len(one) == len(two) and all(
        a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a) for a, b in zip(one, two, strict=True)
    )


def all_of(loader: Loader, count: int) -> None:
    for index in range(count):
        loader.batch(index)


def seen(found: list[dict[str, Tensor]], stream: str = "source") -> list[int]:
    return [number for batch in found for number in ((batch[stream][:, 0, 0, 0] + 1) * 127.5).round().int().tolist()]


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def close(path: Path) -> None:
    path.chmod(0)


BREAKING: list[Callable[[Path], object]] = [
    truncate, Path.unlink, replace_by_folder, lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"x"),
    *([replace_by_pipe] if hasattr(os, "mkfifo") else []),
    *([close] if hasattr(os, "geteuid") and os.geteuid() else []),
]  # fmt: skip


@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("way", BREAKING)
def test_another_image_stands_in_the_place_of_a_broken_one(
    way: Callable[[Path], object], suffix: str, cache: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = photos(tmp_path, 7, suffix)
    whole = batches(make({"source": listed(paths)}, cache=cache), 14)
    way(paths[3])
    left_out = LeftOut("skip")
    found = batches(make({"source": listed(paths)}, left_out, cache=cache), 14)
    assert left_out.rows == {"source": [3]}
    assert 3 not in seen(found) or suffix == ".jpg"
    # Nothing but the broken image's places has changed.
    assert [one == two for one, two in zip(seen(whole), seen(found), strict=True)].count(False) == 4
    assert len([text for text in caplog.messages if str(paths[3]) in text]) == 1


def test_every_cache_has_the_same_substitutes_in_whatever_order_they_are_found(tmp_path: Path) -> None:
    paths = photos(tmp_path, 300)
    for number in (0, 150, 299):
        truncate(paths[number])
    examples = {"source": listed(paths)}
    streamed, kept, mapped, again = (
        batches(make(examples, batch=4, **options), 160)
        for options in (
            {}, {"cache": "device"}, {"cache": "host", "cache_folder": tmp_path / "kept"},
            {"cache": "host", "cache_folder": tmp_path / "kept"},
        )
    )  # fmt: skip
    assert same(streamed, kept)
    assert same(streamed, mapped)
    assert same(streamed, again)


def test_a_disk_cache_never_gives_the_place_of_a_broken_image_for_an_image(tmp_path: Path) -> None:
    paths = photos(tmp_path / "photos", 9)
    content = paths[4].read_bytes()
    truncate(paths[4])
    broken = paths[4].read_bytes()
    options: dict[str, Any] = {"cache": "device", "cache_folder": tmp_path / "kept"}
    for _ in range(2):
        left_out = LeftOut("skip")
        batches(make({"source": listed(paths)}, left_out, **options), 1)
        assert left_out.rows == {"source": [4]}
        with pytest.raises(TranslateError, match="1 of 9 images"):
            make({"source": listed(paths)}, LeftOut("stop"), **options)
    # Without its list the file is of no use, and made anew.
    (note,) = (tmp_path / "kept").glob("*.json")
    note.write_text("[99]")
    left_out = LeftOut("skip")
    batches(make({"source": listed(paths)}, left_out, **options), 1)
    assert left_out.rows == {"source": [4]}
    paths[4].write_bytes(content)
    left_out = LeftOut("skip")
    assert 4 in seen(batches(make({"source": listed(paths)}, left_out, **options), 5))
    assert left_out.rows == {}
    assert broken != content


def test_an_image_that_a_disk_cache_lacks_is_tried_again(tmp_path: Path) -> None:
    """It may have been refused for its memory, of which there is more now."""
    paths = photos(tmp_path / "photos", 5)
    Pillow.new("RGB", (400, 300), (2, 6, 0)).save(paths[2])
    options: dict[str, Any] = {"cache": "device", "cache_folder": tmp_path / "kept", "flip": False}
    left_out = LeftOut("skip")
    batches(make({"source": listed(paths)}, left_out, memory=300_000, **options), 1)
    assert left_out.rows == {"source": [2]}
    left_out = LeftOut("skip")
    found = batches(make({"source": listed(paths)}, left_out, **options), 10)
    assert left_out.rows == {}
    assert same(found, batches(make({"source": listed(paths)}, cache="device", flip=False), 10))


@pytest.mark.parametrize("cache", CACHES)
def test_of_a_pair_both_are_left_out(cache: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sides = {"source": photos(tmp_path / "a", 6), "target": photos(tmp_path / "b", 6)}
    truncate(sides["target"][2])
    examples = {name: listed(paths) for name, paths in sides.items()}
    found = batches(make(examples, cache=cache, paired=True), 9)
    assert seen(found) == seen(found, "target")
    assert 2 not in seen(found)
    assert "the pair 002.png" in "".join(caplog.messages)
    unpaired = batches(make(examples, cache=cache), 9)
    assert 2 in seen(unpaired)
    assert 2 not in seen(unpaired, "target")


@pytest.mark.parametrize("cache", CACHES)
def test_labels_and_mismatched_images_follow_the_substitute(cache: str, tmp_path: Path) -> None:
    paths = photos(tmp_path, 6)
    labels = [row if row % 2 else -1 for row in range(6)]
    truncate(paths[3])
    needs = Needs(streams=frozenset({"source", "mismatched", "labelled"}), labels=frozenset({"source"}))
    found = batches(make({"source": listed(paths, labels)}, cache=cache, needs=needs), 60)
    for batch in found:
        own, other, labelled = (seen([batch], name) for name in ("source", "mismatched", "labelled"))
        assert batch["source_label"].tolist() == [labels[row] for row in own]
        assert batch["labelled_label"].tolist() == labelled
        assert set(labelled) <= {1, 5}
        assert all(one != two for one, two in zip(own, other, strict=True))
        assert 3 not in own + other


def test_an_order_leaves_out_many_and_never_the_last(tmp_path: Path) -> None:
    options: dict[str, Any] = {"paired": False, "batch": 8, "seeds": 0, "seed": 0, "rank": 0, "ranks": 1, "device": CPU}
    order = Order({"source": 500}, mismatched=True, homes={"mismatched": "source"}, **options)
    order.leave_out({"source": set(range(500)) - {7, 11}})
    drawn = [order.draws(index) for index in range(3)]
    assert {row for draws in drawn for draw in draws for row in draw.table[0].tolist()} == {7, 11}
    assert all(bool((own.table[0] != other.table[0]).all()) for own, other in drawn)
    order.leave_out({})
    assert len({row for index in range(63) for row in order.draws(index)[0].table[0].tolist()}) == 500


def test_one_in_a_hundred_may_be_left_out_and_no_more(tmp_path: Path) -> None:
    paths = photos(tmp_path, 201)
    examples = {"source": listed(paths)}
    for number in (5, 50):
        truncate(paths[number])
    left_out = LeftOut("skip")
    batches(make(examples, left_out, batch=8), 26)
    assert left_out.rows == {"source": [5, 50]}
    truncate(paths[100])
    left_out = LeftOut("skip")
    with make(examples, left_out, batch=8) as loader, pytest.raises(BrokenImagesError) as caught:
        all_of(loader, 26)
    assert "3 of 201 images of the source, and at most 2 (1%) may be left out" in str(caught.value)
    assert len(left_out.rows["source"]) == 2
    with pytest.raises(BrokenImagesError, match=r"3 of 201 .*005\.png.*050\.png.*100\.png"):
        make(examples, cache="device")


@pytest.mark.parametrize("cache", CACHES)
def test_a_whole_domain_that_is_gone_leaves_out_nothing(cache: str, tmp_path: Path) -> None:
    """A disk that is not there any more, say: once it is back, the training goes on exactly."""
    sides = {"source": photos(tmp_path / "a", 9), "target": photos(tmp_path / "b", 7)}
    examples = {name: listed(paths) for name, paths in sides.items()}
    shutil.rmtree(tmp_path / "b")
    left_out = LeftOut("skip")
    with (
        pytest.raises(BrokenImagesError, match="images of the target"),
        make(examples, left_out, cache=cache) as loader,
    ):
        loader.batch(0)
    assert left_out.rows == {}


@pytest.mark.parametrize(
    ("count", "needs", "labels", "message"),
    [
        (1, Needs(), [0], "too few images of the source are left"),
        (2, Needs(streams=frozenset({"source", "mismatched"})), [0, 0], "too few images of the source are left"),
        (5, Needs(streams=frozenset({"source", "labelled"})), [2, -1, -1, -1, -1], "none of the source's labelled"),
    ],
)
@pytest.mark.parametrize("cache", CACHES)
def test_what_a_method_needs_must_remain(
    count: int, needs: Needs, labels: list[int], message: str, cache: str, tmp_path: Path
) -> None:
    paths = photos(tmp_path, count)
    truncate(paths[0])
    with (
        pytest.raises(BrokenImagesError, match=message),
        make({"source": listed(paths, labels)}, cache=cache, needs=needs) as loader,
    ):
        all_of(loader, count)


def test_what_was_left_out_stays_so_in_a_resumed_training(tmp_path: Path) -> None:
    """Also an image that could not be read for a moment only."""
    paths = photos(tmp_path, 8)
    content = paths[1].read_bytes()
    left_out = LeftOut("skip")
    with make({"source": listed(paths)}, left_out) as loader:
        truncate(paths[1])
        for index in range(6):
            loader.batch(index)
        paths[1].write_bytes(content)
        whole = [loader.batch(index) for index in range(6, 20)]
    resumed = LeftOut("skip")
    resumed.restore(left_out.names)
    assert left_out.names == {"source": {"1": "001.png"}}
    for cache in CACHES:
        assert same(whole, batches(make({"source": listed(paths)}, resumed, cache=cache), 14, first=6))


def test_what_is_left_out_does_not_depend_on_the_threads(tmp_path: Path) -> None:
    """A file is found broken with its batch, not when a thread that is ahead meets it."""
    paths = photos(tmp_path, 12)
    truncate(paths[0])
    left_out = LeftOut("skip")
    with make({"source": listed(paths)}, left_out, batch=1, workers=8) as loader:
        for index in range(12):
            before = dict(left_out.rows)
            loader.batch(index)
            if left_out.rows != before:
                order = Order(
                    {"source": 12},
                    paired=False,
                    mismatched=False,
                    batch=1,
                    seeds=0,
                    seed=0,
                    rank=0,
                    ranks=1,
                    device=CPU,
                )
                assert order.draws(index)[0].table[0].tolist() == [0]
    assert left_out.rows == {"source": [0]}


def test_the_preview_shows_the_next_ones(tmp_path: Path) -> None:
    sides = {"source": photos(tmp_path / "a", 6), "target": photos(tmp_path / "b", 6)}
    truncate(sides["target"][1])
    examples = {name: listed(paths) for name, paths in sides.items()}
    domains = dict.fromkeys(sides, Domain(3))
    told: list[tuple[str, str]] = []
    asked: dict[str, Any] = {"count": 3, "size": (8, 8), "resize": "stretch", "device": CPU}
    with pytest.raises(TranslateError, match=r"1 of 6 images .*001\.png"):
        preview_batch(examples, domains, **asked)
    asked["on_broken"] = lambda *place: told.append(place)
    assert seen([preview_batch(examples, domains, **asked).images]) == [0, 1, 2]
    pairs = [preview_batch(examples, domains, paired=True, **asked).images]
    assert seen(pairs) == seen(pairs, "target") == [0, 2, 3]
    assert [name for name, _ in told] == ["target", "target"]
    shutil.rmtree(tmp_path / "b")
    assert preview_batch(examples, domains, **asked).images.keys() == {"source"}


# --- whole trainings --------------------------------------------------------------------------------------------------

METHOD = """
from torch import nn
from translate import hookimpl
from translate.method import Method, Needs, Update

class Mean(Method):
    needs = Needs(paired=True)
    def __init__(self, parts):
        super().__init__()
        self.network = nn.Conv2d(3, 3, 1)
    @property
    def players(self): return {"network": self.network}
    @property
    def translators(self): return {"forward": self.network}
    def updates(self, batch, step):
        yield Update("network", {"l": (self.network(batch["source"]) - batch["target"]).square().mean()})

@hookimpl
def methods(): return {"small_mean": Mean}
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for split, count in (("train", 10), ("val", 2)):
        for side in ("source", "target"):
            photos(tmp_path / "data" / split / side, count)
    return tmp_path / "data"


def fit(data: Path, folder: Path, **options: Any) -> Run:
    plugin = data.parent / "small_mean.py"
    plugin.write_text(METHOD)
    common: dict[str, Any] = {
        "size": 8, "load_size": (10, 12), "steps": 12, "batch": 2, "log_every": 1, "save_every": 4, "keep": 9,
        "sample_every": 100, "optimizer": ["sgd(lr=0.1, momentum=0.5)"], "plugins": [str(plugin)], "cache": "stream",
    }  # fmt: skip
    return translate.fit("small_mean", data, output=folder, **{**common, **options})


def state(run: Run) -> dict[str, Tensor]:
    return checkpoint.load(run.checkpoints[-1])[0]


def equal(one: Run, two: Run) -> bool:
    first, second = state(one), state(two)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def killed_after(run: Run, step: int, folder: Path) -> Path:
    shutil.copytree(run.folder, folder)
    for path in Run.open(folder).checkpoints:
        if int(path.stem[5:]) > step:
            path.unlink()
    return folder


@pytest.mark.parametrize("cache", CACHES)
def test_a_training_beside_a_broken_image_is_resumed_to_the_bit(cache: str, data: Path, tmp_path: Path) -> None:
    truncate(data / "train" / "target" / "004.png")
    whole = fit(data, tmp_path / "whole", cache=cache)
    assert whole.step == 12
    for step in (0, 4, 8):
        assert equal(whole, translate.resume(killed_after(whole, step, tmp_path / f"half-{step}")))
    assert checkpoint.load(whole.checkpoints[-1])[1]["left_out"] == {"source": {"4": "004"}}
    assert equal(whole, fit(data, tmp_path / "other", cache="stream" if cache == "device" else "device"))


def breaks_at(monkeypatch: pytest.MonkeyPatch, step: int, harm: Callable[[], object]) -> None:
    original = Engine.step

    def stepped(self: Engine, given: Any) -> None:
        original(self, given)
        if self.step_count == step:
            harm()

    monkeypatch.setattr(Engine, "step", stepped)


def test_images_that_vanish_stop_a_training_saved_and_once_they_are_back_it_goes_on_exactly(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = fit(data, tmp_path / "straight")
    away = tmp_path / "away"
    with monkeypatch.context() as patch:
        breaks_at(patch, 3, lambda: (data / "train").rename(away))
        with pytest.raises(StoppedError) as caught:
            fit(data, tmp_path / "run")
    run = Run.open(tmp_path / "run")
    last = int(run.checkpoints[-1].stem[5:])
    assert 3 <= last < 12
    assert str(caught.value).startswith(f"stopped at step {last} of 12 and saved: ")
    assert "there is no file" in str(caught.value)
    assert f"`translate fit --resume {run.folder}`" in str(caught.value)
    assert caught.value.exit_code == 5
    assert "left_out" not in checkpoint.load(run.checkpoints[-1])[1]
    away.rename(data / "train")
    assert equal(straight, translate.resume(run.folder))


def test_asked_to_stop_it_stops_at_the_first_and_goes_on_as_asked(data: Path, tmp_path: Path) -> None:
    path = data / "train" / "source" / "004.png"
    straight = fit(data, tmp_path / "straight")
    content = path.read_bytes()
    truncate(path)
    with pytest.raises(StoppedError, match=r"an image cannot be used: .*004\.png .*--broken skip"):
        fit(data, tmp_path / "run", broken="stop")
    run = Run.open(tmp_path / "run")
    shutil.copytree(run.folder, tmp_path / "copy")
    assert translate.resume(tmp_path / "copy", broken="skip").config.broken == "skip"
    path.write_bytes(content)
    assert equal(straight, translate.resume(run.folder))


def test_a_broken_image_for_sample_grids_is_told_and_another_is_shown(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    truncate(data / "val" / "target" / "000.png")
    run = fit(data, tmp_path / "run", steps=1)
    assert any(run.samples.iterdir())
    assert "not shown in the sample grids" in "".join(caplog.messages)


def test_steps_of_several_batches_stop_between_steps(data: Path, tmp_path: Path) -> None:
    straight = fit(data, tmp_path / "straight", accumulate=2)
    path = data / "train" / "source" / "007.png"
    content = path.read_bytes()
    path.unlink()
    (data / "train" / "target" / "007.png").rename(tmp_path / "kept.png")
    (data / "train" / "target" / "007.png").write_bytes(b"")
    path.write_bytes(b"")
    with pytest.raises(StoppedError):
        fit(data, tmp_path / "run", accumulate=2, broken="stop")
    path.write_bytes(content)
    (tmp_path / "kept.png").replace(data / "train" / "target" / "007.png")
    assert equal(straight, translate.resume(tmp_path / "run"))


def test_a_checkpoint_that_leaves_out_everything_is_refused(tmp_path: Path) -> None:
    """It may be a stranger's."""
    paths = photos(tmp_path, 4)
    for rows, fits in (({"3": "c", "99": "d"}, True), (dict.fromkeys("0123", "x"), False)):
        left_out = LeftOut("skip")
        left_out.restore({"source": rows, "elsewhere": {"0": "x"}})
        if fits:
            assert 3 not in seen(batches(make({"source": listed(paths)}, left_out), 8))
            assert left_out.rows == {"source": [3]}
        else:
            with pytest.raises(BrokenImagesError, match="left out before cannot be used, so too few.*--changed-data"):
                make({"source": listed(paths)}, left_out)


def test_names_of_any_kind_are_written_into_a_checkpoint_that_can_be_read(caplog: pytest.LogCaptureFixture) -> None:
    from translate.schema import SetupFacts

    # A report with such a name could not be sent from a process of the tests to another.
    caplog.set_level(logging.CRITICAL, "translate")

    examples = {"source": [Example(np.zeros((10, 12, 3), np.uint8), name) for name in ("", "\udcff\n" * 300, "c")]}
    left_out = LeftOut("skip")
    facts: dict[str, Any] = {"versions": {}, "plugin": "p", "device": "cpu", "threads": 1, "data": "d"}
    for row in ("0", "1"):
        left_out.restore({"source": {row: "x"}})
        batches(make(examples, left_out), 1)
        SetupFacts.check({**facts, "left_out": left_out.names})
