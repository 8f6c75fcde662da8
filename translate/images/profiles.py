"""Profiles: colours with an ICC profile become sRGB, at 8 bits and at 16.

LittleCMS, as Pillow calls it, converts 8 bits only. 16-bit colours whose profile is a matrix with curves (as of Adobe
RGB, Display P3, ProPhoto RGB) or a gray curve are computed from the profile itself, if that agrees with LittleCMS
within one 8-bit level. For others, such as profiles with tables, LittleCMS converts the 8-bit colours around each
16-bit one, between which is interpolated linearly: the values that 8 bits have are those of the 8-bit twin.
"""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageCms

Curve = Callable[[NDArray[Any]], NDArray[Any]]
_rows = 1 << 16  # pixels that are converted at a time, to bound memory

# sRGB's linear colours from XYZ under D50, the inverse of the adapted primaries that IEC 61966-2-1 profiles carry.
_FROM_D50 = np.linalg.inv(
    np.array([[0.4360657, 0.3851515, 0.1430784], [0.2224932, 0.7168870, 0.0606169], [0.0139160, 0.0970764, 0.7140961]])
)


def to_srgb(image: PIL.Image.Image, profile: bytes | None) -> PIL.Image.Image:
    """Convert an L, RGB, CMYK ... image to L or RGB in sRGB; one without a usable profile is taken to be sRGB."""
    transform = _transform(profile, image.mode) if profile else None
    if transform is not None:
        colours = ImageCms.applyTransform(image, transform)
        if colours is not None:
            return colours.getchannel("G") if image.mode == "L" else colours
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def deep_to_srgb(pixels: NDArray[np.uint16], profile: bytes | None) -> NDArray[np.uint16]:
    """Convert 16-bit colours (H, W, 1 or 3) with a profile to sRGB, as ``to_srgb`` converts their 8-bit twins.

    Without a usable profile, or with one that changes 8-bit colours by rounding only, they stay as they are.
    """
    channels = pixels.shape[2]
    convert = _deep_transform(profile, channels) if profile and channels in (1, 3) else None
    if convert is None:
        return pixels
    flat = pixels.reshape(-1, channels)
    converted = np.empty_like(flat)
    for start in range(0, len(flat), _rows):
        share = convert(flat[start : start + _rows].astype(np.float64) / 65535)
        converted[start : start + _rows] = np.rint(np.clip(share, 0, 1) * 65535)
    return converted.reshape(pixels.shape)


def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """LittleCMS's transform from a profile to sRGB; None if it is not usable or changes nothing."""
    if mode not in ("L", "RGB", "CMYK"):
        return None
    try:
        stored = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(stored, ImageCms.createProfile("sRGB"), mode, "RGB")
        return None if _is_identity(transform, mode) else transform
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


@lru_cache(maxsize=8)
def is_srgb(profile: bytes, mode: str) -> bool | None:
    """Whether a profile leaves the colours of an L, RGB or CMYK image as they are; None if it cannot be used."""
    if mode not in ("L", "RGB", "CMYK"):
        return None
    try:
        stored = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return _is_identity(ImageCms.buildTransform(stored, ImageCms.createProfile("sRGB"), mode, "RGB"), mode)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a transform changes sample colours by rounding only: then pixels stay as stored."""
    if mode == "CMYK":
        return False
    if mode == "L":
        colours = PIL.Image.frombytes("L", (256, 1), bytes(range(256)))
    else:
        cube = bytes(itertools.chain.from_iterable(itertools.product(range(0, 256, 51), repeat=3)))
        colours = PIL.Image.frombytes("RGB", (216, 1), cube)
    changed = ImageCms.applyTransform(colours, transform)
    difference = np.asarray(changed, dtype=np.int16) - np.asarray(colours.convert("RGB"), dtype=np.int16)
    return bool(np.abs(difference).max() <= 1)


@lru_cache(maxsize=8)
def _deep_transform(profile: bytes, channels: int) -> Curve | None:
    """A function from shares (N, C) in [0, 1] to those of sRGB; None if the colours stay."""
    transform = _transform(profile, "L" if channels == 1 else "RGB")
    if transform is None:
        return None
    computed = _from_tags(profile, channels)
    if computed is not None and _agrees(computed, transform, channels):
        return computed
    return lambda share: _between(transform, share)


def _sampled(transform: ImageCms.ImageCmsTransform, colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """8-bit colours (N, C) as LittleCMS converts them."""
    mode = "L" if colours.shape[1] == 1 else "RGB"
    image = PIL.Image.frombytes(mode, (len(colours), 1), np.ascontiguousarray(colours).tobytes())
    converted: NDArray[np.uint8] = np.asarray(ImageCms.applyTransform(image, transform))[0]
    return converted[:, 1:2] if mode == "L" else converted


def _agrees(computed: Curve, transform: ImageCms.ImageCmsTransform, channels: int) -> bool:
    """Whether the computed colours are LittleCMS's at 8 bits, within one level: else the profile holds more."""
    steps = range(256) if channels == 1 else range(0, 256, 17)
    colours = np.array(list(itertools.product(steps, repeat=channels)), dtype=np.uint8)
    expected = _sampled(transform, colours).astype(np.float64)
    found = np.clip(computed(colours.astype(np.float64) / 255), 0, 1) * 255
    return bool(np.abs(found - expected).max() <= 1)


# --- curves and matrices --------------------------------------------------------------------------------------------


def _from_tags(profile: bytes, channels: int) -> Curve | None:
    """The conversion that a profile's curves and matrix define; None if it has tables or is not sound."""
    try:
        count = struct.unpack_from(">I", profile, 128)[0]
        tags = {}
        for number in range(min(count, 100)):
            name, start, length = struct.unpack_from(">4sII", profile, 132 + 12 * number)
            tags[name] = profile[start : start + length]
        if b"A2B0" in tags or profile[20:24] != b"XYZ ":
            return None
        if channels == 1:
            gray = _curve(tags[b"kTRC"])
            return lambda share: _encode(gray(share), float(gray(np.zeros(1))[0]))
        curves = [_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")]
        numbers = [struct.unpack_from(">3i", tags[name], 8) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    except (struct.error, KeyError, ValueError):
        return None
    adapted = np.array(numbers, dtype=np.float64).T / 65536
    matrix = _FROM_D50 @ adapted
    black = float(adapted[1] @ [curve(np.zeros(1))[0] for curve in curves])

    def convert(share: NDArray[Any]) -> NDArray[Any]:
        linear = np.stack([curve(share[:, plane]) for plane, curve in enumerate(curves)], axis=1)
        return _encode(linear @ matrix.T, black)

    return convert


def _encode(linear: NDArray[Any], black: float) -> NDArray[Any]:
    """sRGB's transfer function, of linear values clipped to [0, 1], after ``black`` has become 0 as LittleCMS does."""
    linear = np.clip((linear - black) / (1 - black), 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _curve(tag: bytes) -> Curve:
    """A curve of type ``curv`` (a table or a power) or ``para`` (ICC.1:2022, 10.6 and 10.18)."""
    if tag[:4] == b"curv":
        count = struct.unpack_from(">I", tag, 8)[0]
        if count == 0:
            return lambda share: share
        values = np.frombuffer(tag, ">u2", count, 12).astype(np.float64)
        if count == 1:
            return lambda share: share ** (values[0] / 256)
        places = np.linspace(0, 1, count)
        return lambda share: np.interp(share, places, values / 65535)
    if tag[:4] != b"para":
        raise ValueError("a curve of another type")
    kind = struct.unpack_from(">H", tag, 8)[0]
    given = [value / 65536 for value in struct.unpack_from(f">{(1, 3, 4, 5, 7)[min(kind, 4)]}i", tag, 12)]
    # g, a, b, c, d, e, f of (a x + b)**g + e where x >= d, and c x + f below.
    g, a, b, c, d, e, f = (given + [0.0] * 7)[:7]
    if kind == 0:
        return lambda share: share**g
    if kind in (1, 2):
        c, e, f, d = 0.0, c, c, -b / a
    elif kind == 3:
        e = f = 0.0
    return lambda share: np.where(share >= d, np.maximum(a * share + b, 0) ** g + e, c * share + f)


# --- tables ---------------------------------------------------------------------------------------------------------


def _between(transform: ImageCms.ImageCmsTransform, share: NDArray[Any]) -> NDArray[Any]:
    """Shares (N, C) converted as LittleCMS converts the 8-bit colours around them, interpolated linearly."""
    place = share * 255
    low = np.minimum(place, 254).astype(np.uint8)
    part = place - low
    total = np.zeros_like(share)
    for corner in itertools.product((0, 1), repeat=share.shape[1]):
        weight = np.prod(np.where(corner, part, 1 - part), axis=1)
        total += weight[:, None] * _sampled(transform, low + np.array(corner, np.uint8))
    return total / 255
