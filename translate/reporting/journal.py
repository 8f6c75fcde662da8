"""Journal: what was told while a run trained, as lines of JSON in its ``log.jsonl``: warnings, and where it trained."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from translate.schema import FactsError, open_file

NAME = "log.jsonl"

MOST_BYTES = 4 * 2**20
"""Beyond this size nothing is added, and no more is read."""

SHOWN = 500
"""The most lines of each kind that a report shows, the last ones."""

LATEST = 2.0**33
"""The latest time of a line, in seconds since 1970."""

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


@dataclass(frozen=True, slots=True)
class Journal:
    """The lines of a journal by kind, of each the last ``SHOWN``, and ``problem``, why they could not be read."""

    lines: Mapping[str, list[dict[str, Any]]]
    problem: str = ""

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The lines of a kind."""
        return self.lines.get(kind, [])


def read(folder: Path) -> Journal:
    """What a folder's journal tells; nothing where there is none. Lines that are no lines of a journal are left out."""
    found: dict[str, list[dict[str, Any]]] = {}
    try:
        with open_file(folder / NAME) as file:
            content = file.read(MOST_BYTES)
    except FileNotFoundError:
        return Journal({})
    except (OSError, FactsError) as error:
        reason = getattr(error, "strerror", None) or error
        return Journal({}, f"{NAME} cannot be read, in which what was told is kept: {reason}")
    for line in content.split(b"\n"):
        if row := _row_of(line):
            found.setdefault(row["kind"], []).append(row)
    return Journal({kind: rows[-SHOWN:] for kind, rows in found.items()})


def _row_of(line: bytes) -> dict[str, Any] | None:
    """What a line holds, None if it is none of a journal: each has a kind, a time of this world and a step."""
    try:
        row = json.loads(line)
        sound = isinstance(row["kind"], str) and type(row["step"]) is int and 0 <= row["step"] <= 2**53
        return row if sound and 0 <= float(row["time"]) < LATEST else None
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
