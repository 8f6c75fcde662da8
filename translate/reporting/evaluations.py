"""Evaluations: what ``translate evaluate`` has kept of runs: scores, and the images with the best and worst of them.

A run keeps them in a folder: JSON files, and of the same names tables of scores by image and pictures of some of these.
Tables that something else has written there are read as well.
"""

from __future__ import annotations

import base64
import csv
import io
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from translate.errors import TranslateError
from translate.evaluation import ERROR, EVALUATIONS, is_error
from translate.images import probe
from translate.reporting.texts import text_of
from translate.run import Run
from translate.schema import FactsError, parse_json, read_text
from translate.terminal import printable

MOST_FILES = 50
MOST_TABLE_BYTES = 16 * 2**20
MOST_PICTURES_BYTES = 8 * 2**20
"""The most bytes of pictures of evaluations in a report, as they are before base64, the newest first."""

SHOWN = 6
"""The best and the worst images that a report names."""

IMAGE = ("image", "name", "file", "source")
"""Columns of a table that may name its images."""

KEYS = ("run", "domain")
"""Columns of a table that hold no scores, whatever their values look like."""


def evaluations(runs: Sequence[Run], known: Sequence[Tables]) -> dict[str, Any]:
    """What evaluations have found, as JSON values: ``list``, ``apart``, in which images runs differ most, and
    ``left_out``, the files that are not shown, each with the reason.

    An entry of the list has the ``run``'s number and a ``name``; ``scores`` with their errors and the ``protocol``,
    where there is a file with them; the best and worst ``images`` by score, where there is a table; and ``pictures``
    of these. ``known`` keeps of each run the tables that were read.
    """
    found: list[dict[str, Any]] = []
    tables: list[list[Table]] = []
    left_out: list[str] = []
    room = MOST_PICTURES_BYTES
    for number, run in enumerate(runs):
        own: list[Table] = []
        listed = _files_of(run.folder / EVALUATIONS)
        if len(listed) > MOST_FILES:
            left_out.append(f"{len(listed) - MOST_FILES} older evaluations, since there are more than {MOST_FILES}")
        for stem, files in listed[:MOST_FILES]:
            entry: dict[str, Any] = {"run": number, "name": printable(stem)}
            facts = _facts_of(files[".json"]) if ".json" in files else {}
            if facts:
                entry |= _scores_of(facts)
            table = known[number].read(files[".csv"]) if ".csv" in files else None
            pictures = _pictures_of(facts, files[".webp"], room) if facts and ".webp" in files else None
            if pictures is not None:
                room -= pictures["size"]
                entry["pictures"] = {name: pictures[name] for name in ("src", "columns", "height", "width", "gap")}
            if table is not None and table.scores:
                table.rows = {} if pictures is None else dict(zip(pictures["rows"], itertools.count()))
                entry["images"] = table.ranked(_better_of(facts))
                table.of = number, len(found)
                own.append(table)
            unread = [
                *([files[".json"]] if ".json" in files and not facts else ()),
                *([files[".csv"]] if ".csv" in files and (table is None or not table.scores) else ()),
            ]
            left_out += [f"{printable(each.name)}, which holds no scores that can be read" for each in unread]
            if facts.get("pictures") and pictures is None:
                left_out.append(f"the pictures of {printable(stem)}, which are missing, damaged or too large")
            if len(entry) > 2:
                found.append(entry)
        tables.append(own)
    return {"list": found, "apart": _apart(tables) if len(runs) > 1 else [], "left_out": left_out}


def _files_of(folder: Path) -> list[tuple[str, dict[str, Path]]]:
    """The files of each evaluation by suffix, those of one name together, the newest first."""
    grouped: dict[str, dict[str, Path]] = {}
    times: dict[str, float] = {}
    try:
        for path in folder.iterdir():
            if path.suffix in (".json", ".csv", ".webp") and path.is_file():
                grouped.setdefault(path.stem, {})[path.suffix] = path
                times[path.stem] = max(times.get(path.stem, 0.0), path.stat().st_mtime)
    except OSError:
        return []
    order = sorted(grouped, key=lambda stem: (-times[stem], stem))
    return [(stem, grouped[stem]) for stem in order]


def _facts_of(path: Path) -> Mapping[str, Any]:
    """An evaluation's JSON values; none of a file that is none."""
    try:
        values = parse_json(read_text(path))
    except (OSError, FactsError):
        return {}
    return values if isinstance(values, Mapping) and isinstance(values.get("scores"), Mapping) else {}


def _scores_of(values: Mapping[str, Any]) -> dict[str, Any]:
    scores = {printable(name): value for name, value in values["scores"].items()}
    protocol, counts, warnings = (values.get(name) for name in ("protocol", "counts", "warnings"))
    shown = {
        **(counts if isinstance(counts, Mapping) else {}),
        **(protocol if isinstance(protocol, Mapping) else {}),
    }
    return {
        "scores": [
            [name, _short(value), _short(scores[f"{name}{ERROR}"]) if f"{name}{ERROR}" in scores else ""]
            for name, value in scores.items()
            if not is_error(name, scores)
        ],
        "protocol": [[printable(name), text_of(value)] for name, value in shown.items()],
        "warnings": [printable(each) for each in warnings] if isinstance(warnings, list) else [],
    }


def _short(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else text_of(value)


def _better_of(values: Mapping[str, Any]) -> dict[str, str]:
    """Whether higher or lower values of a score are better, as far as its metric has said it."""
    better = values.get("better")
    listed = better.items() if isinstance(better, Mapping) else ()
    return {name: value for name, value in listed if value in ("higher", "lower")}


def _is_laid_out(layout: Mapping[str, Any], height: int, width: int) -> bool:
    """Whether a layout makes sense for a picture of so many pixels."""
    columns, rows = layout.get("columns"), layout.get("rows")
    sides = [layout.get(name) for name in ("height", "width", "gap")]
    if not all(type(each) is int and 0 < each < 2**12 for each in sides):
        return False
    if not isinstance(columns, list) or not isinstance(rows, list) or not all(isinstance(c, str) for c in columns):
        return False
    if not all(isinstance(row, list) and len(row) == 2 and all(isinstance(a, str) for a in row) for row in rows):
        return False
    gap = layout["gap"]
    return (height, width) == (len(rows) * (layout["height"] + gap), len(columns) * (layout["width"] + gap))


def _pictures_of(values: Mapping[str, Any], path: Path, room: int) -> dict[str, Any] | None:
    """The picture of an evaluation as a data URL with its layout; None if it does not fit or makes no sense."""
    layout = values.get("pictures")
    if not isinstance(layout, Mapping):
        return None
    try:
        header, size = probe(path), path.stat().st_size
        sound = size <= room and _is_laid_out(layout, header.height, header.width)
        data = path.read_bytes() if sound else b""
    except (OSError, TranslateError):
        return None
    if data[:4] + data[8:12] != b"RIFFWEBP":
        return None
    return {
        **{name: layout[name] for name in ("height", "width", "gap")},
        "src": f"data:image/webp;base64,{base64.b64encode(data).decode()}",
        "columns": [printable(each) for each in layout["columns"]],
        "rows": [tuple(row) for row in layout["rows"]],
        "size": len(data),
    }


class Tables:
    """Tables that were read once; a page that is served is made anew every other second."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, int, int], Table | None] = {}

    def read(self, path: Path) -> Table | None:
        """The table of a file; None for what is no table."""
        try:
            found = path.stat()
        except OSError:
            return None
        key = path, found.st_size, found.st_mtime_ns
        if key not in self._known:
            self._known[key] = Table.of_file(path)
        return self._known[key]


class Table:
    """A table of scores by image: a column names the image, one may name its domain, the others hold numbers."""

    def __init__(self, head: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
        self.of = 0, 0
        """The number of the run, and of the entry in the list."""
        self.rows: Mapping[tuple[str, str], int] = {}
        """The row of each image in the picture, if it is there."""
        lower = [name.strip().lower() for name in head]
        named = next((place for place, name in enumerate(lower) if name in IMAGE), 0)
        domain = lower.index("domain") if "domain" in lower else None
        self.images = [("" if domain is None else line[domain], line[named]) for line in lines]
        self.scores: dict[str, list[float | None]] = {}
        for place, name in enumerate(head):
            values = [_number(line[place]) for line in lines]
            if place != named and lower[place] not in KEYS and any(value is not None for value in values):
                self.scores.setdefault(name, values)

    @classmethod
    def of_file(cls, path: Path) -> Table | None:
        """Read a table; lines of another length than the first are left out. None for what is no table."""
        try:
            rows = list(csv.reader(io.StringIO(read_text(path, MOST_TABLE_BYTES))))
        except (OSError, FactsError, csv.Error):
            return None
        return cls(rows[0], [line for line in rows[1:] if len(line) == len(rows[0])]) if len(rows) > 1 else None

    def ranked(self, better: Mapping[str, str]) -> list[dict[str, Any]]:
        """By score, the images with the lowest and the highest values, each with its row in the picture or None."""
        found = []
        for name, given in self.scores.items():
            values = sorted(
                (value, image) for value, image in zip(given, self.images, strict=True) if value is not None
            )
            shown = min(SHOWN, len(values))
            ends = values[:shown], values[: -shown - 1 : -1]
            lowest, highest = (
                [[printable(image[1]), f"{value:.5g}", self.rows.get(image)] for value, image in end] for end in ends
            )
            entry = {"name": printable(name), "count": len(values), "lowest": lowest, "highest": highest}
            found.append(entry | ({"better": better[name]} if name in better else {}))
        return found


def _apart(tables: Sequence[Sequence[Table]]) -> list[dict[str, Any]]:
    """By score, the images in which runs differ most: of each run the newest table that has them.

    Each has ``score``, the numbers of the ``runs`` and of their ``entries``, how many images they share, and ``images``
    with the values of each run, and with the row of each run's picture or None.
    """
    names = dict.fromkeys(name for own in tables for table in own for name in table.scores)
    found = []
    for name in names:
        newest = [next((table for table in own if name in table.scores), None) for own in tables]
        having = [table for table in newest if table is not None]
        if len(having) < 2:
            continue
        values = [
            {image: value for image, value in zip(table.images, table.scores[name], strict=True) if value is not None}
            for table in having
        ]
        shared = [image for image in values[0] if all(image in each for each in values[1:])]
        spread = {image: _spread([each[image] for each in values]) for image in shared}
        chosen = sorted(shared, key=lambda image: -spread[image])[:SHOWN]
        if chosen:
            found.append({
                "score": printable(name), "runs": [table.of[0] for table in having],
                "entries": [table.of[1] for table in having], "count": len(shared),
                "images": [
                    [printable(image[1]), [f"{each[image]:.5g}" for each in values],
                     [table.rows.get(image) for table in having]]
                    for image in chosen
                ],
            })  # fmt: skip
    return found


def _spread(values: Sequence[float]) -> float:
    low, high = min(values), max(values)
    return 0.0 if low == high else high - low  # an infinite score is reached by all or by some


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return None if math.isnan(value) else value
