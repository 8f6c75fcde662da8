"""Files of rows, one of JSON a line with its ``step``: a training appends to them, and takes them up on resuming."""

from __future__ import annotations

import errno
import json
import logging
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from translate import atomic
from translate.errors import TranslateError

__all__ = [
    "append_rows",
    "read_rows",
    "rewrite_rows",
    "row_of",
]

log = logging.getLogger("translate")

Row = dict[str, Any]


def row_of(line: bytes) -> Row | None:
    """The row that a line holds; None if it holds none.

    >>> row_of(b'{"step": 4, "loss": 0.5}'), row_of(b'{"step": "4"}'), row_of(b'{"st')
    ({'step': 4, 'loss': 0.5}, None, None)
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or type(found.get("step")) is not int or found["step"] < 0:
        return None
    return found


def append_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append rows to a file, which is made if need be; raises ``TranslateError`` if it cannot be written."""
    try:
        with open(path, "a", encoding="utf-8", opener=_open_at_once) as file:
            file.write(_text(rows))
    except OSError as error:
        raise TranslateError(f"cannot write {path}: {error.strerror or error}") from None


def read_rows(path: Path, row_of: Callable[[bytes], Row | None] = row_of) -> tuple[list[Row], int]:
    """The rows of a file, none if there is none, and how many lines hold no row.

    A last line without its end, cut off by a kill or a power cut, does not count; its training repeats it. ``row_of``
    may ask more of a row. Raises ``TranslateError`` if there is something else than a file in its place.
    """
    try:
        with opened(path) as file:
            *lines, last = file.read().split(b"\n")
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise TranslateError(f"cannot read {path}: {error.strerror or error}; move it away and try again") from None
    found = [row_of(line) for line in lines]
    unreadable = sum(row is None and bool(line.strip()) for line, row in zip(lines, found, strict=True))
    return [row for row in (*found, row_of(last)) if row is not None], unreadable


def rewrite_rows(path: Path, rows: Iterable[Mapping[str, Any]], unreadable: int) -> None:
    """Write a file anew, whole or not at all; one with lines that hold no row is kept under another name and told.

    Raises ``TranslateError`` if it cannot be written.
    """
    try:
        if unreadable:
            kept = _free(path)
            path.rename(kept)
            log.warning(
                "%s holds %d line%s that cannot be read, which are left out; the file is kept as %s",
                path, unreadable, "s" if unreadable > 1 else "", kept.name,
            )  # fmt: skip
        atomic.write(path, _text(rows).encode())
    except OSError as error:
        raise TranslateError(f"cannot write {path}: {error.strerror or error}") from None


def opened(path: Path) -> BinaryIO:
    """A file of rows, opened for reading; raises ``OSError``, also where it is no regular file."""
    # Opened without waiting, since a FIFO would wait for a writer.
    file = os.fdopen(_open_at_once(path, os.O_RDONLY), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no regular file")
    return file


def _text(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _free(path: Path) -> Path:
    """A name beside a file that nothing has: ``metrics.damaged.jsonl``, and further ones with a number."""
    kept, count = path.with_name(f"{path.stem}.damaged{path.suffix}"), 1
    while os.path.lexists(kept):
        count += 1
        kept = path.with_name(f"{path.stem}.damaged-{count}{path.suffix}")
    return kept


def _open_at_once(path: str | Path, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0), 0o666)
