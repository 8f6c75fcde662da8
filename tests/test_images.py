"""Images: every kind of file is read right or refused in one sentence, and nothing is lost on the way back."""

from __future__ import annotations

import io
import os
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
import tifffile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import ImageCms

from translate import images
from translate.data import Depth, Domain, Example
from translate.images import Image, ImageError
from translate.images.planes import orient

SHARED = Path(__file__).parents[1] / "../shared/data"
PHOTOS = SHARED / "photos" / "lowlight_DICM"
depths: tuple[Depth, ...] = ("uint8", "uint16", "float32")
quiet = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def noise(height: int, width: int, channels: int, depth: str = "uint8", seed: int = 0) -> NDArray[Any]:
    random = np.random.default_rng(seed)
    if depth == "float32":
        return random.random((height, width, channels), dtype=np.float32)
    return random.integers(0, np.iinfo(depth).max + 1, (height, width, channels)).astype(depth)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(pixels: NDArray[Any], colour: int, *extra: bytes, bits: int = 16) -> bytes:
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2" if bits == 16 else "u1").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    content = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(extra) + content


def tiff(pixels: NDArray[Any], *, photometric: int, extra: int | None = None, orientation: int = 1) -> bytes:
    """A plain TIFF, written by hand so that nothing here is tested against itself."""
    height, width, samples = pixels.shape
    kind = 3 if pixels.dtype.kind == "f" else 2 if pixels.dtype.kind == "i" else 1
    bits = 8 * pixels.dtype.itemsize
    tags: list[tuple[int, int, list[int]]] = [
        (256, 4, [width]),
        (257, 4, [height]),
        (258, 3, [bits] * samples),
        (259, 3, [1]),
        (262, 3, [photometric]),
        (273, 4, [0]),
        (274, 3, [orientation]),
        (277, 3, [samples]),
        (278, 4, [height]),
        (279, 4, [pixels.nbytes]),
        (339, 3, [kind] * samples),
    ]
    if extra is not None:
        tags.insert(-1, (338, 3, [extra]))
    behind = 8 + 2 + 12 * len(tags) + 4
    lists, entries = b"", b""
    start = behind + sum(2 * len(values) for _, _, values in tags if 2 * len(values) > 4)
    for tag, size, values in tags:
        values = [start] if tag == 273 else values
        packed = struct.pack(f"<{len(values)}{'I' if size == 4 else 'H'}", *values)
        if len(packed) > 4:
            entries += struct.pack("<HHII", tag, size, len(values), behind + len(lists))
            lists += packed
        else:
            entries += struct.pack("<HHI", tag, size, len(values)) + packed.ljust(4, b"\0")
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0)
    return head + lists + pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()


def saved(path: Path, image: PIL.Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def agree(path: Path) -> Image:
    """Read a file, and check that its header foretold it."""
    header, image = images.probe(path), images.read(path)
    assert (header.height, header.width, header.channels) == image.pixels.shape
    assert header.depth == str(image.pixels.dtype)
    assert header.alpha == (image.alpha is not None)
    return image


def saved_bytes(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def refused(path: Path, match: str) -> None:
    for open_ in (images.read, images.read_indices):
        with pytest.raises(ImageError, match=match) as caught:
            open_(path)
        assert path.name in str(caught.value)
        assert "\n" not in str(caught.value)


# --- 8 bits ---------------------------------------------------------------------------------------------------------


def test_a_path_may_be_text(tmp_path: Path) -> None:
    path, image = tmp_path / "a" / "one.png", Image(np.full((3, 4, 3), 7, np.uint8))
    path.parent.mkdir()
    assert images.write(str(path), image, metadata=images.Metadata()) == ()
    assert images.find(str(path.parent)) == list(images.survey(str(path.parent)).files) == [path]
    assert np.array_equal(images.read(str(path)).pixels, images.load(str(path)).pixels)
    assert images.probe(str(path)) == images.probe(path)
    assert images.metadata(str(path)) == images.metadata(path)
    assert images.stored_as(str(path)) == images.stored_as(path)
    assert images.why_left_out(str(path)) == images.why_left_out(path)
    with images.open_regular(str(path)) as file:
        assert file.read(4) == b"\x89PNG"


def test_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
    bits = noise(6, 9, 1)[..., 0] > 127
    path = saved(tmp_path / "a.png", PIL.Image.fromarray(bits))
    assert np.array_equal(agree(path).pixels[..., 0], bits * 255)
    assert np.array_equal(images.read_indices(path), bits)


def test_few_bit_grays_are_stretched_as_images_and_kept_as_indices(tmp_path: Path) -> None:
    rows = b"\0" + bytes([0x01, 0x2F]) + b"\0" + bytes([0x34, 0x5A])
    header = struct.pack(">IIBBBBB", 4, 2, 4, 0, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    expected = np.array([[0, 1, 2, 15], [3, 4, 5, 10]])
    assert np.array_equal(images.read_indices(tmp_path / "a.png"), expected)
    assert np.array_equal(agree(tmp_path / "a.png").pixels[..., 0], expected * 17)


@pytest.mark.parametrize("transparent", [None, 3, bytes([0, 10, 20, 255])])
def test_palettes_are_expanded(tmp_path: Path, transparent: Any) -> None:
    stored = noise(5, 7, 1)[..., 0] % 4
    image = PIL.Image.fromarray(stored, "L").convert("P")
    image.putdata(stored.ravel().tolist())
    palette = noise(4, 3, 1, seed=1)[..., 0]
    image.putpalette(palette.ravel().tolist())
    path = saved(tmp_path / "a.png", image, **({} if transparent is None else {"transparency": transparent}))
    found = agree(path)
    assert np.array_equal(found.pixels, palette[stored])
    if transparent is None:
        assert found.alpha is None
    else:
        table = np.array([255, 255, 255, 0] if transparent == 3 else list(transparent))
        assert found.alpha is not None
        assert np.array_equal(found.alpha, table[stored])
    assert np.array_equal(images.read_indices(path), stored)


def test_colour_marked_transparent(tmp_path: Path) -> None:
    pixels = noise(5, 7, 3)
    found = agree(saved(tmp_path / "a.png", PIL.Image.fromarray(pixels), transparency=tuple(pixels[2, 3].tolist())))
    assert found.alpha is not None
    assert np.array_equal(found.pixels, pixels)
    assert np.argwhere(found.alpha == 0).tolist() == [[2, 3]]
    gray = pixels[..., 0]
    found = agree(saved(tmp_path / "b.png", PIL.Image.fromarray(gray), transparency=int(gray[0, 0])))
    assert found.alpha is not None
    assert np.array_equal(found.alpha == 0, gray == gray[0, 0])


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    red = PIL.Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    found = agree(saved(tmp_path / "a.jpg", red, quality=100))
    assert found.pixels.shape == (16, 16, 3)
    assert np.abs(found.pixels.astype(int) - [255, 0, 0]).max() < 8


def test_first_frame_of_animations(tmp_path: Path) -> None:
    frames = [PIL.Image.new("RGB", (8, 6), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    for suffix in (".gif", ".png", ".webp"):
        path = tmp_path / f"a{suffix}"
        options: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {}
        frames[0].save(path, save_all=True, append_images=frames[1:], **options)
        assert (agree(path).pixels == [255, 0, 0]).all(), suffix


def test_profiles_are_converted_and_srgb_is_left_alone(tmp_path: Path) -> None:
    pixels = noise(16, 16, 3)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = saved(tmp_path / "a.png", PIL.Image.fromarray(pixels), icc_profile=srgb)
    assert np.array_equal(agree(path).pixels, pixels)
    swapped = PIL.Image.fromarray(pixels)
    swapped.save(tmp_path / "b.png", icc_profile=other_primaries())
    assert np.abs(agree(tmp_path / "b.png").pixels.astype(int) - pixels).max() > 20
    swapped.save(tmp_path / "c.png", icc_profile=b"no profile at all")
    assert np.array_equal(agree(tmp_path / "c.png").pixels, pixels)


def other_primaries() -> bytes:
    """A profile of other primaries: sRGB's, its tags for red and blue exchanged."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack_from(">I", data, 128)
    places = {bytes(data[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, blue = places[b"rXYZ"] + 4, places[b"bXYZ"] + 4
    data[red : red + 8], data[blue : blue + 8] = data[blue : blue + 8], data[red : red + 8]
    return bytes(data)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png8", "png16", "webp", "tiff8", "tiff16", "tiff32"])
def test_orientation(tmp_path: Path, orientation: int, kind: str) -> None:
    upright = np.zeros((16, 24, 3), np.uint8)
    upright[:8, :8], upright[:8, 16:], upright[8:, :8] = 255, 160, 80  # four corners that cannot be mistaken
    back = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }
    stored = np.ascontiguousarray(back[orientation])
    exif = PIL.Image.Exif()
    exif[274] = orientation
    path = tmp_path / "a.bin"
    if kind in ("jpeg", "png8", "webp"):
        every: dict[str, dict[str, Any]] = {"jpeg": {"quality": 100}, "webp": {"lossless": True}}
        options = every.get(kind, {})
        PIL.Image.fromarray(stored).save(path, kind.removesuffix("8"), exif=exif, **options)
    elif kind == "png16":
        path.write_bytes(png(stored.astype(np.uint16) * 257, 2, chunk(b"eXIf", exif.tobytes()[6:])))
    else:
        dtype = {"tiff8": np.uint8, "tiff16": np.uint16, "tiff32": np.float32}[kind]
        path.write_bytes(tiff(stored.astype(dtype), photometric=2, orientation=orientation))
    found = agree(path).pixels.astype(float)
    if kind == "png16":
        found /= 257
    assert found.shape == upright.shape
    assert np.abs(found - upright).max() < 12


# --- 16 bits and floats ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("colour", "channels", "alpha"), [(0, 1, 0), (2, 3, 0), (4, 1, 1), (6, 3, 1)])
def test_png_of_16_bits_keeps_every_value(tmp_path: Path, colour: int, channels: int, alpha: int) -> None:
    stored = noise(6, 5, channels + alpha, "uint16")
    (tmp_path / "a.png").write_bytes(png(stored, colour))
    found = agree(tmp_path / "a.png")
    assert np.array_equal(found.pixels, stored[..., :channels])
    if alpha:
        assert found.alpha is not None
        assert np.array_equal(found.alpha, stored[..., -1])


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3)])
def test_png_of_16_bits_with_a_transparent_colour(tmp_path: Path, colour: int, channels: int) -> None:
    stored = noise(6, 5, channels, "uint16")
    (tmp_path / "a.png").write_bytes(png(stored, colour, chunk(b"tRNS", stored[4, 2].astype(">u2").tobytes())))
    found = agree(tmp_path / "a.png")
    assert np.array_equal(found.pixels, stored)
    assert found.alpha is not None
    assert np.argwhere(found.alpha == 0).tolist() == [[4, 2]]


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (9, 13), (8, 16)])
def test_interlaced_png_of_16_bits(tmp_path: Path, size: tuple[int, int]) -> None:
    stored = noise(*size, 3, "uint16")
    rows = b""
    for x, y, across, down in (
        (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)
    ):  # fmt: skip
        part = stored[y::down, x::across]
        rows += b"".join(b"\0" + row.astype(">u2").tobytes() for row in part if part.size)
    header = struct.pack(">IIBBBBB", size[1], size[0], 16, 2, 0, 0, 1)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path = saved_bytes(tmp_path / "a.png", b"\x89PNG\r\n\x1a\n" + data)
    assert np.array_equal(agree(path).pixels, stored)


def test_gray_of_16_bits_as_pillow_writes_it(tmp_path: Path) -> None:
    stored = noise(9, 8, 1, "uint16")[..., 0]
    for suffix in (".png", ".tif"):
        path = saved(tmp_path / f"a{suffix}", PIL.Image.fromarray(stored))
        assert np.array_equal(agree(path).pixels[..., 0], stored)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize(("channels", "extra"), [(1, None), (3, None), (4, 2), (4, 0)])
def test_tiff(tmp_path: Path, dtype: str, channels: int, extra: int | None) -> None:
    if dtype == "uint8" and extra == 0:
        pytest.skip("a fourth plane of 8 bits that is no alpha is refused")
    stored = noise(6, 5, channels, dtype if dtype != "float64" else "float32").astype(dtype)
    (tmp_path / "a.tif").write_bytes(tiff(stored, photometric=1 if channels == 1 else 2, extra=extra))
    found = agree(tmp_path / "a.tif")
    alpha = extra == 2
    assert found.pixels.dtype == (np.float32 if dtype == "float64" else dtype)
    assert np.array_equal(found.pixels, stored[..., : channels - alpha])
    assert (found.alpha is not None) == alpha
    if found.alpha is not None:
        assert np.array_equal(found.alpha, stored[..., 3])


@pytest.mark.parametrize(
    ("dtype", "channels", "photometric"),
    [
        ("int16", 1, 0),
        ("uint32", 1, 0),
        ("uint16", 2, 1),
        ("float32", 5, 1),
        ("uint16", 3, 1),
        ("uint8", 4, 2),
        ("int8", 4, 2),
        ("int16", 4, 2),
        ("int64", 3, 6),
    ],
)
def test_tiff_that_would_be_read_wrong_is_refused(tmp_path: Path, dtype: str, channels: int, photometric: int) -> None:
    extra = 0 if dtype in ("uint8", "int8") else 2 if dtype == "int16" and channels == 4 else None
    data = tiff(np.ones((6, 5, channels), dtype), photometric=photometric, extra=extra)
    (tmp_path / "a.tif").write_bytes(data)
    refused(tmp_path / "a.tif", r"store it as \.npy")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint32", "int64", "uint64", "float16"])
def test_signed_wide_and_half_tiff_values_are_read(tmp_path: Path, dtype: str, orientation: int) -> None:
    low = 0 if dtype[0] == "u" else -100
    for channels in (1, 3):
        stored = np.random.default_rng(1).integers(low, 120, (6, 5, channels)).astype(dtype)
        data = tiff(stored, photometric=1 if channels == 1 else 2, orientation=orientation)
        found = agree(saved_bytes(tmp_path / "a.tif", data))
        assert found.pixels.dtype == np.float32
        assert np.array_equal(found.pixels, orient(stored, orientation).astype(np.float32))
        assert images.probe(tmp_path / "a.tif").whole == (dtype != "float16")
        if channels == 1 and low == 0:
            assert np.array_equal(images.read_indices(tmp_path / "a.tif"), orient(stored, orientation)[..., 0])


@pytest.mark.parametrize("kind", ["I;16", "BigTIFF"])
def test_the_directory_that_says_a_type_is_the_last(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that went on from it would take pixels for directories."""
    given: list[bytes] = []
    decode = cv2.imdecode

    def imdecode(data: NDArray[np.uint8], flags: int) -> Any:
        given.append(data.tobytes())
        return decode(data, flags)

    stored = np.arange(30, dtype=np.uint16).reshape(6, 5)
    PIL.Image.fromarray(stored).save(tmp_path / "a.tif", big_tiff=kind == "BigTIFF", tiffinfo={339: 2})
    monkeypatch.setattr(cv2, "imdecode", imdecode)
    assert np.array_equal(images.read(tmp_path / "a.tif").pixels[..., 0], stored)
    (data,) = given
    with PIL.Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == 1  # type: ignore[attr-defined]
    assert not any(data[-8:] if kind == "BigTIFF" else data[-4:])


def test_a_tiff_says_its_type_or_is_unsigned(tmp_path: Path) -> None:
    stored = np.array([[[0], [70_000]]], np.uint32)
    untold = tiff(stored, photometric=1).replace(struct.pack("<HHI", 339, 3, 1), struct.pack("<HHI", 340, 3, 1))
    assert images.read(saved_bytes(tmp_path / "a.tif", untold)).pixels[0, :, 0].tolist() == [0, 70_000]
    wide = tiff(np.array([[[2**24 + 1]]], np.int32), photometric=1)
    with pytest.raises(ImageError, match=r"a\.tif holds whole numbers beyond 2\*\*24"):
        images.read(saved_bytes(tmp_path / "a.tif", wide))
    for length in range(0, len(wide), 3):
        with pytest.raises(ImageError, match=r"a\.tif "):
            images.read(saved_bytes(tmp_path / "a.tif", wide[:length]))


def test_among_integers_floats_go_from_0_to_1(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[-1024, 3071]], np.int16))
    np.save(tmp_path / "b.npy", np.array([[-0.1, 1.2]], np.float32))
    with pytest.raises(ImageError, match=r"a\.npy holds values from -1024 to 3071, and among images of 16 bits signed"):
        images.read_example(Example(tmp_path / "a.npy", "a"), Domain(1, "uint16"))
    assert images.read_example(Example(tmp_path / "b.npy", "b"), Domain(1)).ravel().tolist() == [0, 255]


def test_ppm_of_8_and_16_bits(tmp_path: Path) -> None:
    stored = noise(4, 5, 3, "uint16")
    (tmp_path / "a.ppm").write_bytes(b"P6\n# made by hand\n5 4\n65535\n" + stored.astype(">u2").tobytes())
    assert np.array_equal(agree(tmp_path / "a.ppm").pixels, stored)
    (tmp_path / "b.ppm").write_bytes(b"P6 5 4 255\n" + (stored >> 8).astype(np.uint8).tobytes())
    assert np.array_equal(agree(tmp_path / "b.ppm").pixels, stored >> 8)
    (tmp_path / "c.pgm").write_bytes(b"P5 5 4 1023\n" + (stored[..., 0] >> 6).astype(">u2").tobytes())
    assert np.array_equal(agree(tmp_path / "c.pgm").pixels, np.rint((stored[..., :1] >> 6) * (65535 / 1023)))
    assert np.array_equal(
        images.read_indices(saved_bytes(tmp_path / "d.pgm", b"P5 2 1 1023\n\0\7\0\xff")), np.array([[7, 255]])
    )
    text = " ".join(map(str, (stored[..., 0] >> 6).ravel()))
    (tmp_path / "e.pgm").write_bytes(f"P2 # by hand\n5 4 1023\n{text}".encode())
    assert np.array_equal(agree(tmp_path / "e.pgm").pixels, images.read(tmp_path / "c.pgm").pixels)
    refused(saved_bytes(tmp_path / "f.pgm", b"P5 2 1 1023\n\0\7\xff\xff"), "holds 65535, but counts to 1023")
    refused(saved_bytes(tmp_path / "g.pgm", b"P5 2 1 99999\n\0\7\xff\xff"), "less than 65536")


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 7)])
@pytest.mark.parametrize("dtype", ["uint8", ">u2", "float16", ">f4", "float64", "int8", ">i2", "int64", "uint32"])
def test_arrays(tmp_path: Path, shape: tuple[int, ...], dtype: str) -> None:
    stored = (noise(4, 5, 7).reshape(4, 5, 7)[..., 0] if len(shape) == 2 else noise(4, 5, shape[2])).astype(dtype)
    np.save(tmp_path / "a.npy", stored)
    found = agree(tmp_path / "a.npy")
    assert found.pixels.dtype == (np.dtype(dtype).newbyteorder("=") if dtype in ("uint8", ">u2") else "float32")
    assert np.array_equal(found.pixels.reshape(shape), stored)


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (np.full((4, 5), 2**24 + 1, np.int32), "beyond 2[*][*]24"),
        (np.zeros((4, 5), bool), "type bool"),
        (np.zeros((4, 5), complex), "complex128"),
        (np.zeros(4, np.uint8), r"shape \(4,\)"),
        (np.zeros((2, 4, 5, 3), np.uint8), "shape"),
        (np.zeros((4, 0, 3), np.uint8), "a.npy"),
        (np.full((4, 5), np.nan), "not finite"),
        (np.full((4, 5), 1e300), "not finite"),
        (np.array([[{}]]), "a.npy"),
    ],
)
def test_arrays_that_are_no_images(tmp_path: Path, array: NDArray[Any], match: str) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ImageError, match=match):
        images.read(tmp_path / "a.npy")


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"<svg/>", b"II*\0", b"P6\n", b"RIFF....WEBP"],
)
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.npy", "a.tif"])
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, name)
    with pytest.raises(ImageError):
        images.probe(tmp_path / name)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    refused(tmp_path / "none.png", "there is no file")
    refused(tmp_path / "none.npy", "there is no file")
    (tmp_path / "folder.png").mkdir()
    refused(tmp_path / "folder.png", "is a folder, not a regular file")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tif", ".gif", ".ppm", ".npy"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_truncated_files_are_refused(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, noise(64, 64, 3))
    else:
        PIL.Image.fromarray(noise(64, 64, 3)).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ImageError):
        images.read(path)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_16_bit_files_are_refused(tmp_path: Path, share: float, capfd: pytest.CaptureFixture[str]) -> None:
    whole = {"a.png": png(noise(64, 64, 3, "uint16"), 2), "a.tif": tiff(noise(64, 64, 3, "uint16"), photometric=2)}
    for name, data in whole.items():
        (tmp_path / name).write_bytes(data[: int(len(data) * share)])
        with pytest.raises(ImageError):
            images.read(tmp_path / name)
    broken = bytearray(whole["a.png"])
    broken[len(broken) // 2] ^= 1
    (tmp_path / "b.png").write_bytes(broken)
    with pytest.raises(ImageError, match="damaged"):
        images.read(tmp_path / "b.png")
    assert capfd.readouterr().err == ""


def test_huge_images_are_refused_from_the_header(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(data)
    assert images.probe(tmp_path / "a.png").width == 60000
    refused(tmp_path / "a.png", "60000 x 60000 pixels.*--max-pixels")
    np.save(tmp_path / "b.npy", noise(10, 10, 1))
    PIL.Image.fromarray(noise(10, 10, 3)).save(tmp_path / "b.tif")
    for name in ("b.npy", "b.tif"):
        assert images.read(tmp_path / name, max_pixels=100).pixels.shape[:2] == (10, 10)
        with pytest.raises(ImageError, match="limit of 99"):
            images.read(tmp_path / name, max_pixels=99)


def test_no_limit_of_pillows_own_gets_in_the_way(tmp_path: Path) -> None:
    # Pillow would warn of 90 million pixels, and a warning is an error here.
    path = saved(tmp_path / "a.gif", PIL.Image.new("L", (8, 8)))
    data = path.read_bytes()
    path.write_bytes(data[:6] + struct.pack("<HH", 10000, 9500) + data[10:])
    assert images.probe(path).width == 10000


starts = [
    b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0\x08\0\0\0", b"MM\0*", b"P5 ", b"P6\n3 3 65535\n", b"BM",
    b"GIF89a", b"RIFF\x20\0\0\0WEBP", b"\x93NUMPY\x01\0",
]  # fmt: skip


@quiet
@given(data=st.binary(max_size=300), start=st.sampled_from(starts))
@pytest.mark.parametrize("name", ["a.png", "a.npy"])
def test_random_bytes(tmp_path: Path, name: str, start: bytes, data: bytes) -> None:
    (tmp_path / name).write_bytes(start + data)
    never_another_error(tmp_path / name)


def never_another_error(path: Path) -> None:
    for open_ in (images.probe, images.read, images.read_indices):
        try:
            open_(path)
        except ImageError as error:
            assert path.name in str(error)


def mutate(data: bytes, cuts: list[tuple[float, int]], end: float) -> bytes:
    changed = bytearray(data)
    for place, value in cuts:
        changed[int(place * (len(changed) - 1))] = value
    return bytes(changed[: max(1, int(end * len(changed)))])


def originals() -> dict[str, bytes]:
    found: dict[str, bytes] = {
        "16.png": png(noise(12, 12, 3, "uint16"), 2),
        "16.tif": tiff(noise(12, 12, 3, "uint16"), photometric=2),
        "32.tif": tiff(noise(12, 12, 1, "float32"), photometric=1),
    }
    photo = PIL.Image.fromarray(noise(12, 12, 3))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = PIL.Image.Exif()
    exif[274] = 6
    for name in ("a.png", "a.jpg", "a.webp", "a.gif", "a.tif", "a.bmp", "a.ppm"):
        file = io.BytesIO()
        form = {"jpg": "JPEG", "tif": "TIFF"}.get(name[2:], name[2:])
        photo.save(file, form, **({"icc_profile": srgb, "exif": exif} if name in ("a.png", "a.jpg") else {}))
        found[name] = file.getvalue()
    return found


files = originals()
cuts = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6)


@quiet
@given(changes=cuts, end=st.sampled_from([1.0, 1.0, 0.9, 0.5]), name=st.sampled_from(sorted(files)))
def test_damaged_files(tmp_path: Path, name: str, changes: list[tuple[float, int]], end: float) -> None:
    (tmp_path / name).write_bytes(mutate(files[name], changes, end))
    never_another_error(tmp_path / name)


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the photos are not here")
def test_damaged_photos(tmp_path: Path) -> None:
    photo = next(path for path in images.find(PHOTOS) if path.suffix.lower() in (".jpg", ".jpeg"))
    data = photo.read_bytes()
    random = np.random.default_rng(0)
    for attempt in range(12):
        changed = [(float(random.random() ** 3), int(random.integers(256))) for _ in range(3)]
        (tmp_path / "a.jpg").write_bytes(mutate(data, changed, 1.0 if attempt % 2 else float(random.random())))
        never_another_error(tmp_path / "a.jpg")


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the photos are not here")
def test_photos_are_read_as_pillow_reads_them() -> None:
    for path in images.find(PHOTOS)[:3]:
        with PIL.Image.open(path) as image:
            assert np.array_equal(agree(path).pixels, np.asarray(image.convert("RGB")))


# --- writing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize("depth", depths)
@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy", ".bmp", ".webp", ".jpg"])
def test_what_is_written_is_read_back_or_refused(
    tmp_path: Path, suffix: str, depth: str, channels: int, alpha: bool
) -> None:
    path = tmp_path / f"a{suffix}"
    image = Image(noise(9, 7, channels, depth), noise(9, 7, 1, depth, seed=1)[..., 0] if alpha else None)
    holds = {
        ".png": channels in (1, 3) and depth != "float32",
        ".tif": channels in (1, 3) and not (alpha and channels == 1 and depth != "uint8"),
        ".npy": not alpha,
        ".bmp": channels in (1, 3) and depth == "uint8" and not alpha,
        ".webp": channels in (1, 3) and depth == "uint8",
        ".jpg": channels in (1, 3) and depth == "uint8" and not alpha,
    }[suffix]
    if not holds:
        with pytest.raises(ImageError, match=r"a\.\w+ has .* cannot hold; write it as"):
            images.write(path, image)
        assert list(tmp_path.iterdir()) == []
        return
    images.write(path, image, quality=100)
    assert list(tmp_path.iterdir()) == [path]
    found = agree(path)
    if suffix == ".jpg":
        assert np.abs(found.pixels.astype(int) - image.pixels).max() < 8
    else:
        assert np.array_equal(found.pixels, np.broadcast_to(image.pixels, found.pixels.shape))
    if image.alpha is not None:
        assert found.alpha is not None
        assert np.array_equal(found.alpha, image.alpha)


def test_jpeg_keeps_the_full_colour_resolution(tmp_path: Path) -> None:
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2] = [255, 0, 0]
    stripes[:, 1::2] = [0, 0, 255]
    images.write(tmp_path / "a.jpg", Image(stripes), quality=95)
    assert np.abs(images.read(tmp_path / "a.jpg").pixels.astype(int) - stripes).max() < 40


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    images.write(path, Image(noise(4, 4, 3)))
    old = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ImageError, match=r"cannot write .*a\.png: No space left on device"):
        images.write(path, Image(noise(8, 8, 3)))
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_places_and_suffixes(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="No such file"):
        images.write(tmp_path / "none" / "a.png", Image(noise(4, 4, 3)))
    with pytest.raises(ImageError, match=r"\.xyz is none of"):
        images.write(tmp_path / "a.xyz", Image(noise(4, 4, 3)))
    with pytest.raises(ImageError, match="no image"):
        images.write(tmp_path / "a.png", Image(noise(4, 4, 3).astype(np.int32)))
    with pytest.raises(ImageError, match="16383"):
        images.write(tmp_path / "a.webp", Image(np.zeros((1, 16384, 3), np.uint8)))


def test_many_threads(tmp_path: Path) -> None:
    barrier = threading.Barrier(4)

    def work(index: int) -> bool:
        barrier.wait()
        pixels = noise(20, 30, 3, "uint16" if index % 2 else "uint8", seed=index)
        path = tmp_path / f"{index}.png"
        for _ in range(5):
            images.write(path, Image(pixels))
            if not np.array_equal(images.read(path).pixels, pixels):
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_find(tmp_path: Path) -> None:
    for name in (
        "b/2.PNG",
        "b/10.jpg",
        "a.npy",
        ".hidden.png",
        ".hidden/x.png",
        "notes.txt",
        "b/.a.png.part",
        "c/d/e.tif",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "c" / "up").symlink_to(tmp_path)
    expected = ["a.npy", "b/10.jpg", "b/2.PNG", "c/d/e.tif"]
    assert [path.relative_to(tmp_path).as_posix() for path in images.find(tmp_path)] == expected
    assert images.find(tmp_path / "a.npy") == [tmp_path / "a.npy"]
    with pytest.raises(ImageError, match="there is no file or folder"):
        images.find(tmp_path / "none")


# --- pixels ---------------------------------------------------------------------------------------------------------


@quiet
@given(
    height=st.integers(1, 12), width=st.integers(1, 12), size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    channels=st.sampled_from([1, 2, 3, 4, 5, 9]), depth=st.sampled_from(depths), nearest=st.booleans(),
)  # fmt: skip
def test_resize(height: int, width: int, size: tuple[int, int], channels: int, depth: str, nearest: bool) -> None:
    pixels = noise(height, width, channels, depth)
    found = images.resize(pixels, size, nearest=nearest)
    assert found.shape == (*size, channels)
    assert found.dtype == pixels.dtype
    assert pixels.min() <= found.min() or depth != "float32"
    if nearest:
        assert np.isin(found, pixels).all()
    flat = np.full_like(pixels, 0.25 if depth == "float32" else 77)
    assert np.allclose(images.resize(flat, size, nearest=nearest), flat[0, 0, 0], atol=1e-6)


def test_resize_averages_when_it_shrinks() -> None:
    board = (np.indices((16, 16)).sum(0) % 2 * 200).astype(np.uint8)[..., None]
    assert (images.resize(board, (8, 8)) == 100).all()


def test_as_channels() -> None:
    gray, rgb = noise(3, 4, 1), noise(3, 4, 3)
    assert np.array_equal(images.as_channels(gray, 3, "a"), np.repeat(gray, 3, 2))
    assert np.array_equal(images.as_channels(np.repeat(gray, 3, 2), 1, "a"), gray)
    assert images.as_channels(rgb, 1, "a").dtype == np.uint8
    with pytest.raises(ImageError, match=r"photo\.png has 3 channel\(s\) where 5"):
        images.as_channels(rgb, 5, "photo.png")


@given(value=st.integers(0, 255))
def test_depths_meet(value: int) -> None:
    pixels = np.array([[[value]]], np.uint8)
    for depth in depths:
        there = images.as_depth(pixels, depth, low=-3, high=7)
        assert there.dtype == np.dtype(depth)
        assert np.array_equal(images.as_depth(there, "uint8", low=-3, high=7), pixels)


# --- examples -------------------------------------------------------------------------------------------------------


def test_examples_come_in_the_domains_shape(tmp_path: Path) -> None:
    gray = noise(4, 6, 1)
    images.write(tmp_path / "gray.png", Image(gray))
    found = images.read_example(Example(tmp_path / "gray.png", "gray"), Domain(channels=3, depth="uint16"))
    assert np.array_equal(found, np.repeat(gray, 3, 2).astype(np.uint16) * 257)
    made = Example(lambda: gray[..., 0], "made")
    assert np.array_equal(images.read_example(made, Domain(channels=1)), gray)
    assert np.array_equal(images.read_example(Example(gray, "array"), Domain(channels=1)), gray)
    with pytest.raises(ImageError, match=r"gray\.png has 1 channel"):
        images.read_example(Example(tmp_path / "gray.png", "gray"), Domain(channels=4))
    with pytest.raises(ImageError, match=r"wrong has the shape \(3,\)"):
        images.read_example(Example(np.zeros(3, np.uint8), "wrong"), Domain(channels=1))


@pytest.mark.parametrize("width", [6, 7])
def test_halves(width: int) -> None:
    pixels = noise(4, width, 3)
    domain = Domain(channels=3)
    left = images.read_example(Example(pixels, "x", region="left"), domain)
    right = images.read_example(Example(pixels, "x", region="right"), domain)
    assert np.array_equal(left, pixels[:, :3])
    assert np.array_equal(right, pixels[:, -3:])
    with pytest.raises(ImageError, match="one pixel wide"):
        images.read_example(Example(pixels[:, :1], "x", region="left"), domain)


def test_class_maps(tmp_path: Path) -> None:
    stored = np.array([[0, 1], [2, 2]], np.uint8)
    images.write(tmp_path / "a.png", Image(stored[..., None]))
    example = Example(tmp_path / "a.png", "a")
    found = images.read_example(example, Domain(channels=3, classes=3))
    assert found.shape == (2, 2, 1)
    assert np.array_equal(found[..., 0], stored)
    with pytest.raises(ImageError, match=r"a\.png holds the class index 2, but there are 2 classes.*classes=3"):
        images.read_example(example, Domain(channels=2, classes=2))
    images.write(tmp_path / "rgb.png", Image(noise(2, 2, 3)))
    with pytest.raises(ImageError, match="no map of class indices"):
        images.read_indices(tmp_path / "rgb.png")
    np.save(tmp_path / "b.npy", stored.astype(np.int64) - 1)
    with pytest.raises(ImageError, match="class index -1"):
        images.read_indices(tmp_path / "b.npy")


# --- tensors --------------------------------------------------------------------------------------------------------

devices = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


@pytest.mark.parametrize("device", devices)
@pytest.mark.parametrize(("depth", "values"), [("uint8", 256), ("uint16", 65536)])
def test_integers_survive_the_round_trip(depth: Depth, values: int, device: str) -> None:
    stored = torch.arange(values, dtype=torch.int32).to(getattr(torch, depth)).view(1, 1, 16, -1).to(device)
    seen = images.normalize(stored, Domain(channels=1, depth=depth))
    assert seen.dtype == torch.float32
    assert seen.device == stored.device
    exact = np.arange(values) / ((values - 1) / 2) - 1
    assert np.abs(seen.cpu().numpy().ravel() - exact).max() < 1.3e-7
    back = images.denormalize(seen, depth)
    assert back.dtype == stored.dtype
    assert torch.equal(back.cpu().int(), stored.cpu().int())


@pytest.mark.parametrize("device", devices)
def test_floats_survive_the_round_trip(device: str) -> None:
    stored = torch.linspace(-2, 6, 101, device=device).view(1, 1, 1, -1)
    domain = Domain(channels=1, depth="float32", low=-2, high=6)
    seen = images.normalize(stored, domain)
    assert seen.min() == -1
    assert seen.max() == 1
    assert torch.allclose(images.denormalize(seen, "float32", -2, 6), stored, atol=1e-6)
    assert images.denormalize(torch.tensor([-9.0, 9.0]), "float32", -2, 6).tolist() == [-2, 6]


def test_what_goes_in_is_left_alone() -> None:
    stored = torch.rand(1, 1, 4, 4)
    before = stored.clone()
    images.normalize(stored, Domain(channels=1, depth="float32"))
    for depth in depths:
        images.denormalize(stored, depth)
    images.to_rgb(stored, Domain(channels=1))
    assert torch.equal(stored, before)


@pytest.mark.parametrize("device", devices)
def test_class_indices_become_planes_or_colours(device: str) -> None:
    stored = torch.tensor([[[[0, 2], [1, 1]]]], dtype=torch.uint8, device=device)
    planes = images.normalize(stored, Domain(channels=3, classes=3))
    assert planes.shape == (1, 3, 2, 2)
    assert torch.equal(planes.argmax(1, keepdim=True), stored.long())
    assert planes.unique().tolist() == [-1, 1]
    palette = ((0, 0, 0), (255, 0, 128), (9, 8, 7))
    colours = images.normalize(stored, Domain(channels=3, classes=3, palette=palette))
    assert images.denormalize(colours, "uint8")[0, :, 0, 1].tolist() == [9, 8, 7]
    assert images.to_rgb(colours, Domain(channels=3, classes=3, palette=palette))[0, :, 1, 0].tolist() == [255, 0, 128]
    shown = images.to_rgb(planes, Domain(channels=3, classes=3))
    assert shown.shape == (1, 3, 2, 2)
    assert len({tuple(colour) for colour in shown[0].flatten(1).T.tolist()}) == 3


def test_to_rgb_for_any_number_of_planes() -> None:
    seen = torch.rand(2, 5, 4, 4) * 2 - 1
    all_shown = images.denormalize(seen, "uint8")
    for channels in (1, 2, 3, 5):
        shown = images.to_rgb(seen[:, :channels], Domain(channels=channels))
        assert shown.shape == (2, 3, 4, 4)
        assert shown.dtype == torch.uint8
        assert torch.equal(shown[:, 0], all_shown[:, 0])
        assert channels != 2 or not shown[:, 2].any()
        assert channels < 3 or torch.equal(shown, all_shown[:, :3])


def test_a_big_endian_bigtiff_is_sound_and_not_read(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4, 3), np.uint8), bigtiff=True, byteorder=">", photometric="rgb")
    with pytest.raises(images.ImageError, match=r"a\.tif is a BigTIFF in big-endian order, which is not read here; "):
        images.load(tmp_path / "a.tif")
    with pytest.raises(images.ImageError, match="big-endian order"):
        images.probe(tmp_path / "a.tif")
