"""Record: ``guard.jsonl`` of a run, a row of JSON for each look of the guard, in the order of steps.

``step`` is the step. A look has ``seen``, the measured number of each detector by ``detector:subject``, and ``signs``,
those beyond their thresholds; one at a log interval has ``gradient_norms`` and ``balances`` as well. A warning has
``warning``, the detector, with ``subject``, ``text`` and ``advice``.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from translate.errors import TranslateError

NAME = "guard.jsonl"

log = logging.getLogger("translate")


def append(folder: Path, rows: list[Mapping[str, Any]]) -> None:
    """Append rows; raises ``TranslateError`` if they cannot be written."""
    path = folder / NAME
    try:
        with open(path, "a", encoding="utf-8", opener=_open) as file:
            file.write("".join(json.dumps(row) + "\n" for row in rows))
    except OSError as error:
        raise TranslateError(f"cannot write {path}: {error.strerror or error}") from None


def read_until(folder: Path, step: int) -> list[dict[str, Any]]:
    """The rows up to ``step``, from which a run goes on; later ones are dropped from the file.

    A file with lines that cannot be read, but for a last one that was cut off, is kept under another name and told.
    """
    path = folder / NAME
    try:
        handle = _open(path, os.O_RDONLY)
        with os.fdopen(handle, "rb") as file:
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise TranslateError(f"cannot read {path}: {error.strerror or error}; move it away") from None
    rows = [_row(line) for line in lines]
    kept = [row for row in rows if row is not None and row["step"] <= step]
    broken = [line for line, row in zip(lines[:-1], rows[:-1], strict=True) if row is None and line.strip()]
    if len(kept) == len(lines) - 1 and not lines[-1]:
        return kept
    try:
        if broken:
            aside = _free(folder)
            path.rename(aside)
            log.warning("%s holds lines that cannot be read, which are left out; it is kept as %s", path, aside.name)
        new = folder / f".{NAME}.part"
        new.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        new.replace(path)
    except OSError as error:
        raise TranslateError(f"cannot write {path}: {error.strerror or error}") from None
    return kept


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or type(row.get("step")) is not int:
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


def _free(folder: Path) -> Path:
    path, count = folder / "guard.damaged.jsonl", 1
    while path.exists():
        count += 1
        path = folder / f"guard.damaged-{count}.jsonl"
    return path


def _open(path: str | Path, flags: int) -> int:
    # Without waiting, since a FIFO in its place would wait for another end.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0), 0o666)
