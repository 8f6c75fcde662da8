"""Records: what became of each image, as JSON lines that are appended, one file a writer."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Shown:
    """The previews of an image, as file names below the gallery's folder; None where there is none.

    ``after`` has an entry for each output, None where a page shows the output itself. ``size`` is (width, height) of
    the first output, and ``alpha`` whether one of the pictures has transparency.
    """

    thumbnail: str | None = None
    before: str | None = None
    after: tuple[str | None, ...] = ()
    size: tuple[int, int] | None = None
    alpha: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """What became of the image ``name``: its output files below the root, or the reason why there are none.

    ``source`` is where its file lay. ``stamps`` are the size and the time of change, in nanoseconds, of each output
    whose pixels the previews show.
    """

    name: str
    outputs: tuple[str, ...] = ()
    shown: Shown = field(default_factory=Shown)
    reason: str | None = None
    seconds: float | None = None
    source: str | None = None
    stamps: tuple[tuple[int, int], ...] = ()


class Records:
    """The records of a folder: read from all its files, and appended to one of this writer's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._file: int | None = None
        own = "".join(letter if letter.isalnum() else "-" for letter in socket.gethostname())[:60]
        self._path = folder / f"{own}-{os.getpid()}-{secrets.token_hex(4)}.jsonl"

    def append(self, record: Record) -> None:
        """Append a record as one line, by one write: a kill leaves it whole or torn, and the others as they are."""
        self._append(asdict(record))

    def forget(self, name: str) -> None:
        """Append a line by which the records of a name up to now count no more."""
        self._append({"name": name, "forgotten": True})

    def _append(self, fields: dict[str, Any]) -> None:
        line = (json.dumps({"at": time.time(), **fields}) + "\n").encode()
        with self._lock:
            if self._file is None:
                self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o666)
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._file, rest) :]

    def read(self) -> dict[str, Record]:
        """The last record of each name, sorted by name; lines that are torn or of another kind are passed over."""
        found: dict[str, tuple[float, Record | None]] = {}
        for path in sorted(self._folder.glob("*.jsonl")):
            for line in path.read_bytes().split(b"\n"):
                if (entry := _parsed(line)) is None:
                    continue
                at, name, record = entry
                if name not in found or at >= found[name][0]:
                    found[name] = at, record
        return {name: record for name in sorted(found) if (record := found[name][1]) is not None}

    def close(self) -> None:
        """Close this writer's file."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None


def _parsed(line: bytes) -> tuple[float, str, Record | None] | None:
    """When a line was written, of which name, and its record, None if it forgets that name; None of another line."""
    try:
        content: dict[str, Any] = json.loads(line)
        at, name = float(content.pop("at")), _text(content.pop("name"))
        if content.get("forgotten") is True:
            return at, name, None
        shown: dict[str, Any] = content.pop("shown")
        size = shown.pop("size")
        return (
            at,
            name,
            Record(
                name=name,
                outputs=tuple(_text(each) for each in content.pop("outputs")),
                shown=Shown(
                    thumbnail=_preview(shown.pop("thumbnail")),
                    before=_preview(shown.pop("before")),
                    after=tuple(_preview(each) for each in shown.pop("after")),
                    size=None if size is None else (int(size[0]), int(size[1])),
                    alpha=bool(shown.pop("alpha")),
                ),
                reason=None if content["reason"] is None else str(content["reason"]),
                seconds=_seconds(content["seconds"]),
                source=None if content.get("source") is None else _text(content["source"]),
                stamps=tuple((int(size), int(changed)) for size, changed in content.get("stamps", ())),
            ),
        )
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, RecursionError):
        return None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    if b"\0" in os.fsencode(value):  # what names no file is no name
        raise ValueError("no name")
    return value


def _seconds(value: object) -> float | None:
    """A time that a page can show; None for any other value."""
    return float(value) if isinstance(value, (int, float)) and 0 <= value < 2**53 else None


def _preview(value: object) -> str | None:
    if value is not None and not _PREVIEW.fullmatch(_text(value)):
        raise ValueError("no preview")
    return value  # type: ignore[return-value]


_PREVIEW = re.compile(r"[0-9a-f]{2}/[0-9a-f]{30}-(t|[0-9]{1,9})\.(jpg|webp)")
