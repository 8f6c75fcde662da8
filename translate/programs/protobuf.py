"""Protocol buffers on the wire: the fields of a message, without a schema and without copies."""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""The wire types in use."""

Value = int | memoryview


class WireError(ValueError):
    """Bytes that are no protocol buffer."""


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """The fields of a message in their order: number and value, of which texts and messages are views.

    >>> [(number, bytes(value)) for number, value in fields(memoryview(bytes([10, 2, 104, 105])))]
    [(1, b'hi')]
    """
    place, end = 0, len(message)
    while place < end:
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise WireError("a field without a number")
        if kind == VARINT:
            value, place = _varint(message, place)
            yield number, value
            continue
        if kind == BYTES:
            size, place = _varint(message, place)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise WireError(f"a field of the unknown type {kind}")
        if place + size > end:
            raise WireError("it ends within a field")
        yield number, message[place : place + size]
        place += size


def last(message: memoryview, number: int) -> Value | None:
    """The last value of a field that stands once, as readers of this format take it; None if it is not there."""
    found = None
    for each, value in fields(message):
        if each == number:
            found = value
    return found


def messages(message: memoryview, number: int) -> Iterator[memoryview]:
    """The values of a field that holds messages or texts."""
    for each, value in fields(message):
        if each == number:
            if isinstance(value, int):
                raise WireError(f"field {number} holds a number where a message belongs")
            yield value


def text(message: memoryview, number: int) -> str:
    """A text field; empty if it is not there."""
    value = last(message, number)
    if value is None:
        return ""
    if isinstance(value, int):
        raise WireError(f"field {number} holds a number where a text belongs")
    return bytes(value).decode("utf-8", "replace")


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(message) or shift > 63:
            raise WireError("it ends within a number")
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
