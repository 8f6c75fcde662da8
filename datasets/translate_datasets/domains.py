"""Domains: properties of one side's images, inferred from a few files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from translate import images
from translate.data import Depth, Domain
from translate.images import Header, ImageError
from translate.memory import Budget
from translate.options import Call
from translate_datasets.listing import spread
from translate_datasets.maps import Maps, counts
from translate_datasets.palettes import find_palette, read_palette
from translate_datasets.values import Values, found_in, hardly_used

_sample = 16
_ranks: dict[Depth, int] = {"uint8": 0, "uint16": 1, "float32": 2}


def describe(
    sides: Mapping[str, Sequence[Path]],
    problems: list[str],
    notes: list[str],
    *,
    call: Call,
    values: Values,
    maps: Maps | None = None,
    everything: Mapping[str, Sequence[Path]] | None = None,
    root: Path | None = None,
) -> dict[str, Domain]:
    """Infer each side's domain from up to 16 of its files; add what is wrong to ``problems``, what is odd to ``notes``.

    ``sides`` are the training files, ``everything`` those of all splits, which must share a palette to be maps.
    ``call`` is the layout with its options so far, for lines to paste. Raises ``TranslateError`` with the choices where
    it is not clear what the files are.
    """
    asked = {} if maps is None else maps.options(maps.classes or 0)
    maps = Maps(classes=0) if maps is None else maps
    headers = {side: probed(paths, side, problems) for side, paths in sides.items()}
    options = Call(call.name, {**call.options, **values.options(), **asked})
    numbers = counts(sides, headers, maps, options, everything or sides)
    domains: dict[str, Domain] = {}
    for side in sides:
        if side in numbers:
            count = numbers[side]
            colours = read_palette(find_palette(maps.palette, root), count) if maps.palette is not None else ()
            domains[side] = Domain(3 if colours else count, classes=count, palette=colours, ignore=maps.ignore)
        else:
            domains[side] = of_images(headers[side])
    domains = values.applied(domains, {side for side in sides if all(each.whole for each in headers[side].values())})
    for side, domain in domains.items():
        if not domain.classes:
            note = hardly_used(side, domain, found_in(headers[side], domain), options)
            notes += [note] if note is not None and note not in notes else []
    return domains


def probed(paths: Sequence[Path], side: str = "", problems: list[str] | None = None) -> dict[Path, Header]:
    """The headers of up to 16 files; that none can be read is a problem of that side."""
    found: dict[Path, Header] = {}
    reason = ""
    for path in spread(paths, _sample):
        try:
            found[path] = images.probe(path)
        except ImageError as error:
            reason = str(error)
    if paths and not found and problems is not None:
        problems.append(f"none of the {side}'s files that were tried can be read: {reason}")
    return found


def of_images(headers: Mapping[Path, Header]) -> Domain:
    """The domain of images with these headers: the most channels and the largest depth among them."""
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
    budget = Budget()
    for path in paths:
        try:
            pixels = images.load(path, budget=budget).pixels
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
