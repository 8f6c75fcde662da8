"""Images that a dataset's functions make: bytes decoded as files are, contents named by keys, and whatever goes wrong."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import translate
from translate import checkpoint, images, inspection
from translate.data import Dataset, Domain, Example
from translate.errors import TranslateError
from translate.fingerprint import Listing, differences
from translate.images import Image, ImageError
from translate.loader import LeftOut, Loader, preview_batch
from translate.loader.disk_cache import decode_stored
from translate.memory import Budget
from translate.method import Needs

CPU = torch.device("cpu")
RGB = Domain(3)


def png(value: int = 0, mode: str = "RGB", size: tuple[int, int] = (6, 4), **options: Any) -> bytes:
    pixels = np.random.default_rng(value).integers(0, 256, (size[1], size[0], 4), np.uint8)
    file = io.BytesIO()
    Pillow.fromarray(pixels, "RGBA" if mode == "RGBA" else None).convert(mode).save(file, "PNG", **options)
    return file.getvalue()


def turned() -> bytes:
    """A photo that EXIF turns, as cameras write it."""
    file, exif = io.BytesIO(), Pillow.Exif()
    exif[0x0112] = 6
    Pillow.fromarray(np.random.default_rng(1).integers(0, 256, (4, 6, 3), np.uint8)).save(file, "JPEG", exif=exif)
    return file.getvalue()


def deep() -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(np.arange(24, dtype=np.uint16).reshape(4, 6) * 2000).save(file, "PNG")
    return file.getvalue()


# --- images.decode ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "domain"),
    [
        (png(), RGB), (png(), Domain(1)), (png(mode="RGBA"), RGB), (png(mode="RGBA"), Domain(3, alpha="white")),
        (png(mode="RGBA"), Domain(4, alpha="plane")), (png(mode="P"), RGB), (turned(), RGB), (deep(), Domain(1)),
        (deep(), Domain(1, "uint16")), (png(mode="L"), Domain(1, classes=256)), (png(mode="P"), Domain(1, classes=256)),
    ],
)  # fmt: skip
def test_bytes_give_what_their_file_gives(tmp_path: Path, data: bytes, domain: Domain) -> None:
    path = tmp_path / "a.image"
    path.write_bytes(data)
    wanted = images.read_example(Example(path, "a"), domain)
    assert np.array_equal(images.read_example(Example(lambda: data, "a"), domain), wanted)
    if domain.classes:
        with pytest.raises(ImageError, match="a is decoded as a picture, in which classes may have other numbers"):
            images.read_example(Example(lambda: images.decode(data, "a"), "a"), domain)
        return
    assert np.array_equal(images.read_example(Example(lambda: images.decode(data, "a"), "a"), domain), wanted)
    decoded, loaded = images.decode(data, "a"), images.load(path)
    assert np.array_equal(decoded.pixels, loaded.pixels)
    assert (decoded.alpha is None) == (loaded.alpha is None)


def test_limits_are_those_of_the_command() -> None:
    example = Example(lambda: images.decode(png(size=(40, 30)), "shard.tar: a.png"), "a.png")
    assert images.read_example(example, RGB, budget=Budget(2**20)).shape == (30, 40, 3)
    with pytest.raises(ImageError, match=r"shard\.tar: a\.png .*more than the limit of 1,?199"):
        images.read_example(example, RGB, budget=Budget(2**20, 1199))
    with pytest.raises(ImageError, match="needs .* of memory, and 1 KB may be used"):
        images.read_example(example, RGB, budget=Budget(1000))
    # Beyond the function the budget ends.
    assert images.decode(png(size=(40, 30)), "a.png").pixels.shape == (30, 40, 3)


def test_what_is_no_image_is_named() -> None:
    for data in (b"", b"no image", png()[:40]):
        with pytest.raises(ImageError, match=r"shard\.tar: 7\.png"):
            images.decode(data, "shard.tar: 7.png")
    with pytest.raises(ImageError, match="a is decoded from bytes, not from a str"):
        images.decode("a.png", "a")  # type: ignore[arg-type]


# --- whatever a function raises ---------------------------------------------------------------------------------------


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def failing(error: BaseException) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


WRONG: dict[str, Callable[[], Any]] = {
    "KeyError": failing(KeyError("a\nb")),
    "SystemExit": failing(SystemExit(3)),
    "GeneratorExit": failing(GeneratorExit()),
    "MemoryError": failing(MemoryError()),
    "no such shard": failing(TranslateError("no such shard; mount it")),
    "encrypted": failing(ImageError("it is encrypted")),
    "UnspeakableError": failing(UnspeakableError()),
    "escape": failing(ValueError("\x1b[2J escape")),
    "NoneType is no image": lambda: None,
    "the shape": lambda: np.zeros(5, np.uint8),
    "ValueError": lambda: [[1], [2, 3]],
    "not finite": lambda: np.full((4, 4, 3), np.nan),
    "alpha plane": lambda: Image(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), np.uint8)),
    "truncated": lambda: png()[:50],
    "no file": lambda: Path("/nowhere/at.png"),
}


@pytest.mark.parametrize("reason", WRONG)
def test_whatever_goes_wrong_is_named_in_one_line(reason: str) -> None:
    example = Example(WRONG[reason], "member 7")
    with pytest.raises(ImageError) as caught:
        images.read_example(example, RGB)
    told = str(caught.value)
    assert reason in told
    assert "member 7" in told or reason == "no file"
    assert "\n" not in told
    assert "\x1b" not in told
    found = inspection.inspect(Dataset("d", "l", False, {"source": RGB}, {"train": {"source": [example]}}), full=True)
    assert list(found.unreadable) == ["member 7"]
    assert reason in found.unreadable["member 7"]


def listed(count: int, wrong: dict[int, Callable[[], Any]] | None = None, key: str = "") -> list[Example]:
    def make(number: int) -> Callable[[], Any]:
        return lambda: images.decode(png(number), f"{number}.png")

    return [
        Example((wrong or {}).get(number, make(number)), f"{number}.png", key=f"{key}{number}" if key else "")
        for number in range(count)
    ]


def loader(examples: list[Example], **options: Any) -> Loader:
    asked: dict[str, Any] = {
        "paired": False, "needs": Needs(), "batch": 4, "size": (4, 4), "load_size": (4, 6), "resize": "stretch",
        "flip": True, "seed": 3, "device": CPU,
    }  # fmt: skip
    return Loader({"source": examples}, {"source": RGB}, **{**asked, **options})


@pytest.mark.parametrize("cache", ["device", "host", "stream"])
@pytest.mark.parametrize("reason", ["SystemExit", "no such shard", "UnspeakableError"])
def test_it_is_left_out_as_a_broken_file_is(cache: str, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    with loader(listed(9, {5: WRONG[reason]}), cache=cache, left_out=LeftOut("skip")) as batches:
        for index in range(5):
            assert batches.batch(index)["source"].shape == (4, 3, 4, 4)
        assert batches._left_out.rows == {"source": [5]}
    (line,) = [each.getMessage() for each in caplog.records if "left out" in each.getMessage()]
    assert line.startswith("left out, another image stands in its place: the source 5.png")
    assert reason in line
    stopped = pytest.raises(TranslateError, match=rf"5\.png .*{reason}")
    with stopped, loader(listed(9, {5: WRONG[reason]}), cache=cache) as batches:
        for index in range(5):
            batches.batch(index)


def test_batches_do_not_depend_on_workers_caches_or_ranks(tmp_path: Path) -> None:
    found = []
    for options in ({"cache": "device"}, {"cache": "stream", "workers": 1}, {"cache": "stream", "workers": 3}):
        with loader(listed(9, {5: WRONG["KeyError"]}, key="k"), left_out=LeftOut("skip"), **options) as batches:
            found.append([batches.batch(index)["source"] for index in range(2, 5)])
    # Two ranks with their shares, over one folder of decoded images.
    halves = []
    for rank in range(2):
        shared = {"cache": "device", "cache_folder": tmp_path, "batch": 2, "rank": rank, "ranks": 2}
        with loader(listed(9, {5: WRONG["KeyError"]}, key="k"), left_out=LeftOut("skip"), **shared) as batches:
            halves.append([batches.batch(index)["source"] for index in range(2, 5)])
    together = [torch.stack(each, dim=1).flatten(0, 1) for each in zip(*halves, strict=True)]
    # On the stream images are left out from the batch on that meets them, so only later batches are alike.
    for number, wanted in enumerate(found[0]):
        assert torch.equal(found[1][number], found[2][number])
        assert torch.equal(together[number], wanted)


def test_a_preview_shows_the_next_one() -> None:
    told: list[str] = []
    shown = preview_batch(
        {"source": listed(5, {0: WRONG["SystemExit"]})}, {"source": RGB}, count=2, size=(4, 6), resize="stretch",
        device=CPU, on_broken=lambda _, reason: told.append(reason),
    )  # fmt: skip
    assert torch.equal(shown.images["source"], images.normalize(torch.stack(_planes(1, 2)), RGB))
    assert len(told) == 1
    assert "SystemExit" in told[0]


def _planes(*numbers: int) -> list[torch.Tensor]:
    return [torch.from_numpy(images.decode(png(each), "a").pixels.copy()).permute(2, 0, 1) for each in numbers]


# --- keys -------------------------------------------------------------------------------------------------------------


def stored(folder: Path, examples: list[Example], domain: Domain = RGB, **options: Any) -> torch.Tensor:
    asked: dict[str, Any] = {"size": (4, 6), "resize": "stretch", "device": CPU, **options}
    return decode_stored(folder, {"source": examples}, {"source": domain}, **asked)["source"]


def test_a_key_stands_for_the_content_in_a_disk_cache(tmp_path: Path) -> None:
    first = stored(tmp_path, listed(3, key="k"))
    assert torch.equal(first, torch.stack(_planes(0, 1, 2)))
    hit = [Example(failing(AssertionError("called")), f"other {number}", key=f"k{number}") for number in range(3)]
    assert torch.equal(stored(tmp_path, hit), first)
    assert len(list(tmp_path.glob("*.npy"))) == 1
    # Another key, half, order or domain is other content.
    for other, domain in (
        (listed(3, key="l"), RGB), (listed(3, key="k")[::-1], RGB), (listed(3, key="k"), Domain(1)),
        ([Example(each.pixels, each.name, "left", key=each.key) for each in listed(3, key="k")], RGB),
    ):  # fmt: skip
        before = len(list(tmp_path.glob("*.npy")))
        stored(tmp_path, other, domain)
        assert len(list(tmp_path.glob("*.npy"))) == before + 1


def test_without_a_key_nothing_is_kept(tmp_path: Path) -> None:
    stored(tmp_path, listed(3))
    stored(tmp_path, [*listed(2, key="k"), *listed(1)])
    assert not list(tmp_path.glob("*"))


def test_a_key_cannot_stand_for_two_and_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    one = [Example(lambda: images.decode(png(1), "a"), "a", key="x\nwhole y"), *listed(1, key="y")]
    two = [Example(lambda: images.decode(png(2), "a"), "a", key="x"), *listed(1, key="whole y\ny")]
    assert not torch.equal(stored(tmp_path / "kept", one), stored(tmp_path / "kept", two))
    path = tmp_path / "a.png"
    found = []
    for value in (1, 2):
        path.write_bytes(png(value))
        found.append(stored(tmp_path / "kept", [Example(path, "a", key="same")]))
    assert not torch.equal(*found)


def test_a_key_is_text() -> None:
    with pytest.raises(TranslateError, match=r"the key of the example a is text, not b'x'"):
        Example(Path("a"), "a", key=b"x")  # type: ignore[arg-type]


def test_halves_of_one_key_are_opened_once() -> None:
    calls: list[int] = []

    def make() -> Any:
        calls.append(1)
        return png()

    sides = {side: [Example(make, "a", side, key="k")] for side in ("left", "right")}  # type: ignore[arg-type]
    dataset = Dataset(
        "d", "l", True, dict.fromkeys(("source", "target"), RGB),
        {"train": {"source": sides["left"], "target": sides["right"]}},
    )  # fmt: skip
    assert inspection.inspect(dataset).sides["train"]["target"].sizes == {(4, 3): 1}
    assert len(calls) == 1


def test_a_fingerprint_has_the_keys_and_is_as_it_was_without(tmp_path: Path) -> None:
    def listing(key: str) -> Listing:
        return Listing.of(Dataset("d", "l", False, {"source": RGB}, {"train": {"source": listed(3, key=key)}}), Needs())

    plain, one, two = listing(""), listing("k"), listing("l")
    assert len({plain.fingerprint, one.fingerprint, two.fingerprint}) == 3
    for each in (plain, one):
        each.write(tmp_path)
        assert Listing.read(tmp_path, each.fingerprint) == Listing(each.sides)
    assert json.loads((tmp_path / "listing.jsonl").read_text().splitlines()[1]) == ["0.png", -1, "k0"]
    assert differences(one, two) == "other content of 3 source images (0.png, 1.png, 2.png)"


PLUGIN = """
from pathlib import Path
from translate import hookimpl, images
from translate.data import Dataset, Domain, Example

def packed(root: Path):
    '''Images in one file.'''
    lines = (root / "pack.txt").read_text().splitlines()
    def make(line):
        return lambda: images.decode(bytes.fromhex(line), "a line of pack.txt")
    listed = [Example(make(line), str(number), key=line[-400:]) for number, line in enumerate(lines)]
    return Dataset(root.name, "packed", True, dict.fromkeys(("source", "target"), Domain(3)),
                   {"train": {"source": listed, "target": listed}})

@hookimpl
def datasets(): return {"packed": packed}
"""


def test_a_run_is_resumed_to_the_bit_and_notices_other_content(tmp_path: Path) -> None:
    (tmp_path / "packs.py").write_text(PLUGIN)
    data = tmp_path / "data"
    data.mkdir()

    def pack(*values: int) -> None:
        (data / "pack.txt").write_text("\n".join(png(value, size=(16, 16)).hex() for value in values))

    pack(1, 2, 3, 4)
    options: dict[str, Any] = {
        "size": 16, "batch": 2, "log_every": 1, "save_every": 2, "keep": 9, "layout": "packed", "steps": 4,
        "plugins": [str(tmp_path / "packs.py")], "generator": "shallow(width=4)", "sample_every": 9,
        "cache_folder": tmp_path / "kept",
    }  # fmt: skip
    whole, half = (translate.fit("regression", data, output=tmp_path / name, **options) for name in ("a", "b"))
    half.checkpoints[-1].unlink()
    resumed = translate.resume(half.folder, plugins=options["plugins"])
    first, second = (checkpoint.load(run.checkpoints[-1])[0] for run in (whole, resumed))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert len(list((tmp_path / "kept").glob("*.npy"))) == 1
    pack(1, 2, 9, 4)
    half.checkpoints[-1].unlink()
    with pytest.raises(TranslateError, match=r"has changed since: other content of 1 pair|1 source image \(2\)"):
        translate.resume(half.folder, plugins=options["plugins"])
