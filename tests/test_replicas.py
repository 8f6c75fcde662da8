"""Replicas of a conversion: images translated beside each other, as many as there are cores for."""

from __future__ import annotations

import copy
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from translate import images
from translate.compute.convolutions import algorithms, convolve_fast
from translate.conversion import convert
from translate.conversion.batch import Work
from translate.conversion.replicas import TOGETHER, Replicas
from translate.data import Domain
from translate.errors import UnfitError
from translate.plugins import discover
from translate.translator import Translator


@pytest.fixture(autouse=True)
def two_cores() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def translator(network: nn.Module) -> Translator:
    return Translator(
        network, catalog=discover(blocked=()), direction="forward", directions=("forward",), source=Domain(3),
        target=Domain(3), size=(16, 16), device=torch.device("cpu"),
    )  # fmt: skip


def folder(path: Path, count: int, size: tuple[int, int] = (8, 8)) -> Path:
    path.mkdir()
    draws = np.random.default_rng(0)
    for number in range(count):
        pixels = draws.integers(0, 256, (*size, 3), dtype=np.uint8)
        images.write(path / f"{number:03}.png", images.Image(pixels, None))
    return path


def lanes() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "lane" in thread.name]


def test_how_many_cores_an_image_gets() -> None:
    torch.set_num_threads(16)
    many = Replicas(Work(translator(nn.Identity())))
    many.close()
    side = round(TOGETHER**0.5)
    assert [many.cores_for(pixels) for pixels in (1, TOGETHER // 16, TOGETHER // 4, TOGETHER // 3)] == [1, 1, 4, 6]
    assert many.cores_for(side * side) == many.cores_for(10 * TOGETHER) == 16
    assert torch.get_num_threads() == 16


class Meeting(nn.Module):
    """Waits for another image to be translated at the same time."""

    def __init__(self, barrier: threading.Barrier) -> None:
        super().__init__()
        self.barrier = [barrier]

    def __deepcopy__(self, memo: dict[int, Any]) -> Meeting:
        return Meeting(self.barrier[0])

    def forward(self, x: Tensor) -> Tensor:
        self.barrier[0].wait(timeout=20)
        assert torch.get_num_threads() == 1
        return -x


def test_two_images_are_translated_at_the_same_time(tmp_path: Path) -> None:
    source = folder(tmp_path / "in", 6)
    result = convert(translator(Meeting(threading.Barrier(2))), source, tmp_path / "out")
    assert (result.converted, result.failed) == (6, ())
    assert not lanes()
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == 2


class Forgetful(nn.Module):
    """Keeps an image to itself for a while, as some networks do, and answers what it has kept."""

    running = 0
    most = 0

    def forward(self, x: Tensor) -> Tensor:
        Forgetful.running += 1
        Forgetful.most = max(Forgetful.most, Forgetful.running)
        self.kept = x
        time.sleep(0.005)
        Forgetful.running -= 1
        return -self.kept


def test_what_a_network_keeps_is_not_shared(tmp_path: Path) -> None:
    source = folder(tmp_path / "in", 12)
    Forgetful.most = 0
    convert(translator(Forgetful()), source, tmp_path / "out")
    assert Forgetful.most == 2
    for path in images.find(source):
        assert (images.read(tmp_path / "out" / path.name).pixels == 255 - images.read(path).pixels).all()


def test_large_images_have_all_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translate.conversion.replicas.TOGETHER", 100)
    Forgetful.most = 0
    assert convert(translator(Forgetful()), folder(tmp_path / "in", 6), tmp_path / "out").converted == 6
    assert Forgetful.most == 1


def test_weights_and_what_is_made_of_them_are_shared() -> None:
    network = nn.Sequential(nn.Conv2d(128, 128, 3), nn.Conv2d(128, 3, 5))
    convolve_fast(network)
    one = translator(network)
    other = one.replicate()
    assert other is not None
    assert other.network is not network
    for mine, its in zip(network.parameters(), other.network.parameters(), strict=True):
        assert mine is its
    assert algorithms(other.network) == algorithms(network) != []
    x = torch.rand(1, 128, 12, 12)
    assert torch.equal(other.network(x), network(x))


class Locked(nn.Module):
    """Holds what cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def forward(self, x: Tensor) -> Tensor:
        with self.lock:
            return -x


def test_what_cannot_be_copied_serves_one_thread(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        copy.deepcopy(Locked())
    one = translator(Locked())
    assert one.replicate() is None
    assert convert(one, folder(tmp_path / "in", 3), tmp_path / "out").converted == 3


class Noisy(nn.Module):
    """Adds noise, once for each sample."""

    def forward(self, x: Tensor, samples: int | None = None) -> Tensor:
        many = x.repeat_interleave(samples or 1, dim=0)
        return many + 0.3 * torch.randn_like(many) if samples else many


def test_samples_are_drawn_beside_each_other_and_as_one_by_one(tmp_path: Path) -> None:
    source = folder(tmp_path / "in", 9)
    assert Replicas(Work(translator(Noisy()), samples=2)).count == 2
    state = torch.get_rng_state()
    convert(translator(Noisy()), source, tmp_path / "two", samples=2, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.set_num_threads(1)
    convert(translator(Noisy()), source, tmp_path / "one", samples=2, seed=3)
    names = sorted(path.name for path in (tmp_path / "one").glob("*.png"))
    assert len(names) == 18
    seen = set()
    for name in names:
        pixels = images.read(tmp_path / "one" / name).pixels
        assert np.array_equal(pixels, images.read(tmp_path / "two" / name).pixels)
        seen.add(pixels.tobytes())
    assert len(seen) == 18


def test_single_images_need_no_replicas(tmp_path: Path) -> None:
    assert Replicas(Work(translator(nn.Identity())), alone=True).count == 1
    several = Replicas(Work(translator(nn.Identity())))
    several.close()
    assert several.count == 2
    torch.set_num_threads(1)
    assert Replicas(Work(translator(nn.Identity()))).count == 1


class Choosy(nn.Module):
    """Raises what it was given for images that are dark in the corner."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        if x[0, 0, 0, 0] < -0.99:
            raise self.error
        return -x


@pytest.mark.parametrize("batch", [1, 4])
def test_a_bad_image_costs_itself_alone(tmp_path: Path, batch: int) -> None:
    source = folder(tmp_path / "in", 9)
    images.write(source / "004.png", images.Image(np.zeros((8, 8, 3), np.uint8), None))
    result = convert(translator(Choosy(ValueError("too dark"))), source, tmp_path / "out", batch=batch)
    assert result.converted == 8
    assert ("004.png", True) in [(path.name, "too dark" in reason) for path, reason in result.failed]


@pytest.mark.parametrize("error", [UnfitError("fits nothing"), KeyboardInterrupt()])
def test_what_ends_a_conversion_ends_its_lanes(tmp_path: Path, error: BaseException) -> None:
    source = folder(tmp_path / "in", 30)
    images.write(source / "004.png", images.Image(np.zeros((8, 8, 3), np.uint8), None))
    with pytest.raises(type(error)):
        convert(translator(Choosy(error)), source, tmp_path / "out")
    assert not lanes()
    assert 0 < len(list((tmp_path / "out").glob("*.png"))) < 12


def test_a_real_interrupt_leaves_whole_files(tmp_path: Path) -> None:
    class Slow(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            time.sleep(0.02)
            return -x

    source = folder(tmp_path / "in", 60)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.15, lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT))
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            convert(translator(Slow()), source, tmp_path / "out")
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)
    assert not lanes()
    written = list((tmp_path / "out").glob("*.png"))
    assert len(written) < 60
    for path in written:
        assert (images.read(path).pixels == 255 - images.read(source / path.name).pixels).all()
