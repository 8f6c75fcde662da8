"""One image, one answer: through every door, and at 8 bits as at 16."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import ImageCms

from translate import images
from translate.images import Image, ImageError

Bytes = NDArray[np.uint8]


def noise(height: int, width: int, channels: int, seed: int = 0) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels)).astype(np.uint8)


def deep(pixels: Bytes) -> NDArray[np.uint16]:
    return pixels.astype(np.uint16) * 257


def as_tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def as_png(pixels: NDArray[Any], profile: bytes | None = None) -> bytes:
    """A PNG by Pillow at 8 bits and by OpenCV at 16, whose profile is put in by hand."""
    if pixels.dtype == np.uint8:
        file = io.BytesIO()
        PIL.Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG", icc_profile=profile)
        return file.getvalue()
    order = [2, 1, 0, 3][: pixels.shape[2]] if pixels.shape[2] > 1 else [0]
    data = bytes(cv2.imencode(".png", pixels[..., order])[1].tobytes())
    if profile is None:
        return data
    file = io.BytesIO()
    PIL.Image.new("L", (1, 1)).save(file, "PNG", icc_profile=profile)
    small = file.getvalue()
    at = small.index(b"iCCP") - 4
    (length,) = struct.unpack_from(">I", small, at)
    return data[:33] + small[at : at + 12 + length] + data[33:]


def as_pnm(pixels: NDArray[Any], largest: int) -> bytes:
    height, width, channels = pixels.shape
    stored = pixels.astype(">u2" if largest > 255 else np.uint8).tobytes()
    return f"P{'5' if channels == 1 else '6'} {width} {height} {largest}\n".encode() + stored


def levels_apart(eight: Image, sixteen: Image) -> float:
    """How far a deep image is from its 8-bit twin, in 8-bit levels; shape, depth and alpha must be the twin's."""
    assert eight.pixels.shape == sixteen.pixels.shape
    assert sixteen.pixels.dtype == np.uint16
    assert (eight.alpha is None) == (sixteen.alpha is None)
    if eight.alpha is not None and sixteen.alpha is not None:
        assert np.array_equal(sixteen.alpha // 257, eight.alpha)
    return float(np.abs(sixteen.pixels / 257 - eight.pixels).max())


# --- profiles, written by hand ----------------------------------------------------------------------------------------

ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
WIDE = ((0.79766, 0.28804, 0.0), (0.13518, 0.71188, 0.0), (0.03134, 0.00009, 0.82491))
D50 = (0.9642, 1.0, 0.8249)


def xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def power(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def table(values: NDArray[Any]) -> bytes:
    stored = np.rint(np.clip(values, 0, 1) * 65535).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", len(stored)) + stored.tobytes() + b"\0" * (2 * len(stored) % 4)


def parametric(kind: int, *values: float) -> bytes:
    return (
        b"para\0\0\0\0"
        + struct.pack(">HH", kind, 0)
        + struct.pack(f">{len(values)}i", *(round(v * 65536) for v in values))
    )


def profile(space: bytes, tags: dict[bytes, bytes], *, pcs: bytes = b"XYZ ") -> bytes:
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + b"\0" * 79
    every = {b"desc": text, b"cprt": b"text\0\0\0\0none\0\0\0\0", b"wtpt": xyz(D50), **tags}
    start = 132 + 12 * len(every)
    listed, data = b"", b""
    for name, value in every.items():
        value = value.ljust(-(-len(value) // 4) * 4, b"\0")
        listed += struct.pack(">4sII", name, start + len(data), len(value))
        data += value
    head = struct.pack(">I4sI4s4s4s", 0, b"test", 0x02400000, b"mntr", space, pcs) + struct.pack(
        ">6H4sI", 2026, 1, 1, 0, 0, 0, b"acsp", 0
    )
    head = head.ljust(68, b"\0") + struct.pack(">3i", *(round(value * 65536) for value in D50))
    whole = head.ljust(128, b"\0") + struct.pack(">I", len(every)) + listed + data
    return struct.pack(">I", len(whole)) + whole[4:]


def matrix(primaries: tuple[tuple[float, ...], ...], curve: bytes) -> bytes:
    columns = {name: xyz(values) for name, values in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)}
    return profile(b"RGB ", columns | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))


def table_profile() -> bytes:
    """An RGB profile with a table to CIELAB and no matrix: a bent gray axis and turned hues."""
    side = 9
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    light = 0.9 * grid.mean(axis=1) ** 0.8
    green, blue = 0.5 + 0.2 * (grid[:, 1] - grid[:, 0]), 0.5 + 0.2 * (grid[:, 0] - grid[:, 2])
    lab = np.stack([light * 0xFF00 / 65535, green * 0xFF00 / 65535, blue * 0xFF00 / 65535], axis=1)
    entries = np.rint(lab * 65535).astype(">u2").tobytes()
    line = struct.pack(">2H", 0, 65535) * 3
    one = [65536 if place % 4 == 0 else 0 for place in range(9)]
    body = b"mft2\0\0\0\0" + bytes([3, 3, side, 0]) + struct.pack(">9i", *one) + struct.pack(">2H", 2, 2)
    return profile(b"RGB ", {b"A2B0": body + line + entries + line}, pcs=b"Lab ")


CURVES = {
    "power": power(2.2),
    "table": table(np.linspace(0, 1, 1024) ** 1.8),
    "linear": b"curv\0\0\0\0" + struct.pack(">I", 0),
    "para 0": parametric(0, 1.8),
    "para 1": parametric(1, 2.0, 0.9, 0.1),
    "para 2": parametric(2, 2.0, 0.9, 0.05, 0.02),
    "para 3": parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
    "para 4": parametric(4, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045, 0.0, 0.0),
}
PROFILES = {
    **{f"Adobe RGB, {name}": matrix(ADOBE, curve) for name, curve in CURVES.items()},
    "wide": matrix(WIDE, power(1.8)),
    "tables": table_profile(),
}


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_a_profile_is_converted_at_16_bits_as_at_8(name: str, kind: str) -> None:
    pixels = np.concatenate([noise(24, 24, 3), np.arange(0, 256, 4, dtype=np.uint8).repeat(3 * 12).reshape(-1, 24, 3)])
    if kind == "png":
        eight, sixteen = as_png(pixels, PROFILES[name]), as_png(deep(pixels), PROFILES[name])
    else:
        tags = [(34675, 7, len(PROFILES[name]), PROFILES[name], True)]
        eight, sixteen = (as_tiff(each, photometric="rgb", extratags=tags) for each in (pixels, deep(pixels)))
    found = images.load(eight)
    assert np.abs(found.pixels.astype(int) - pixels).max() > 5  # the profile matters
    assert levels_apart(found, images.load(sixteen)) <= 1


@pytest.mark.parametrize("name", ["power", "table", "linear", "para 3"])
def test_a_gray_profile_is_converted_at_16_bits_as_at_8(name: str) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    gray = profile(b"GRAY", {b"kTRC": CURVES[name]})
    found = images.load(as_png(pixels, gray))
    assert levels_apart(found, images.load(as_png(deep(pixels), gray))) <= 1
    if name == "linear":
        assert np.abs(found.pixels.astype(int) - pixels).max() > 50
    assert found.pixels.shape == (16, 16, 1)


def test_16_bit_profiles_are_finer_than_8_bits() -> None:
    """Steps between two 8-bit levels stay apart, and follow the formula of the profile."""
    share = np.linspace(0.2, 0.8, 1024)
    pixels = np.rint(share * 65535).astype(np.uint16).repeat(3).reshape(32, 32, 3)
    found = images.load(as_png(pixels, matrix(ADOBE, power(2.2)))).pixels[..., 1].ravel()
    linear = (pixels[..., 1].ravel() / 65535) ** (round(2.2 * 256) / 256)
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 65535
    assert len(np.unique(found)) == 1024
    assert np.abs(found - expected).max() < 20  # of 65535: the primaries above have five digits


def test_a_profile_of_srgb_or_none_leaves_16_bits_alone() -> None:
    pixels = deep(noise(8, 8, 3)) + 7
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for stored in (srgb, b"no profile at all", srgb[:200], b"\0" * 200):
        assert np.array_equal(images.load(as_png(pixels, stored)).pixels, pixels)


# --- every other kind ------------------------------------------------------------------------------------------------


def twins(kind: str) -> tuple[bytes, bytes]:
    """The same image in an 8-bit and in a 16-bit file."""
    rgb, gray, rgba = noise(7, 9, 3), noise(7, 9, 1), noise(7, 9, 4)
    rgba[..., 3] = np.maximum(rgba[..., 3], 16)
    if kind == "straight alpha":
        return tuple(as_tiff(each, photometric="rgb", extrasamples=["unassalpha"]) for each in (rgba, deep(rgba)))  # type: ignore[return-value]
    if kind == "premultiplied alpha":
        rgba[..., :3] = np.minimum(rgba[..., :3], rgba[..., 3:])
        return tuple(as_tiff(each, photometric="rgb", extrasamples=["assocalpha"]) for each in (rgba, deep(rgba)))  # type: ignore[return-value]
    if kind == "alpha in PNG":
        return as_png(rgba), as_png(deep(rgba))
    if kind == "white is zero":
        return tuple(as_tiff(each[..., 0], photometric="miniswhite") for each in (gray, deep(gray)))  # type: ignore[return-value]
    if kind == "big-endian":
        return tuple(as_tiff(each, photometric="rgb", byteorder=">") for each in (rgb, deep(rgb)))  # type: ignore[return-value]
    if kind == "deflate with predictor":
        options: dict[str, Any] = {"photometric": "rgb", "compression": "zlib", "predictor": True}
        return as_tiff(rgb, **options), as_tiff(deep(rgb), **options)
    if kind == "tiles":
        return tuple(as_tiff(each, photometric="rgb", tile=(16, 16)) for each in (rgb, deep(rgb)))  # type: ignore[return-value]
    if kind.startswith("orientation"):
        tags = [(274, 3, 1, int(kind[-1]), True)]
        return tuple(as_tiff(each, photometric="rgb", extratags=tags) for each in (rgb, deep(rgb)))  # type: ignore[return-value]
    if kind == "maxval":
        few = (rgb // 3).astype(np.uint8)
        return as_pnm(few, 100), as_pnm(few.astype(np.uint16) * 10, 1000)
    assert kind == "gray PNM"
    return as_pnm(gray, 255), as_pnm(deep(gray), 65535)


KINDS = [
    "straight alpha", "premultiplied alpha", "alpha in PNG", "white is zero", "big-endian", "deflate with predictor",
    "tiles", "orientation 3", "orientation 6", "orientation 7", "maxval", "gray PNM",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_deep_files_are_their_8_bit_twins(kind: str) -> None:
    eight, sixteen = twins(kind)
    rounded = kind in ("premultiplied alpha", "maxval")
    assert levels_apart(images.load(eight), images.load(sixteen)) <= (1 if rounded else 0)


@pytest.mark.parametrize(
    ("kind", "options", "channels"),
    [
        ("CMYK", {"photometric": "separated"}, 4),
        ("CIELAB", {"photometric": "cielab"}, 3),
        ("one plane after the other", {"photometric": "rgb", "planarconfig": "separate"}, 3),
        ("2 channel", {"photometric": "minisblack", "extrasamples": ["unassalpha"]}, 2),
    ],
)
def test_deep_kinds_without_a_decoder_are_refused_by_name(
    tmp_path: Path, kind: str, options: dict[str, Any], channels: int
) -> None:
    pixels = noise(6, 5, channels)
    stored = pixels.transpose(2, 0, 1).copy() if "planarconfig" in options else pixels
    assert images.load(as_tiff(stored, **options)).pixels.shape[:2] == (6, 5)
    (tmp_path / "a.tif").write_bytes(as_tiff(stored.astype(np.uint16) * 257, **options))
    with pytest.raises(ImageError, match=kind) as caught:
        images.read(tmp_path / "a.tif")
    assert "a.tif" in str(caught.value)


def test_white_is_zero_as_class_indices_and_as_image() -> None:
    stored = np.arange(12, dtype=np.uint16).reshape(3, 4)
    data = as_tiff(stored, photometric="miniswhite")
    assert np.array_equal(images.load(data).pixels[..., 0], 65535 - stored)
    assert np.array_equal(images.load_indices(data), stored)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_transparent_gray_of_few_bits(bits: int) -> None:
    """Pillow stretches the grays, but not the one that is transparent."""
    most = 2**bits - 1
    file = io.BytesIO()
    values = np.arange(16, dtype=np.uint8).reshape(2, 8) % (most + 1)
    PIL.Image.fromarray(values * (255 // most)).save(file, "PNG")
    rows = b"".join(b"\0" + np.packbits(np.unpackbits(row[:, None], axis=1)[:, 8 - bits :]).tobytes() for row in values)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 2, bits, 0, 0, 0, 0))
    data += chunk(b"tRNS", struct.pack(">H", 1)) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    found = images.load(data)
    assert np.array_equal(found.pixels[..., 0], values * (255 // most))
    assert found.alpha is not None
    assert np.array_equal(found.alpha == 0, values == 1)
    assert np.array_equal(images.load_indices(data), values)


# --- every door ------------------------------------------------------------------------------------------------------


def turned(image: PIL.Image.Image, suffix: str, **options: Any) -> bytes:
    exif = PIL.Image.Exif()
    exif[274] = 6
    file = io.BytesIO()
    image.save(file, suffix, exif=exif, icc_profile=matrix(ADOBE, power(2.2)), **options)
    return file.getvalue()


def door_files() -> dict[str, bytes]:
    rgb = PIL.Image.fromarray(noise(7, 9, 3))
    found = {
        "JPEG": turned(rgb, "JPEG", quality=95),
        "CMYK JPEG": turned(rgb.convert("CMYK"), "JPEG"),
        "WebP": turned(rgb, "WEBP", lossless=True),
        "PNG": turned(rgb, "PNG"),
        "RGBA PNG": turned(PIL.Image.fromarray(noise(7, 9, 4)), "PNG"),
        "palette": turned(rgb.quantize(8), "PNG"),
        "palette with alpha": turned(rgb.quantize(4), "PNG", transparency=bytes([0, 90, 255, 10])),
        "bits": turned(rgb.convert("1"), "PNG"),
        "TIFF": twins("orientation 6")[0],
        "LAB": as_tiff(noise(7, 9, 3), photometric="cielab"),
        "16-bit gray": as_png(deep(noise(7, 9, 1)), profile(b"GRAY", {b"kTRC": power(1.5)})),
        "float": as_tiff(noise(7, 9, 1)[..., 0].astype(np.float32) / 255),
        "white is zero": twins("white is zero")[0],
        "GIF": b"",
    }  # fmt: skip
    file = io.BytesIO()
    rgb.quantize(8).save(file, "GIF", transparency=3)
    found["GIF"] = file.getvalue()
    return found


@pytest.mark.parametrize(("kind", "data"), door_files().items())
def test_a_file_its_bytes_and_its_picture_are_one_image(tmp_path: Path, kind: str, data: bytes) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    expected = images.read(path)
    with path.open("rb") as file:
        pictures = [PIL.Image.open(io.BytesIO(data)) for _ in range(2)]
        doors = [data, bytearray(data), io.BytesIO(data), str(path), file, *pictures]
        doors[-1].load()  # type: ignore[union-attr]
        for door in doors:
            found = images.load(door)  # type: ignore[arg-type]
            assert found.pixels.dtype == expected.pixels.dtype
            assert np.array_equal(found.pixels, expected.pixels), door
            assert (found.alpha is None) == (expected.alpha is None)
            if found.alpha is not None and expected.alpha is not None:
                assert np.array_equal(found.alpha, expected.alpha), door
    assert np.array_equal(images.load(expected.pixels).pixels, expected.pixels)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L", "I"])
def test_pictures_of_16_bits_keep_their_values(mode: str) -> None:
    stored = deep(noise(5, 6, 1))[..., 0]
    order = {"I;16": "<u2", "I;16L": "<u2", "I;16B": ">u2", "I": "<i4"}[mode]
    image = PIL.Image.frombytes(mode, (6, 5), stored.astype(order).tobytes())
    assert np.array_equal(images.load(image).pixels[..., 0], stored)


@pytest.mark.parametrize("value", [-1, 65536])
def test_a_picture_of_32_bits_is_refused(value: int) -> None:
    image = PIL.Image.new("I", (3, 2), value)
    with pytest.raises(ImageError, match=f"the image holds {value}, but images have values of 0 to 65535"):
        images.load(image)


@pytest.mark.parametrize(
    "mode", ["1", "L", "P", "LA", "PA", "La", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"]
)
def test_pictures_of_every_mode_are_what_they_show(mode: str) -> None:
    colour = PIL.Image.fromarray(np.kron(noise(3, 3, 3), np.ones((4, 4, 1), np.uint8)))
    steps = {"PA": ["RGB", "P"], "La": ["LA"], "RGBa": ["RGBA"]}.get(mode, [])
    image = colour
    for step in [*steps, mode]:
        image = image.convert(step)
    shown = np.array(image.convert("RGBA") if mode != "La" else image.convert("LA").convert("RGBA"))[..., :3]
    found = images.load(image).pixels
    assert np.array_equal(np.broadcast_to(found, shown.shape), shown)


def test_sources_that_are_none() -> None:
    with pytest.raises(ImageError, match="not dict"):
        images.load({})  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="the image is empty"):
        images.load(b"")
    with pytest.raises(ImageError, match="mine"):
        images.load(b"nothing", name="mine")
