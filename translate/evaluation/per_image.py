"""The scores of each image as rows of a table, and the table as a CSV file."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from translate import atomic, outputs
from translate.errors import TranslateError
from translate.evaluation.resampling import Values

KEYS = ("run", "domain", "image")
"""The columns before the scores."""


def rows_of(run: str, values: Mapping[str, Values]) -> list[dict[str, Any]]:
    """A row for each image: its run, domain and name, and its scores; those that it has none of are missing."""
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for score, each in values.items():
        place = each.place
        for row, value in zip(place.rows.tolist(), each.values.tolist(), strict=True):
            found = rows.setdefault(
                (place.domain, row), dict(zip(KEYS, (run, place.domain, place.names[row]), strict=True))
            )
            if not math.isnan(value):
                found[score] = value
    order = list(dict.fromkeys(domain for domain, _ in rows))
    return [rows[place] for place in sorted(rows, key=lambda place: (order.index(place[0]), place[1]))]


def check(path: Path, overwrite: bool) -> None:
    """Raise ``TranslateError`` where the table cannot be written, before anything is measured."""
    outputs.refuse_standard(path, "the table of the scores of each image")
    if not path.absolute().parent.is_dir():
        raise TranslateError(f"there is no folder {path.parent} for {path.name}; make it first")
    if path.is_dir():
        raise TranslateError(f"{path} is a folder; name a file for the scores of each image")
    if not overwrite:
        outputs.refuse_existing(path)


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the rows as CSV, with a line of names; numbers in full precision, nothing for a score that is missing."""
    try:
        put(path, rows)
    except OSError as error:
        raise TranslateError(f"cannot write {path}: {error.strerror}; name another place") from None


def put(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """As ``write``, but raises ``OSError``."""
    listed = list(rows)
    columns = list(dict.fromkeys([*KEYS, *(name for row in listed for name in row)]))
    text = io.StringIO(newline="")
    lines = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    lines.writeheader()
    lines.writerows(listed)
    # Names of files may be no UTF-8: their bytes stay as they are.
    atomic.write(path, text.getvalue().encode("utf-8", "surrogateescape"))
