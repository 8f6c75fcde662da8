"""Domains: properties of one side's images, inferred from a few files; and the colours of a palette."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from translate import images
from translate.data import Depth, Domain
from translate.errors import TranslateError
from translate.images import Header, ImageError
from translate_datasets.listing import spread

Colours = tuple[tuple[int, int, int], ...]

_sample = 16
_counted = 2000
_most_classes = 64
_ranks: dict[Depth, int] = {"uint8": 0, "uint16": 1, "float32": 2}


def describe(
    sides: Mapping[str, Sequence[Path]],
    problems: list[str],
    *,
    classes: int | None = None,
    palette: Path | None = None,
    root: Path | None = None,
) -> dict[str, Domain]:
    """Infer each side's domain from up to 16 of its training files, and add what is wrong to ``problems``.

    Maps of class indices are distinguished from photos by their values (below 64) and their flat areas. The number of
    classes is ``classes``, or by default counted over up to 2,000 files; 0 means that there are no maps.
    """
    headers = {side: _headers(side, paths, problems) for side, paths in sides.items()}
    maps = {side for side in sides if classes != 0 and _single(headers[side]) and _are_maps(list(headers[side]))}
    if classes and not maps:
        maps = {side for side in sides if _single(headers[side])}
        if not maps:
            raise TranslateError(
                f"classes={classes}, but none of the sides are gray or palette images that could hold indices"
            )
    if palette is not None and not maps:
        raise TranslateError(f"a palette is given ({palette}), but none of the sides are maps of class indices")
    domains: dict[str, Domain] = {}
    for side, paths in sides.items():
        if side in maps:
            count = classes or _count(paths)
            colours = read_palette(_find(palette, root), count) if palette is not None else ()
            domains[side] = Domain(channels=3 if colours else count, classes=count, palette=colours)
        else:
            domains[side] = _of_images(headers[side])
    return domains


def _headers(side: str, paths: Sequence[Path], problems: list[str]) -> dict[Path, Header]:
    found: dict[Path, Header] = {}
    reason = ""
    for path in spread(paths, _sample):
        try:
            found[path] = images.probe(path)
        except ImageError as error:
            reason = str(error)
    if paths and not found:
        problems.append(f"none of the {side}'s files that were tried can be read: {reason}")
    return found


def _of_images(headers: Mapping[Path, Header]) -> Domain:
    if not headers:
        return Domain(channels=3)
    channels = max(header.channels for header in headers.values())
    depth = max((header.depth for header in headers.values()), key=_ranks.__getitem__)
    if depth != "float32":
        return Domain(channels=channels, depth=depth)
    low, high = _range([path for path, header in headers.items() if header.depth == "float32"])
    return Domain(channels=channels, depth=depth, low=low, high=high)


def _range(paths: Sequence[Path]) -> tuple[float, float]:
    """The range of float files: [0, 1], [-1, 1] or [0, 255] if all values lie in it, else the range found."""
    low, high = np.inf, -np.inf
    for path in paths:
        try:
            pixels = images.read(path).pixels
        except ImageError:
            continue
        low, high = min(low, float(pixels.min())), max(high, float(pixels.max()))
    return range_of(low, high)


def range_of(low: float, high: float) -> tuple[float, float]:
    """Widen a range of values to a usual one.

    >>> range_of(0.1, 0.9), range_of(-0.5, 1.0), range_of(3.0, 250.0), range_of(-7.0, 9.0)
    ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (-7.0, 9.0))
    """
    for usual in ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)):
        if low >= usual[0] and high <= usual[1]:
            return usual
    return (low, high) if high > low else (0.0, 1.0)


# --- maps of class indices ------------------------------------------------------------------------------------------


def _single(headers: Mapping[Path, Header]) -> bool:
    """Whether files may hold class indices: a lossless format and one 8-bit value per pixel."""
    lossless = {".png", ".bmp", ".gif", ".tif", ".tiff", ".pgm"}
    return bool(headers) and all(
        path.suffix.lower() in lossless and header.depth == "uint8" and (header.channels == 1 or _indexed(path))
        for path, header in headers.items()
    )


def _indexed(path: Path) -> bool:
    try:
        images.read_indices(path)
    except ImageError:
        return False
    return True


def _are_maps(paths: Sequence[Path]) -> bool:
    """Whether files have small values in flat areas: in a map most pixels equal their neighbour, in a photo few do."""
    largest, flat = 0, []
    for path in paths:
        try:
            stored = images.read_indices(path)
        except ImageError:
            continue
        largest = max(largest, int(stored.max()))
        if largest >= _most_classes:
            return False
        if stored.shape[1] > 1:
            flat.append(float((stored[:, 1:] == stored[:, :-1]).mean()))
    return largest > 0 and (not flat or float(np.mean(flat)) > 0.7)


def _count(paths: Sequence[Path]) -> int:
    def largest(path: Path) -> int:
        try:
            return int(images.read_indices(path).max())
        except ImageError:
            return 0

    with ThreadPoolExecutor() as pool:
        return max(pool.map(largest, paths[:_counted]), default=0) + 1


# --- palettes -------------------------------------------------------------------------------------------------------


def _find(palette: Path, root: Path | None) -> Path:
    below_root = root / palette if root is not None else palette
    return below_root if not palette.exists() and below_root.exists() else palette


def read_palette(path: Path, classes: int) -> Colours:
    """Read the first ``classes`` colours of a palette.

    An image's colours are its pixels in reading order. A .json file holds a list of [r, g, b] or an object of names and
    [r, g, b]. A text file holds one colour per line, as three numbers or #rrggbb; a name may follow.
    """
    try:
        if path.suffix.lower() == ".json":
            colours = _from_json(path.read_text(encoding="utf-8"))
        elif path.suffix.lower() in (".txt", ".csv"):
            colours = _from_text(path.read_text(encoding="utf-8"))
        else:
            pixels = images.as_channels(images.read(path).pixels, 3, str(path)).reshape(-1, 3)
            colours = [(int(red), int(green), int(blue)) for red, green, blue in pixels[:classes]]
    except OSError as error:
        raise TranslateError(f"cannot read the palette {path}: {error.strerror}; check its name") from None
    except (ValueError, TypeError):
        raise TranslateError(
            f"{path} is no palette: it must hold a colour of three numbers 0..255 for each class"
        ) from None
    if len(colours) < classes:
        raise TranslateError(f"the palette {path} has {len(colours)} colours, but there are {classes} classes")
    return tuple(colours[:classes])


def _from_json(text: str) -> list[tuple[int, int, int]]:
    values = json.loads(text)
    listed = values.values() if isinstance(values, dict) else values
    return [_colour(value) for value in listed]


def _from_text(text: str) -> list[tuple[int, int, int]]:
    found = []
    for line in text.splitlines():
        if code := re.match(r"\s*#([0-9a-fA-F]{6})\b", line):
            found.append(_colour([int(code[1][place : place + 2], 16) for place in (0, 2, 4)]))
        elif line.strip() and not line.lstrip().startswith("#"):
            found.append(_colour(re.split(r"[,;\s]+", line.strip())[:3]))
    return found


def _colour(values: object) -> tuple[int, int, int]:
    if not isinstance(values, (list, tuple)):
        raise TypeError(values)
    red, green, blue = (int(value) for value in values)
    if not all(0 <= value <= 255 for value in (red, green, blue)):
        raise ValueError(values)
    return red, green, blue
