"""Palettes: the colours of classes, from an image, a .json file or a text file."""

from __future__ import annotations

import json
import re
from pathlib import Path

from translate import images
from translate.errors import TranslateError
from translate.memory import Budget

Colours = tuple[tuple[int, int, int], ...]


def find_palette(palette: Path, root: Path | None) -> Path:
    beside = root / palette if root is not None else palette
    return beside if not palette.exists() and beside.exists() else palette


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
            image = images.load(path, budget=Budget())
            pixels = images.as_channels(image.pixels, 3, str(path)).reshape(-1, 3)
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
