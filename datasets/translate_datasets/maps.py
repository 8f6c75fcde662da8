"""Maps of class indices: told from pictures by their values and flat areas, and asked for where that is not clear."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from translate import images
from translate.errors import TranslateError
from translate.images import Header, ImageError
from translate.memory import Budget
from translate.options import Call, Option

Classes = Annotated[int | None, Option("classes of index maps (default: counted; 0: no maps)", ge=0, le=256)]
Palette = Annotated[Path | None, Option("image, .json or .txt with the classes' colours, to make them RGB")]
Which = Annotated[
    Literal["source", "target", "both"] | None, Option("which domains are index maps (default: told by their values)")
]
Ignore = Annotated[int | None, Option("index of pixels without a class, often 255: -1 in every plane", ge=0, le=255)]

Verdict = Literal["map", "picture", "unclear"]

_most_counted = 2000
FEW = 64
"""Gray files with values below it may be maps of classes."""
VOID = 255
"""The index that data sets give to pixels without a class."""
_named = re.compile(r"label|mask|seg|annot|class|index|indices|maps?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Maps:
    """What a user says of maps of class indices."""

    classes: int | None = None
    palette: Path | None = None
    which: Literal["source", "target", "both"] | None = None
    ignore: int | None = None

    def options(self, counted: int) -> dict[str, object]:
        """The options that differ from the defaults, with the number of classes."""
        found: dict[str, object] = {"classes": counted} if counted else {"classes": 0} if self.classes == 0 else {}
        given = {"maps": self.which, "ignore": self.ignore, "palette": self.palette and str(self.palette)}
        return found | {name: value for name, value in given.items() if value is not None}


def counts(
    sides: Mapping[str, Sequence[Path]],
    headers: Mapping[str, Mapping[Path, Header]],
    asked: Maps,
    call: Call,
    everything: Mapping[str, Sequence[Path]],
) -> dict[str, int]:
    """The number of classes of each side that holds maps.

    Raises ``TranslateError`` with the choices if it is not clear whether gray files are pictures or maps, or whether
    the index 255 is a class.
    """
    if asked.classes == 0:
        if asked.which or asked.palette or asked.ignore is not None:
            raise TranslateError("classes=0 means that there are no maps; leave it out, or maps=, palette= and ignore=")
        return {}
    able = [side for side in sides if are_single(headers[side])]
    if asked.which is not None:
        chosen = [side for side in sides if asked.which in (side, "both")]
        for side in chosen:
            if side not in able:
                raise TranslateError(f"maps={asked.which}, but the {side}'s files are no gray or palette images")
    else:
        names = {side: str(call.options.get(side, side)) for side in sides}
        verdicts = {side: judge(everything[side], list(headers[side]), names[side]) for side in able}
        said = asked.classes is not None or asked.palette is not None or asked.ignore is not None
        chosen = [side for side in able if verdicts[side] == "map" or (said and verdicts[side] == "unclear")]
        if not chosen and asked.classes:
            chosen = able
            if not able:
                raise TranslateError(
                    f"classes={asked.classes}, but none of the sides are gray or palette images that could hold indices"
                )
        unclear = [side for side in able if verdicts[side] == "unclear" and side not in chosen]
        if unclear:
            _ask(unclear, chosen, sides, call)
    if not chosen and (asked.palette is not None or asked.ignore is not None):
        what = f"a palette is given ({asked.palette})" if asked.palette is not None else f"ignore={asked.ignore}"
        raise TranslateError(f"{what}, but none of the sides are maps of class indices")
    found: dict[str, int] = {}
    for side in chosen:
        try:
            found[side] = asked.classes or counted(sides[side], asked)
        except _VoidError as error:
            raise TranslateError(
                f"the {side}'s maps hold the indices 0 to {error.largest} and 255, which often marks pixels without a "
                f"class; choose {_with(call, classes=error.largest + 1, ignore=VOID)} to ignore it, or "
                f"{_with(call, classes=256)} if it is a class"
            ) from None
    return found


def judge(paths: Sequence[Path], sampled: Sequence[Path], name: str) -> Verdict:
    """Whether gray or palette files are maps of class indices, by their values, flat areas and their folder's name.

    Pictures: images of 1, 2 or 4 bits of gray, files whose palettes differ, and what has few flat areas. Maps: flat
    files that share one palette, or flat gray ones in a folder named after labels or masks. Other flat gray files with
    small values are unclear.
    """
    stored = [found for path in sampled if (found := _stored(path)) is not None]
    if not stored:
        return "picture"
    palettes = [palette for _, palette in stored if palette is not None]
    if not palettes and all(bits < 8 for bits, _ in stored):
        return "picture"
    values: set[int] = set()
    flat, smooth = [], []
    budget = Budget()
    for path in sampled:
        try:
            pixels = images.load_indices(path, budget=budget).astype(np.int16)
        except ImageError:
            continue
        values.update(np.unique(pixels).tolist())
        if pixels.shape[1] > 1:
            steps = np.abs(np.diff(pixels, axis=1))
            flat.append(float((steps == 0).mean()))
            smooth.append(float((steps[steps > 0] <= 2).mean()) if steps.any() else 0.0)
    if (flat and float(np.mean(flat)) <= 0.7) or not values - {0}:
        return "picture"
    if palettes:
        if len(palettes) < len(stored):
            return "unclear" if max(values) < FEW else "picture"
        return "map" if _share_palette(paths) else "picture"
    real = values - {VOID}
    if VOID in values:
        return "unclear" if len(real) > 1 and max(real) < FEW else "picture"
    named = _named.search(name) is not None
    if max(values) < FEW:
        return "map" if named else "unclear"
    return "map" if named and float(np.mean(smooth)) < 0.5 else "picture"


def are_single(headers: Mapping[Path, Header]) -> bool:
    """Whether files may hold class indices: a lossless format and one 8-bit value per pixel."""
    lossless = {".png", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".pbm", ".pnm"}
    return bool(headers) and all(
        path.suffix.lower() in lossless and header.depth == "uint8" and (header.channels == 1 or _indexed(path))
        for path, header in headers.items()
    )


def _indexed(path: Path) -> bool:
    found = _stored(path)
    return found is not None and found[1] is not None


def _stored(path: Path) -> tuple[int, bytes | None] | None:
    try:
        return images.stored_as(path)
    except ImageError:
        return None


def _share_palette(paths: Sequence[Path]) -> bool:
    """Whether all files have one palette; a shorter one may be the beginning of a longer one."""
    longest = b""
    with ThreadPoolExecutor() as pool:
        for found in pool.map(_stored, paths):
            if found is None:
                continue
            palette = found[1]
            if palette is None:
                return False
            shorter, longer = sorted((palette, longest), key=len)
            if not longer.startswith(shorter):
                return False
            longest = longer
    return True


class _VoidError(Exception):
    """Maps hold few indices, and 255, of which nothing is said."""

    def __init__(self, largest: int) -> None:
        super().__init__(largest)
        self.largest = largest


def counted(paths: Sequence[Path], asked: Maps) -> int:
    """The number of classes in up to 2,000 files: the largest index and one more."""

    budget = Budget()

    def used(path: Path) -> tuple[int, bool]:
        try:
            stored = images.load_indices(path, budget=budget)
        except ImageError:
            return 0, False
        known = stored if asked.ignore is None else stored[stored != asked.ignore]
        real = known[known != VOID]
        return int(real.max(initial=0)), real.size < known.size

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(used, paths[:_most_counted]))
    largest = max((number for number, _ in found), default=0)
    if not any(void for _, void in found):
        return largest + 1
    if largest >= 253:
        return 256
    raise _VoidError(largest)


def _ask(unclear: Sequence[str], certain: Sequence[str], sides: Mapping[str, Sequence[Path]], call: Call) -> None:
    side = unclear[0]
    values = {int(value) for path in sides[side][:16] for value in _values(path)}
    real = values - {VOID}
    count = max(real, default=0) + 1
    void: dict[str, object] = {"ignore": VOID} if VOID in values else {}
    if certain:
        as_pictures = _with(call, maps=certain[0])
        as_maps = _with(call, maps="both", **void)
    else:
        as_pictures = _with(call, classes=0)
        as_maps = _with(call, classes=count, **void)
    held = f"0 to {count - 1}" + (" and 255" if void else "")
    raise TranslateError(
        f"the gray files of the {' and the '.join(unclear)} hold the values {held} in flat areas and may be pictures "
        f"or maps of {count} class indices; choose {as_pictures} for pictures or {as_maps} for maps"
    )


def _values(path: Path) -> list[int]:
    try:
        found: list[int] = np.unique(images.load_indices(path, budget=Budget())).tolist()
    except ImageError:
        return []
    return found


def _with(call: Call, **options: object) -> str:
    others = {name: value for name, value in call.options.items() if name not in ("classes", "maps")}
    return f'--layout "{Call(call.name, others | options)}"'
