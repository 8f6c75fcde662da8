"""The profile of what is written: sRGB (IEC 61966-2-1) as an ICC profile of version 4, of RGB or of gray."""

from __future__ import annotations

import struct
from functools import cache

_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_WHITE = (0.9642, 1.0, 0.8249)  # D50, to which the colours below are adapted
_ADAPTATION = (1.0478760, 0.0229187, -0.0502014, 0.0295822, 0.9904795, -0.0170593, -0.0092387, 0.0150737, 0.7516784)
_COLOURS = {
    b"rXYZ": (0.4360657, 0.2224932, 0.0139160), b"gXYZ": (0.3851515, 0.7168870, 0.0970764),
    b"bXYZ": (0.1430784, 0.0606169, 0.7140961),
}  # fmt: skip


@cache
def srgb_profile(channels: int) -> bytes:
    """The profile of images with 3 or 1 planes, the same bytes each time."""
    tags = {b"desc": _text("sRGB" if channels == 3 else "sRGB gray"), b"cprt": _text("No copyright"),
            b"wtpt": _xyz(_WHITE)}  # fmt: skip
    curve = b"para" + bytes(4) + struct.pack(">HH", 3, 0) + _fixed(_CURVE)
    if channels == 3:
        tags |= {name: _xyz(place) for name, place in _COLOURS.items()}
        tags |= {b"chad": b"sf32" + bytes(4) + _fixed(_ADAPTATION)}
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    else:
        tags[b"kTRC"] = curve
    directory, content = [struct.pack(">I", len(tags))], b""
    places: dict[bytes, int] = {}
    for name, value in tags.items():
        if value not in places:
            places[value] = 128 + 4 + 12 * len(tags) + len(content)
            content += value + bytes(-len(value) % 4)
        directory.append(name + struct.pack(">II", places[value], len(value)))
    body = b"".join(directory) + content
    space = b"RGB " if channels == 3 else b"GRAY"
    date = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
    head = struct.pack(">I4sI4s4s4s", 128 + len(body), bytes(4), 0x04200000, b"mntr", space, b"XYZ ") + date + b"acsp"
    head += bytes(28) + _fixed(_WHITE)
    return head.ljust(128, b"\0") + body


def _fixed(values: tuple[float, ...]) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _xyz(place: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(place)


def _text(text: str) -> bytes:
    words = text.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(words), 28) + words
