"""Grids: the sample pictures of a run, those that a report holds and those that it finds beside it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any

from translate.errors import TranslateError
from translate.images import encode, load, metadata, probe, reduced
from translate.memory import MAX_PIXELS
from translate.numbered import pictures_of
from translate.run import Run
from translate.terminal import printable

MOST = 100
"""The most grids that a report holds; others are linked."""

MOST_BYTES = 12 * 2**20
"""The most bytes of pictures in a report, as they are before base64."""

LONGEST = 1600
"""The longer side of a picture in a report, in pixels."""

SMALL = 48 * 1024
"""A file of at most so many bytes is taken as it is."""

QUALITY = 85
LAYOUT = b"translate-grid"
"""The text of a PNG file that says how a grid is laid out."""

MOST_LISTED = 10_000
"""The most grids that a report lists, the last ones."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A sample picture of a run: its step, and its file with size and time of change."""

    step: int
    path: Path
    size: int
    mtime: int


def grids_of(run: Run) -> list[Grid]:
    """The sample pictures of a run, in the order of steps; raises ``OSError`` where they cannot be listed."""
    found = []
    for step, path in pictures_of(run.folder).items():
        stat = path.lstat()
        if S_ISREG(stat.st_mode):
            found.append(Grid(step, path, stat.st_size, stat.st_mtime_ns))
    return found


def spread(count: int, most: int) -> list[int]:
    """Which of ``count`` are held: each 2^k-th and the last, at most ``most`` + 1, so that what is held stays held.

    >>> spread(5, 10), spread(9, 3)
    ([0, 1, 2, 3, 4], [0, 4, 8])
    """
    stride = 1
    while -(-count // stride) > max(most, 1):
        stride *= 2
    return sorted({*range(0, count, stride), *([count - 1] if count else [])})


class Pictures:
    """The pictures of a report as data URLs; each file is read and encoded once."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, int, int], tuple[bytes, str] | None] = {}
        self._layouts: dict[tuple[Path, int, int], dict[str, Any]] = {}

    def listed(
        self, grids: Sequence[Grid], link: Callable[[Grid], str | None], *, most: int = MOST, room: int = MOST_BYTES
    ) -> dict[str, Any]:
        """All grids as JSON values, each with its step and source, and how they are laid out.

        At most ``most`` are held, and no more than ``room`` bytes; of all others there is a link. ``unreadable`` counts
        those that should be held and cannot be read.
        """
        chosen = set(spread(len(grids), most)) if most else set()
        if chosen and grids:
            first = self._data(grids[-1])
            size = max(len(first[0]) if first else 0, 1)
            chosen = set(spread(len(grids), max(1, min(most, room // size))))
        entries, held, left, unreadable = [], 0, room, 0
        # The last first, so that it is there in any case.
        for number in sorted(chosen, reverse=True):
            data = self._data(grids[number])
            unreadable += data is None
            if data is None or len(data[0]) > left:
                chosen.discard(number)
            else:
                left -= len(data[0])
        for number, grid in enumerate(grids):
            entry: dict[str, Any] = {"step": grid.step}
            data = self._data(grid) if number in chosen else None
            if data is not None:
                held += 1
                entry["src"] = f"data:{data[1]};base64,{base64.b64encode(data[0]).decode()}"
            else:
                entry["src"] = link(grid)
            entries.append(entry)
        layout = self._layout(grids[-1]) if grids else {}
        return {"list": entries, "held": held, "unreadable": unreadable, **({"layout": layout} if layout else {})}

    def _data(self, grid: Grid) -> tuple[bytes, str] | None:
        key = grid.path, grid.size, grid.mtime
        if key not in self._known:
            self._known[key] = _encoded(grid)
        return self._known[key]

    def _layout(self, grid: Grid) -> dict[str, Any]:
        key = grid.path, grid.size, grid.mtime
        if key not in self._layouts:
            self._layouts = {key: _layout_of(grid.path)}
        return self._layouts[key]


def _encoded(grid: Grid) -> tuple[bytes, str] | None:
    try:
        if grid.size <= SMALL:
            header = probe(grid.path)
            if max(header.width, header.height) <= LONGEST:
                return grid.path.read_bytes(), "image/png"
        image = reduced(load(grid.path, max_pixels=MAX_PIXELS), LONGEST)
        return encode(image, ".webp", quality=QUALITY, name=str(grid.path)), "image/webp"
    except (OSError, TranslateError, ValueError):
        return None


def _layout_of(path: Path) -> dict[str, Any]:
    """How a grid is laid out, as its file says: columns, sides of a cell, rows; empty where it says nothing."""
    try:
        texts = metadata(path).texts
        header = probe(path)
        found = next(
            json.loads(content.partition(b"\0")[2]) for kind, content in texts
            if kind == b"tEXt" and content.partition(b"\0")[0] == LAYOUT
        )  # fmt: skip
        columns, numbers = found["columns"], [found[name] for name in ("width", "height", "rows", "top", "gap")]
    except (StopIteration, OSError, TranslateError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    sound = isinstance(columns, list) and 0 < len(columns) <= 256 and all(isinstance(each, str) for each in columns)
    if not sound or not all(type(each) is int and 0 <= each < 2**16 for each in numbers) or 0 in numbers[:3]:
        return {}
    named = [printable(each[:200]) for each in columns]
    keys = ("cell_width", "cell_height", "rows", "top", "gap")
    return {"columns": named, **dict(zip(keys, numbers, strict=True)), "width": header.width, "height": header.height}
