"""TIFF files read in bands and written row by row: the pixels and the bytes of the whole, in a part of the memory."""

from __future__ import annotations

import errno
import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_large import Bilinear, stored, translator
from test_metadata import adobe_rgb
from torch import Tensor, nn

from translate import images
from translate.conversion import banding, convert
from translate.conversion.answering import translate as translate_batch
from translate.conversion.banding import BandedPixels, OrderedRows
from translate.conversion.batch import Work, decode
from translate.conversion.fitting import Account, plan_memory
from translate.conversion.plan import Task
from translate.data import Domain
from translate.errors import FullDiskError
from translate.images.opening import ImageError
from translate.large import InParts
from translate.large.spill import Spilled
from translate.translator import Translator


def values(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.random(shape).astype(dtype)
    most = np.iinfo(dtype)
    # Packed well, so that strips differ in length.
    return rng.choice(rng.integers(max(most.min, -1000), min(most.max, 70_000), 5), shape).astype(dtype)


def all_bands(bands: images.Bands) -> images.Image:
    parts = [bands.read(number) for number in range(bands.count)]
    planes = [part.alpha for part in parts if part.alpha is not None]
    return images.Image(np.concatenate([part.pixels for part in parts]), np.concatenate(planes) if planes else None)


def assert_same(found: images.Image, expected: images.Image) -> None:
    assert found.pixels.dtype == expected.pixels.dtype
    assert np.array_equal(found.pixels, expected.pixels)
    assert (found.alpha is None) == (expected.alpha is None)
    assert found.alpha is None or np.array_equal(found.alpha, expected.alpha)  # type: ignore[arg-type]


def opened(path: Path, **options: Any) -> images.Bands | None:
    return images.open_bands(path, max_pixels=2**28, **options)


@st.composite
def tiffs(draw: st.DrawFn) -> bytes:
    """TIFF files of all layouts that tifffile writes."""
    height, width = draw(st.integers(8, 90)), draw(st.integers(1, 40))
    dtype = draw(st.sampled_from(["uint8", "uint16", "float32", "float16", "int16", "uint32"]))
    samples = draw(st.sampled_from([1, 3, 4] if dtype in ("uint8", "uint16", "float32") else [1, 3]))
    options: dict[str, Any] = {"byteorder": draw(st.sampled_from("<>")), "bigtiff": draw(st.booleans())}
    if draw(st.booleans()):
        options["compression"] = "zlib"
        options["predictor"] = np.dtype(dtype).kind in "iu" and draw(st.booleans())
    if draw(st.booleans()):
        options["tile"] = draw(st.sampled_from([(16, 16), (16, 32), (32, 16)]))
    else:
        options["rowsperstrip"] = draw(st.integers(1, 30))
    if samples > 1:
        options["photometric"] = "rgb"
        if dtype == "uint8" and draw(st.booleans()):
            options["planarconfig"] = "separate"
        if samples == 4:
            options["extrasamples"] = [draw(st.sampled_from(["unassalpha", "assocalpha"]))]
    shape = (height, width) if samples == 1 else (height, width, samples)
    pixels = values(shape, dtype, draw(st.integers(0, 99)))
    if "planarconfig" in options:
        pixels = pixels.transpose(2, 0, 1)
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, metadata=None, **options)
    return file.getvalue()


@settings(max_examples=150, deadline=None)
@given(tiffs())
def test_bands_are_the_whole(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.tiff"
    path.write_bytes(data)
    try:
        expected = images.read(path)
    except ImageError:
        return
    bands = opened(path)
    if bands is None:
        # Fewer than four bands of the least height.
        with tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            least = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
        assert 4 * least > page.imagelength
        return
    assert bands.count >= 4
    assert_same(all_bands(bands), expected)


LIBTIFF = [
    *((kind, packed) for kind in ("L", "RGB", "RGBA", "CMYK", "P") for packed in
      ("raw", "tiff_lzw", "packbits", "tiff_adobe_deflate", "lzma", "zstd")),
    *((kind, "jpeg") for kind in ("L", "RGB", "CMYK")),
    *(("1", packed) for packed in ("raw", "packbits", "group3", "group4")),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "compression"), LIBTIFF)
def test_bands_of_files_by_libtiff(tmp_path: Path, kind: str, compression: str) -> None:
    noise = values((70, 50, 4), np.uint8)
    image = PIL.Image.fromarray(noise if kind in ("RGBA", "CMYK") else noise[..., :3], kind if kind == "CMYK" else None)
    image = image.convert("P", palette=PIL.Image.Palette.ADAPTIVE) if kind == "P" else image.convert(kind)
    path = tmp_path / "a.tiff"
    image.save(path, compression=compression, tiffinfo={278: 8}, dpi=(300, 300))
    bands = opened(path)
    assert bands is not None
    assert_same(all_bands(bands), images.read(path))


@pytest.mark.parametrize(("dtype", "predictor"), [(np.uint16, 1), (np.uint16, 2), (np.float32, 1), (np.float32, 3)])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("compression", [1, 5, 8, 32773])
def test_bands_of_deep_files_by_libtiff(
    tmp_path: Path, dtype: Any, channels: int, compression: int, predictor: int
) -> None:
    path = tmp_path / "a.tiff"
    flags = [cv2.IMWRITE_TIFF_COMPRESSION, compression, cv2.IMWRITE_TIFF_PREDICTOR, predictor]
    assert cv2.imwrite(str(path), values((60, 40, channels), dtype), [*flags, cv2.IMWRITE_TIFF_ROWSPERSTRIP, 7])
    bands = opened(path)
    assert bands is not None
    assert_same(all_bands(bands), images.read(path))


def test_bands_have_the_colours_of_the_profile(tmp_path: Path) -> None:
    for dtype in (np.uint8, np.uint16):
        path = tmp_path / "a.tiff"
        tifffile.imwrite(path, values((64, 20, 3), dtype), photometric="rgb", rowsperstrip=5, iccprofile=adobe_rgb())
        bands = opened(path)
        assert bands is not None
        assert_same(all_bands(bands), images.read(path))
        assert not np.array_equal(images.read(path).pixels, tifffile.imread(path))


def one_page(path: Path, **options: Any) -> Path:
    tifffile.imwrite(path, values((64, 20, 3), np.uint8), photometric="rgb", **{"rowsperstrip": 4, **options})
    return path


ORIENTED = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">' \
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'  # fmt: skip


def test_what_cannot_be_read_in_bands_is_read_whole(tmp_path: Path) -> None:
    assert opened(one_page(tmp_path / "plain.tiff")) is not None
    assert opened(one_page(tmp_path / "one.tiff", rowsperstrip=64)) is not None
    assert opened(one_page(tmp_path / "tall.tiff", rowsperstrip=64, compression="zlib")) is None
    assert opened(one_page(tmp_path / "turned.tiff", extratags=[(274, 3, 1, 6, True)])) is None
    assert opened(one_page(tmp_path / "xmp.tiff", extratags=[(700, 1, len(ORIENTED), ORIENTED, True)])) is None
    with tifffile.TiffWriter(tmp_path / "pages.tiff") as file:
        for _ in range(2):
            file.write(values((64, 20), np.uint8), rowsperstrip=4)
    assert opened(tmp_path / "pages.tiff") is None
    cut = one_page(tmp_path / "cut.tiff")
    cut.write_bytes(cut.read_bytes()[:-10])
    assert opened(cut) is None
    images.write(tmp_path / "a.png", images.Image(values((64, 20, 3), np.uint8)))
    assert opened(tmp_path / "a.png") is None
    with pytest.raises(ImageError, match="more than the limit of 100"):
        images.open_bands(tmp_path / "plain.tiff", max_pixels=100)


def test_a_file_that_changes_is_refused(tmp_path: Path) -> None:
    bands = opened(one_page(tmp_path / "a.tiff"))
    assert bands is not None
    bands.read(0)
    one_page(tmp_path / "a.tiff", compression="zlib")
    with pytest.raises(ImageError, match="has changed while it was read"):
        bands.read(1)


# --- writing --------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 60), width=st.integers(1, 30), channels=st.sampled_from([1, 3]), alpha=st.booleans(),
    dtype=st.sampled_from(["uint8", "uint16", "float32"]), strip=st.integers(1, 4000), data=st.data(),
)  # fmt: skip
def test_rows_are_written_as_the_whole(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, channels: int, alpha: bool, dtype: Any,
    strip: int, data: st.DataObject,
) -> None:  # fmt: skip
    folder = tmp_path_factory.getbasetemp()
    alpha = alpha and channels == 3
    image = images.Image(values((height, width, channels), dtype), values((height, width), dtype) if alpha else None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("translate.images.tiff._STRIP", strip)
        images.write(folder / "whole.tiff", image)
        band = np.empty((height, width, channels), dtype)
        with images.writing_rows(folder / "rows.tiff", (height, width, channels), np.dtype(dtype), alpha=alpha) as file:
            first = 0
            while first < height:
                count = data.draw(st.integers(1, height - first))
                # The caller's array is used anew each time.
                band[:count] = image.pixels[first : first + count]
                file.write(band[:count], None if image.alpha is None else image.alpha[first : first + count])
                band[:count] = 0
                first += count
    assert (folder / "rows.tiff").read_bytes() == (folder / "whole.tiff").read_bytes()


@given(st.data())
def test_parts_in_any_order_become_rows_in_order(data: st.DataObject) -> None:
    heights = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=5))
    widths = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    expected = np.arange(sum(heights) * sum(widths) * 2).reshape(sum(heights), sum(widths), 2).astype(np.uint16)
    parts = [(row, column) for row in range(len(heights)) for column in range(len(widths))]
    taken: list[NDArray[Any]] = []

    def write(first: int, rows: NDArray[Any]) -> None:
        assert first == sum(len(each) for each in taken)
        taken.append(rows.copy())

    ordered = OrderedRows(sum(widths), 2, "uint16", write)
    for row, column in data.draw(st.permutations(parts)):
        rows = slice(sum(heights[:row]), sum(heights[: row + 1]))
        columns = slice(sum(widths[:column]), sum(widths[: column + 1]))
        ordered[rows, columns] = expected[rows, columns]
    assert np.array_equal(np.concatenate(taken), expected)


# --- conversion -----------------------------------------------------------------------------------------------------


@pytest.fixture
def all_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every image be too large for one pass, strips small, and bands few rows."""
    monkeypatch.setattr("translate.conversion.algorithms.WHOLE_BYTES", {"cpu": 1, "cuda": 1})
    monkeypatch.setattr("translate.large.strips.STRIP_BYTES", 20_000)
    monkeypatch.setattr("translate.images.tiff._STRIP", 2000)


class Noted:
    """Counts the files that were read in bands, and those that were written row by row."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read = self.written = 0
        made, rows = BandedPixels.__init__, images.writing_rows

        def init(banded: BandedPixels, *args: Any) -> None:
            self.read += 1
            made(banded, *args)

        def writing(*args: Any, **options: Any) -> Any:
            self.written += 1
            return rows(*args, **options)

        monkeypatch.setattr(BandedPixels, "__init__", init)
        monkeypatch.setattr(banding.images, "writing_rows", writing)


def whole_files(made: Translator, source: Path, target: Path, **options: Any) -> bytes:
    """The output as it is when files are read and written as wholes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("translate.conversion.batch.bands_of", lambda task, work: None)
        patch.setattr(banding, "writes_rows", lambda task, work, alpha: False)
        result = convert(made, source, target, overwrite=True, **options)
    assert result.converted == 1, result.failed
    return target.read_bytes()


def described(path: Path, shape: tuple[int, ...], dtype: Any, **options: Any) -> Path:
    """A TIFF file with a resolution, a colour profile and a description."""
    profile = adobe_rgb() if len(shape) == 3 else None
    options = {"photometric": "rgb" if len(shape) == 3 else "minisblack", "rowsperstrip": 3, **options}
    pixels = values(shape, dtype)
    tifffile.imwrite(
        path, pixels, resolution=(300, 300), resolutionunit="inch", iccprofile=profile, description="a scan",
        metadata=None, **options,
    )  # fmt: skip
    return path


CASES: dict[str, tuple[Callable[[Path], Path], str, dict[str, Any], tuple[int, int]]] = {
    "8 bits": (lambda path: described(path / "a.tiff", (37, 51, 3), np.uint8), "tiff", {}, (1, 1)),
    "16 bits": (lambda path: described(path / "a.tif", (37, 51, 3), np.uint16), "tif", {}, (1, 1)),
    "floats": (lambda path: described(path / "a.tif", (37, 51, 3), np.float32), "tif", {}, (1, 1)),
    "big end first": (
        lambda path: described(path / "a.tif", (37, 51, 3), np.uint16, byteorder=">"), "tif", {}, (1, 1)
    ),
    "gray": (lambda path: described(path / "a.tif", (37, 51), np.uint16), "tif", {}, (1, 1)),
    "packed": (lambda path: described(path / "a.tif", (64, 51, 3), np.uint16, compression="zlib"), "tif", {}, (1, 1)),
    "tiles": (lambda path: described(path / "a.tif", (70, 40, 3), np.uint8, tile=(16, 16)), "tif", {}, (1, 1)),
    "alpha": (
        lambda path: described(path / "a.tif", (40, 30, 4), np.uint16, extrasamples=["unassalpha"]), "tif", {}, (1, 1)
    ),
    "alpha to png": (
        lambda path: described(path / "a.tif", (40, 30, 4), np.uint8, extrasamples=["unassalpha"]), "png", {}, (1, 0)
    ),
    "to png": (lambda path: described(path / "a.tif", (40, 30, 3), np.uint16), "png", {}, (1, 0)),
    "to jpeg": (lambda path: described(path / "a.tif", (40, 30, 3), np.uint16), "jpg", {}, (1, 0)),
    "to array": (lambda path: described(path / "a.tif", (40, 30, 3), np.uint16), "npy", {}, (1, 0)),
    "from png": (lambda path: stored(path / "a.png", (37, 51, 4), np.uint8), "tif", {}, (0, 1)),
    "tall strips": (
        lambda path: described(path / "a.tif", (37, 51, 3), np.uint8, rowsperstrip=37, compression="zlib"), "tif", {},
        (0, 1),
    ),
    "resized": (lambda path: described(path / "a.tif", (37, 51, 3), np.uint8), "tif", {"scale": 0.9}, (0, 1)),
    "side by side": (lambda path: described(path / "a.tif", (37, 51, 3), np.uint8), "tif", {"side_by_side": True}, (0, 0)),
    "one row": (lambda path: described(path / "a.tif", (1, 90, 3), np.uint8), "tif", {}, (0, 1)),
}  # fmt: skip


@pytest.mark.usefixtures("all_large")
@pytest.mark.parametrize("case", CASES)
def test_an_output_has_the_bytes_that_it_has_by_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    make, suffix, options, counts = CASES[case]
    source, made = make(tmp_path), translator()
    expected = whole_files(made, source, tmp_path / f"whole.{suffix}", **options)
    noted = Noted(monkeypatch)
    result = convert(made, source, tmp_path / f"out.{suffix}", **options)
    assert result.converted == 1, result.failed
    assert (noted.read, noted.written) == counts
    assert (tmp_path / f"out.{suffix}").read_bytes() == expected
    assert not list(tmp_path.glob(".*"))


@pytest.mark.usefixtures("all_large")
@pytest.mark.parametrize("case", ["passes", "tile", "classes in", "classes out", "alpha plane", "alpha laid on white"])
def test_networks_of_all_kinds_have_bands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    source = described(tmp_path / "a.tif", (40, 50, 3), np.uint8)
    options: dict[str, Any] = {"statistics": "tile"} if case == "tile" else {}
    made = translator()
    if case == "passes":
        made = translator("unet(width=4, depth=2)")
        made.network = Bilinear()
        monkeypatch.setattr("translate.large.TILE_BYTES", 1)
    elif case == "tile":
        made = translator("shallow(width=4)")
        monkeypatch.setattr("translate.large.TILE_BYTES", 1)
    elif case == "classes out":
        made = translator(target=Domain(5, classes=5))
    elif case == "classes in":
        made = translator(channels=3)
        made.source = Domain(3, classes=3)
        tifffile.imwrite(source, np.random.default_rng(0).integers(0, 3, (40, 50), np.uint8), rowsperstrip=3)
    elif case == "alpha plane":
        made = translator(channels=4, target=Domain(4, alpha="plane"))
        made.source = Domain(4, alpha="plane")
    else:
        made.source = Domain(3, alpha="white")
        described(source, (40, 50, 4), np.uint8, extrasamples=["unassalpha"])
    expected = whole_files(made, source, tmp_path / "whole.tif", **options)
    noted = Noted(monkeypatch)
    assert convert(made, source, tmp_path / "out.tif", **options).converted == 1
    assert (noted.read, noted.written) == (1, 1)
    assert (tmp_path / "out.tif").read_bytes() == expected


@pytest.mark.usefixtures("all_large")
def test_padding_is_read_by_reflection(tmp_path: Path) -> None:
    pixels = values((37, 51, 3), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", rowsperstrip=3)
    bands = opened(tmp_path / "a.tif")
    assert bands is not None
    banded = BandedPixels(bands, lambda image: (image.pixels, None), 16)
    padded = np.pad(pixels, ((0, 11), (0, 13), (0, 0)), mode="reflect")
    assert banded.shape == padded.shape
    assert np.array_equal(np.asarray(banded), padded)
    rng = np.random.default_rng(0)
    for _ in range(50):
        rows, columns = (slice(*sorted(rng.choice(side + 1, 2, replace=False))) for side in padded.shape[:2])
        assert np.array_equal(banded[rows, columns], padded[rows, columns])


class Broken(nn.Module):
    """Not finite in the lower half of an image only."""

    size_multiple = 1

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x > 0.99, torch.nan, x)


@pytest.mark.usefixtures("all_large")
def test_what_fails_leaves_no_file_and_keeps_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = values((40, 50, 3), np.uint8) // 2
    pixels[30] = 255
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", rowsperstrip=3)
    made = translator("shallow(width=4)")
    made.network = Broken()
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.tif").write_bytes(b"old")
    noted = Noted(monkeypatch)
    result = convert(made, tmp_path / "a.tif", out / "a.tif", overwrite=True, statistics="tile")
    assert noted.written == 1
    assert result.failed[0][1] == (
        f"{tmp_path / 'a.tif'}: the network's answer is not finite; train anew, or take an earlier --step"
    )
    assert [path.name for path in out.iterdir()] == ["a.tif"]
    assert (out / "a.tif").read_bytes() == b"old"


@pytest.mark.usefixtures("all_large")
def test_a_full_disk_ends_the_conversion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = described(tmp_path / "a.tif", (40, 50, 3), np.uint8)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    made = translator()
    with monkeypatch.context() as patch:
        patch.setattr("translate.images.tiff.PageRows._pack", full)
        with pytest.raises(FullDiskError, match="is full; free space"):
            convert(made, source, tmp_path / "out.tif")
    # That of the temporary files is another disk.
    monkeypatch.setattr(Spilled, "write", full)
    assert "No space left" in convert(made, source, tmp_path / "out.tif").failed[0][1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif"]


@pytest.mark.usefixtures("all_large")
def test_a_damaged_file_is_named_before_it_is_translated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = described(tmp_path / "a.tif", (40, 50, 3), np.uint16, compression="zlib")
    with tifffile.TiffFile(source) as file:
        page: Any = file.pages[0]
        at, length = page.dataoffsets[8], page.databytecounts[8]
    data = bytearray(source.read_bytes())
    data[at : at + length] = bytes(length)
    source.write_bytes(data)
    monkeypatch.setattr(InParts, "translate", lambda *_: pytest.fail("it is translated"))
    found = convert(translator(), source, tmp_path / "out.tif").failed
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("translate.conversion.batch.bands_of", lambda task, work: None)
        assert convert(translator(), source, tmp_path / "out.tif").failed == found
    assert "cannot be decoded" in found[0][1]


@pytest.mark.usefixtures("all_large")
def test_transparency_is_never_lost_in_bands(tmp_path: Path) -> None:
    source = described(tmp_path / "a.tif", (40, 30, 4), np.uint8, extrasamples=["unassalpha"])
    assert "has transparency, which .jpg cannot hold" in convert(translator(), source, tmp_path / "a.jpg").failed[0][1]
    pixels = tifffile.imread(source)
    pixels[..., 3] = 255
    tifffile.imwrite(source, pixels, photometric="rgb", rowsperstrip=3, extrasamples=["unassalpha"])
    assert convert(translator(), source, tmp_path / "a.jpg").converted == 1


def test_memory_stays_far_below_the_image_s(tmp_path: Path) -> None:
    height, width = 3000, 2000
    row = np.arange(width * 3, dtype=np.uint16).reshape(1, width, 3)
    with images.writing_rows(tmp_path / "a.tif", (height, width, 3), np.dtype(np.uint16)) as file:
        for _ in range(0, height, 100):
            file.write(np.repeat(row, 100, 0))
    whole = height * width * 6
    tracemalloc.start()
    try:
        bands = opened(tmp_path / "a.tif")
        assert bands is not None
        banded = BandedPixels(bands, lambda image: (image.pixels, None), 4)
        with images.writing_rows(tmp_path / "b.tif", (height, width, 3), np.dtype(np.uint16)) as file:
            ordered = OrderedRows(width, 3, "uint16", lambda _, rows: file.write(rows))
            for first in range(0, height, 100):
                part = banded[slice(max(first - 20, 0), min(first + 120, height)), slice(0, width)]
                ordered[first : first + 100, 0:width] = part[first - max(first - 20, 0) :][:100]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < whole / 3
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_bands_are_planned_as_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translate.large.strips.STRIP_BYTES", 2**23)
    width, height = 1500, 4000
    with images.writing_rows(tmp_path / "a.tif", (height, width, 3), np.dtype(np.uint16)) as file:
        file.write(np.zeros((height, width, 3), np.uint16))
    made = translator()
    work = Work(made, whole=2**20)
    whole = height * width * 6
    needs = {}
    for suffix in ("tif", "png"):
        task = Task(tmp_path / "a.tif", "a.tif", (tmp_path / f"out.{suffix}",))
        needs[suffix] = plan_memory(task, work)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("translate.conversion.fitting.bands_of", lambda task, work: None)
        patch.setattr("translate.conversion.fitting.writes_rows", lambda task, work, alpha: False)
        before = plan_memory(task, work)
    assert before.total(0) > 4 * whole
    assert needs["tif"].total(0) < 1.2 * whole
    assert needs["tif"].total(0) + whole <= needs["png"].total(0) < before.total(0)
    assert Account(work).refusal(task, needs["tif"]) is None


@pytest.mark.usefixtures("all_large")
def test_a_batch_of_scans_is_written_each_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(3):
        described(tmp_path / "in" / f"{number}.tif", (40, 30, 3), np.uint8)
    assert convert(translator(), tmp_path / "in", tmp_path / "out", batch=3).converted == 3
    assert convert(translator(), tmp_path / "in", tmp_path / "out").kept == 3
    work = Work(translator())
    task = Task(tmp_path / "in" / "0.tif", "0.tif", (tmp_path / "x.tif",))
    answer = translate_batch([decode(task, work)], work)[0]
    assert answer.written is not None
    assert answer.algorithm == "strips"
