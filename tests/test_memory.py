"""Memory is planned from headers, held within a limit, and what does not fit is named before it is read."""

from __future__ import annotations

import struct
import subprocess
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from click.testing import CliRunner
from test_strange_files import chunk
from torch import Tensor, nn

import translate
from translate import images, inspection
from translate.cli import cli
from translate.compute.activations import WORKSPACE, PassBytes
from translate.conversion import convert
from translate.conversion.batch import Work
from translate.conversion.calibration import calibration_for
from translate.conversion.fitting import Account, Need, plan_memory
from translate.conversion.plan import Task
from translate.data import Dataset, Domain, Example
from translate.devices import free_memory
from translate.errors import TranslateError
from translate.images import ImageError
from translate.memory import MAX_PIXELS, Budget, MaxPixels, Memory, parse_memory
from translate.options import declared_by, parameter_of
from translate.parts import CatalogParts
from translate.plugins import discover
from translate.translator import Translator

MEGABYTE = 2**20


def translator(generator: str | nn.Module) -> Translator:
    catalog = discover()
    domain = Domain(3)
    parts = CatalogParts(catalog, source=domain, target=domain, size=(64, 64))
    network = parts.generator(generator) if isinstance(generator, str) else generator
    return Translator(
        network, catalog=catalog, direction="forward", directions=["forward"], source=domain, target=domain,
        size=(64, 64), device=torch.device("cpu"),
    )  # fmt: skip


def blank(path: Path, side: int) -> Path:
    """A PNG of a few kilobytes that claims many pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))
    return path


def photo(path: Path, side: int = 32) -> Path:
    PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)).save(path)
    return path


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (1, 1),
        ("7", 7),
        ("3 B", 3),
        ("3k", 3 * 1024),
        ("3 KB", 3 * 1024),
        ("1.5KiB", 1536),
        ("2MB", 2 * 1024**2),
        ("2 MiB", 2 * 1024**2),
        ("0.5g", 2**29),
        ("2 GiB", 2 * 1024**3),
        ("2TB", 2 * 1024**4),
    ],
)
def test_units_are_powers_of_1024(value: Any, size: int) -> None:
    assert parse_memory(value) == size


@pytest.mark.parametrize("value", ["", "6 apples", "-1", 0, True, "1.5.2GB", None, "9" * 400])
def test_what_is_no_memory_is_refused(value: Any) -> None:
    with pytest.raises(TranslateError, match="512MB, 6GB"):
        parse_memory(value)


def test_threads_wait_for_what_others_hold() -> None:
    budget = Budget(10)
    most, now, lock = 0, 0, threading.Lock()

    def work(need: int) -> None:
        nonlocal most, now
        with budget.hold(need):
            with lock:
                now += need
                most = max(most, now)
            with lock:
                now -= need

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [3, 4, 5, 6, 10] * 40))
    assert most <= 10
    assert budget.free == 10
    with pytest.raises(TranslateError, match="needs 11 bytes of memory, and 10 bytes may be used"), budget.hold(11):
        pass


def test_an_image_that_does_not_fit_is_refused_by_its_header(tmp_path: Path) -> None:
    budget = Budget(100 * MEGABYTE)
    for path in (blank(tmp_path / "a.png", 8000), tmp_path / "b.webp"):
        if path.suffix == ".webp":  # 34 bytes that claim 12,000 squared
            bits = (11999 | 11999 << 14).to_bytes(4, "little")
            path.write_bytes(b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f" + bits + b"\0" * 9)
        for open_ in (images.load, images.load_indices):
            with pytest.raises(ImageError, match=r"pixels and needs .* of memory, and 100 MB may be used") as caught:
                open_(path, budget=budget)  # type: ignore[operator]
            assert path.name in str(caught.value)
    assert budget.free == budget.total
    assert images.load(photo(tmp_path / "c.png"), budget=budget).pixels.shape == (32, 32, 3)
    assert budget.free == budget.total


def test_planes_that_nobody_can_use_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    with path.open("wb") as sparse:
        np.lib.format.write_array_header_1_0(
            sparse, {"descr": "<f8", "fortran_order": False, "shape": (500, 500, 3000)}
        )
        sparse.truncate(sparse.tell() + 500 * 500 * 3000 * 8)
    with pytest.raises(ImageError, match=r"has 3000 channel\(s\) where 3 are expected"):
        images.read_example(Example(path, "a"), Domain(3))
    with path.open("rb") as begun:
        cut = begun.read(138)
    with pytest.raises(ImageError, match="holds 10 of 6000000000 bytes"):
        images.load(cut, name="a.npy")
    assert images.probe(path).decoding > 500 * 500 * 3000 * 12


KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "RGB": ("PNG", {}), "L": ("PNG", {}), "RGBA": ("PNG", {}), "P": ("PNG", {"transparency": 3}), "CMYK": ("JPEG", {}),
    "RGB ": ("WEBP", {"lossless": True}), "RGBA ": ("WEBP", {"lossless": True}), "RGB  ": ("TIFF", {}),
}  # fmt: skip


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks of memory are read from Linux")
@pytest.mark.parametrize("kind", KINDS)
def test_decoding_takes_what_was_planned(tmp_path: Path, kind: str) -> None:
    side = 1024
    suffix, options = KINDS[kind]
    PIL.Image.linear_gradient("L").resize((side, side)).convert("RGB").convert(kind.strip()).save(
        tmp_path / "a.bin", suffix, **options
    )
    planned = images.probe(tmp_path / "a.bin").decoding
    code = (
        "import sys; from pathlib import Path; from translate import images\n"
        "read = lambda key: next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith(key))\n"
        "import io, numpy, PIL.Image\n"
        "small = io.BytesIO(); PIL.Image.new('RGB', (8, 8)).save(small, 'PNG'); images.load(small.getvalue())\n"
        "open('/proc/self/clear_refs', 'w').write('5'); before = read('VmRSS')\n"
        "images.read(Path(sys.argv[1])); print((read('VmHWM') - before) * 1024)"
    )
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.bin")], capture_output=True, check=True)
    assert int(found.stdout) <= planned + 2 * MEGABYTE
    assert planned <= 2.5 * int(found.stdout)


@pytest.mark.parametrize("text", ["unet(width=8, depth=5)", "resnet(width=8, blocks=2)"])
def test_a_networks_bytes_grow_with_the_pixels(text: str) -> None:
    one = translator(text)
    state = torch.random.get_rng_state()
    small, large = one.bytes_for((64, 64)), one.bytes_for((256, 256))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert 30 < (large - small) / (256 * 256 - 64 * 64) < 1000
    assert one.bytes_for((257, 256)) > large  # padded to the next multiple


def test_images_around_a_network_of_one_size_grow_with_their_own_pixels() -> None:
    """Such a network's passes are always as large; an image is resized to its size, and its answer back."""
    network = nn.Conv2d(3, 3, 3, padding=1)
    network.fixed_size = (64, 64)  # type: ignore[assignment]
    one = translator(network)
    sizes = [(64, 64), (64, 300), (300, 64), (1000, 700)]
    around = [one.bytes_for(size) - one.bytes_for((64, 64)) for size in sizes]
    # An image and its answer, each of three channels in float32, and the same again while they are resized.
    assert around == [4 * 3 * 4 * (height * width - 64 * 64) for height, width in sizes]


def test_bytes_between_and_beyond_the_counted_sizes() -> None:
    counted = PassBytes((100, 1000), (400, 1600))  # 800 that do not grow, 2 a pixel
    assert [counted.at(pixels) / WORKSPACE for pixels in (100, 200, 400)] == pytest.approx([1000, 1200, 1600], abs=1)
    assert counted.at(4000) == int(WORKSPACE * 16000)  # as if all of it grew
    assert PassBytes((1, 0), (1, 0)).at(10**6) == 0


def test_a_half_precision_pass_is_planned_as_one() -> None:
    one, other = translator("resnet(width=16, blocks=2)"), translator("resnet(width=16, blocks=2)")
    other.precision = "bf16"
    assert other.bytes_for((512, 512)) < 0.8 * one.bytes_for((512, 512))


def test_calibration_takes_images_that_fit(tmp_path: Path) -> None:
    tasks = [
        Task(photo(tmp_path / f"{number}.png", side), "", (tmp_path / "x.png",))
        for number, side in enumerate((64, 256, 64))
    ]
    translator = Hungry()
    translator.needs_calibration = True
    work = Work(translator, memory=1000 * 64 * 64 + 2 * MEGABYTE)
    found = calibration_for(tasks, None, work, silent=False)
    assert [each.source.name for each in found.tasks] == ["0.png", "2.png"]


def test_every_command_that_decodes_refuses_by_max_pixels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for side in ("source", "target"):
        (tmp_path / "data" / side).mkdir(parents=True)
        for number in range(3):
            photo(tmp_path / "data" / side / f"{number}.png", 40 if number else 64)
    runner = CliRunner()
    told = runner.invoke(cli, ["data", str(tmp_path / "data"), "--max-pixels", "2000"])
    assert told.exit_code == 1
    assert "0.png has 64 x 64 pixels, more than the limit of 2000" in told.output
    assert runner.invoke(cli, ["data", str(tmp_path / "data")]).exit_code == 0
    given = ["fit", "pix2pix", str(tmp_path / "data"), "--max-pixels", "2000", "--size", "32",
             "--generator", "unet(width=4)", "--steps", "1", "-o", str(tmp_path / "run")]  # fmt: skip
    fitted = runner.invoke(cli, [*given, "--broken", "stop"])
    assert isinstance(fitted.exception, TranslateError)
    assert "more than the limit of 2000" in str(fitted.exception)
    assert runner.invoke(cli, given).exit_code == 0
    assert any("left out" in each.getMessage() and "0.png" in each.getMessage() for each in caplog.records)
    for function in (translate.convert, translate.classify, translate.encode, translate.evaluate):
        assert declared_by(function)["max_pixels"] == parameter_of("max_pixels", MaxPixels, MAX_PIXELS)
        assert declared_by(function)["memory"] == parameter_of("memory", Memory, None)


class Hungry:
    """A translator that says it needs a thousand bytes a pixel, and counts what is in flight."""

    in_parts = None

    def __init__(self) -> None:
        self.inner = translator("unet(width=4, depth=2)")
        self.most = self.now = 0
        self.lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def replicate(self) -> Hungry:
        return self

    def bytes_for(self, size: tuple[int, int]) -> int:
        return 1000 * size[0] * size[1]

    def translate(self, batch: Tensor, /, *, samples: int | None = None, seed: int = 0) -> Tensor:
        with self.lock:
            self.now += len(batch)
            self.most = max(self.most, self.now)
        with self.lock:
            self.now -= len(batch)
        return -batch


@pytest.mark.parametrize("batch", [1, 4])
def test_conversion_names_what_does_not_fit_and_goes_on(tmp_path: Path, batch: int) -> None:
    (tmp_path / "in").mkdir()
    for number in range(6):
        photo(tmp_path / "in" / f"{number}.png", 64)
    photo(tmp_path / "in" / "large.png", 256)
    blank(tmp_path / "in" / "huge.png", 16000)
    hungry = Hungry()
    need = 1000 * 64 * 64 + 2 * MEGABYTE
    result = convert(hungry, tmp_path / "in", tmp_path / "out", memory=need + need // 2, batch=batch)
    assert result.converted == 6
    reasons = {path.name: reason for path, reason in result.failed}
    assert set(reasons) == {"large.png", "huge.png"}
    assert "256 x 256 pixels and needs 6" in reasons["large.png"]
    assert "16000 x 16000 pixels and needs 240.6 GB" in reasons["huge.png"]
    assert "--memory" in reasons["huge.png"]
    assert hungry.most == 1  # two do not fit together, so a batch of four is not waited for
    assert convert(hungry, tmp_path / "in" / "large.png", tmp_path / "a.png", at=(64, 64), memory=need).converted == 1


def test_images_in_flight_are_bounded(tmp_path: Path) -> None:
    task = Task(photo(tmp_path / "a.png", 64), "a.png", (tmp_path / "b.png",))
    other = Task(task.source, "c.png", (tmp_path / "c.png",))
    work = Work(Hungry(), memory=8 * MEGABYTE)
    need = plan_memory(task, work)
    assert need.decoding >= 12 * 64 * 64
    account = Account(work)
    assert account.refusal(task, need) is None
    assert account.take(task, need)
    assert not account.take(other, need)
    account.give_back(task)
    assert account.take(other, need)
    assert account.take(task, Need())  # an image without a header holds nothing


@pytest.mark.parametrize(("mode", "planes"), [("RGB", 3), ("RGBA", 4)])
@pytest.mark.parametrize("samples", [None, 3])
@pytest.mark.parametrize("at", [None, (20, 50)])
def test_outputs_are_planned_with_their_alpha_samples_and_size(
    tmp_path: Path, mode: str, planes: int, samples: int | None, at: tuple[int, int] | None
) -> None:
    PIL.Image.new(mode, (40, 30)).save(tmp_path / "a.png")
    task = Task(tmp_path / "a.png", "a.png", (tmp_path / "b.png",))
    need = plan_memory(task, Work(Hungry(), samples=samples, at=at))
    height, width = at or (30, 40)
    # Pixels of 8 bits as they are decoded, padded and stacked.
    assert need.held == 3 * height * width * planes
    # Outputs in float32, of which an array and an encoder's bytes are made.
    assert need.writing == 3 * 4 * height * width * planes * (samples or 1)
    assert need.size == (height, width)


def test_data_names_what_does_not_fit(tmp_path: Path) -> None:
    examples = [Example(photo(tmp_path / "a.png"), "a"), Example(blank(tmp_path / "b.png", 9000), "b")]
    dataset = Dataset("x", "x", False, {"target": Domain(3)}, {"train": {"target": examples}})
    found = inspection.inspect(dataset, memory=50 * MEGABYTE)
    assert list(found.unreadable) == [str(tmp_path / "b.png")]
    assert (
        "9000 x 9000 pixels and needs 927 MB of memory, and 50 MB may be used"
        in found.unreadable[str(tmp_path / "b.png")]
    )


def test_the_default_is_a_share_of_what_is_free() -> None:
    total = Budget().total
    assert 0 < total <= free_memory(torch.device("cpu")) * 1.2
