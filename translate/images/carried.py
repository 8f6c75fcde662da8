"""Carried values: TIFF files of signed, 32-bit or half-precision values, decoded as types of as many bits.

No decoder used here knows these types, but all that they do to values is to move and, with a predictor, to add bits
modulo their number. So the file is decoded with another sample format in its header, and its bits are taken as what
they are.
"""

from __future__ import annotations

import io
import struct
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL.TiffImagePlugin import TiffImageFile

TYPES: dict[tuple[int, int], str] = {
    (8, 2): "int8", (16, 2): "int16", (32, 2): "int32", (64, 2): "int64", (32, 1): "uint32", (64, 1): "uint64",
    (16, 3): "float16",
}  # fmt: skip
"""The types that are decoded so, by the bits and the TIFF sample format of a value."""

_CARRIERS = {8: 1, 16: 1, 32: 3, 64: 3}
"""The sample format that decoders know for values of so many bits: 1 is unsigned, 3 is float."""

_SAMPLE_FORMAT = 339
_SHORT = 3


def decode_carried(data: bytes, dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """The values (H, W) or (H, W, C) of a TIFF that holds a type of ``TYPES``, turned as displayed, planes as stored.

    None, or an error of a decoder, if the file is damaged.
    """
    known = _retagged(data, _CARRIERS[8 * dtype.itemsize])
    if dtype.itemsize == 1:  # OpenCV would apply colour spaces to them
        return np.array(TiffImageFile(io.BytesIO(known))).view(dtype)
    decoded = cv2.imdecode(np.frombuffer(known, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype.itemsize != dtype.itemsize:
        return None
    if decoded.ndim == 3:  # OpenCV's planes are B, G, R
        decoded = np.concatenate([decoded[..., 2::-1], decoded[..., 3:]], axis=2)
    return np.ascontiguousarray(decoded).view(dtype)


def _retagged(data: bytes, sample_format: int) -> bytes:
    """The file with another sample format: a copy of its first directory, at its end, says so."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    number, offset, at = ("Q", "Q", 8) if big else ("H", "I", 4)
    entry = struct.Struct(f"{order}HH{offset}{offset}")
    (start,) = struct.unpack_from(order + offset, data, at)
    (count,) = struct.unpack_from(order + number, data, start)
    first = start + struct.calcsize(number)
    if count > 4096 or first + count * entry.size > len(data):
        raise ValueError("its directory is cut off")
    entries = {}
    samples = 1
    for each in range(count):
        raw = data[first + each * entry.size : first + (each + 1) * entry.size]
        (tag,) = struct.unpack_from(order + "H", raw)
        entries[tag] = raw
        if tag == 277:
            (samples,) = struct.unpack_from(order + "H", raw, entry.size - struct.calcsize(offset))
    values = len(data) + len(data) % 2
    packed = struct.pack(f"{order}{samples}H", *[sample_format] * samples)
    if len(packed) <= struct.calcsize(offset):
        inline = packed.ljust(struct.calcsize(offset), b"\0")
        entries[_SAMPLE_FORMAT] = entry.pack(_SAMPLE_FORMAT, _SHORT, samples, 0)[: -len(inline)] + inline
    else:
        entries[_SAMPLE_FORMAT] = entry.pack(_SAMPLE_FORMAT, _SHORT, samples, values)
    packed = packed.ljust(-(-len(packed) // 8) * 8, b"\0")
    directory = struct.pack(order + number, len(entries)) + b"".join(entries[tag] for tag in sorted(entries))
    directory += struct.pack(order + offset, 0)
    moved = struct.pack(order + offset, values + len(packed))
    return b"".join((data[:at], moved, data[at + len(moved) :], bytes(len(data) % 2), packed, directory))
