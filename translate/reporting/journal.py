"""Journal: what was told while a run trained, as lines of JSON in its ``log.jsonl``: warnings, and where it trained."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from translate.schema import FactsError, open_file

NAME = "log.jsonl"

MOST_BYTES = 4 * 2**20
"""Beyond this size nothing is added, and no more is read."""

SHOWN = 500
"""The most lines of each kind that a report shows, the last ones."""

LONGEST = 2000
"""The longest text of a line, in characters."""


def append(folder: Path, kind: str, step: int, values: Mapping[str, Any]) -> None:
    """Append a line of a kind, ``begin``, ``told`` or ``end``; raises ``OSError``."""
    path = folder / NAME
    line = json.dumps({"kind": kind, "time": round(time.time(), 3), "step": step, **values}) + "\n"
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
    handle = os.open(path, flags, 0o666)
    with os.fdopen(handle, "ab") as file:
        if os.fstat(handle).st_size < MOST_BYTES:
            file.write(line.encode())


def read(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The lines of each kind that can be read, of each the last ``SHOWN``; none where there is no file."""
    found: dict[str, list[dict[str, Any]]] = {}
    try:
        with open_file(folder / NAME) as file:
            content = file.read(MOST_BYTES)
    except (OSError, FactsError):
        return found
    for line in content.split(b"\n"):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and isinstance(row.get("kind"), str) and isinstance(row.get("time"), (int, float)):
            found.setdefault(row["kind"], []).append(row)
    return {kind: rows[-SHOWN:] for kind, rows in found.items()}
