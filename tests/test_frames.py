"""Frames and pages: animations and TIFF files of several pages through conversions, frame by frame."""

from __future__ import annotations

import io
import logging
import struct
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from test_conversion import Negative, random_image
from torch import Tensor

from translate import images
from translate.conversion import convert
from translate.conversion.batch import Work
from translate.conversion.fitting import plan_memory
from translate.conversion.plan import Task
from translate.data import Domain
from translate.images import Image, animation
from translate.images.embedding import Embedded
from translate.images.frames import Frames

TIMES = [10, 40, 70, 1230, 90]


def drawn(*, transparent: bool = False) -> list[PIL.Image.Image]:
    """Five frames of a square that moves over a ramp; transparent ones have nothing below a corner that grows."""
    frames = []
    for number in range(5):
        pixels = (np.mgrid[0:24, 0:30].sum(0)[..., None] * np.array([2, 3, 1])).astype(np.uint8)
        pixels[2 * number : 2 * number + 6, 3 * number : 3 * number + 6] = (250, 10, 10)
        image = PIL.Image.fromarray(pixels)
        if transparent:
            alpha = np.full((24, 30), 255, np.uint8)
            alpha[: 3 + number, : 3 + number] = 0
            image.putalpha(PIL.Image.fromarray(alpha))
        frames.append(image)
    return frames


def animated(path: Path, *, transparent: bool = False, **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = drawn(transparent=transparent)
    first.save(path, save_all=True, append_images=others, **({"duration": TIMES} | more))
    return path


def shown(path: Path) -> tuple[NDArray[np.int_], list[float], int | None]:
    """All frames of a file (N, H, W, 4) as Pillow shows them, their milliseconds, and how often they are shown."""
    with PIL.Image.open(path) as image:
        frames, times = [], []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            frames.append(np.asarray(image.convert("RGBA")).astype(int))
            times.append(image.info.get("duration", 0))
        return np.stack(frames), times, image.info.get("loop")


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize(
    ("name", "more", "loop"),
    [
        ("a.gif", {"loop": 3}, 3),
        ("a.gif", {"loop": 0, "disposal": 2}, 0),
        ("a.gif", {"disposal": 1}, 1),  # says nothing: shown once
        ("a.png", {"loop": 2}, 2),
        ("a.png", {"loop": 0, "disposal": 1, "blend": 1}, 0),
    ],
)
def test_an_animation_stays_one(name: str, more: dict[str, Any], loop: int, transparent: bool, tmp_path: Path) -> None:
    source = animated(tmp_path / "in" / name, transparent=transparent, **more)
    result = convert(Negative(multiple=4), tmp_path / "in", tmp_path / "out")
    assert (result.converted, result.failed) == (1, ())
    before, times, _ = shown(source)
    after, new_times, new_loop = shown(tmp_path / "out" / "a.png")
    assert (new_times, new_loop) == (times, loop)
    assert times == TIMES
    assert (after[..., 3] == before[..., 3]).all()
    opaque = before[..., 3] > 0
    assert (after[..., :3] == 255 - before[..., :3])[opaque].all()


@pytest.mark.parametrize("suffix", ["webp", "avif"])
def test_webp_and_avif_animations(suffix: str, tmp_path: Path) -> None:
    if f".{suffix}" not in images.WRITABLE:
        pytest.skip("this Pillow writes no AVIF")
    source = animated(tmp_path / "in" / f"a.{suffix}", transparent=True, quality=100, loop=2)
    convert(Negative(multiple=1), tmp_path / "in", tmp_path / "out", quality=100)
    before, times, loop = shown(source)
    after, new_times, new_loop = shown(tmp_path / "out" / f"a.{suffix}")
    assert (new_times, new_loop) == (times, loop)
    assert times == TIMES
    assert np.abs(after[..., 3] - before[..., 3]).max() <= (0 if suffix == "webp" else 8)
    error = np.abs(255 - before[..., :3] - after[..., :3])[before[..., 3] > 250]
    assert error.max() == 0 if suffix == "webp" else error.mean() < 4


needs_avif = pytest.mark.skipif(".avif" not in images.WRITABLE, reason="this Pillow writes no AVIF")


@needs_avif
def test_frames_of_avif_wait_on_the_disk(tmp_path: Path) -> None:
    frames = [Image(random_image((128, 128, 3), seed=number)) for number in range(4)]
    with (tmp_path / "a.avif").open("wb") as file, (tmp_path / "waiting").open("w+b") as waiting:
        writer = animation.Avif(file, waiting, 80)
        writer.append(frames[0], 40, Embedded())
        tracemalloc.start()
        for number in range(30):
            writer.append(frames[number % 4], 40, Embedded())
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        waiting.seek(0, io.SEEK_END)
        assert waiting.tell() > 30 * 40_000
        assert held < 40_000
    assert list(tmp_path.glob(".*")) == []


@needs_avif
def test_the_memory_of_avif_encoders_is_planned(tmp_path: Path) -> None:
    animated(tmp_path / "a.gif", loop=0)
    images.write(tmp_path / "b.png", Image(random_image((12, 16, 3))))
    found = {}
    for name in ("a.gif", "b.png"):
        for suffix in ("png", "avif"):
            task = Task(tmp_path / name, name, (tmp_path / f"out.{suffix}",))
            found[name, suffix] = plan_memory(task, Work(Negative()))
    for name, bytes_a_pixel in (("a.gif", 620), ("b.png", 80)):
        height, width = found[name, "png"].size
        more = found[name, "avif"].writing - found[name, "png"].writing
        assert more == bytes_a_pixel * height * width


@needs_avif
def test_an_avif_animation_that_does_not_fit_is_named(tmp_path: Path) -> None:
    still = PIL.Image.fromarray(np.zeros((200, 200, 3), np.uint8))
    (tmp_path / "in").mkdir()
    still.save(tmp_path / "in" / "a.webp", save_all=True, append_images=[PIL.Image.new("RGB", (200, 200), "red")])
    result = convert(Negative(), tmp_path / "in", tmp_path / "out", format="avif", memory=20 * 2**20)
    assert "needs 2" in result.failed[0][1]
    assert "MB of memory" in result.failed[0][1]
    assert convert(Negative(), tmp_path / "in", tmp_path / "out", format="webp", memory=20 * 2**20).converted == 1


def test_one_animation_in_every_format(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "translate")
    source = animated(tmp_path / "a.gif", loop=0)
    expected = 255 - shown(source)[0][..., :3]
    for name, count, sentence in (
        ("png", 5, ""),
        ("webp", 5, ""),
        ("avif", 5, ""),
        ("tiff", 5, "durations of frames are not kept: .tiff files hold none"),
        ("jpg", 1, "frames beyond the first are not kept: .jpg files hold one frame"),
        ("npy", 1, "frames beyond the first are not kept: .npy files hold one frame"),
    ):
        if name == "avif" and ".avif" not in images.WRITABLE:
            continue
        caplog.clear()
        out = tmp_path / f"out.{name}"
        convert(Negative(multiple=1), source, out, format=name, quality=100)
        assert [message.partition(": ")[2] for message in caplog.messages] == [sentence] * bool(sentence)
        if name == "npy":
            assert (np.load(out) == expected[0]).all()
            continue
        found = shown(out)[0][..., :3]
        assert len(found) == count
        assert np.abs(found - expected[:count]).mean() <= (0 if name in ("png", "tiff", "webp") else 6)
    caplog.clear()
    convert(Negative(multiple=1), source, tmp_path / "first.png", frames="first")
    assert len(shown(tmp_path / "first.png")[0]) == 1
    assert caplog.messages == []


def test_a_still_gif_is_a_still_png(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    drawn()[0].save(tmp_path / "in" / "a.gif")
    convert(Negative(multiple=1), tmp_path / "in", tmp_path / "out")
    assert b"acTL" not in (tmp_path / "out" / "a.png").read_bytes()


def test_a_png_s_picture_for_still_viewers_is_no_frame(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, *others = drawn()
    other = PIL.Image.new("RGB", first.size, (1, 2, 3))
    (tmp_path / "in").mkdir()
    other.save(tmp_path / "in" / "a.png", save_all=True, append_images=[first, *others], default_image=True)
    convert(Negative(multiple=1), tmp_path / "in", tmp_path / "out")
    found, _, _ = shown(tmp_path / "out" / "a.png")
    assert (found[..., :3] == 255 - np.stack([np.asarray(each) for each in drawn()])).all()
    assert "(a.png): pictures of animations for programs that show none are not kept" in caplog.text


def test_an_animation_s_depth_follows_the_target(tmp_path: Path) -> None:
    animated(tmp_path / "in" / "a.gif")
    convert(Negative(Domain(3), Domain(3, depth="uint16"), 1), tmp_path / "in", tmp_path / "out")
    data = (tmp_path / "out" / "a.png").read_bytes()
    assert data[24] == 16
    assert data.count(b"fcTL") == 5


def test_samples_and_metadata_of_animations(tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[271] = "Camera"
    animated(tmp_path / "in" / "a.webp", exif=exif.tobytes(), lossless=True)
    convert(Negative(multiple=1), tmp_path / "in", tmp_path / "out", samples=2)
    for number in (1, 2):
        with PIL.Image.open(tmp_path / "out" / f"a-{number}.webp") as image:
            assert image.n_frames == 5  # type: ignore[attr-defined]
            assert image.getexif()[271] == "Camera"


@pytest.mark.parametrize(
    ("milliseconds", "fraction"),
    [(10, (10, 1000)), (1000 / 30, (1, 30)), (0, (0, 1000)), (655_350, (65535, 100)), (70_000, (7000, 100)),
     (1000 * 1001 / 24000, (1001, 24000)), (10**9, (65535, 1))],
)  # fmt: skip
def test_durations_are_exact_fractions(milliseconds: float, fraction: tuple[int, int]) -> None:
    over, under = animation._seconds(milliseconds)
    assert over * fraction[1] == fraction[0] * under
    assert 0 <= over <= 65535
    assert 0 < under <= 65535


# --- pages ------------------------------------------------------------------------------------------------------------


PAGES: list[NDArray[Any]] = [
    random_image((20, 30, 3)), random_image((11, 7, 3), np.uint16, 1), random_image((40, 9, 3), np.float32, 2),
    random_image((16, 48, 3), np.uint8, 3),
]  # fmt: skip


def pages(path: Path, **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tifffile.TiffWriter(path, **more) as file:
        for number, pixels in enumerate(PAGES):
            tiles = {"tile": (16, 16)} if number == 3 else {}
            file.write(
                pixels, photometric="rgb", description=f"page {number}", resolution=(100 + number, 50), resolutionunit=2,
                compression="zlib" if number % 2 else None, metadata=None, **tiles,
            )  # type: ignore[call-overload]  # fmt: skip
    return path


@pytest.mark.parametrize("more", [{}, {"bigtiff": True}, {"byteorder": ">"}])
def test_pages_keep_their_sizes_depths_and_tags(more: dict[str, Any], tmp_path: Path) -> None:
    pages(tmp_path / "in" / "a.tif", **more)
    result = convert(Negative(multiple=4), tmp_path / "in", tmp_path / "out")
    assert (result.converted, result.failed) == (1, ())
    with tifffile.TiffFile(tmp_path / "out" / "a.tif") as file:
        assert len(file.pages) == 4
        for number, (page, pixels) in enumerate(zip(file.pages, PAGES, strict=True)):
            found = page.asarray()
            assert found.dtype == pixels.dtype
            largest = 1 if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max
            assert np.abs(largest - pixels.astype(float) - found).max() <= (1e-6 if largest == 1 else 0)
            assert page.tags[270].value == f"page {number}"  # type: ignore[union-attr]
            assert page.tags[282].value == (100 + number, 1)  # type: ignore[union-attr]
            assert page.tags[297].value == (number, 4)  # type: ignore[union-attr]


def test_the_first_page_goes_where_one_has_room(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "translate")
    source = pages(tmp_path / "a.tif")
    convert(Negative(multiple=1), source, tmp_path / "a.png")
    assert (images.read(tmp_path / "a.png").pixels == 255 - PAGES[0]).all()
    assert "1 image (a.tif): pages beyond the first are not kept: .png files hold one page" in caplog.messages
    convert(Negative(multiple=1), source, tmp_path / "b.tif", frames="first")
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert len(file.pages) == 1


def test_maps_of_classes_have_pages(tmp_path: Path) -> None:
    maps = [np.eye(8, 9, number, dtype=np.uint8) for number in range(3)]
    (tmp_path / "in").mkdir()
    with tifffile.TiffWriter(tmp_path / "in" / "a.tif") as file:
        for each in maps:
            file.write(each, photometric="minisblack", metadata=None)
    convert(Negative(Domain(2, classes=2), Domain(2, classes=2), 1), tmp_path / "in", tmp_path / "out")
    with tifffile.TiffFile(tmp_path / "out" / "a.tif") as file:
        assert [page.asarray().tolist() for page in file.pages] == [(1 - each).tolist() for each in maps]


def test_masks_and_smaller_forms_are_no_pages(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "translate")
    (tmp_path / "in").mkdir()
    with tifffile.TiffWriter(tmp_path / "in" / "a.tif") as file:
        for subfile in (0, 1, 0):
            file.write(PAGES[0][:: 1 + subfile], photometric="rgb", subfiletype=subfile, metadata=None)
    convert(Negative(multiple=1), tmp_path / "in", tmp_path / "out")
    with tifffile.TiffFile(tmp_path / "out" / "a.tif") as file:
        assert [page.shape for page in file.pages] == [(20, 30, 3)] * 2
    assert caplog.messages == ["1 image (a.tif): smaller forms and masks of a TIFF's pages are not kept"]


def test_a_preview_before_the_page_is_not_taken_for_it(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with tifffile.TiffWriter(tmp_path / "in" / "a.tif") as file:
        for subfile in (1, 0):
            file.write(PAGES[0][:: 1 + subfile], photometric="rgb", subfiletype=subfile, metadata=None)
    convert(Negative(multiple=1), tmp_path / "in", tmp_path / "out")
    assert (images.read(tmp_path / "out" / "a.tif").pixels == 255 - PAGES[0]).all()


# --- what is wrong with some -----------------------------------------------------------------------------------------


def offsets(data: bytes) -> list[int]:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return [page.offset for page in file.pages]  # type: ignore[union-attr]


def next_page(data: bytes, number: int, offset: int) -> bytes:
    """A TIFF whose directory names another one as its next."""
    changed = bytearray(data)
    at = offsets(data)[number]
    (count,) = struct.unpack_from("<H", data, at)
    struct.pack_into("<I", changed, at + 2 + 12 * count, offset)
    return bytes(changed)


def tag(data: bytes, number: int, code: int, value: int) -> bytes:
    changed = bytearray(data)
    at = offsets(data)[number]
    (count,) = struct.unpack_from("<H", data, at)
    for place in range(at + 2, at + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, place)[0] == code:
            struct.pack_into("<I", changed, place + 8, value)
    return bytes(changed)


BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "outside.tif": (lambda data: next_page(data, 3, 10**9), "page 5 lies outside"),
    "cut.tif": (lambda data: data[: offsets(data)[2] + 4], "page 3"),
    "strips.tif": (lambda data: tag(data, 1, 273, 10**9), "page 2 is damaged or truncated"),
    "huge.tif": (lambda data: tag(data, 2, 256, 10**9), "page 3 has 1000000000 x 40 pixels, more than the limit"),
}


def test_one_bad_page_fails_its_file_by_number(tmp_path: Path) -> None:
    data = pages(tmp_path / "good.tif").read_bytes()
    (tmp_path / "in").mkdir()
    for name, (change, _) in BROKEN.items():
        (tmp_path / "in" / name).write_bytes(change(data))
    for suffix in ("gif", "png"):
        whole = animated(tmp_path / f"b.{suffix}").read_bytes()
        (tmp_path / "in" / f"cut.{suffix}").write_bytes(whole[: len(whole) * 3 // 4])
    (tmp_path / "in" / "round.tif").write_bytes(next_page(data, 3, offsets(data)[1]))
    result = convert(Negative(multiple=1), tmp_path / "in", tmp_path / "out")
    reasons = {path.name: reason for path, reason in result.failed}
    assert result.converted == 1  # pages in a circle are converted once
    assert set(reasons) == {*BROKEN, "cut.gif", "cut.png"}
    for name, (_, sentence) in BROKEN.items():
        assert sentence in reasons[name], reasons[name]
    assert "damaged or truncated" in reasons["cut.gif"]
    assert "frame" in reasons["cut.png"]
    assert sorted(path.name for path in (tmp_path / "out").glob("[!.]*")) == ["round.tif"]


class FailsOnce(Negative):
    """Answers what is not finite for one of the frames."""

    def translate(self, batch: Tensor, /, *, samples: int | None = None, seed: int = 0) -> Tensor:
        answer = super().translate(batch, samples=samples, seed=seed)
        return answer if len(self.batches) != 3 else answer * torch.nan


def test_an_answer_that_is_not_finite_names_the_frame(tmp_path: Path) -> None:
    animated(tmp_path / "in" / "a.gif")
    result = convert(FailsOnce(multiple=1), tmp_path / "in", tmp_path / "out")
    assert "frame 3 of" in result.failed[0][1]
    assert not list((tmp_path / "out").glob("[!.]*"))


def test_max_pixels_counts_each_frame(tmp_path: Path) -> None:
    animated(tmp_path / "in" / "a.gif")
    pages(tmp_path / "in" / "a.tif")
    assert convert(Negative(multiple=1), tmp_path / "in", tmp_path / "out", max_pixels=768).converted == 2
    result = convert(Negative(multiple=1), tmp_path / "in", tmp_path / "small", max_pixels=700)
    assert ["page 4" in reason for _, reason in result.failed] == [False, True]


def test_a_page_too_large_for_the_memory_is_named(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with tifffile.TiffWriter(tmp_path / "in" / "a.tif") as file:
        for side in (16, 2000):
            file.write(np.zeros((side, side, 3), np.uint8), photometric="rgb", metadata=None)
    result = convert(Negative(multiple=1), tmp_path / "in", tmp_path / "out", memory=20 * 2**20)
    assert "page 2 of" in result.failed[0][1]
    assert "needs" in result.failed[0][1]


def test_few_frames_are_in_memory_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    animated(tmp_path / "in" / "a.gif")
    events: list[str] = []
    read = Frames.read

    def watched(self: Frames, **settings: Any) -> Any:
        for frame in read(self, **settings):
            events.append("read")
            yield frame

    monkeypatch.setattr(Frames, "read", watched)
    append = animation.Apng.append
    monkeypatch.setattr(animation.Apng, "append", lambda *given: (events.append("written"), append(*given))[1])
    convert(Negative(multiple=1), tmp_path / "in", tmp_path / "out")
    ahead = [events[:place].count("read") - events[:place].count("written") for place in range(len(events) + 1)]
    assert max(ahead) <= 2
    assert ahead[-1] == 0


def test_files_of_frames_are_converted_among_others(tmp_path: Path) -> None:
    for number in range(6):
        animated(tmp_path / "in" / f"{number}.gif")
        images.write(tmp_path / "in" / f"{number}-still.png", images.Image(random_image((8, 8, 3), seed=number)))
    assert convert(Negative(multiple=1), tmp_path / "in", tmp_path / "out").converted == 12


def test_many_refused_images_end_no_conversion(tmp_path: Path) -> None:
    """As many as are planned ahead, and more."""
    for number in range(30):
        side = 8 if number > 25 else 512
        path = tmp_path / "in" / f"{number:02}.png"
        path.parent.mkdir(exist_ok=True)
        images.write(path, images.Image(random_image((side, side, 3))))
    result = convert(Negative(multiple=1), tmp_path / "in", tmp_path / "out", memory=2**21, workers=1)
    assert (result.converted, len(result.failed)) == (4, 26)


# --- names and formats -----------------------------------------------------------------------------------------------


def test_a_suffix_is_put_before_the_files_own(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("a.png", "a.jpg", "deep/b.webp"):
        images.write(tmp_path / "in" / name, images.Image(random_image((4, 4, 3))))
    convert(Negative(multiple=1), tmp_path / "in", tmp_path / "out", suffix="_cat", format="png")
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert found == ["a.jpg_cat.png", "a_cat.png", "deep/b_cat.png"]
    convert(Negative(multiple=1), tmp_path / "in", tmp_path / "two", suffix="_cat", format="png", samples=2)
    assert (tmp_path / "two" / "deep" / "b_cat-2.png").exists()
    for bad in ("/up", "..\\x", "a\0", "new\nline"):
        with pytest.raises(Exception, match="cannot stand in a file's name"):
            convert(Negative(), tmp_path / "in", tmp_path / "out", suffix=bad)


def test_quality_holds_for_every_lossy_format(tmp_path: Path) -> None:
    smooth = (np.mgrid[0:64, 0:64].sum(0)[..., None] * np.ones(3)).astype(np.uint8) ^ random_image((64, 64, 3)) >> 4
    images.write(tmp_path / "a.png", images.Image(smooth))
    for name in ("jpg", "webp", *(("avif",) if ".avif" in images.WRITABLE else ())):
        sizes = []
        for quality in (20, 60, 95):
            out = tmp_path / f"{quality}.{name}"
            convert(Negative(multiple=1), tmp_path / "a.png", out, format=name, quality=quality)  # type: ignore[arg-type]
            assert np.abs(images.read(out).pixels.astype(int) - (255 - smooth)).mean() < 30
            sizes.append(out.stat().st_size)
        assert all(smaller < larger for smaller, larger in pairwise(sizes)), (name, sizes)
