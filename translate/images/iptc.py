"""IPTC: captions, credits and keywords as IPTC's records (IIM 4.2), as JPEG and TIFF files hold them."""

from __future__ import annotations

import struct
from collections.abc import Iterator

SIGNATURE = b"Photoshop 3.0\0"
"""What begins a segment of a JPEG file that holds Photoshop's resources."""

RECORDS = 0x0404
"""The number of the resource that holds IPTC's records."""

_UNSAID = (RECORDS, 0x0425, 0x03ED, 0x0409, 0x040C)  # digest of the records, resolution, thumbnails
_PREVIEW = (200, 201, 202)  # of record 2: a small picture of the old pixels


def resources(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Photoshop's resources, each its number and content; ends where the data are damaged.

    >>> list(resources(resource(RECORDS, b"abc")))
    [(1028, b'abc')]
    """
    at = 0
    while data[at : at + 4] in (b"8BIM", b"MeSa", b"AgHg", b"PHUT", b"DCSR"):
        name = at + 6
        length_at = name + (data[name] + 2) // 2 * 2 if name < len(data) else len(data)
        if length_at + 4 > len(data):
            return
        (number,) = struct.unpack_from(">H", data, at + 4)
        (length,) = struct.unpack_from(">I", data, length_at)
        content = data[length_at + 4 : length_at + 4 + length]
        if len(content) < length:
            return
        yield number, content
        at = length_at + 4 + length + length % 2


def resource(number: int, content: bytes) -> bytes:
    """One of Photoshop's resources, without a name."""
    return b"8BIM" + struct.pack(">HHI", number, 0, len(content)) + content + bytes(len(content) % 2)


def taken_from(data: bytes) -> tuple[bytes, bool]:
    """IPTC's records among Photoshop's resources, and whether there are others that a user may miss."""
    found = list(resources(data))
    records = next((content for number, content in found if number == RECORDS), b"")
    return records, any(number not in _UNSAID for number, _ in found)


def clean_records(data: bytes) -> bytes | None:
    r"""The records that are true of other pixels, too: envelope and application, without previews; None if damaged.

    >>> clean_records(b"\x1c\x02\x78\0\3cat" + b"\x1c\x02\xca\0\2xx" + b"\0\0")
    b'\x1c\x02x\x00\x03cat'
    """
    kept = []
    at = 0
    while at < len(data) and data[at] == 0x1C:
        if at + 5 > len(data):
            return None
        record, number, length = struct.unpack_from(">BBH", data, at + 1)
        start = at + 5
        if length & 0x8000:
            extended = length & 0x7FFF
            if extended > 4 or start + extended > len(data):
                return None
            length = int.from_bytes(data[start : start + extended])
            start += extended
        if start + length > len(data):
            return None
        if record == 1 or (record == 2 and number not in _PREVIEW):
            kept.append(data[at : start + length])
        at = start + length
    return None if data[at:].strip(b"\0") else b"".join(kept)
