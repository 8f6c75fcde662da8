"""Deep files: 16 bits or floats a value, decoded to the planes that their 8-bit twins have."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from translate.images.carried import decode_carried
from translate.images.chunks import chunk
from translate.images.headers import Opened
from translate.images.opening import ImageError
from translate.images.planes import Image, orient, planes
from translate.images.profiles import deep_to_srgb

_PIECE = 1 << 18  # values that are scaled at a time, to bound memory
_DAMAGED = "is damaged or truncated; restore or remove it"


def decode_deep(data: bytes, opened: Opened, name: str, *, as_stored: bool = False) -> Image:
    """Decode a PNG or PPM of 16 bits, or a TIFF of 16 bits or floats, as it is displayed.

    Premultiplied colours are divided by alpha, white-is-zero is inverted, and 16-bit colours with a profile become
    sRGB. Profiles of floats are ignored, since floats have a value range of their own. ``as_stored`` keeps the values,
    for class indices; the orientation is still applied.
    """
    header = opened.header
    if opened.kind == "ppm":
        return Image(_decode_ppm(data, opened, name, as_stored=as_stored))
    if opened.carried is not None:
        return _decode_carried(data, opened, name, as_stored=as_stored)
    if opened.kind == "png":
        data = _plain_png(data, name)
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    turned = opened.orientation >= 5
    sides = (header.width, header.height) if turned else (header.height, header.width)
    if decoded is None or decoded.shape[:2] != sides:
        raise ImageError(f"{name} cannot be decoded; it {_DAMAGED}")
    decoded = planes(decoded, name)
    if decoded.dtype != np.dtype(header.depth):
        raise ImageError(f"{name} stores its values in an unusual way; convert it to a plain PNG or to .npy")
    if decoded.shape[2] >= 3:  # OpenCV's planes are B, G, R
        decoded = np.concatenate([decoded[..., 2::-1], decoded[..., 3:]], axis=2)
    alpha = None
    if opened.transparent is not None:
        matches = (decoded[..., : header.channels] == np.array(opened.transparent, np.uint16)).all(axis=2)
        alpha = np.where(matches, 0, 65535).astype(np.uint16)
    elif header.alpha:
        decoded, alpha = decoded[..., :-1], np.ascontiguousarray(decoded[..., -1])
    pixels = np.ascontiguousarray(decoded[..., : header.channels])
    if opened.premultiplied and alpha is not None and not as_stored:
        pixels = _divide(pixels, alpha)
    if header.depth == "uint16" and not as_stored:
        pixels = 65535 - pixels if opened.largest == 0 else pixels
        pixels = deep_to_srgb(pixels, opened.profile)
    return Image(orient(pixels, opened.orientation), None if alpha is None else orient(alpha, opened.orientation))


def _decode_carried(data: bytes, opened: Opened, name: str, *, as_stored: bool) -> Image:
    """A TIFF of signed, 32-bit or half-precision values; they become float32, or stay as they are stored."""
    header = opened.header
    assert opened.carried is not None
    decoded = decode_carried(data, opened.carried)
    if decoded is None or decoded.shape[:2] != (header.height, header.width):
        raise ImageError(f"{name} cannot be decoded; it {_DAMAGED}")
    if as_stored:
        return Image(decoded)
    pixels = planes(decoded, name)
    if not header.alpha:
        return Image(pixels)
    pixels, alpha = pixels[..., :-1], np.ascontiguousarray(pixels[..., -1])
    return Image(_divide(pixels, alpha) if opened.premultiplied else np.ascontiguousarray(pixels), alpha)


def _divide(pixels: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Premultiplied colours (H, W, C) divided by alpha; where alpha is 0, as they are, which is 0 in a sound file."""
    divided = np.empty_like(pixels)
    rows = max(1, _PIECE // alpha.shape[1])
    most = 1.0 if alpha.dtype.kind == "f" else 65535.0
    for start in range(0, len(pixels), rows):
        some = alpha[start : start + rows]
        scale = np.where(some > 0, most / np.where(some > 0, some, 1), 1.0)[..., None]
        colours = pixels[start : start + rows] * scale
        divided[start : start + rows] = colours if most == 1.0 else np.rint(np.minimum(colours, most))
    return divided


def _decode_ppm(data: bytes, opened: Opened, name: str, *, as_stored: bool) -> NDArray[np.uint16]:
    """A P2, P3, P5 or P6 file that counts to ``opened.largest``; its largest value becomes 65535."""
    header = opened.header
    shape = (header.height, header.width, header.channels)
    gap = rb"(?:\s|#[^\n]*\n)+"
    found = re.match(rb"P([2356])" + gap + rb"\d+" + gap + rb"\d+" + gap + rb"\d+\s", data)
    count = shape[0] * shape[1] * shape[2]
    if found is None:
        raise ImageError(f"{name} {_DAMAGED}")
    if found[1] in b"56":
        if len(data) - found.end() < 2 * count:
            raise ImageError(f"{name} {_DAMAGED}")
        stored = np.frombuffer(data, ">u2", count, found.end())
    else:
        words = re.sub(rb"#[^\n]*", b"", data[found.end() :]).split(maxsplit=count)[:count]
        if len(words) < count or not all(word.isdigit() and len(word) <= 5 for word in words):
            raise ImageError(f"{name} {_DAMAGED}")
        stored = np.array(words, dtype=np.uint32)
    if int(stored.max(initial=0)) > opened.largest:
        raise ImageError(f"{name} holds {int(stored.max())}, but counts to {opened.largest}; restore or remove it")
    if as_stored or opened.largest == 65535:
        return stored.astype(np.uint16).reshape(shape)
    scaled = np.empty(count, np.uint16)
    for start in range(0, count, _PIECE):
        scaled[start : start + _PIECE] = np.rint(stored[start : start + _PIECE] * (65535 / opened.largest))
    return scaled.reshape(shape)


# --- PNG ------------------------------------------------------------------------------------------------------------


def _plain_png(data: bytes, name: str) -> bytes:
    """A PNG of the same rows and nothing else, after every checksum, length and filter was checked.

    OpenCV's libpng prints errors and warnings straight to the terminal: of wrong checksums, broken compression and
    unusual further chunks, which do not reach it this way.
    """
    passes = _png_passes(data)
    wanted = sum(rows * length for rows, length in passes)
    stream = zlib.decompressobj()
    found: list[bytes] = []
    missing = wanted + 1  # one more, so that the stream's own end is read too
    try:
        for content in _pixel_chunks(data, name):
            if missing > 0:
                found.append(stream.decompress(content, missing))
                missing -= len(found[-1])
    except zlib.error:
        raise ImageError(f"{name} {_DAMAGED}") from None
    rows = b"".join(found)[:wanted]
    del found
    if len(rows) < wanted or not (stream.eof or missing <= 0) or not _sound_filters(rows, passes):
        raise ImageError(f"{name} {_DAMAGED}")
    stored = zlib.compress(rows, 0)
    size = 1 << 30
    pieces = [chunk(b"IDAT", stored[start : start + size]) for start in range(0, len(stored), size)]
    return b"".join((data[:33], *pieces, chunk(b"IEND", b"")))


def _pixel_chunks(data: bytes, name: str) -> Iterator[bytes]:
    """The contents of a PNG's IDAT chunks; every chunk up to the end is checked."""
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 12 + length
        if end > len(data) or data[end - 4 : end] != struct.pack(">I", zlib.crc32(memoryview(data)[at + 4 : end - 4])):
            break
        kind = data[at + 4 : at + 8]
        if kind == b"IDAT":
            yield data[at + 8 : end - 4]
        if kind == b"IEND":
            return
        at = end
    raise ImageError(f"{name} {_DAMAGED}")


def _sound_filters(rows: bytes, passes: Sequence[tuple[int, int]]) -> bool:
    """Whether every row begins with the number of one of PNG's five filters."""
    values = np.frombuffer(rows, np.uint8)
    start = 0
    for count, length in passes:
        if count and values[start : start + count * length : length].max() > 4:
            return False
        start += count * length
    return True


def _png_passes(data: bytes) -> list[tuple[int, int]]:
    """The rows of a 16-bit PNG and the bytes of each, with its filter; interlaced ones have seven passes."""
    width, height = struct.unpack_from(">II", data, 16)
    pixel = 2 * {0: 1, 2: 3, 4: 2, 6: 4}[data[25]]
    if not data[28]:
        return [(height, 1 + width * pixel)]
    steps = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    sizes = [(-(-(height - y) // down), -(-(width - x) // across)) for x, y, across, down in steps]
    return [(rows, 1 + columns * pixel) for rows, columns in sizes if rows > 0 and columns > 0]
