"""Conversion: through real files and real threads, with translators whose answers are known."""

from __future__ import annotations

import gc
import inspect
import signal
import struct
import threading
import time
import weakref
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from translate import images
from translate.conversion import Conversion, batch, convert
from translate.conversion.pipeline import convert_all
from translate.conversion.plan import DEPTHS, FORMATS, name_outputs, suffix_rule
from translate.conversion.stored_plan import Naming, planned
from translate.data import Domain
from translate.errors import TranslateError
from translate.inputs import gather
from translate.plugins import Catalog, discover
from translate.translator import Translator

PHOTOS = Path(__file__).parents[1] / "../shared/data/photos"


class Told(Catalog):
    """A catalog that notes what observers are told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def tell(self, event: str, **metadata: Any) -> None:
        self.events.append((event, metadata))


class Negative:
    """A translator that turns images into their negatives, plane by plane or repeated to the target's planes."""

    needs_calibration = False

    def __init__(self, source: Domain | None = None, target: Domain | None = None, multiple: int = 4) -> None:
        self.catalog: Catalog = Told()
        self.direction = "forward"
        self.source = source or Domain(3)
        self.target = target or self.source
        self.size_multiple = multiple
        self.device = torch.device("cpu")
        self.batches: list[tuple[int, ...]] = []

    @property
    def events(self) -> list[tuple[str, dict[str, Any]]]:
        assert isinstance(self.catalog, Told)
        return self.catalog.events

    def calibrate(self, batches: Iterable[Tensor], /) -> None:
        self.shown = [tuple(batch.shape) for batch in batches]
        self.needs_calibration = False

    def replicate(self) -> Negative | None:
        return None

    def translate(self, batch: Tensor, /, *, samples: int | None = None, seed: int = 0) -> Tensor:
        assert batch.dtype == torch.float32
        assert batch.shape[1] == self.source.channels
        if min(batch.shape[2:]) > 1:
            assert batch.shape[2] % self.size_multiple == 0
            assert batch.shape[3] % self.size_multiple == 0
        self.batches.append(tuple(batch.shape))
        answer = -batch
        if answer.shape[1] != self.target.channels:
            answer = answer.mean(1, keepdim=True).repeat(1, self.target.channels, 1, 1)
        if samples is None:
            return answer
        noise = torch.rand(samples, 1, 1, 1, generator=torch.Generator().manual_seed(seed))
        return answer.repeat_interleave(samples, 0) * noise.repeat(len(batch), 1, 1, 1)


def random_image(shape: tuple[int, ...], dtype: Any = np.uint8, seed: int = 0) -> NDArray[Any]:
    draws = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return draws.random(shape, dtype=np.float32)
    return draws.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def save(path: Path, pixels: NDArray[Any], alpha: NDArray[Any] | None = None) -> NDArray[Any]:
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, images.Image(pixels, alpha))
    return pixels


def many(folder: Path, count: int, sizes: tuple[tuple[int, int], ...] = ((12, 16),)) -> Path:
    for number in range(count):
        save(folder / f"{number:03}.png", random_image((*sizes[number % len(sizes)], 3), seed=number))
    return folder


def files(folder: Path) -> list[str]:
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.startswith(".translate/"))


# --- what images become -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "largest"),
    [
        ("a.png", (9, 14, 3), np.uint8, 255),
        ("a.PNG", (9, 14, 3), np.uint16, 65535),
        ("a.bmp", (5, 6, 3), np.uint8, 255),
        ("a.tif", (9, 14, 3), np.float32, 1),
        ("a.tiff", (1, 1, 3), np.uint16, 65535),
        ("a.npy", (8, 9, 3), np.float32, 1),
    ],
)
def test_a_file_keeps_its_size_depth_and_format(
    tmp_path: Path, name: str, shape: Any, dtype: Any, largest: int
) -> None:
    pixels = save(tmp_path / name, random_image(shape, dtype))
    result = convert(Negative(), tmp_path / name, tmp_path / "deep" / "er" / name)
    assert result == Conversion(1, (), tmp_path / "deep" / "er" / name)
    answer = images.read(tmp_path / "deep" / "er" / name).pixels
    assert answer.dtype == dtype
    np.testing.assert_allclose(answer.astype(np.float64), largest - pixels.astype(np.float64), atol=1e-6)


def test_five_channels(tmp_path: Path) -> None:
    pixels = save(tmp_path / "a.npy", random_image((8, 9, 5)))
    assert convert(Negative(Domain(5)), tmp_path / "a.npy", tmp_path / "out").converted == 1
    assert (np.load(tmp_path / "out" / "a.npy") == 255 - pixels).all()


def test_gray_and_colour_are_adapted(tmp_path: Path) -> None:
    gray = save(tmp_path / "in" / "gray.png", random_image((8, 8, 1)))
    convert(Negative(), tmp_path / "in", tmp_path / "colour")
    assert (images.read(tmp_path / "colour" / "gray.png").pixels == 255 - gray.repeat(3, axis=2)).all()
    colour = save(tmp_path / "in2" / "colour.png", random_image((8, 8, 3)))
    convert(Negative(Domain(1)), tmp_path / "in2", tmp_path / "gray")
    luma = images.as_channels(colour, 1, "")
    assert (images.read(tmp_path / "gray" / "colour.png").pixels == 255 - luma).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_alpha_is_cut_off_and_put_back(tmp_path: Path, dtype: Any) -> None:
    alpha = random_image((10, 7), dtype, seed=3)
    save(tmp_path / "a.png", random_image((10, 7, 3), dtype), alpha)
    convert(Negative(), tmp_path / "a.png", tmp_path / "b.png")
    answer = images.read(tmp_path / "b.png")
    assert answer.alpha is not None
    assert (answer.alpha == alpha).all()
    convert(Negative(), tmp_path / "a.png", tmp_path / "c.png", at=(5, 14))
    smaller = images.read(tmp_path / "c.png")
    assert smaller.alpha is not None
    assert (smaller.alpha == images.resize(alpha[..., None], (5, 14))[..., 0]).all()
    assert smaller.pixels.shape == (5, 14, 3)


def test_alpha_follows_the_depth_of_the_answer(tmp_path: Path) -> None:
    alpha = random_image((8, 8), np.uint8, seed=3)
    save(tmp_path / "a.png", random_image((8, 8, 3)), alpha)
    convert(Negative(target=Domain(3, depth="uint16")), tmp_path / "a.png", tmp_path / "b.png")
    answer = images.read(tmp_path / "b.png").alpha
    assert answer is not None
    assert (answer == alpha.astype(np.uint16) * 257).all()


def test_transparency_is_never_lost_in_silence(tmp_path: Path) -> None:
    alpha = np.full((8, 8), 255, np.uint8)
    save(tmp_path / "in" / "opaque.png", random_image((8, 8, 3)), alpha)
    alpha[0, 0] = 254
    save(tmp_path / "in" / "transparent.png", random_image((8, 8, 3)), alpha)
    result = convert(Negative(), tmp_path / "in", tmp_path / "out", format="jpg")
    assert files(tmp_path / "out") == ["opaque.jpg"]
    ((path, reason),) = result.failed
    assert path.name == "transparent.png"
    assert "--format png" in reason


def test_a_palette_and_an_orientation_are_resolved(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    colour = PIL.Image.fromarray(random_image((8, 8, 3))).quantize(16)
    colour.save(tmp_path / "in" / "palette.png")
    ramp = np.linspace(0, 255, 24, dtype=np.uint8)[:, None].repeat(16, axis=1)
    exif = PIL.Image.Exif()
    exif[274] = 6
    PIL.Image.fromarray(ramp).save(tmp_path / "in" / "turned.jpg", exif=exif)
    assert convert(Negative(), tmp_path / "in", tmp_path / "out").converted == 2
    expected = 255 - np.asarray(colour.convert("RGB"))
    assert (images.read(tmp_path / "out" / "palette.png").pixels == expected).all()
    with PIL.Image.open(tmp_path / "out" / "turned.jpg") as turned:
        assert turned.size == (24, 16)
        assert 274 not in turned.getexif()
        row = np.asarray(turned.convert("L"))[8].astype(int)
    assert (row[:12].mean() < row[12:].mean()) == (255 - ramp[::-1, 0].astype(int)[:12].mean() < 127)


def test_at_resizes_to_that_size(tmp_path: Path) -> None:
    many(tmp_path / "in", 4, sizes=((12, 16), (20, 9)))
    translator = Negative()
    convert(translator, tmp_path / "in", tmp_path / "out", at=8, batch=4)
    assert translator.batches == [(4, 3, 8, 8)]
    assert {images.probe(path).height for path in images.find(tmp_path / "out")} == {8}
    for path in images.find(tmp_path / "in"):
        resized = images.resize(images.read(path).pixels, (8, 8))
        assert (images.read(tmp_path / "out" / path.name).pixels == 255 - resized).all()


def test_at_keeps_class_indices_whole(tmp_path: Path) -> None:
    """Between the classes 0 and 3 there is nothing; alpha is resized with its image."""
    save(tmp_path / "map.png", np.kron([[0, 3], [3, 0]], np.ones((6, 7)))[..., None].astype(np.uint8))
    seen: list[Tensor] = []

    class Watching(Negative):
        def translate(self, batch: Tensor, /, *, samples: int | None = None, seed: int = 0) -> Tensor:
            seen.append(batch.argmax(1))
            return super().translate(batch, samples=samples, seed=seed)

    convert(Watching(Domain(4, classes=4), Domain(3)), tmp_path / "map.png", tmp_path / "out.png", at=8)
    assert set(seen[0].unique().tolist()) == {0, 3}
    pixels, alpha = random_image((12, 14, 3)), random_image((12, 14), seed=1)
    save(tmp_path / "clear.png", pixels, alpha)
    convert(Negative(), tmp_path / "clear.png", tmp_path / "answer.png", at=(8, 10))
    answer = images.read(tmp_path / "answer.png")
    assert answer.alpha is not None
    assert (answer.alpha == images.resize(alpha[..., None], (8, 10))[..., 0]).all()


HELD = {
    "png": ({1, 3}, {"uint8", "uint16"}),
    "jpg": ({1, 3}, {"uint8"}),
    "webp": ({1, 3}, {"uint8"}),
    "tiff": ({1, 3}, {"uint8", "uint16", "float32"}),
    "bmp": ({1, 3}, {"uint8"}),
    "npy": ({1, 2, 3, 5}, {"uint8", "uint16", "float32"}),
}


@pytest.mark.parametrize("name", HELD)
def test_what_a_format_is_said_to_hold_it_holds(name: str, tmp_path: Path) -> None:
    """Channels and depths are those of the table, and such images come back as they were if it is lossless."""
    found = FORMATS[name]
    held = [
        (channels, depth)
        for channels in (1, 2, 3, 5)
        for depth in DEPTHS
        if found.holds(channels, depth, lossless=False)
    ]
    assert {channels for channels, _ in held} == HELD[name][0]
    assert {depth for _, depth in held} == HELD[name][1]
    assert found.lossless is (name not in ("jpg", "webp"))
    assert found.alpha is (name in ("png", "webp", "tiff"))
    for suffix in found.suffixes:
        for channels, depth in held:
            path = tmp_path / f"{channels}-{depth}{suffix}"
            pixels = save(path, random_image((6, 5, channels), depth))
            again = images.read(path).pixels
            assert (again.shape[:2], again.dtype) == (pixels.shape[:2], pixels.dtype)
            assert not found.lossless or np.array_equal(again, pixels)
            domain = Domain(channels, depth)
            assert suffix_rule(domain, domain, "same")(suffix) == suffix


# --- formats ----------------------------------------------------------------------------------------------------------


def test_the_quality_of_lossy_files_is_95_unless_another_is_asked_for(tmp_path: Path) -> None:
    save(tmp_path / "a.png", random_image((32, 32, 3)))
    for quality in (94, 95, 96):
        convert(Negative(), tmp_path / "a.png", tmp_path / f"{quality}.jpg", quality=quality)
    convert(Negative(), tmp_path / "a.png", tmp_path / "default.jpg")
    default = (tmp_path / "default.jpg").read_bytes()
    assert [default == (tmp_path / f"{quality}.jpg").read_bytes() for quality in (94, 95, 96)] == [False, True, False]


def test_format_overrides(tmp_path: Path) -> None:
    pixels = save(tmp_path / "in" / "deep.png", random_image((8, 8, 3), np.uint16))
    for chosen, depth in [
        ("png", "uint16"),
        ("jpg", "uint8"),
        ("webp", "uint8"),
        ("tiff", "uint16"),
        ("npy", "uint16"),
    ]:
        out = tmp_path / chosen
        assert convert(Negative(), tmp_path / "in", out, format=chosen, quality=100).failed == ()  # type: ignore[arg-type]
        (name,) = files(out)
        assert name == f"deep.{chosen}"
        answer = images.read(out / name).pixels
        assert str(answer.dtype) == depth
        scale = 1 if depth == "uint16" else 257
        assert np.abs(answer.astype(float) * scale - (65535 - pixels.astype(float))).mean() < (
            1 if scale == 1 else 2500
        )


def test_what_a_format_cannot_hold_goes_elsewhere_or_is_refused(tmp_path: Path) -> None:
    many(tmp_path / "in", 1)
    (tmp_path / "in" / "000.png").rename(tmp_path / "in" / "000.jpg")
    metres = Domain(1, depth="float32", low=0.0, high=80.0)
    convert(Negative(target=metres), tmp_path / "in", tmp_path / "float")
    assert files(tmp_path / "float") == ["000.tiff"]
    answer = images.read(tmp_path / "float" / "000.tiff").pixels
    assert answer.dtype == np.float32
    assert 30 < answer.mean() < 50
    convert(Negative(target=Domain(7)), tmp_path / "in", tmp_path / "seven")
    assert np.load(tmp_path / "seven" / "000.npy").shape == (12, 16, 7)
    with pytest.raises(TranslateError, match=r"png cannot hold images of 7 channels; choose --format npy"):
        convert(Negative(target=Domain(7)), tmp_path / "in", tmp_path / "refused", format="png")
    with pytest.raises(TranslateError, match="convert: format must be 'same' or 'png'"):
        convert(Negative(), tmp_path / "in", tmp_path / "refused", format="gif")  # type: ignore[arg-type]
    assert not (tmp_path / "refused").exists()


def test_class_maps_in(tmp_path: Path) -> None:
    indices = random_image((9, 11, 1)) % 4
    palette = PIL.Image.fromarray(indices[..., 0], "P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    (tmp_path / "in").mkdir()
    palette.save(tmp_path / "in" / "map.png")
    save(tmp_path / "in" / "wrong.png", np.full((4, 4, 1), 4, np.uint8))
    seen: list[Tensor] = []

    class Watching(Negative):
        def translate(self, batch: Tensor, /, *, samples: int | None = None, seed: int = 0) -> Tensor:
            seen.append(batch)
            return super().translate(batch, samples=samples, seed=seed)

    translator = Watching(Domain(4, classes=4), Domain(3))
    result = convert(translator, tmp_path / "in", tmp_path / "out")
    assert (seen[0][0, :, :9, :11].argmax(0).numpy() == indices[..., 0]).all()
    assert set(seen[0].unique().tolist()) == {-1.0, 1.0}
    assert images.probe(tmp_path / "out" / "map.png").channels == 3
    assert [(path.name, "class index 4" in reason) for path, reason in result.failed] == [("wrong.png", True)]


@pytest.mark.parametrize("palette", [(), ((0, 0, 0), (200, 10, 10), (255, 255, 255))])
def test_class_maps_out(tmp_path: Path, palette: tuple[tuple[int, int, int], ...]) -> None:
    domain = Domain(3, classes=3, palette=palette)
    expected = random_image((6, 10, 1)) % 3
    save(tmp_path / "a.jpg", np.zeros((6, 10, 3), np.uint8))

    class Answering(Negative):
        def translate(self, batch: Tensor, /, *, samples: int | None = None, seed: int = 0) -> Tensor:
            stored = torch.from_numpy(expected).permute(2, 0, 1)[None]
            return nn.functional.pad(images.normalize(stored, domain), (0, 2, 0, 2)) * 0.9

    convert(Answering(target=domain), tmp_path / "a.jpg", tmp_path / "out")
    assert (images.read_indices(tmp_path / "out" / "a.png") == expected[..., 0]).all()
    with pytest.raises(TranslateError, match="class indices unharmed; choose --format png or tiff or npy"):
        convert(Answering(target=domain), tmp_path / "a.jpg", tmp_path / "out", format="webp")


# --- names ------------------------------------------------------------------------------------------------------------

words = st.text(st.sampled_from("abAB.-1é"), min_size=1, max_size=3).filter(lambda word: not word.startswith("."))
suffixes = st.sampled_from([".png", ".PNG", ".jpg", ".jpeg", ".gif", ".npy", ".tif"])
listings = st.lists(
    st.builds(
        lambda folders, stem, suffix: "/".join([*folders, stem + suffix]), st.lists(words, max_size=2), words, suffixes
    ),
    unique=True,
    max_size=12,
)


def consistent(names: list[str]) -> bool:
    """Whether a file system could hold these: no name is both a file and a folder."""
    folders = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    return not folders & set(names)


@given(
    names=listings.filter(consistent).map(sorted),
    chosen=st.sampled_from(["same", "png", "jpg", "webp", "tiff", "npy"]),
    samples=st.none() | st.integers(1, 3),
)
@example(names=["A.png", "a.png"], chosen="same", samples=None)
@example(names=["a.jpg", "a.png/b.jpg"], chosen="png", samples=None)
@example(names=["a.gif", "a.gif.jpg", "a.gif.png.jpg", "a.jpg", "a.png"], chosen="png", samples=None)
def test_names_never_meet(names: list[str], chosen: Any, samples: int | None) -> None:
    planned = name_outputs(names, suffix_rule(Domain(3), Domain(3), chosen), samples)
    outputs = [output for each in planned for output in each]
    folders = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    assert len({output.casefold() for output in outputs}) == len(names) * (samples or 1)
    assert not folders & set(outputs)
    allowed = {"jpg": {".jpg", ".jpeg"}, "tiff": {".tif", ".tiff"}}.get(chosen, {f".{chosen}"})
    for name, each in zip(names, planned, strict=True):
        for output in each:
            assert PurePosixPath(output).parent == PurePosixPath(name).parent
            assert ".." not in PurePosixPath(output).parts
            stem = PurePosixPath(name).name.removesuffix(PurePosixPath(name).suffix)
            assert PurePosixPath(output).name.startswith(stem)
            suffix = PurePosixPath(output).suffix
            if chosen == "same":
                assert suffix == (".png" if name.lower().endswith(".gif") else PurePosixPath(name).suffix)
            else:
                assert suffix.lower() in allowed


def test_two_of_one_stem_both_arrive(tmp_path: Path) -> None:
    one = save(tmp_path / "in" / "a.bmp", random_image((8, 8, 3), seed=1))
    two = save(tmp_path / "in" / "a.png", random_image((8, 8, 3), seed=2))
    convert(Negative(), tmp_path / "in", tmp_path / "out", format="png")
    assert files(tmp_path / "out") == ["a.bmp.png", "a.png"]
    assert (images.read(tmp_path / "out" / "a.bmp.png").pixels == 255 - one).all()
    assert (images.read(tmp_path / "out" / "a.png").pixels == 255 - two).all()


def test_a_large_listing_is_planned_quickly_enough_to_be_linear() -> None:
    names = [f"{number % 100}/{number}.jpg" for number in range(20_000)]
    planned = name_outputs(names, suffix_rule(Domain(3), Domain(3), "png"))
    assert planned[1234] == ("34/1234.png",)
    assert len(set(planned)) == len(names)


@pytest.mark.parametrize(
    ("source", "target", "sentence"),
    [
        ("missing", "out", "does not exist"),
        ("empty", "out", "holds no images"),
        ("in", "in", "is the folder to convert"),
        ("in", "in/out", "inside"),
        ("in", "./empty/../in", "is the folder to convert"),
        ("in", "file.png", "is a file"),
        ("file.png", "file.png", "would be overwritten"),
        ("file.png", ".", "would be overwritten"),
        ("file.png", "out.gif", "cannot be written"),
        ("nested", ".", "among the inputs"),
    ],
)
def test_requests_that_would_do_harm_are_refused(tmp_path: Path, source: str, target: str, sentence: str) -> None:
    many(tmp_path / "in", 2)
    (tmp_path / "empty").mkdir()
    pixels = save(tmp_path / "file.png", random_image((4, 4, 3)))
    save(tmp_path / "nested" / "nested" / "a.png", pixels)
    before = files(tmp_path)
    translator = Negative()
    with pytest.raises(TranslateError, match=sentence) as caught:
        convert(translator, tmp_path / source, f"{tmp_path}/{target}")
    assert "\n" not in str(caught.value)
    assert files(tmp_path) == before
    assert (images.read(tmp_path / "file.png").pixels == pixels).all()
    assert translator.events == []


def test_a_target_around_the_source_is_fine(tmp_path: Path) -> None:
    many(tmp_path / "in", 2)
    assert convert(Negative(), tmp_path / "in", tmp_path).converted == 2
    assert files(tmp_path) == ["000.png", "001.png", "in/000.png", "in/001.png"]


@pytest.mark.parametrize(
    "options",
    [{"batch": 0}, {"samples": 0}, {"quality": 101}, {"workers": -1}, {"at": "12x"}, {"direction": "backward"}],
)
def test_options_out_of_range_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(TranslateError):
        convert(Negative(), many(tmp_path / "in", 1), tmp_path / "out", **options)


def test_a_single_target_must_fit_the_format(tmp_path: Path) -> None:
    save(tmp_path / "a.png", random_image((4, 4, 3)))
    with pytest.raises(TranslateError, match=r"\.jpg is not the format png; end the name in \.png"):
        convert(Negative(), tmp_path / "a.png", tmp_path / "b.jpg", format="png")
    with pytest.raises(TranslateError, match=r"cannot hold this translator's answers; end the name in \.npy"):
        convert(Negative(target=Domain(7)), tmp_path / "a.png", tmp_path / "b.png")


# --- failures ---------------------------------------------------------------------------------------------------------


def huge_png(path: Path) -> None:
    """A PNG whose header promises 100,000 x 100,000 pixels."""
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunks = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b""))
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def test_bad_files_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 6)
    (source / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0" + b"nonsense" * 20)
    (source / "empty.png").write_bytes(b"")
    (source / "text.png").write_text("hello")
    whole = (source / "003.png").read_bytes()
    (source / "sub").mkdir()
    (source / "sub" / "torn.png").write_bytes(whole[: len(whole) // 2])
    huge_png(source / "huge.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "004.png").mkdir()
    translator = Negative()
    with pytest.raises(TranslateError, match=r"004\.png exists already.*--overwrite"):
        convert(translator, source, tmp_path / "out", batch=2)
    result = convert(translator, source, tmp_path / "out", batch=2, overwrite=True)
    failed = {path.relative_to(source).as_posix(): reason for path, reason in result.failed}
    assert sorted(failed) == ["004.png", "broken.jpg", "empty.png", "huge.png", "sub/torn.png", "text.png"]
    assert result.converted == 5
    assert "--max-pixels" in failed["huge.png"]
    for path, reason in result.failed:
        assert "\n" not in reason
        assert path.name in reason
    assert not [name for name in files(tmp_path / "out") if name.endswith(".part")]
    names = [name for name, _ in translator.events]
    assert names[0] == "conversion_started"
    assert names[-1] == "conversion_ended"
    assert translator.events[0][1] == {"total": 11, "verb": "convert"}
    told = {metadata["source"]: metadata["error"] for name, metadata in translator.events if name == "image_converted"}
    assert len(told) == len(names) - 2 == 11
    assert {path: error for path, error in told.items() if error} == dict(result.failed)


def test_max_pixels(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 2, sizes=((4, 4), (8, 8)))
    result = convert(Negative(), source, tmp_path / "out", max_pixels=16)
    assert [path.name for path, _ in result.failed] == ["001.png"]
    labels = Negative(Domain(256, classes=256), Domain(3))
    save(tmp_path / "maps" / "a.png", random_image((8, 8, 1)))
    assert "--max-pixels" in convert(labels, tmp_path / "maps", tmp_path / "out", max_pixels=16).failed[0][1]


class Picky(Negative):
    """Refuses any batch with a pure red image in it."""

    error: Callable[[], Exception] = RuntimeError

    def translate(self, batch: Tensor, /, *, samples: int | None = None, seed: int = 0) -> Tensor:
        red = (batch[:, 0] == 1).all((1, 2)) & (batch[:, 1:] == -1).all((1, 2, 3))
        if red.any():
            raise self.error()
        return super().translate(batch, samples=samples, seed=seed)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (lambda: RuntimeError("tensors do\nnot match"), "RuntimeError: tensors do not match"),
        (lambda: MemoryError(), "needs more memory"),
        (lambda: torch.OutOfMemoryError("CUDA out of memory"), "needs more memory"),
        (lambda: TranslateError("this one is red"), "this one is red"),
    ],
)
def test_a_batch_that_fails_is_retried_one_by_one(tmp_path: Path, error: Any, sentence: str) -> None:
    source = many(tmp_path / "in", 8)
    red = np.zeros((12, 16, 3), np.uint8)
    red[..., 0] = 255
    save(source / "002.png", red)
    translator = Picky()
    translator.error = error
    result = convert(translator, source, tmp_path / "out", batch=4)
    assert result.converted == 7
    assert [path.name for path, _ in result.failed] == ["002.png"]
    assert sentence in result.failed[0][1]
    assert len(translator.batches) == 4


def test_running_out_of_memory_costs_one_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = images.load

    def starving(source: images.Source, *, name: str, **options: Any) -> images.Image:
        if name.endswith("001.png"):
            raise MemoryError
        return load(source, name=name, **options)

    monkeypatch.setattr(images, "load", starving)
    result = convert(Negative(), many(tmp_path / "in", 3), tmp_path / "out")
    assert [(path.name, "--at" in reason) for path, reason in result.failed] == [("001.png", True)]
    assert files(tmp_path / "out") == ["000.png", "002.png"]


@pytest.mark.parametrize(
    ("precision", "advice"),
    [
        ("float32", "train anew, or take"),
        ("bf16", "try --precision float32"),
        (None, "check what it was exported from"),
    ],
)
def test_an_answer_that_is_not_finite_is_no_image(tmp_path: Path, precision: str | None, advice: str) -> None:
    class Broken(Negative):
        def __init__(self) -> None:
            super().__init__()
            if precision is not None:
                self.precision = precision

        def translate(self, batch: Tensor, /, *, samples: int | None = None, seed: int = 0) -> Tensor:
            answer = -batch
            answer[0, 0, 0, 0] = torch.nan
            return answer

    result = convert(Broken(), many(tmp_path / "in", 4), tmp_path / "out", batch=4)
    ((path, reason),) = result.failed
    assert path.name == "000.png"
    assert f"the network's answer is not finite; {advice}" in reason


@pytest.mark.parametrize("batch_size", [1, 3])
def test_an_interrupt_ends_the_threads_and_leaves_no_half_file(tmp_path: Path, batch_size: int) -> None:
    class Interrupted(Negative):
        def translate(self, batch: Tensor, /, *, samples: int | None = None, seed: int = 0) -> Tensor:
            if len(self.batches) == 4:
                signal.raise_signal(signal.SIGINT)
            return super().translate(batch, samples=samples, seed=seed)

    translator = Interrupted()
    source = many(tmp_path / "in", 60)
    # Whoever runs the tests in the background of a script has the signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            convert(translator, source, tmp_path / "out", batch=batch_size)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("translate-convert")]
    assert translator.events[-1][0] == "conversion_ended"
    written = files(tmp_path / "out")
    assert len(written) <= 4 * batch_size
    for name in written:
        expected = 255 - images.read(source / name).pixels
        assert (images.read(tmp_path / "out" / name).pixels == expected).all()


def test_an_interrupt_drops_what_has_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decode, begun, at_interrupt = batch.decode, [], []

    def slow(task: Any, work: Any) -> Any:
        begun.append(task)
        time.sleep(0.01)
        return decode(task, work)

    class Interrupted(Negative):
        def translate(self, batch: Tensor, /, *, samples: int | None = None, seed: int = 0) -> Tensor:
            at_interrupt.append(len(begun))
            raise KeyboardInterrupt

    monkeypatch.setattr("translate.conversion.pipeline.decode", slow)
    with pytest.raises(KeyboardInterrupt):
        convert(Interrupted(), many(tmp_path / "in", 40), tmp_path / "out", batch=10, workers=1)
    assert len(begun) <= at_interrupt[0] + 2


def test_a_folder_keeps_its_tree(tmp_path: Path) -> None:
    """However deep a file lies, and if no file lies in the folders above it."""
    names = ["a.png", "b/c/d/e.png", "b/c/d/f.png", "g/h.png"]
    for number, name in enumerate(names):
        save(tmp_path / "in" / name, random_image((6, 5, 3), seed=number))
    assert convert(Negative(), tmp_path / "in", tmp_path / "out").converted == 4
    assert files(tmp_path / "out") == names
    for name in names:
        assert (images.read(tmp_path / "out" / name).pixels == 255 - images.read(tmp_path / "in" / name).pixels).all()


def test_images_are_told_as_they_are_done(tmp_path: Path) -> None:
    told: list[int] = []

    class Watching(Negative):
        def translate(self, batch: Tensor, /, *, samples: int | None = None, seed: int = 0) -> Tensor:
            told.append(len(self.events) - 1)
            return super().translate(batch, samples=samples, seed=seed)

    convert(Watching(), many(tmp_path / "in", 40), tmp_path / "out", workers=1)
    assert all(number >= index - 3 for index, number in enumerate(told))


# --- neighbours, batches, memory --------------------------------------------------------------------------------------


def small_network() -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 3, 5, padding=2), nn.Tanh())
    network.size_multiple = 8  # type: ignore[assignment]
    return network


def real_translator() -> Translator:
    return Translator(
        small_network(),
        catalog=discover(blocked=()),
        direction="forward",
        directions=("forward",),
        source=Domain(3),
        target=Domain(3),
        size=(16, 16),
        device=torch.device("cpu"),
    )


def test_an_answer_never_depends_on_neighbours(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 7, sizes=((9, 13), (16, 16), (10, 15)))
    translator = real_translator()
    convert(translator, source, tmp_path / "single", batch=1)
    convert(translator, source, tmp_path / "many", batch=4, workers=3)
    for path in images.find(source):
        convert(translator, path, tmp_path / "alone" / path.name)
        alone = images.read(tmp_path / "alone" / path.name).pixels
        assert (images.read(tmp_path / "single" / path.name).pixels == alone).all()
        together = images.read(tmp_path / "many" / path.name).pixels
        # In another batch the same sums may be taken in another order.
        assert np.abs(together.astype(int) - alone.astype(int)).max() <= 1
        assert (translator(images.read(path).pixels) == alone).all()


@pytest.mark.parametrize(
    ("cores", "ranks", "workers", "expected"),
    [(3, 1, 0, 3), (None, 1, 0, 1), (64, 1, 0, 16), (8, 2, 0, 4), (1, 2, 0, 1), (3, 1, 5, 5)],
)
def test_decoding_threads_are_one_a_core_shared_by_the_ranks(
    cores: int | None, ranks: int, workers: int, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def noted(*given: Any, workers: int, **more: Any) -> Any:
        seen.append(workers)
        return convert_all(*given, workers=workers, **more)

    monkeypatch.setattr("translate.conversion.converting.convert_all", noted)
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    monkeypatch.setattr("translate.conversion.converting.rank_and_world_size", lambda: (0, ranks))
    given = {"workers": workers} if workers else {}
    convert(Negative(), many(tmp_path / "in", 1), tmp_path / "out", **given)
    assert seen == [expected]


def test_a_conversion_without_options_is_what_work_means_without_them() -> None:
    options = inspect.signature(convert).parameters
    work = batch.Work(Negative())
    for name in ("at", "samples", "seed", "quality", "max_pixels"):
        assert getattr(work, name) == options[name].default, name


def test_images_of_one_padded_size_share_batches(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 12, sizes=((5, 8), (8, 8), (9, 9)))
    translator = Negative()
    convert(translator, source, tmp_path / "out", batch=4)
    assert sorted(translator.batches) == [(4, 3, 8, 8), (4, 3, 8, 8), (4, 3, 12, 12)]
    for path in images.find(source):
        assert (images.read(tmp_path / "out" / path.name).pixels == 255 - images.read(path).pixels).all()


@pytest.mark.parametrize(("height", "width"), [(1, 2), (1, 1), (9, 1), (2, 7), (3, 3), (17, 5)])
def test_tiny_images_are_padded_as_the_translator_does(tmp_path: Path, height: int, width: int) -> None:
    pixels = save(tmp_path / "a.png", random_image((height, width, 3)))
    translator = real_translator()
    convert(translator, tmp_path / "a.png", tmp_path / "b.png")
    assert (images.read(tmp_path / "b.png").pixels == translator(pixels)).all()


def test_batches_of_large_images_are_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translate.conversion.pipeline.BATCH_PIXELS", 2 * 12 * 16)
    translator = Negative()
    convert(translator, many(tmp_path / "in", 5), tmp_path / "out", batch=4)
    assert [shape[0] for shape in translator.batches] == [2, 2, 1]


@pytest.mark.parametrize("batch_size", [1, 4])
def test_memory_does_not_grow_with_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int) -> None:
    decode, write = batch.decode, batch.write
    lock = threading.Lock()
    alive, peak = 0, 0

    def count(change: int) -> None:
        nonlocal alive, peak
        with lock:
            alive += change
            peak = max(peak, alive)

    def counting(task: Any, work: Any) -> Any:
        decoded = decode(task, work)
        count(1)
        weakref.finalize(decoded.pixels, count, -1)
        return decoded

    def slow(answer: Any, work: Any) -> Any:
        count(1)
        weakref.finalize(answer.stored, count, -1)
        time.sleep(0.002)
        return write(answer, work)

    monkeypatch.setattr("translate.conversion.pipeline.decode", counting)
    monkeypatch.setattr("translate.conversion.pipeline.write", slow)
    source = many(tmp_path / "in", 100, sizes=tuple((8, 4 * width) for width in range(1, 26)))
    gc.disable()
    try:
        assert convert(Negative(), source, tmp_path / "out", batch=batch_size, workers=2).converted == 100
    finally:
        gc.enable()
    assert 1 < peak <= 2 * (2 + batch_size) + 6 * batch_size
    assert alive <= 1


# --- samples ----------------------------------------------------------------------------------------------------------


def test_samples_depend_on_seed_and_name_alone(tmp_path: Path) -> None:
    source = many(tmp_path / "in" / "sub", 3).parent
    convert(Negative(), source, tmp_path / "all", samples=3, seed=5, batch=8)
    assert files(tmp_path / "all") == [f"sub/00{image}-{number}.png" for image in range(3) for number in (1, 2, 3)]
    for path in ("000.png", "002.png"):
        (source / "sub" / path).unlink()
    convert(Negative(), source, tmp_path / "one", samples=2, seed=5)
    convert(Negative(), source, tmp_path / "other", samples=1, seed=6)
    first, second = ((tmp_path / "all" / "sub" / f"001-{number}.png").read_bytes() for number in (1, 2))
    assert first != second
    assert (tmp_path / "one" / "sub" / "001-1.png").read_bytes() == first
    assert (tmp_path / "one" / "sub" / "001-2.png").read_bytes() == second
    assert (tmp_path / "other" / "sub" / "001-1.png").read_bytes() != first
    for name, seed in (("default", {}), ("zero", {"seed": 0})):
        convert(Negative(), source / "sub" / "001.png", tmp_path / f"{name}.png", samples=1, **seed)
    assert (tmp_path / "default-1.png").read_bytes() == (tmp_path / "zero-1.png").read_bytes() != first
    convert(Negative(), source / "sub" / "001.png", tmp_path / "named.png", samples=2)
    assert {"named-1.png", "named-2.png"} < set(files(tmp_path))


def test_the_seed_of_an_image_is_that_of_earlier_versions() -> None:
    """Half of the first eight bytes of BLAKE2b of "seed/name"; torch takes no seed of 64 bits."""
    assert batch.image_seed(0, "a/b.png") == 1752863188124572550
    assert batch.image_seed(7, "a/b.png") == 4038907582722621311
    assert batch.image_seed(0, "b.png") == 7652099322212383616 < 2**63


def test_a_translator_in_hand_lies_on_one_device(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 1)
    with pytest.raises(TranslateError, match="lies on one device; give its run or file to use several"):
        convert(Negative(), source, tmp_path / "out", devices=2)
    assert not (tmp_path / "out").exists()


def test_images_alike_have_other_samples_under_other_names(tmp_path: Path) -> None:
    """In one folder, in two, and however many lie beside them; the folder's own name does not count."""
    pixels = random_image((12, 16, 3))
    for name in ("a.png", "b.png", "sub/a.png"):
        save(tmp_path / "in" / name, pixels)
        save(tmp_path / "elsewhere" / name, pixels)
    for folder in ("in", "elsewhere"):
        convert(Negative(), tmp_path / folder, tmp_path / f"{folder}-out", samples=1, seed=5)
    names = ("a-1.png", "b-1.png", "sub/a-1.png")
    answers = [(tmp_path / "in-out" / name).read_bytes() for name in names]
    assert len(set(answers)) == 3
    assert answers == [(tmp_path / "elsewhere-out" / name).read_bytes() for name in names]


def test_a_translator_without_noise_says_so_once(tmp_path: Path) -> None:
    with pytest.raises(TranslateError, match="one answer; leave out --samples"):
        convert(real_translator(), many(tmp_path / "in", 2), tmp_path / "out", samples=2)
    assert not files(tmp_path / "out")


# --- real photos ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the shared photos are not here")
def test_real_photos_keep_their_tree(tmp_path: Path) -> None:
    found = images.find(PHOTOS)[:4] + images.find(PHOTOS)[-2:]
    for path in found:
        copy = tmp_path / "in" / path.relative_to(PHOTOS)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    result = convert(Negative(multiple=256), tmp_path / "in", tmp_path / "out", format="png")
    assert result.converted == len(found)
    assert not result.failed
    for path in found:
        answer = images.read((tmp_path / "out" / path.relative_to(PHOTOS)).with_suffix(".png")).pixels
        assert (answer == 255 - images.read(path).pixels).all()


def test_plan_lists_without_opening(tmp_path: Path) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for name in ("b.png", "sub/a.gif", ".hidden.png", "notes.txt"):
        (tmp_path / "in" / name).write_bytes(b"")
    inputs = gather([tmp_path / "in"])
    assert [name for name, _ in inputs.files] == ["b.png", "sub/a.gif"]
    naming = Naming(suffix_rule(Domain(3), Domain(3), "same"))
    found = planned(tmp_path / "out", inputs.root, [name for name, _ in inputs.files], naming, store=False)
    assert found.outputs == {"b.png": ("b.png",), "sub/a.gif": ("sub/a.png",)}
    assert not (tmp_path / "out").exists()


def test_a_translator_that_must_see_images_is_shown_some_evenly_out_of_all(tmp_path: Path) -> None:
    for number in range(70):
        save(tmp_path / "in" / f"{number:02}.png", random_image((number + 1, 8, 3)))
    (tmp_path / "in" / "00.png").write_bytes(b"broken")
    negative = Negative(multiple=1)
    negative.needs_calibration = True
    assert convert(negative, tmp_path / "in", tmp_path / "out").converted == 69
    # The first of the 32 is the broken one, and the first that would be left out takes its place.
    assert negative.shown == [(1, 3, number * 70 // 32 + 1, 8) for number in range(1, 32)] + [(1, 3, 2, 8)]


# --- what is left out -------------------------------------------------------------------------------------------------


def test_what_looks_like_an_image_and_is_not_read_fails_by_kind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("in/a.png", "in/deep/b.jfif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.new("RGB", (8, 8)).save(tmp_path / name, "JPEG")
    for name in ("1.CR2", "2.cr2", "3.svg", "notes.txt", "noname"):
        (tmp_path / "in" / name).write_bytes(b"")
    result = convert(Negative(), tmp_path / "in", tmp_path / "out")
    assert result.converted == 2
    assert [path.name for path, _ in result.failed] == ["1.CR2", "2.cr2", "3.svg"]
    assert all("no format that is read here" in reason for _, reason in result.failed)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "2 .cr2 files are left out (1.CR2, 2.cr2)" in told[0]
    for path in (tmp_path / "in").glob("a.png"):
        path.unlink()
    (tmp_path / "in/deep/b.jfif").unlink()
    with pytest.raises(TranslateError, match=r"holds no images; .*; 2 \.cr2 files are left out .*; 1 \.svg file"):
        convert(Negative(), tmp_path / "in", tmp_path / "out")
