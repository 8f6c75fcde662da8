"""The loader: the three caches agree bit for bit, every batch is a pure function of the seed, geometry is shared."""

from __future__ import annotations

import math
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import Tensor

import translate.devices
import translate.loader.batches
import translate.machine
from translate.data import Domain, Example
from translate.errors import TranslateError
from translate.images import ImageError
from translate.loader import planes, preview_batch
from translate.loader.batches import Loader
from translate.loader.windows import crop, slices
from translate.method import Needs

CAMVID = Path(__file__).parents[1] / "../shared/data/paired/camvid"
CPU = torch.device("cpu")
CACHES = ("device", "host", "stream")


def coordinates(count: int, height: int = 12, width: int = 10, plus: int = 0) -> list[Example]:
    """Images that say where their pixels are: red is the line, green the column, blue the number of the image."""
    line, column = np.mgrid[:height, :width]
    return [
        Example(np.stack([line, column, np.full_like(line, row + plus)], axis=-1).astype(np.uint8), f"{row}.png")
        for row in range(count)
    ]


def make(examples: dict[str, list[Example]], domains: dict[str, Domain] | None = None, **changes: Any) -> Loader:
    options: dict[str, Any] = {
        "paired": False,
        "needs": Needs(),
        "batch": 2,
        "size": (8, 8),
        "load_size": (12, 10),
        "resize": "stretch",
        "flip": True,
        "workers": 2,
        "device": CPU,
        "cache": "device",
    }
    return Loader(examples, domains or dict.fromkeys(examples, Domain(3)), **{**options, **changes})


def as_stored(images: Tensor) -> Tensor:
    """[-1, 1] back to the coordinates."""
    return ((images + 1) * 127.5).round().long()


def rows(images: Tensor) -> list[int]:
    """Which examples a batch of coordinate images holds."""
    return as_stored(images)[:, 2, 0, 0].tolist()


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


# --- the three caches -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("resize", ["stretch", "cover"])
def test_caches_agree_bit_for_bit(paired: bool, resize: str) -> None:
    generator = np.random.default_rng(0)
    listed = {
        name: [Example(generator.integers(0, 256, (17, 23, 3), np.uint8), str(row), label=row % 3) for row in range(5)]
        for name in ("source", "target")
    }
    needs = Needs(streams=("mismatched",))
    loaders = [make(listed, paired=paired, resize=resize, cache=cache, needs=needs, batch=3) for cache in CACHES]
    assert [loader.cache for loader in loaders] == list(CACHES)
    for index in (0, 1, 2, 7, 3):
        device, host, stream = (loader.batch(index) for loader in loaders)
        assert same(device, host)
        assert same(device, stream)
        assert set(device) == {"source", "target", "mismatched", "source_label", "target_label"}
    for loader in loaders:
        loader.close()


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("depth", ["uint8", "uint16", "float32"])
def test_batches_of_any_size_are_the_same_from_every_cache(batch: int, depth: Any) -> None:
    draws = np.random.default_rng(0)
    pixels = draws.random((4, 12, 10, 2), dtype=np.float32)
    if depth != "float32":
        pixels = (pixels * np.iinfo(depth).max).astype(depth)
    listed = {"source": [Example(each, str(number)) for number, each in enumerate(pixels)]}
    loaders = [make(listed, {"source": Domain(2, depth)}, batch=batch, cache=cache) for cache in CACHES]
    for index in range(4):
        first, *others = (loader.batch(index) for loader in loaders)
        assert first["source"].shape == (batch, 2, 8, 8)
        assert first["source"].dtype == torch.float32
        assert all(same(first, other) for other in others)
    for loader in loaders:
        loader.close()


@pytest.mark.parametrize("cache", CACHES)
def test_a_batch_is_a_pure_function_of_its_index(cache: str) -> None:
    listed = {"source": coordinates(5), "target": coordinates(3)}
    with make(listed, cache=cache, workers=1) as walked, make(listed, cache=cache, workers=3) as fresh:
        batches = [walked.batch(index) for index in range(8)]
        assert same(fresh.batch(7), batches[7])
        assert same(fresh.batch(2), batches[2])
        assert same(walked.batch(0), batches[0])
        assert not same(batches[0], batches[5])
    with make(listed, cache=cache, seed=1) as other:
        assert not all(same(other.batch(index), batches[index]) for index in range(3))


@pytest.mark.parametrize(
    ("domain", "pixels"),
    [
        (Domain(1), np.arange(0, 120, dtype=np.uint8).reshape(12, 10, 1)),
        (Domain(3, "uint16"), (np.arange(360) * 182).astype(np.uint16).reshape(12, 10, 3)),
        (Domain(5, "float32", low=-2.0, high=6.0), np.linspace(-2, 6, 600, dtype=np.float32).reshape(12, 10, 5)),
        (Domain(2, "uint16"), np.full((12, 10, 2), 65535, np.uint16)),
    ],
)
def test_depths_and_channels_survive(domain: Domain, pixels: np.ndarray[Any, Any]) -> None:
    listed = {"source": [Example(pixels, "a"), Example(pixels[::-1].copy(), "b")]}
    found = []
    for cache in CACHES:
        with make(listed, {"source": domain}, cache=cache, size=(12, 10)) as loader:
            found.append(loader.batch(0)["source"])
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    assert found[0].shape == (2, domain.channels, 12, 10)
    low, high = {"uint8": (0, 255), "uint16": (0, 65535), "float32": (domain.low, domain.high)}[domain.depth]
    expected = (torch.from_numpy(pixels.astype(np.float64)).permute(2, 0, 1) - low) / (high - low) * 2 - 1
    for image in found[0].double():
        candidates = [expected, expected.flip(1), expected.flip(2), expected.flip(1, 2)]
        assert min(float((image - candidate).abs().max()) for candidate in candidates) < 1e-6


def test_class_maps_stay_exactly_one_hot() -> None:
    maps = [Example(np.random.default_rng(row).integers(0, 4, (30, 31), np.uint8), str(row)) for row in range(4)]
    for resize in ("stretch", "cover"):
        batch = make({"source": maps}, {"source": Domain(4, classes=4)}, resize=resize, batch=4).batch(0)["source"]
        assert batch.shape == (4, 4, 8, 8)
        assert set(batch.unique().tolist()) == {-1.0, 1.0}
        assert torch.equal((batch > 0).sum(1), torch.ones(4, 8, 8, dtype=torch.long))


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        ((10**9, 10**9), "device"),
        ((1000, 10**9), "host"),
        ((1000, 1000), "stream"),
        ((1000, 6000), "host"),
        ((3600, 10**9), "host"),
    ],
)
def test_auto_takes_the_first_cache_that_fits(
    free: tuple[int, int], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(free[::-1])  # RAM is asked for first
    monkeypatch.setattr(translate.loader.batches, "free_memory", lambda device: next(answers))
    loader = object.__new__(Loader)
    loader._examples = {"source": coordinates(10)}  # 10 * 12 * 10 * 3 = 3,600 bytes, more than 60 % of 3,600
    loader._domains = {"source": Domain(3)}
    loader._load_size, loader._ranks, loader._device = (12, 10), 1, torch.device("cuda")
    assert loader._choose() == expected


@pytest.mark.parametrize(("free", "expected"), [(10**9, "device"), (6001, "device"), (5999, "stream")])
def test_auto_on_the_cpu(free: int, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translate.loader.batches, "free_memory", lambda device: free)
    with make({"source": coordinates(10)}, cache="auto") as loader:
        assert loader.cache == expected


def test_free_memory_of_this_machine_is_plausible() -> None:
    assert 2**20 < translate.devices.free_memory(CPU) < 2**50


@pytest.mark.parametrize(
    ("limit", "used", "expected"),
    [
        ("max", 0, 2048 * 1000),
        (None, 0, 2048 * 1000),
        ("5000000", 3000000, 2000000),
        ("5000000", 9000000, 0),
        ("3000000000", 1000, 2048 * 1000),
    ],
)
def test_free_memory_is_within_the_limit_of_a_container(
    limit: str | None, used: int, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a control group only what processes hold counts as used: its file cache is given back when needed."""
    for name, text in {
        "proc/meminfo": "MemTotal: 9000 kB\nMemFree: 100 kB\nMemAvailable: 2000 kB\n",
        "sys/fs/cgroup/memory.max": limit,
        "sys/fs/cgroup/memory.stat": f"file 777\nanon {used}\nkernel 5\n",
    }.items():
        if text is not None:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
    monkeypatch.setattr(translate.machine, "Path", lambda path: tmp_path / path.removeprefix("/"))
    assert translate.devices.free_memory(CPU) == expected


# --- the order ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 12])
def test_every_epoch_holds_every_example_once(batch: int) -> None:
    loader = make({"source": coordinates(5)}, batch=batch)
    seen = [row for index in range(math.ceil(20 / batch)) for row in rows(loader.batch(index)["source"])][:20]
    epochs = [seen[start : start + 5] for start in range(0, 20, 5)]
    assert all(sorted(epoch) == list(range(5)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_unpaired_domains_have_orders_and_windows_of_their_own() -> None:
    loader = make({"source": coordinates(6), "target": coordinates(4)}, batch=4)
    batches = [loader.batch(index) for index in range(30)]
    pairs = Counter(pair for b in batches for pair in zip(rows(b["source"]), rows(b["target"]), strict=True))
    assert len(pairs) == 24
    assert Counter(row for b in batches for row in rows(b["target"])) == dict.fromkeys(range(4), 30)
    corners = [(as_stored(b[name])[:, :2, 0, 0]) for b in batches for name in ("source", "target")]
    agree = torch.stack([(one == two).all(1) for one, two in zip(corners[::2], corners[1::2], strict=True)])
    assert agree.float().mean() < 0.25


def test_a_pair_shares_example_window_and_mirroring() -> None:
    loader = make({"source": coordinates(6), "target": coordinates(6, plus=100)}, paired=True, batch=4)
    for index in range(12):
        source, target = (as_stored(loader.batch(index)[name]) for name in ("source", "target"))
        assert torch.equal(source[:, :2], target[:, :2])
        assert torch.equal(source[:, 2] + 100, target[:, 2])


def test_a_device_cuts_as_a_cpu_does() -> None:
    """What is cut by indices, without telling the host any number, is what slices are."""
    kept = torch.randint(0, 256, (5, 3, 9, 11), dtype=torch.uint8)
    numbers = [(4, 2, 3, 0), (0, 0, 0, 1), (2, 3, 5, 1)]
    rows, top, left, mirrored = torch.tensor(numbers).unbind(1)
    across = torch.where(mirrored.bool()[:, None], torch.arange(5, -1, -1), torch.arange(6))
    assert torch.equal(
        slices(kept, numbers, (6, 6)), crop(kept, rows, top[:, None] + torch.arange(6), left[:, None] + across)
    )


@pytest.mark.parametrize("flip", [True, False])
def test_a_loader_on_a_device_cuts_the_windows_of_a_cpu(flip: bool) -> None:
    """The same draws, by indices; what they are applied to lies here in either case."""
    loader = make({"source": coordinates(5)}, size=(8, 6), flip=flip, batch=4)
    kept = loader.decoded["source"]
    for index in range(6):
        (draw,) = loader._order.draws(index)
        loader._device = CPU
        wanted = loader._cut(draw.table, None)(kept)
        prefetched = kept[draw.table[0]]
        loader._device = torch.device("cuda")
        assert torch.equal(loader._cut(draw.table, None)(kept), wanted)
        assert torch.equal(loader._cut(draw.table, loader._positions)(prefetched), wanted)


def test_windows_are_true_cuts_and_cover_all_places() -> None:
    loader = make({"source": coordinates(4)}, batch=16)
    tops, lefts, mirrored = Counter[int](), Counter[int](), 0
    for index in range(25):
        for image in as_stored(loader.batch(index)["source"]):
            flipped = bool(image[1, 0, 0] > image[1, 0, 1])
            image = image.flip(2) if flipped else image
            top, left = int(image[0, 0, 0]), int(image[1, 0, 0])
            assert torch.equal(image[0], (top + torch.arange(8))[:, None].expand(8, 8))
            assert torch.equal(image[1], (left + torch.arange(8))[None, :].expand(8, 8))
            tops[top] += 1
            lefts[left] += 1
            mirrored += flipped
    assert set(tops) == set(range(5))
    assert set(lefts) == set(range(3))
    assert min(tops.values()) > 50  # 80 expected
    assert min(lefts.values()) > 100  # 133 expected
    assert 150 < mirrored < 250


def test_nothing_moves_without_flip_and_margin() -> None:
    loader = make({"source": coordinates(4)}, size=(12, 10), flip=False, batch=4)
    image = as_stored(loader.batch(3)["source"])
    assert torch.equal(image[:, 0], torch.arange(12)[None, :, None].expand(4, 12, 10))
    assert torch.equal(image[:, 1], torch.arange(10)[None, None, :].expand(4, 12, 10))


def test_the_default_load_size_is_286_of_256() -> None:
    assert make({"source": coordinates(1)}, load_size=None, size=(256, 128), batch=1)._load_size == (286, 143)


@pytest.mark.parametrize("paired", [True, False])
def test_mismatched_is_never_the_pair_s_own(paired: bool) -> None:
    listed = {"source": coordinates(4), "target": coordinates(4)}
    loader = make(listed, paired=paired, needs=Needs(streams=("mismatched",)), batch=8)
    batches = [loader.batch(index) for index in range(20)]
    pairs = Counter(pair for b in batches for pair in zip(rows(b["source"]), rows(b["mismatched"]), strict=True))
    assert set(pairs) == {(one, two) for one in range(4) for two in range(4) if one != two}
    one, two = (as_stored(torch.cat([b[name] for b in batches]))[:, :2, 0, 0] for name in ("source", "mismatched"))
    assert (one == two).all(1).float().mean() < 0.25


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("cache", CACHES)
def test_ranks_partition_the_global_batch(ranks: int, cache: str) -> None:
    listed = {"source": coordinates(5), "target": coordinates(7)}
    whole = make(listed, batch=2 * ranks)
    parts = [make(listed, rank=rank, ranks=ranks, cache=cache) for rank in range(ranks)]
    for index in (0, 3):
        batch, shares = whole.batch(index), [part.batch(index) for part in parts]
        for rank, share in enumerate(shares):
            assert all(torch.equal(share[name], batch[name][rank::ranks]) for name in batch)
    for part in parts:
        part.close()


def test_labels_follow_their_images() -> None:
    listed = [Example(example.pixels, example.name, label=row * 10) for row, example in enumerate(coordinates(5))]
    batch = make({"source": listed, "target": coordinates(5)}).batch(1)
    assert batch["source_label"].tolist() == [row * 10 for row in rows(batch["source"])]
    assert batch["source_label"].dtype == torch.int64
    assert "target_label" not in batch
    asked = make({"source": coordinates(2)}, needs=Needs(labels=frozenset({"source"}))).batch(0)
    assert asked["source_label"].tolist() == [-1, -1]


def some_labels(count: int, labelled: dict[int, int], plus: int = 0) -> list[Example]:
    listed = coordinates(count, plus=plus)
    return [Example(each.pixels, each.name, label=labelled.get(row, -1)) for row, each in enumerate(listed)]


@pytest.mark.parametrize("paired", [True, False])
def test_labelled_images_come_at_a_rate_of_their_own(paired: bool) -> None:
    wanted = {1: 0, 4: 2, 5: 1}
    listed = {"source": coordinates(6), "target": some_labels(6, wanted, plus=100)}
    needs = Needs(streams=("labelled", "mismatched"))
    loaders = [make(listed, paired=paired, needs=needs, batch=2, cache=cache) for cache in CACHES]
    plain = make(listed, paired=paired, needs=Needs(streams=("mismatched",)), batch=2)
    seen: list[int] = []
    for index in range(6):
        batch, *others = (loader.batch(index) for loader in loaders)
        assert all(same(batch, other) for other in others)
        own = [row - 100 for row in rows(batch["labelled"])]
        assert batch["labelled_label"].tolist() == [wanted[row] for row in own]
        assert batch["labelled_label"].dtype == torch.int64
        seen += own
        assert same({name: batch[name] for name in plain.batch(index)}, plain.batch(index))
    assert Counter(seen) == dict.fromkeys(wanted, 4)
    for loader in loaders:
        loader.close()


def test_labelled_images_have_windows_of_their_own() -> None:
    listed = {"source": some_labels(4, dict.fromkeys(range(4), 0))}
    loader = make(listed, needs=Needs(streams=("labelled",)), batch=4)
    corners: dict[str, list[Tensor]] = {"source": [], "labelled": []}
    for index in range(20):
        batch = loader.batch(index)
        for name, found in corners.items():
            stored = as_stored(batch[name])
            found.append(stored[stored[:, 2, 0, 0].argsort(), :2, 0, 0])
    one, two = (torch.cat(found) for found in corners.values())
    assert (one == two).all(1).float().mean() < 0.25


def test_one_domain_is_enough() -> None:
    listed = {"source": some_labels(5, {2: 3})}
    with make(listed, paired=True, needs=Needs(streams=("labelled",)), cache="host", batch=3) as loader:
        batch = loader.batch(2)
    assert set(batch) == {"source", "source_label", "labelled", "labelled_label"}
    assert rows(batch["labelled"]) == [2, 2, 2]
    assert batch["labelled_label"].tolist() == [3, 3, 3]


@pytest.mark.parametrize("cache", CACHES)
def test_ranks_share_the_labelled_images(cache: str) -> None:
    listed = {"source": some_labels(7, {0: 1, 3: 0, 6: 1})}
    needs = Needs(streams=("labelled",))
    whole = make(listed, needs=needs, batch=4).batch(5)
    for rank in range(2):
        with make(listed, needs=needs, rank=rank, ranks=2, cache=cache) as part:
            share = part.batch(5)
        assert all(torch.equal(share[name], whole[name][rank::2]) for name in whole)


def test_augmentations_get_the_same_seeds_for_a_pair_and_leave_class_maps_alone() -> None:
    told: list[Tensor] = []

    def invert(images: Tensor, seeds: Tensor) -> Tensor:
        told.append(seeds)
        return -images

    def keep(images: Tensor, seeds: Tensor) -> Tensor:
        told.append(seeds)
        return images

    listed = {"source": coordinates(4), "target": coordinates(4)}
    plain = make(listed, paired=True).batch(1)
    changed = make(listed, paired=True, augment=(invert, keep)).batch(1)
    assert torch.equal(changed["source"], -plain["source"])
    first, second, *pair = told
    assert first.dtype == torch.int64
    assert first.shape == (2,)
    assert torch.equal(first, pair[0])
    assert torch.equal(second, pair[1])
    assert len({*first.tolist(), *second.tolist()}) == 4

    told.clear()
    maps = [Example(np.zeros((12, 10), np.uint8), "0")]
    make({"source": maps}, {"source": Domain(4, classes=4)}, augment=(invert,)).batch(0)
    assert not told


# --- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listed", "changes", "message"),
    [
        ({}, {}, "neither a source nor a target"),
        ({"source": []}, {}, "no source images"),
        ({"source": coordinates(3), "target": coordinates(2)}, {"paired": True}, "3 source and 2 target"),
        ({"source": coordinates(3), "target": coordinates(3)}, {"needs": Needs(paired=True)}, "needs pairs"),
        ({"source": coordinates(1)}, {"needs": Needs(streams=("mismatched",))}, "fewer than two"),
        (
            {"source": some_labels(2, {0: 1}), "target": coordinates(2)},
            {"needs": Needs(streams=("labelled",))},
            "needs labelled images, but none of the target's",
        ),
        ({"source": coordinates(1)}, {"load_size": (12, 7)}, "load size 12x7 is smaller than the training size 8x8"),
    ],
)
def test_unfit_data_is_refused_in_one_sentence(
    listed: dict[str, list[Example]], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(TranslateError, match=message):
        make(listed, **changes)


@pytest.fixture
def damaged(tmp_path: Path) -> list[Example]:
    paths = [tmp_path / f"{number}.png" for number in range(8)]
    for number, path in enumerate(paths):
        Pillow.new("RGB", (10, 12), (number, 0, 0)).save(path)
        if number % 2:
            path.write_bytes(path.read_bytes()[:40])
    return [Example(path, path.name) for path in paths]


@pytest.mark.parametrize("cache", ["device", "host"])
def test_all_files_that_do_not_decode_are_told_at_once(cache: str, damaged: list[Example]) -> None:
    with pytest.raises(TranslateError) as caught:
        make({"source": damaged}, cache=cache)
    text = str(caught.value)
    assert "4 of 8 images" in text
    assert all(name in text for name in ("1.png", "3.png", "5.png", "1 more"))
    assert "7.png" not in text


@pytest.mark.parametrize("raised", [KeyboardInterrupt, TranslateError("the observer is broken")])
def test_what_ends_the_decoding_ends_the_loader(raised: Any) -> None:
    """An interrupt reaches this thread where it waits for an image; no loader with holes comes of it."""

    def interrupted(done: int, total: int) -> None:
        raise raised

    with pytest.raises(raised if isinstance(raised, type) else TranslateError):
        make({"source": coordinates(5)}, on_progress=interrupted)


def test_streaming_tells_a_bad_file_when_it_is_met(damaged: list[Example]) -> None:
    with make({"source": damaged}, cache="stream", batch=1) as loader:
        told: list[str] = []
        for index in range(8):
            try:
                loader.batch(index)
            except TranslateError as error:
                told.append(str(error))
    assert all(sum(f"{number}.png" in text for text in told) == number % 2 for number in range(8))


@pytest.mark.parametrize("cache", CACHES)
def test_a_dataset_s_function_that_fails_is_named(cache: str) -> None:
    def fail() -> Any:
        raise LookupError("no such member")

    with (
        pytest.raises(TranslateError, match=r"made-up .*no such member"),
        make({"source": [Example(fail, "made-up")]}, cache=cache) as loader,
    ):
        loader.batch(0)


@pytest.mark.parametrize("cache", CACHES)
def test_what_a_dataset_s_function_refuses_by_a_sentence_of_its_own_is_told_so(cache: str) -> None:
    def refuse() -> Any:
        raise ImageError("archive.zip: member 3 is encrypted")

    with (
        pytest.raises(TranslateError, match=r"archive\.zip: member 3 is encrypted") as caught,
        make({"source": [Example(refuse, "made-up")]}, cache=cache) as loader,
    ):
        loader.batch(0)
    assert "cannot be made by its dataset" not in str(caught.value)


@pytest.mark.parametrize("cache", ["host", "stream"])
def test_threads_end(cache: str) -> None:
    before = set(threading.enumerate())
    loader = make({"source": coordinates(5)}, cache=cache)
    loader.batch(0)
    begun = set(threading.enumerate()) - before
    assert begun
    assert all(thread.name.startswith("translate-") for thread in begun)
    loader.close()
    loader.close()
    assert not any(thread.is_alive() for thread in begun)


@pytest.mark.parametrize("cache", ["host", "stream"])
def test_a_jump_drops_what_was_prefetched_for_elsewhere(cache: str) -> None:
    with make({"source": coordinates(5)}, cache=cache, workers=1) as loader:
        loader.batch(0)
        held = len(loader._prefetched)
        for index in (100, 7, 1000):
            loader.batch(index)
            assert len(loader._prefetched) == held
            assert min(loader._prefetched) == index + 1


@pytest.mark.parametrize("resize", ["stretch", "cover"])
def test_planes_lie_one_after_another(resize: Any) -> None:
    made = planes(coordinates(1)[0].pixels, Domain(3), (6, 5), resize)  # type: ignore[arg-type]
    assert made.shape == (3, 6, 5)
    assert made.is_contiguous()


def test_progress_is_told_for_every_image() -> None:
    told: list[tuple[int, int]] = []
    make({"source": coordinates(3), "target": coordinates(2)}, on_progress=lambda *step: told.append(step))
    assert told == [(done, 5) for done in range(1, 6)]


# --- fixed examples and real data -----------------------------------------------------------------------------------


def test_fixed_gives_the_first_examples_whole() -> None:
    listed = {"source": coordinates(5), "target": coordinates(2, plus=9)}
    found = preview_batch(
        listed, dict.fromkeys(listed, Domain(3)), count=3, size=(12, 10), resize="cover", device=CPU
    ).images
    assert rows(found["source"]) == [0, 1, 2]
    assert rows(found["target"]) == [9, 10]
    assert as_stored(found["source"])[1, :2, -1, -1].tolist() == [11, 9]


def test_cover_keeps_the_middle() -> None:
    wide = [Example(np.repeat(np.arange(0, 240, 10, dtype=np.uint8)[None, :, None], 12, 0), "wide")]  # 12 x 24
    found = preview_batch(
        {"source": wide}, {"source": Domain(1)}, count=1, size=(12, 12), resize="cover", device=CPU
    ).images
    assert as_stored(found["source"])[0, 0, 0].tolist() == list(range(60, 180, 10))


@pytest.mark.skipif(not CAMVID.exists(), reason="the shared data is not here")
def test_street_photos_and_their_maps_stay_together() -> None:
    photos = sorted((CAMVID / "val/photo").iterdir())[:6]
    listed = {
        "source": [Example(CAMVID / "val/label" / photo.name, photo.stem) for photo in photos],
        "target": [Example(photo, photo.stem) for photo in photos],
    }
    domains = {"source": Domain(12, classes=12), "target": Domain(3)}
    sizes: dict[str, Any] = {"size": (48, 64), "load_size": (54, 72), "paired": True}
    device, stream = (make(listed, domains, cache=cache, **sizes) for cache in ("device", "stream"))
    for index in (0, 2, 4):
        assert same(device.batch(index), stream.batch(index))
    batch = device.batch(0)
    assert batch["source"].shape == (2, 12, 48, 64)
    assert set(batch["source"].unique().tolist()) == {-1.0, 1.0}
    assert batch["target"].std() > 0.1
    photos_seen = torch.cat([device.batch(index)["target"] for index in range(3)])
    maps_seen = torch.cat([device.batch(index)["source"] for index in range(3)])
    sky = maps_seen[:, 0] > 0  # the sky is brighter than the rest: true only where map and photo share their window
    luma = photos_seen.mean(1)
    assert luma[sky].mean() > luma[~sky].mean() + 0.3
    stream.close()
