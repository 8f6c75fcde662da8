"""The file ``metrics.jsonl`` of a run: one row of JSON for each log interval and validation, in the order of steps."""

from __future__ import annotations

import errno
import json
import logging
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from translate import atomic
from translate.errors import TranslateError

NAME = "metrics.jsonl"

VALIDATION = "validation/"
"""The beginning of the names of a validation's scores, which have a row of their own."""

log = logging.getLogger("translate")

Row = dict[str, Any]


def append(folder: Path, row: Mapping[str, Any]) -> None:
    """Append a row, which must not be of an earlier step than the last."""
    path = folder / NAME
    try:
        with open(path, "a", encoding="utf-8", opener=_open_at_once) as file:
            file.write(json.dumps(row) + "\n")
    except OSError as error:
        raise TranslateError(f"cannot write {path}: {_text_of(error)}") from None


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
    try:
        if unreadable:
            kept = _free(folder)
            path.rename(kept)
            log.warning(
                "%s holds %d line%s that cannot be read, which are left out; the file is kept as %s",
                path, unreadable, "s" if unreadable > 1 else "", kept.name,
            )  # fmt: skip
        text = "".join(json.dumps(row) + "\n" for row in rows if row["step"] <= step)
        atomic.write(path, text.encode())
    except OSError as error:
        raise TranslateError(f"cannot write {path}: {_text_of(error)}") from None


def _read(path: Path) -> tuple[list[Row], int]:
    """The rows of a file in the order of steps, of each kind the last of a step, and how many lines cannot be read."""
    try:
        with opened(path) as file:
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise TranslateError(f"cannot read {path}: {_text_of(error)}; move it away and try again") from None
    # A power cut or a kill may cut off the last line, which is then repeated.
    last = lines.pop()
    rows: dict[tuple[int, bool], Row] = {}
    unreadable = 0
    for line in (*lines, last):
        row = row_of(line)
        if row is not None:
            rows[row["step"], any(name.startswith(VALIDATION) for name in row)] = row
        elif line is not last and line.strip():
            unreadable += 1
    return [rows[place] for place in sorted(rows)], unreadable


def opened(path: Path) -> BinaryIO:
    """A file of rows, opened for reading; raises ``OSError``, also where it is no regular file."""
    # Opened without waiting, since a FIFO would wait for a writer.
    file = os.fdopen(_open_at_once(path, os.O_RDONLY), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no regular file")
    return file


def row_of(line: bytes) -> Row | None:
    """The row that a line holds; None if it holds none."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or type(found.get("step")) is not int or found["step"] < 0:
        return None
    return found


def _free(folder: Path) -> Path:
    path, count = folder / "metrics.damaged.jsonl", 1
    while path.exists():
        count += 1
        path = folder / f"metrics.damaged-{count}.jsonl"
    return path


def _open_at_once(path: str | Path, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0), 0o666)


def _text_of(error: OSError) -> str:
    return error.strerror or str(error)
