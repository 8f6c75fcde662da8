"""The file ``metrics.jsonl`` of a run: one row of JSON for each log interval and validation, in the order of steps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from translate.step_rows import append_rows, read_rows, rewrite_rows

NAME = "metrics.jsonl"

VALIDATION = "validation/"
"""The beginning of the names of a validation's scores, which have a row of their own."""

NOT_FINITE = ("inf", "-inf", "nan")
"""The texts that stand for scores of a validation that are not finite."""

Row = dict[str, Any]


def append(folder: Path, row: Mapping[str, Any]) -> None:
    """Append a row, which must not be of an earlier step than the last."""
    append_rows(folder / NAME, [row])


def read(folder: Path) -> list[Row]:
    """All rows that can be read, in the order of steps; of one step there is one row, with the latest values.

    Raises ``TranslateError`` if there is something else than a file in its place.
    """
    merged: dict[int, Row] = {}
    for row in _read(folder / NAME)[0]:
        merged[row["step"]] = {**merged.get(row["step"], {}), **row}
    return list(merged.values())


def cut(folder: Path, step: int) -> None:
    """Drop the rows after ``step``, the step of the checkpoint that a run resumes from.

    A file with lines that cannot be read, but for a last one that was cut off, is kept under another name and told.
    """
    path = folder / NAME
    rows, unreadable = _read(path)
    rewrite_rows(path, [row for row in rows if row["step"] <= step], unreadable)


def scalars_of(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row by name, its step among them; the texts ``inf``, ``-inf`` and ``nan`` are numbers as well.

    >>> scalars_of({"step": 4, "generator/l1": 10**400, "validation/psnr": "-inf", "note": "x", "flag": True})
    {'step': 4.0, 'generator/l1': inf, 'validation/psnr': -inf}
    """
    found: dict[str, float] = {}
    for name, value in row.items():
        if value in NOT_FINITE:
            found[name] = float(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            try:
                found[name] = float(value)
            except OverflowError:
                found[name] = math.inf if value > 0 else -math.inf
    return found


def _read(path: Path) -> tuple[list[Row], int]:
    """The rows of a file in the order of steps, of each kind the last of a step, and how many lines cannot be read."""
    found, unreadable = read_rows(path)
    rows = {(row["step"], any(name.startswith(VALIDATION) for name in row)): row for row in found}
    return [rows[place] for place in sorted(rows)], unreadable
