"""Strange files, by name, with the right outcome of each: its pixels, a word of the reason, or that it is passed over.

Everything is tiny and made here. The pixels that are expected are those that a file was made from, or follow from what
its format says; no reader of the project is asked for them.
"""

from __future__ import annotations

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Right:
    """A file that is converted: ``pixels`` (H, W, 1 or 3) and ``alpha`` (H, W) as displayed, up to ``apart`` levels."""

    pixels: Array
    alpha: Array | None = None
    apart: float = 0


Outcome = Right | str | None
"""What becomes of a file: it is converted, named with a reason that holds the text, or passed over without a word."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A file below the folder: how it is made, and what shall become of it."""

    name: str
    make: bytes | Callable[[Path], object]
    outcome: Outcome


def fill(root: Path) -> list[Case]:
    """Make the folder of strange files; the cases that this system can have."""
    made = []
    for case in cases():
        path = root / case.name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(case.make, bytes):
                with path.open("xb") as file:
                    file.write(case.make)
            else:
                case.make(path)
        except (OSError, AttributeError):  # names and kinds that this file system does not have
            continue
        made.append(case)
    return made


def cases() -> list[Case]:
    """All strange files."""
    return [
        *_orientations(), *_colours(), *_depths(), *_tiffs(), *_pngs(), *_small_formats(), *_arrays(), *_suffixes(),
        *_broken(), *_huge(), *_not_images(), *_names(), *_kinds(), *_beside_images(),
    ]  # fmt: skip


# --- pictures and encoders --------------------------------------------------------------------------------------------


def picture(seed: int = 0, shape: tuple[int, ...] = (6, 9, 3), dtype: Any = np.uint8) -> Array:
    """Noise that tells every side and turn."""
    draws = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return draws.random(shape).astype(dtype)
    return draws.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def encoded(pixels: Array, format_: str, **options: Any) -> bytes:
    """A file as Pillow writes it."""
    file = io.BytesIO()
    image = PIL.Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)
    if mode := options.pop("mode", None):
        image = image.convert(mode)
    image.save(file, format_, **options)
    return file.getvalue()


def by_opencv(pixels: Array, suffix: str) -> bytes:
    """A file as OpenCV writes it, of RGB planes."""
    planes = pixels if pixels.shape[2] == 1 else np.concatenate([pixels[..., 2::-1], pixels[..., 3:]], axis=2)
    return bytes(cv2.imencode(suffix, np.ascontiguousarray(planes))[1].tobytes())


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    shape: tuple[int, int], bits: int, colour: int, rows: bytes, *extra: bytes, interlaced: bool = False
) -> bytes:  # fmt: skip
    """A PNG of rows that begin with their filter."""
    header = struct.pack(">IIBBBBB", shape[1], shape[0], bits, colour, 0, 0, int(interlaced))
    content = chunk(b"IHDR", header) + b"".join(extra) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content


def rows_of(pixels: Array) -> bytes:
    """The rows of a PNG, unfiltered, of 8 or 16 bits a value."""
    values = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder(">")))
    return b"".join(b"\0" + row.tobytes() for row in values)


def interlaced_rows(pixels: Array) -> bytes:
    """The rows of the seven passes of Adam7."""
    steps = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    passes = [pixels[row::down, column::across] for row, column, down, across in steps]
    return b"".join(rows_of(each) for each in passes if each.size)


def packed(values: Array, bits: int) -> bytes:
    """Rows of values of few bits, each filled up to whole bytes, with PNG's filter before them."""
    lines = []
    for row in values:
        line = "".join(f"{value:0{bits}b}" for value in row)
        line += "0" * (-len(line) % 8)
        lines.append(b"\0" + int(line, 2).to_bytes(len(line) // 8))
    return b"".join(lines)


def tiff(
    shape: tuple[int, int], bits: Sequence[int], photometric: int, parts: Sequence[bytes], order: str = "<",
    *, tile: int = 0, big: bool = False, more: dict[int, tuple[int, Sequence[int]]] | None = None,
) -> bytes:  # fmt: skip
    """An uncompressed TIFF; ``parts`` are its strips or tiles, and ``more`` further tags with their types."""
    short, long = 3, 4
    tags: dict[int, tuple[int, Sequence[int]]] = {
        256: (long, [shape[1]]), 257: (long, [shape[0]]), 258: (short, list(bits)), 259: (short, [1]),
        262: (short, [photometric]), 277: (short, [len(bits)]),
    }  # fmt: skip
    size = 8 if not big else 16
    starts = [size + sum(map(len, parts[:number])) for number in range(len(parts))]
    lengths = [len(part) for part in parts]
    if tile:
        tags |= {322: (short, [tile]), 323: (short, [tile]), 324: (long, starts), 325: (long, lengths)}
    else:
        tags |= {273: (long, starts), 278: (long, [shape[0]]), 279: (long, lengths)}
    tags |= more or {}
    letters = {short: "H", long: "I"}
    number, offset = ("Q", "Q") if big else ("H", "I")
    inline = 8 if big else 4
    at = size + sum(lengths)
    at += at % 2
    directory = struct.calcsize(order + number) + len(tags) * (12 if not big else 20) + inline
    entries, behind = b"", b""
    for tag in sorted(tags):
        kind, values = tags[tag]
        data = struct.pack(f"{order}{len(values)}{letters[kind]}", *values)
        if len(data) > inline:
            place = struct.pack(order + offset, at + directory + len(behind))
            behind += data + bytes(-len(data) % 8)
        else:
            place = data.ljust(inline, b"\0")
        entries += struct.pack(f"{order}HH{offset}", tag, kind, len(values)) + place
    start = b"II" if order == "<" else b"MM"
    if big:
        start += struct.pack(f"{order}HHHQ", 43, 8, 0, at)
    else:
        start += struct.pack(f"{order}HI", 42, at)
    body = b"".join(parts)
    body += bytes((size + len(body)) % 2)
    return start + body + struct.pack(order + number, len(tags)) + entries + bytes(inline) + behind


def turned(pixels: Array, orientation: int) -> Array:
    """The stored pixels whose display, by EXIF's table, is ``pixels``: where the first row and column shall appear."""
    table: dict[int, Callable[[Array], Array]] = {
        1: lambda shown: shown, 2: lambda shown: shown[:, ::-1], 3: lambda shown: shown[::-1, ::-1],
        4: lambda shown: shown[::-1], 5: lambda shown: shown.transpose(1, 0, 2),
        # Stored rows are displayed columns: from the right (6, 7) or the left (5, 8).
        6: lambda shown: shown[:, ::-1].transpose(1, 0, 2), 7: lambda shown: shown[::-1, ::-1].transpose(1, 0, 2),
        8: lambda shown: shown[::-1].transpose(1, 0, 2),
    }  # fmt: skip
    return np.ascontiguousarray(table[orientation](pixels))


# --- the files --------------------------------------------------------------------------------------------------------


def _orientations() -> list[Case]:
    made = []
    blocks = picture(1, (2, 3, 1)).repeat(16, 0).repeat(16, 1).repeat(3, 2)
    for number in range(1, 9):
        exif = PIL.Image.Exif()
        exif[274] = number
        stored = turned(blocks, number)
        jpeg = encoded(stored, "JPEG", exif=exif, quality=100, subsampling=0)
        made.append(Case(f"turned/{number}.jpg", jpeg, Right(blocks, apart=3)))
        exact = picture(number)
        stored = turned(exact, number)
        made.append(Case(f"turned/{number}.png", encoded(stored, "PNG", exif=exif), Right(exact)))
        webp = encoded(stored, "WEBP", exif=exif, lossless=True)
        made.append(Case(f"turned/{number}.webp", webp, Right(exact)))
        made.append(Case(f"turned/{number}.tif", encoded(stored, "TIFF", tiffinfo={274: number}), Right(exact)))
        deep = picture(number, dtype=np.uint16)
        stored = turned(deep, number)
        file = tiff(stored.shape[:2], (16,) * 3, 2, [stored.tobytes()], more={274: (3, [number])})
        made.append(Case(f"turned/deep{number}.tif", file, Right(deep)))
    exif = PIL.Image.Exif()
    exif[274] = 99
    made.append(Case("turned/99.png", encoded(picture(9), "PNG", exif=exif), Right(picture(9))))
    broken = encoded(picture(10), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    made.append(Case("turned/broken exif.png", broken, Right(picture(10))))
    return made


def _colours() -> list[Case]:
    ink = np.zeros((8, 40, 4), np.uint8)  # bands of cyan, magenta, yellow, black and paper
    for number in range(4):
        ink[:, 8 * number : 8 * number + 8, number] = 255
    shown = np.full((8, 40, 3), 255, np.uint8)
    for number in range(3):
        shown[:, 8 * number : 8 * number + 8, number] = 0
    shown[:, 24:32] = 0
    file = io.BytesIO()
    PIL.Image.frombytes("CMYK", (40, 8), ink.tobytes()).save(file, "TIFF")
    jpeg = io.BytesIO()
    PIL.Image.frombytes("CMYK", (40, 8), ink.tobytes()).save(jpeg, "JPEG", quality=100, subsampling=0)
    lab = tiff((2, 2), (8,) * 3, 8, [bytes((136, 80, 67)) * 4])  # the red of sRGB
    ycc = tiff((2, 2), (8,) * 3, 6, [bytes((128, 128, 128)) * 4])
    palette = np.array([(0, 0, 0), (250, 10, 20), (5, 240, 30), (9, 8, 230)], np.uint8)
    index = picture(2, (6, 9)) % 4
    painted = PIL.Image.frombytes("P", (9, 6), index.tobytes())
    painted.putpalette(palette.tobytes())
    made = [
        Case("cmyk.tif", file.getvalue(), Right(shown)),
        Case("cmyk.jpg", jpeg.getvalue(), Right(shown, apart=6)),
        Case("lab.tif", lab, Right(np.full((2, 2, 3), (255, 0, 0), np.uint8), apart=12)),
        Case("gray ycc.tif", ycc, Right(np.full((2, 2, 3), 128, np.uint8), apart=1)),
    ]
    for format_, suffix in (("PNG", "png"), ("GIF", "gif"), ("BMP", "bmp"), ("TIFF", "tif")):
        kept = io.BytesIO()
        painted.save(kept, format_)
        made.append(Case(f"palette.{suffix}", kept.getvalue(), Right(palette[index])))
    gray = picture(3, (6, 9, 1)).repeat(8, 0).repeat(8, 1)
    made.append(Case("gray.jpg", encoded(gray, "JPEG", quality=100), Right(gray, apart=3)))
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    made.append(Case("progressive.jpg", encoded(flat, "JPEG", progressive=True), Right(flat, apart=3)))
    made.append(Case("subsampled.jpg", encoded(flat, "JPEG", subsampling=2), Right(flat, apart=3)))
    return made


def _depths() -> list[Case]:
    deep, gray = picture(1, dtype=np.uint16), picture(2, (6, 9, 1), np.uint16)
    alpha = picture(3, (6, 9, 1), np.uint16)
    half = picture(4, dtype=np.float32)
    one = picture(5, (6, 9, 1), np.float32)
    made = [
        Case("deep/rgb.png", png((6, 9), 16, 2, rows_of(deep)), Right(deep)),
        Case("deep/gray.png", png((6, 9), 16, 0, rows_of(gray)), Right(gray)),
        Case("deep/rgba.png", png((6, 9), 16, 6, rows_of(np.concatenate([deep, alpha], 2))),
             Right(deep, alpha[..., 0])),
        Case("deep/la.png", png((6, 9), 16, 4, rows_of(np.concatenate([gray, alpha], 2))), Right(gray, alpha[..., 0])),
        Case("deep/rgb.tif", tiff((6, 9), (16,) * 3, 2, [deep.tobytes()]), Right(deep)),
        Case("deep/gray.tif", tiff((6, 9), (16,), 1, [gray.tobytes()]), Right(gray)),
        Case("deep/white is zero.tif", tiff((6, 9), (16,), 0, [(65535 - gray).tobytes()]), Right(gray)),
        Case("deep/big-endian.tif", tiff((6, 9), (16,) * 3, 2, [deep.astype(">u2").tobytes()], ">"), Right(deep)),
        Case("deep/big.tif", tiff((6, 9), (16,) * 3, 2, [deep.tobytes()], big=True), Right(deep)),
        Case("deep/float.tif", tiff((6, 9), (32,) * 3, 2, [half.tobytes()], more={339: (3, [3] * 3)}), Right(half)),
        Case("deep/float gray.tif", tiff((6, 9), (32,), 1, [one.tobytes()], more={339: (3, [3])}), Right(one)),
        Case("deep/far.tif", tiff((6, 9), (32,), 1, [(one * 9).tobytes()], more={339: (3, [3])}), "values from"),
        Case("deep/nan.tif", tiff((6, 9), (32,), 1, [(one * np.nan).tobytes()], more={339: (3, [3])}), "finite"),
        Case("deep/planar.tif", tiff((6, 9), (16,) * 3, 2, [deep[..., plane].tobytes() for plane in range(3)],
                                     more={284: (3, [2])}), "plane after the other"),
        Case("deep/complex.tif", tiff((6, 9), (64,), 1, [bytes(6 * 9 * 8)], more={339: (3, [6])}), "complex"),
        Case("deep/P6.ppm", b"P6\n9 6\n65535\n" + deep.astype(">u2").tobytes(), Right(deep)),
        Case("deep/P5.pgm", b"P5 9 6 65535\n" + gray.astype(">u2").tobytes(), Right(gray)),
        Case("deep/interlaced.png", png((6, 9), 16, 2, interlaced_rows(deep), interlaced=True), Right(deep)),
    ]  # fmt: skip
    coloured = deep.copy()
    coloured[2:4] = deep[0, 0]
    clear = np.where((coloured == deep[0, 0]).all(2), 0, 65535).astype(np.uint16)
    transparent = chunk(b"tRNS", struct.pack(">3H", *map(int, deep[0, 0])))
    made.append(Case("deep/trns.png", png((6, 9), 16, 2, rows_of(coloured), transparent), Right(coloured, clear)))
    return made


def _tiffs() -> list[Case]:
    pixels = picture(6)
    raw = pixels.tobytes()
    tiled = np.zeros((16, 16, 3), np.uint8)
    tiled[:6, :9] = pixels
    alpha = picture(7, (6, 9, 1))
    both = np.concatenate([pixels, alpha], 2)
    made = [
        Case("tiff/plain.tif", tiff((6, 9), (8,) * 3, 2, [raw]), Right(pixels)),
        Case("tiff/big-endian.tiff", tiff((6, 9), (8,) * 3, 2, [raw], ">"), Right(pixels)),
        Case("tiff/big.tif", tiff((6, 9), (8,) * 3, 2, [raw], big=True), Right(pixels)),
        Case("tiff/tiled.tif", tiff((6, 9), (8,) * 3, 2, [tiled.tobytes()], tile=16), Right(pixels)),
        Case("tiff/planar.tif", tiff((6, 9), (8,) * 3, 2, [pixels[..., plane].tobytes() for plane in range(3)],
                                     more={284: (3, [2])}), Right(pixels)),
        Case("tiff/rows.tif", tiff((6, 9), (8,) * 3, 2, [row.tobytes() for row in pixels], more={278: (4, [1])}),
             Right(pixels)),
        Case("tiff/alpha.tif", tiff((6, 9), (8,) * 4, 2, [both.tobytes()], more={338: (3, [2])}),
             Right(pixels, alpha[..., 0])),
        Case("tiff/white is zero.tif", tiff((6, 9), (8,), 0, [(255 - alpha).tobytes()]), Right(alpha)),
        Case("tiff/raw sensor.tif", tiff((6, 9), (16,), 32803, [bytes(108)]), "raw sensor"),
        Case("tiff/five.tif", tiff((6, 9), (8,) * 5, 2, [bytes(270)], more={338: (3, [0, 0])}), "5 channel"),
        Case("tiff/endless.tif", b"II*\0\x08\0\0\0\0\0\x08\0\0\0", "cannot be decoded"),
    ]  # fmt: skip
    for kind in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        made.append(Case(f"tiff/{kind}.tif", encoded(pixels, "TIFF", compression=kind), Right(pixels)))
    flat = np.full((16, 16, 3), (90, 100, 110), np.uint8)
    made.append(Case("tiff/jpeg.tif", encoded(flat, "TIFF", compression="jpeg"), Right(flat, apart=3)))
    bits = picture(8, (6, 9, 1)) // 128 * 255
    made.append(Case("tiff/fax.tif", encoded(bits, "TIFF", mode="1", compression="group4"), Right(bits)))
    made.append(Case("tiff/one bit.tif", encoded(bits, "TIFF", mode="1"), Right(bits)))
    pages = [PIL.Image.fromarray(picture(number)) for number in (20, 21)]
    made.append(Case("tiff/pages.tif", encoded(picture(6), "TIFF", save_all=True, append_images=pages), Right(pixels)))
    return made


def _pngs() -> list[Case]:
    pixels, gray = picture(1), picture(2, (6, 9, 1))
    made = [
        Case("png/interlaced.png", png((6, 9), 8, 2, interlaced_rows(pixels), interlaced=True), Right(pixels)),
        Case("png/la.png", png((6, 9), 8, 4, rows_of(np.concatenate([gray, gray[::-1]], 2))),
             Right(gray, gray[::-1, :, 0])),
        Case("png/1x1.png", encoded(picture(3, (1, 1, 3)), "PNG"), Right(picture(3, (1, 1, 3)))),
        Case("png/1x9.png", encoded(picture(3, (1, 9, 3)), "PNG"), Right(picture(3, (1, 9, 3)))),
        Case("png/40x1.png", encoded(picture(3, (40, 1, 3)), "PNG"), Right(picture(3, (40, 1, 3)))),
        Case("png/odd chunks.png", png((6, 9), 8, 2, rows_of(pixels), chunk(b"tIME", b"1"), chunk(b"prVt", b"x" * 99)),
             Right(pixels)),
        Case("png/bad profile.png", png((6, 9), 8, 2, rows_of(pixels), chunk(b"iCCP", b"x\0\0" + zlib.compress(b"no"))),
             Right(pixels)),
        Case("png/behind the end.png", encoded(pixels, "PNG") + b"<html>" * 99, Right(pixels)),
        Case("png/filter 9.png", png((6, 9), 8, 2, rows_of(pixels).replace(b"\0", b"\x09", 1)), "damaged"),
        Case("png/no end.png", encoded(pixels, "PNG")[:-12], Right(pixels)),
        Case("png/0x9.png", png((0, 9), 8, 2, b""), "damaged"),
        Case("png/colour type 5.png", png((6, 9), 8, 5, bytes(400)), "damaged"),
    ]  # fmt: skip
    for bits in (1, 2, 4):
        values = gray[..., 0] >> (8 - bits)
        shown = (values.astype(int) * 255 // (2**bits - 1)).astype(np.uint8)[..., None]
        file = png((6, 9), bits, 0, packed(values, bits))
        made.append(Case(f"png/gray {bits} bits.png", file, Right(shown)))
        clear = np.where(values == 1, 0, 255).astype(np.uint8)
        file = png((6, 9), bits, 0, packed(values, bits), chunk(b"tRNS", b"\0\1"))
        made.append(Case(f"png/transparent gray {bits} bits.png", file, Right(shown, clear)))
    spotted = pixels.copy()
    spotted[1:3] = pixels[0, 0]
    clear = np.where((spotted == pixels[0, 0]).all(2), 0, 255).astype(np.uint8)
    key = chunk(b"tRNS", struct.pack(">3H", *map(int, pixels[0, 0])))
    made.append(Case("png/transparent colour.png", png((6, 9), 8, 2, rows_of(spotted), key), Right(spotted, clear)))
    index = (gray[..., 0] % 3).astype(np.uint8)
    palette = np.array([(1, 2, 3), (200, 9, 8), (7, 150, 90)], np.uint8)
    opacity = np.array([0, 128, 255], np.uint8)
    file = png((6, 9), 8, 3, rows_of(index), chunk(b"PLTE", palette.tobytes()), chunk(b"tRNS", opacity.tobytes()))
    made.append(Case("png/transparent palette.png", file, Right(palette[index], opacity[index])))
    wrong = bytearray(encoded(pixels, "PNG"))
    wrong[-20] ^= 0xFF  # the checksum of IDAT
    made.append(Case("png/checksum.png", bytes(wrong), "damaged"))
    return made


def _small_formats() -> list[Case]:
    pixels, gray = picture(1), picture(2, (6, 9, 1))
    bits = gray // 128
    line = packed(1 - bits[..., 0], 1)
    lines = b"".join(line[3 * row + 1 : 3 * row + 3] for row in range(6))
    text = b"P3 # a note\n9 6\n255\n" + b" ".join(str(value).encode() for value in pixels.ravel())
    frames = [PIL.Image.fromarray(picture(number)) for number in (30, 31)]
    index = picture(4, (6, 9)) % 2
    moving = [PIL.Image.frombytes("P", (9, 6), (index ^ flip).tobytes()) for flip in (0, 1)]
    for each in moving:
        each.putpalette(bytes((10, 20, 30, 240, 230, 220)))
    gif = io.BytesIO()
    moving[0].save(gif, "GIF", save_all=True, append_images=moving[1:])
    table = np.array([(10, 20, 30), (240, 230, 220)], np.uint8)
    alpha = picture(5, (6, 9, 1))
    alpha[0] = 255
    both = np.concatenate([pixels, alpha], 2)
    made = [
        Case("small/a.bmp", encoded(pixels, "BMP"), Right(pixels)),
        Case("small/one bit.bmp", encoded(bits * 255, "BMP", mode="1"), Right(bits * 255)),
        Case("small/lossless.webp", encoded(pixels, "WEBP", lossless=True), Right(pixels)),
        Case("small/alpha.webp", encoded(both, "WEBP", lossless=True, exact=True), Right(pixels, alpha[..., 0])),
        Case("small/P6.ppm", b"P6 9 6 255\n" + pixels.tobytes(), Right(pixels)),
        Case("small/P5.pgm", b"P5\n# note\n9 6\n255\n" + gray.tobytes(), Right(gray)),
        Case("small/P4.pbm", b"P4 9 6\n" + lines, Right(bits * 255)),
        Case("small/P3.ppm", text, Right(pixels)),
        Case("small/P5.pnm", b"P5 9 6 255\n" + gray.tobytes(), Right(gray)),
        Case("small/moving.gif", gif.getvalue(), Right(table[index])),
        Case("small/moving.webp", encoded(pixels, "WEBP", save_all=True, append_images=frames, lossless=True),
             Right(pixels)),
        Case("small/moving.png", encoded(pixels, "PNG", save_all=True, append_images=frames), Right(pixels)),
    ]  # fmt: skip
    flat = np.full((16, 16, 3), (60, 120, 180), np.uint8)
    made.append(Case("small/flat.avif", encoded(flat, "AVIF", quality=100), Right(flat, apart=4)))
    made.append(Case("small/lossy.webp", encoded(flat, "WEBP", quality=95), Right(flat, apart=6)))
    return made


def _saved(array: Array, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def _arrays() -> list[Case]:
    pixels, deep, half = picture(1), picture(2, dtype=np.uint16), picture(3, dtype=np.float32)
    return [
        Case("npy/a.npy", _saved(pixels), Right(pixels)),
        Case("npy/gray.npy", _saved(pixels[..., 0]), Right(pixels[..., :1])),
        Case("npy/fortran.npy", _saved(np.asfortranarray(pixels)), Right(pixels)),
        Case("npy/big-endian.npy", _saved(deep.astype(">u2")), Right(deep)),
        Case("npy/float.npy", _saved(half), Right(half)),
        Case("npy/double.npy", _saved(half.astype(np.float64)), Right(half)),
        Case("npy/objects.npy", _saved(np.array([[{}]], object), allow_pickle=True), "objects"),
        Case("npy/bool.npy", _saved(pixels > 9), "bool"),
        Case("npy/complex.npy", _saved(half.astype(np.complex64)), "complex"),
        Case("npy/batch.npy", _saved(pixels[None]), "shape"),
        Case("npy/line.npy", _saved(pixels[0, 0]), "shape"),
        Case("npy/none.npy", _saved(pixels[:0]), "shape"),
        Case("npy/nan.npy", _saved(half * np.nan), "finite"),
        Case("npy/bytes.npy", _saved(half * 255), "values from"),
        Case("npy/large.npy", _saved(np.full((2, 2), 2**40)), "2**24"),
        Case("npy/four.npy", _saved(picture(1, (6, 9, 4))), "4 channel"),
        Case("npy/short.npy", _saved(pixels)[:-1], "damaged"),
    ]


def _suffixes() -> list[Case]:
    pixels = picture(1)
    flat = np.full((16, 16, 3), (60, 120, 180), np.uint8)
    jpeg = encoded(flat, "JPEG", quality=100, subsampling=0)
    return [
        Case("suffix/jpeg.png", jpeg, Right(flat, apart=3)),
        Case("suffix/png.jpg", encoded(pixels, "PNG"), Right(pixels)),
        Case("suffix/webp.gif", encoded(pixels, "WEBP", lossless=True), Right(pixels)),
        Case("suffix/tiff.bmp", encoded(pixels, "TIFF"), Right(pixels)),
        Case("suffix/bmp.webp", encoded(pixels, "BMP"), Right(pixels)),
        Case("suffix/npy.png", _saved(pixels), Right(pixels)),
        Case("suffix/png.npy", encoded(pixels, "PNG"), Right(pixels)),
        Case("suffix/deep.jpg", png((6, 9), 16, 2, rows_of(picture(2, dtype=np.uint16))),
             Right(picture(2, dtype=np.uint16))),
        Case("suffix/UPPER.PNG", encoded(pixels, "PNG"), Right(pixels)),
        Case("suffix/Mixed.JpEg", jpeg, Right(flat, apart=3)),
        Case("suffix/a.jfif", jpeg, Right(flat, apart=3)),
        Case("suffix/a.jpe", jpeg, Right(flat, apart=3)),
        Case("suffix/no suffix", encoded(pixels, "PNG"), None),
        Case("suffix/png.txt", encoded(pixels, "PNG"), None),
        Case("suffix/a.png.bak", encoded(pixels, "PNG"), None),
        Case("suffix/a.png.", encoded(pixels, "PNG"), None),
    ]  # fmt: skip


def _broken() -> list[Case]:
    pixels = picture(1, (40, 40, 3))
    made = []
    whole = {
        "png": encoded(pixels, "PNG"), "jpg": encoded(pixels, "JPEG"), "webp": encoded(pixels, "WEBP", lossless=True),
        "bmp": encoded(pixels, "BMP"), "gif": encoded(pixels[..., :1], "GIF"), "avif": encoded(pixels, "AVIF"),
        "tif": encoded(pixels, "TIFF", compression="tiff_lzw"), "ppm": b"P6 40 40 255\n" + pixels.tobytes(),
        "deep.png": png((40, 40), 16, 2, rows_of(picture(2, (40, 40, 3), np.uint16))),
        "deep.tif": by_opencv(picture(2, (40, 40, 3), np.uint16), ".tiff"),
        "deep.ppm": b"P6 40 40 65535\n" + picture(2, (40, 40, 3), np.uint16).astype(">u2").tobytes(),
    }  # fmt: skip
    for suffix, content in whole.items():
        made.append(Case(f"cut/half.{suffix}", content[: len(content) // 2], "damaged or truncated"))
        made.append(Case(f"cut/head.{suffix}", content[:20], ""))
    made.append(Case("cut/one byte.png", b"\x89", "no PNG"))
    for suffix in ("png", "jpg", "webp", "tif", "gif", "bmp", "npy", "ppm", "avif"):
        made.append(Case(f"cut/empty.{suffix}", b"", "is empty"))
    for suffix, content in (("jpg", whole["jpg"]), ("png", whole["png"]), ("webp", whole["webp"])):
        middle = len(content) // 2
        holed = content[:middle] + b"\xff\xd9" * 40 + content[middle + 80 :]
        made.append(Case(f"cut/holed.{suffix}", holed, "damaged"))
    # These end as their formats do, but early.
    jpeg, moved = encoded(pixels, "JPEG"), encoded(pixels, "JPEG", progressive=True)
    rows, deep = rows_of(pixels), picture(2, (40, 40, 3), np.uint16)
    strips, tiles = [row.tobytes() for row in pixels], [bytes(16 * 16 * 3)] * 4
    early = {
        "a.jpg": jpeg[: len(jpeg) // 2] + b"\xff\xd9", "progressive.jpg": moved[: len(moved) // 2] + b"\xff\xd9",
        "a.png": png((40, 40), 8, 2, rows[: len(rows) // 2]),
        "interlaced.png": png((40, 40), 8, 2, interlaced_rows(pixels)[:-99], interlaced=True),
        "deep.png": png((40, 40), 16, 2, rows_of(deep)[:4000]),
        "strips.tif": tiff((40, 40), (8,) * 3, 2, strips[:20], more={278: (4, [1])}),
        "empty strips.tif": tiff((40, 40), (8,) * 3, 2, [*strips[:20], *[b""] * 20], more={278: (4, [1])}),
        "tiles.tif": tiff((40, 40), (8,) * 3, 2, tiles, tile=16),
        "deep strips.tif": tiff((40, 40), (16,) * 3, 2, [row.tobytes() for row in deep[:20]], more={278: (4, [1])}),
        "a.bmp": whole["bmp"][:-50], "a.ppm": b"P6 40 40 255\n" + pixels.tobytes()[:-1], "a.pgm": b"P2 4 4 255\n1 2 3",
    }  # fmt: skip
    made += [Case(f"early/{name}", content, "damaged or truncated") for name, content in early.items()]
    return made


def _huge() -> list[Case]:
    wide = bytearray(encoded(picture(1), "BMP"))
    wide[18:26] = (60_000).to_bytes(4, "little") * 2
    gif = bytearray(encoded(picture(1)[..., :1], "GIF"))
    gif[6:10] = b"\xff\xff\xff\xff"
    jpeg = bytearray(encoded(picture(1), "JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = b"\xff\xdc\xff\xdc"
    said = b"{'descr': '|u1', 'fortran_order': False, 'shape': (99999, 99999, 3), }\n"
    array = b"\x93NUMPY\1\0" + struct.pack("<H", len(said)) + said
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**26)))
    limit = "more than the limit"
    return [
        Case("huge/a.png", png((100_000, 100_000), 8, 2, bytes(99)), limit),
        Case("huge/most.png", png((2**31 - 1, 2**31 - 1), 8, 2, bytes(99)), ""),
        Case("huge/deep.png", png((100_000, 100_000), 16, 2, bytes(99)), limit),
        Case("huge/a.bmp", bytes(wide), limit),
        Case("huge/a.gif", bytes(gif), limit),
        Case("huge/a.jpg", bytes(jpeg), limit),
        Case("huge/a.tif", tiff((100_000, 100_000), (8,) * 3, 2, [bytes(99)]), limit),
        Case("huge/deep.tif", tiff((100_000, 100_000), (16,) * 3, 2, [bytes(99)]), limit),
        Case("huge/a.ppm", b"P6 100000 100000 255\n" + bytes(99), limit),
        Case("huge/a.npy", array, "damaged"),
        Case("huge/text.png", png((6, 9), 8, 2, rows_of(picture(1)), text), Right(picture(1))),
    ]  # fmt: skip


def _not_images() -> list[Case]:
    return [
        Case("not/html.jpg", b"<!DOCTYPE html><title>404</title>", "no PNG, JPEG"),
        Case("not/svg.png", b"<svg xmlns='x'><script>1</script></svg>", "no PNG, JPEG"),
        Case("not/eps.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no PNG, JPEG"),
        Case("not/pdf.png", b"%PDF-1.7\n", "no PNG, JPEG"),
        Case("not/psd.png", b"8BPS\0\1" + bytes(99), "no PNG, JPEG"),
        Case("not/noise.png", picture(1, (40, 40)).tobytes(), "no PNG, JPEG"),
        Case("not/zeros.tif", bytes(4096), "no PNG, JPEG"),
        Case("not/lfs.png", b"version https://git-lfs\noid sha256:0\nsize 1\n", "no PNG, JPEG"),
        Case("not/film.png", b"\0\0\0\x18ftypmp42" + bytes(99), "video"),
        Case("not/phone.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), ""),
        Case("not/layers.psd", b"8BPS", "no format that is read here"),
        Case("not/drawing.svg", b"<svg/>", "no format that is read here"),
        Case("not/camera.CR2", b"II*\0", "no format that is read here"),
        Case("not/new.jxl", b"\xff\x0a", "no format that is read here"),
        Case("not/film.mp4", b"", None),
    ]


def _names() -> list[Case]:
    names = [
        "a b.png", " first.png", "last .png", "  .png", "quote'.png", 'quotes".png', "`ticks`.png", "two\nlines.png",
        "tab\t.png", "return\r.png", "-o.png", "--format.png", "-.png", "\x1b[31mred\x07.png", "%s%d{}.png",
        "$HOME.png", "~.png", "*.png", "[a].png", "a;b&c|d.png", "<script>.png", "back\\slash.png", "c:d.png",
        "con.png", "nul.png", "#1.png", "a%2Fb.png", "?.png", "@files.png", "x..png", "a.b.c.png",
        "\U0001f600\U0001f468\u200d\U0001f469.png", "\u202egnp.exe.png", "\u05e9\u05dc\u05d5\u05dd.png",
        "\u4f60\u597d.png", "\u200b.png", "\u00df.png", "x" * 246 + ".png", "\u00e9" * 123 + ".png",
        os.fsdecode(b"bytes\xff\xfe.png"), os.fsdecode(b"\xe9.png"), "alike/A.png", "alike/e\u0301.png",
        "alike/\u0130.png", "alike/a.jpg", "alike/a.jpg.png", "alike/\u212b.png", "deep/" * 30 + "a.png",
        "folder.png/inner.png", "folder.png/folder.jpg/inner.png",
    ]  # fmt: skip
    return [
        Case(f"names/{name}", encoded(picture(1000 + number), "PNG"), Right(picture(1000 + number)))
        for number, name in enumerate(names)
    ]


def _kinds() -> list[Case]:
    good = encoded(picture(1), "PNG")
    elsewhere = Right(picture(1))

    def beside(path: Path) -> Path:
        """A folder outside of the one that is converted."""
        place = path.parents[1].with_name("outside")
        place.mkdir(exist_ok=True)
        (place / "far.png").write_bytes(good)
        return place

    def locked(path: Path) -> None:
        path.write_bytes(good)
        path.chmod(0)

    def listening(path: Path) -> None:
        here = Path.cwd()
        os.chdir(path.parent)  # the names of sockets are short
        try:
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(path.name)
        finally:
            os.chdir(here)

    reader = hasattr(os, "geteuid") and os.geteuid() == 0
    return [
        Case("kinds/pipe.png", lambda path: os.mkfifo(path), "no regular file"),
        Case("kinds/pipe.npy", lambda path: os.mkfifo(path), "no regular file"),
        Case("kinds/socket.jpg", listening, "no regular file"),
        Case("kinds/loop.png", lambda path: path.symlink_to(path.name), "cannot be entered"),
        Case("kinds/there.png", lambda path: path.symlink_to("back.png"), "cannot be entered"),
        Case("kinds/back.png", lambda path: path.symlink_to("there.png"), "cannot be entered"),
        Case("kinds/dangling.png", lambda path: path.symlink_to("nowhere.png"), "broken link"),
        Case("kinds/null.png", lambda path: path.symlink_to("/dev/null"), "no regular file"),
        Case("kinds/zero.tif", lambda path: path.symlink_to("/dev/zero"), "no regular file"),
        Case("kinds/far.png", lambda path: path.symlink_to(beside(path) / "far.png"), elsewhere),
        Case("kinds/up", lambda path: path.symlink_to(path.parent, target_is_directory=True), None),
        Case("kinds/empty.png", lambda path: path.mkdir(), None),
        Case("kinds/locked.png", locked, elsewhere if reader else "Permission denied"),
        Case("kinds/twin.png", good, elsewhere),
        Case("kinds/hard.png", lambda path: path.hardlink_to(path.with_name("twin.png")), elsewhere),
    ]


def _beside_images() -> list[Case]:
    good = encoded(picture(1), "PNG")
    return [
        Case(f"album/{name}", content, None)
        for name, content in [
            (".hidden.png", good), (".hidden/a.png", good), ("__MACOSX/._a.png", b"\0\5\x16\7"),
            ("._a.png", b"\0\5\x16\7"), ("Thumbs.db", b"\xd0\xcf\x11\xe0"), (".DS_Store", b"\0\0\0\1Bud1"),
            ("desktop.ini", b"[x]"), ("a.xmp", b"<x/>"), ("a.png.xmp", b"<x/>"), ("a.aae", b"<plist/>"),
            ("a.json", b"{}"), ("notes.txt", b"x"), (".nomedia", b""), ("a.png~", good),
            (".a.png.1a2b3c4d-12-1a2b3c4d.part", b""),
        ]
    ] + [Case("album/a.png", good, Right(picture(1)))]  # fmt: skip
