"""Directories: the tags of TIFF files and of EXIF data, read within bounds and written anew.

Both hold directories of tags, some of which are offsets of further directories. What is damaged is left out, and what
is written is sound whatever was read: nothing is copied but the values of tags.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any

Reader = Callable[[int, int], bytes]
"""Reads a number of bytes from an offset; fewer at the end."""

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""The bytes of a value of each type."""

EXIF, GPS, INTEROPERABILITY, MAKER_NOTE = 34665, 34853, 40965, 37500
INNER: dict[int, Any] = {EXIF: {INTEROPERABILITY: {}}, GPS: {}}
"""The tags of EXIF data that are offsets of directories, and those in these."""

_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_MOST_TAGS = 4096


@dataclass(frozen=True, slots=True)
class Value:
    """A tag's values: their type, their number, and their bytes in the order of the file; ``at`` is where they lay."""

    kind: int
    count: int
    data: bytes
    at: int = 0

    def reordered(self, own: str, wanted: str) -> Value:
        r"""The values in another order of bytes.

        >>> Value(3, 2, b"\1\0\2\0").reordered("<", ">").data
        b'\x00\x01\x00\x02'
        """
        width = 4 if self.kind in (5, 10) else SIZES[self.kind]
        if own == wanted or width == 1:
            return self
        swapped = b"".join(self.data[at : at + width][::-1] for at in range(0, len(self.data), width))
        return Value(self.kind, self.count, swapped)


@dataclass(slots=True)
class Directory:
    """The tags of one directory; ``inner`` are the directories that tags of it are offsets of.

    ``following`` is the offset of the next directory, 0 at the end, and ``damaged`` says whether something was left
    out that could not be read.
    """

    order: str
    tags: dict[int, Value] = field(default_factory=dict)
    inner: dict[int, Directory] = field(default_factory=dict)
    following: int = 0
    damaged: bool = False

    def numbers(self, tag: int) -> tuple[int, ...]:
        """The whole numbers of a tag; none if it is missing or of another type."""
        value = self.tags.get(tag)
        if value is None or value.kind not in _NUMBERS:
            return ()
        return struct.unpack(f"{self.order}{value.count}{_NUMBERS[value.kind]}", value.data)

    def number(self, tag: int, default: int = 0) -> int:
        """The first whole number of a tag."""
        return next(iter(self.numbers(tag)), default)

    def ratio(self, tag: int) -> float | None:
        """The first value of a tag that is a fraction; None if there is none, or its denominator is 0."""
        value = self.tags.get(tag)
        if value is None or value.kind not in (5, 10) or not value.count:
            return None
        over, under = struct.unpack_from(self.order + ("II" if value.kind == 5 else "ii"), value.data)
        return over / under if under else None

    def put(self, tag: int, kind: int, *numbers: int) -> None:
        """Set a tag to whole numbers of a type, 3 for 16 bits and 4 for 32."""
        packed = struct.pack(f"{self.order}{len(numbers)}{_NUMBERS[kind]}", *numbers)
        self.tags[tag] = Value(kind, len(numbers), packed)


def start_of(head: bytes) -> tuple[str, bool, int] | None:
    """Byte order, whether it is a BigTIFF, and the first directory's offset, of a file's 16 bytes; None if none."""
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        return None
    (version,) = struct.unpack_from(order + "H", head, 2)
    if version == 43 and len(head) >= 16:
        return order, True, struct.unpack_from(order + "Q", head, 8)[0]
    return (order, False, struct.unpack_from(order + "I", head, 4)[0]) if version == 42 else None


def read_directory(
    read: Reader,
    order: str,
    offset: int,
    *,
    big: bool = False,
    inner: Mapping[int, Any] | None = None,
    most: int = 1 << 20,
    only: Container[int] | None = None,
) -> Directory:
    """Read the directory at an offset, and those in it that ``inner`` names; of its tags, all or ``only`` some.

    Values beyond ``most`` bytes in all are left out, and so is what lies outside of the data. A directory that
    does so itself is empty and ``damaged``.
    """
    found = Directory(order)
    number, entry = ("Q", struct.Struct(order + "HHQ8s")) if big else ("H", struct.Struct(order + "HHI4s"))
    first = read(offset, struct.calcsize(number)) if offset else b""
    if len(first) < struct.calcsize(number):
        found.damaged = True
        return found
    (count,) = struct.unpack(order + number, first)
    if count > _MOST_TAGS:
        found.damaged = True
        return found
    at = offset + len(first)
    size = 8 if big else 4
    block = read(at, count * entry.size + size)
    for place in range(0, min(count * entry.size, len(block) - entry.size + 1), entry.size):
        tag, kind, values, inline = entry.unpack_from(block, place)
        if only is not None and tag not in only:
            continue
        length = SIZES.get(kind, 0) * values
        where = at + place + entry.size - size
        if length > size:
            (where,) = struct.unpack(order + ("Q" if big else "I"), inline)
        if not SIZES.get(kind) or length > most or tag in found.tags:
            found.damaged = True
            continue
        data = inline[:length] if length <= size else read(where, length)
        if len(data) < length:
            found.damaged = True
            continue
        most -= length
        found.tags[tag] = Value(kind, values, data, where)
    end = block[count * entry.size :]
    if len(end) == size:
        (found.following,) = struct.unpack(order + ("Q" if big else "I"), end)
    else:
        found.damaged = True
    for tag, deeper in (inner or {}).items():
        if tag in found.tags:
            place = found.number(tag)
            del found.tags[tag]
            part = read_directory(read, order, place, big=big, inner=deeper, most=most)
            found.damaged |= part.damaged
            if part.tags or part.inner:
                found.inner[tag] = part
    return found


def write_directory(
    directory: Directory, base: int, *, big: bool = False, pinned: tuple[int, int] | None = None
) -> bytes:
    """The bytes of a directory with its values and inner directories, as they lie from the offset ``base`` on.

    ``pinned`` is a tag of the directory below ``EXIF``, and the offset at which its value shall lie if there is room:
    makers' notes hold offsets of their own.
    """
    order, size = directory.order, 8 if big else 4
    number, offset = ("Q", "Q") if big else ("H", "I")
    reserved: tuple[int, int] | None = None
    if pinned is not None and EXIF in directory.inner and pinned[0] in directory.inner[EXIF].tags:
        reserved = (pinned[1], pinned[1] + len(directory.inner[EXIF].tags[pinned[0]].data))
    pieces: list[tuple[int, bytes]] = []
    place = base

    def claim(length: int) -> int:
        nonlocal place
        place += place % 2
        if reserved is not None and place < reserved[1] and place + length > reserved[0]:
            place = reserved[1] + reserved[1] % 2
        here = place
        place += length
        return here

    def lay(part: Directory) -> int:
        tags = sorted({*part.tags, *part.inner})
        entry = 4 + 2 * size
        here = claim(struct.calcsize(number) + len(tags) * entry + size)
        block = [struct.pack(order + number, len(tags))]
        for tag in tags:
            if tag in part.inner:
                at = lay(part.inner[tag])
                block.append(struct.pack(f"{order}HH{offset}{offset}", tag, 13 if big else 4, 1, at))
                continue
            value = part.tags[tag]
            if len(value.data) <= size:
                stored = value.data.ljust(size, b"\0")
            else:
                fixed = reserved is not None and part is directory.inner.get(EXIF) and tag == pinned[0]  # type: ignore[index]
                at = reserved[0] if fixed and reserved is not None else claim(len(value.data))
                pieces.append((at, value.data))
                stored = struct.pack(order + offset, at)
            block.append(struct.pack(f"{order}HH{offset}", tag, value.kind, value.count) + stored)
        block.append(struct.pack(order + offset, 0))
        pieces.append((here, b"".join(block)))
        return here

    lay(directory)
    end = max(at + len(data) for at, data in pieces)
    laid = bytearray(end - base)
    for at, data in pieces:
        laid[at - base : at - base + len(data)] = data
    return bytes(laid)
