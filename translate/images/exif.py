"""EXIF data, made true of an image that was turned, converted to sRGB and perhaps resized."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from translate.images.directories import (
    EXIF,
    GPS,
    INNER,
    INTEROPERABILITY,
    MAKER_NOTE,
    Directory,
    read_directory,
    start_of,
    write_directory,
)

ORIENTATION, WIDTH, HEIGHT, X_RESOLUTION, Y_RESOLUTION, UNIT = 274, 256, 257, 282, 283, 296
_COLOUR_SPACE, _PIXEL_WIDTH, _PIXEL_HEIGHT = 40961, 40962, 40963

DESCRIBING = frozenset((
    ORIENTATION, WIDTH, HEIGHT, X_RESOLUTION, Y_RESOLUTION, UNIT, 269, 270, 271, 272, 285, 305, 306, 315, 316, 18246,
    18249, 33432, 36867, 40091, 40092, 40093, 40094, 40095,
))  # fmt: skip
"""The tags of a first directory that describe the photo: title, camera, program, date, author, copyright, resolution.

All others say how pixels are stored in the file they came from, or hold something that is kept otherwise (XMP, ICC).
"""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """EXIF data for an output: the directory (None if nothing is left), and what was left out of it."""

    directory: Directory | None
    damaged: bool = False
    gps: bool = False
    adobe_rgb: bool = False


def parse(data: bytes) -> Directory | None:
    """The first directory of EXIF data, which begins with a TIFF header; None if it is not readable at all."""
    start = start_of(data[:16])
    if start is None or start[1]:
        return None
    order, _, offset = start
    found = read_directory(lambda at, length: data[at : at + length], order, offset, inner=INNER)
    return found if found.tags or found.inner else None


def clean(found: Directory, height: int, width: int, *, gps: bool, srgb: bool) -> Cleaned:
    """What EXIF data says of an image (``height``, ``width``) that is no longer as the camera stored it.

    There is no orientation, sizes are the image's, with ``srgb`` the colour space is sRGB, and there is no thumbnail.
    Where it was lain on its side, the resolutions change places. Without ``gps`` there is no position.
    """
    order = found.order
    first = Directory(order, {tag: value for tag, value in found.tags.items() if tag in DESCRIBING})
    if found.number(ORIENTATION, 1) in (5, 6, 7, 8):
        across, down = first.tags.pop(X_RESOLUTION, None), first.tags.pop(Y_RESOLUTION, None)
        first.tags |= {tag: value for tag, value in ((X_RESOLUTION, down), (Y_RESOLUTION, across)) if value is not None}
    first.tags.pop(ORIENTATION, None)  # none means upright
    for tag, side in ((WIDTH, width), (HEIGHT, height)):
        if tag in first.tags:
            first.put(tag, 4, side)
    adobe_rgb = False
    if EXIF in found.inner:
        inner = found.inner[EXIF]
        kept = Directory(order, dict(inner.tags))
        for tag, side in ((_PIXEL_WIDTH, width), (_PIXEL_HEIGHT, height)):
            if tag in kept.tags:
                kept.put(tag, 4, side)
        if INTEROPERABILITY in inner.inner:
            deeper = inner.inner[INTEROPERABILITY]
            name = deeper.tags.get(1)
            adobe_rgb = name is not None and name.data[:3] == b"R03"
            if not (adobe_rgb and srgb):
                kept.inner[INTEROPERABILITY] = Directory(order, dict(deeper.tags))
        if srgb and _COLOUR_SPACE in kept.tags:
            adobe_rgb |= inner.number(_COLOUR_SPACE) == 2
            kept.put(_COLOUR_SPACE, 3, 1)
            kept.tags.pop(42240, None)  # gamma
        if kept.tags or kept.inner:
            first.inner[EXIF] = kept
    if gps and GPS in found.inner:
        first.inner[GPS] = Directory(order, dict(found.inner[GPS].tags))
    left_out = GPS in found.inner and not gps
    directory = first if first.tags or first.inner else None
    return Cleaned(directory, found.damaged, left_out, adobe_rgb)


def block(directory: Directory) -> bytes:
    """EXIF data as JPEG, PNG, WebP and AVIF files hold it, from its TIFF header on.

    A maker's note lies where it lay before, if there is room, since it may hold offsets.
    """
    order = directory.order
    note = directory.inner[EXIF].tags.get(MAKER_NOTE) if EXIF in directory.inner else None
    pinned = (MAKER_NOTE, note.at) if note is not None and 8 <= note.at <= 1 << 20 and len(note.data) > 4 else None
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    body = write_directory(directory, 8, pinned=pinned)
    if pinned is not None and not _begins(directory, pinned[1]):
        body = write_directory(directory, 8)
    return head + body


def _begins(directory: Directory, pinned: int) -> bool:
    """Whether the first directory fits between the header and a pinned value."""
    return 8 + 2 + 12 * len({*directory.tags, *directory.inner}) + 4 <= pinned


def resolution(directory: Directory) -> tuple[float, float] | None:
    """The resolution in pixels an inch, across and down; None if none is said."""
    across, down = directory.ratio(X_RESOLUTION), directory.ratio(Y_RESOLUTION)
    unit = {2: 1.0, 3: 2.54}.get(directory.number(UNIT, 2))
    if across is None or unit is None or not 0 < across < 1e6:
        return None
    down = down if down is not None and 0 < down < 1e6 else across
    return across * unit, down * unit
