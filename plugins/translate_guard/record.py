"""Record: ``guard.jsonl`` of a run, a row of JSON for each look of the guard, in the order of steps.

``step`` is the step. A look has ``seen``, the measured number of each detector by ``detector:subject``, and ``signs``,
those beyond their thresholds; one at a log interval has ``gradient_norms`` and ``balances`` as well. A warning has
``warning``, the detector, with ``subject``, ``text`` and ``advice``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from translate.step_rows import append_rows, read_rows, rewrite_rows, row_of

NAME = "guard.jsonl"


def append(folder: Path, rows: list[Mapping[str, Any]]) -> None:
    """Append rows; raises ``TranslateError`` if they cannot be written."""
    append_rows(folder / NAME, rows)


def read_until(folder: Path, step: int) -> list[dict[str, Any]]:
    """The rows up to ``step``, from which a run goes on; later ones are dropped from the file.

    A file with lines that cannot be read, but for a last one that was cut off, is kept under another name and told.
    """
    path = folder / NAME
    rows, unreadable = read_rows(path, _row)
    kept = [row for row in rows if row["step"] <= step]
    if path.exists():
        rewrite_rows(path, kept, unreadable)
    return kept


def _row(line: bytes) -> dict[str, Any] | None:
    row = row_of(line)
    if row is None:
        return None
    numbers = [*_values(row, "seen"), *_values(row, "gradient_norms")]
    for balance in _values(row, "balances"):
        # Only the last, the floor, may be missing.
        whole = isinstance(balance, list) and len(balance) == 5
        numbers += [0.0 if each is None else each for each in balance[4:]] + balance[:4] if whole else [None]
    if not all(type(each) in (int, float) and math.isfinite(each) for each in numbers):
        return None
    signs, texts = row.get("signs", []), [row.get("warning", ""), row.get("subject", "")]
    return row if isinstance(signs, list) and all(isinstance(each, str) for each in (*signs, *texts)) else None


def _values(row: Mapping[str, Any], name: str) -> list[Any]:
    """What a row has by name under a name; what is no mapping is no number either."""
    found = row.get(name, {})
    return list(found.values()) if isinstance(found, dict) else [None]
