"""Files that end early in the way of their format are refused, and no whole file is."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.strange import chunk, encoded, interlaced_rows, picture, png, rows_of, tiff
from translate import images
from translate.images import ImageError

SIZES = [(1, 1), (8, 8), (16, 16), (17, 9), (33, 40)]


def of(kind: str, size: tuple[int, int]) -> NDArray[Any]:
    """White, black, a colour, or noise."""
    if kind == "noise":
        return picture(3, (*size, 3))
    return np.full((*size, 3), {"white": 255, "black": 0, "blue": (9, 80, 200)}[kind], np.uint8)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["white", "black", "blue", "noise"])
def test_no_whole_file_is_refused(size: tuple[int, int], kind: str) -> None:
    pixels = of(kind, size)
    for subsampling in (0, 1, 2):
        for progressive in (False, True):
            for more in ({}, {"restart_marker_blocks": 1}, {"optimize": True}):
                data = encoded(pixels, "JPEG", subsampling=subsampling, progressive=progressive, **more)
                assert images.load(data).pixels.shape == pixels.shape
                images.load(data + b"behind" * 9)
    for mode in ("1", "L", "P", "LA", "RGB", "RGBA"):
        images.load(encoded(pixels, "PNG", mode=mode))
    assert (images.load(png(size, 8, 2, interlaced_rows(pixels), interlaced=True)).pixels == pixels).all()
    assert (images.load(png(size, 8, 2, rows_of(pixels) + bytes(99))).pixels == pixels).all()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_a_jpeg_whose_end_was_put_on_again_is_refused(progressive: bool, share: float, subsampling: int) -> None:
    for pixels in (picture(1, (48, 64, 3)), picture(2, (6, 8, 3)).repeat(8, 0).repeat(8, 1)):
        data = encoded(pixels, "JPEG", quality=90, progressive=progressive, subsampling=subsampling)
        start = data.index(b"\xff\xda") + 20
        cut = data[: start + int(share * (len(data) - start))] + b"\xff\xd9"
        with pytest.raises(ImageError, match="damaged or truncated"):
            images.load(cut)
        with pytest.raises(ImageError, match="damaged or truncated"):
            images.load_indices(encoded(pixels[..., :1], "JPEG", quality=90)[: len(data) // 3] + b"\xff\xd9")


@pytest.mark.parametrize("missing", [1, 20, 39])
def test_a_png_that_lacks_rows_is_refused(missing: int) -> None:
    pixels = picture(1, (40, 40, 3))
    rows = rows_of(pixels)
    with pytest.raises(ImageError, match=f"its rows have {len(rows) - 121 * missing} of {len(rows)} bytes"):
        images.load(png((40, 40), 8, 2, rows[: len(rows) - 121 * missing]))
    whole = interlaced_rows(pixels)
    with pytest.raises(ImageError, match="damaged or truncated"):
        images.load(png((40, 40), 8, 2, whole[: len(whole) - 60 * missing], interlaced=True))
    # Of an odd height the last row is whole before the last pass begins.
    odd = interlaced_rows(picture(1, (41, 40, 3)))
    with pytest.raises(ImageError, match="damaged or truncated"):
        images.load(png((41, 40), 8, 2, odd[:-121], interlaced=True))
    # The last row may be black, or index 0, and there.
    pixels[-1] = 0
    assert (images.load(png((40, 40), 8, 2, rows_of(pixels))).pixels == pixels).all()
    assert not images.load_indices(png((40, 40), 8, 0, rows_of(np.zeros((40, 40), np.uint8)))).any()


def test_the_chunks_of_a_png_may_be_many() -> None:
    pixels = np.zeros((40, 40, 3), np.uint8)
    stream = zlib.compress(rows_of(pixels), 0)
    parts = b"".join(chunk(b"IDAT", stream[at : at + 100]) for at in range(0, len(stream), 100))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 40, 40, 8, 2, 0, 0, 0))
    start = b"\x89PNG\r\n\x1a\n" + header + chunk(b"tEXt", b"a\0b")
    assert not images.load(start + parts + chunk(b"IEND", b"")).pixels.any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("how", ["fewer", "empty"])
def test_a_tiff_that_lacks_strips_or_tiles_is_refused(dtype: Any, how: str) -> None:
    pixels = picture(1, (40, 40, 3), dtype)
    bits = (8 * pixels.dtype.itemsize,) * 3
    strips = [row.tobytes() for row in pixels]
    one_row: Any = {278: (4, [1])}
    assert (images.load(tiff((40, 40), bits, 2, strips, more=one_row)).pixels == pixels).all()
    fewer = [*strips[:39], *([b""] if how == "empty" else [])]
    with pytest.raises(ImageError, match="it holds 39 of 40 strips"):
        images.load(tiff((40, 40), bits, 2, fewer, more=one_row))
    tiles = [bytes(16 * 16 * 3 * pixels.dtype.itemsize)] * 9
    assert not images.load(tiff((40, 40), bits, 2, tiles, tile=16)).pixels.any()
    with pytest.raises(ImageError, match="it holds 8 of 9 tiles"):
        images.load(tiff((40, 40), bits, 2, [*tiles[:8], *([b""] if how == "empty" else [])], tile=16))
