"""Manifest: what a folder of outputs was made of, so that a conversion goes on where it was, on any machine.

It lies in ``.translate/`` of the outputs' folder. Each writer appends to a file of its own, named by its host and a
number that nobody else has, so that several may write into one tree. A line says which outputs an image has become, out
of which bytes, by which ``Making``. It is appended after its files: first a file is flushed and renamed, then its
folder is flushed, then the line is written and flushed, the last two for groups of images. What a writer begins it says
before, and of each file its size and time before it takes its name, so that files whose lines were lost with it are
not taken for somebody else's, nor those of somebody else for its own. The latter lines survive a kill and not always a
power cut; files of before one are told by when they were begun.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from translate import atomic
from translate.conversion.lines import append, line_of, read_lines, refuse_newer
from translate.conversion.stamps import Stamp
from translate.errors import FullDiskError, TranslateError
from translate.processes import Process

FOLDER = ".translate"
"""The folder of the manifest, below that of the outputs."""

GROUP = 64
"""How many images are flushed together at most."""

GROUP_SECONDS = 1.0
"""How long an image waits at most for others to be flushed together."""

CLOCKS = 5 * 10**9
"""Nanoseconds by which the clocks of a machine and of a file system may differ."""

VERSION = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One image that was converted: its name, the stamp of its file, how it was made, and its outputs with stamps.

    ``partners`` are the stamps of the files that it was given beside, by the inputs' names.
    """

    name: str
    source: Stamp
    made: str
    algorithm: str
    outputs: tuple[tuple[str, Stamp], ...]
    partners: tuple[tuple[str, Stamp], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The entry as the fields of a line."""
        beside = [[name, each.size, each.mtime, each.hash] for name, each in self.partners]
        return {
            "name": self.name,
            "source": [self.source.size, self.source.mtime, self.source.hash],
            "made": self.made,
            "algorithm": self.algorithm,
            "outputs": [[name, each.size, each.mtime, each.hash] for name, each in self.outputs],
            **({"partners": beside} if beside else {}),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self | None:
        """The entry of a line; None if it is another kind of line."""
        try:
            outputs, partners = (
                tuple((str(name), Stamp(int(a), int(b), str(c))) for name, a, b, c in listed)
                for listed in (found["outputs"], found.get("partners", []))
            )
            size, mtime, digest = found["source"]
            source = Stamp(int(size), int(mtime), str(digest))
            made, algorithm = str(found["made"]), str(found.get("algorithm", ""))
            return cls(str(found["name"]), source, made, algorithm, outputs, partners)
        except (KeyError, TypeError, ValueError, OverflowError):
            return None


@dataclass(frozen=True)
class Making:
    """How outputs are made: the hash of the translator, and the options that their bytes depend on."""

    translator: str
    options: Mapping[str, Any]

    @cached_property
    def key(self) -> str:
        """A short name of it, the same for the same translator and options.

        >>> Making("a", {"at": 1}).key == Making("a", {"at": 1}).key != Making("a", {"at": 2}).key
        True
        """
        return hashlib.blake2b(line_of(asdict(self)), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Begun:
    """An output that a writer began: when, in nanoseconds since 1970, and what it was about to put there.

    ``placed`` are sizes and times of files that were about to take its name; None where that is not known for sure, as
    the writer ran on another machine or before this one was started anew.
    """

    at: int
    placed: tuple[tuple[int, int], ...] | None

    def fits(self, found: os.stat_result) -> bool:
        """Whether a file may be what was begun."""
        if self.placed is None:
            return found.st_mtime_ns >= self.at - CLOCKS
        return any(found.st_size == size and abs(found.st_mtime_ns - mtime) <= CLOCKS for size, mtime in self.placed)


class Manifest:
    """What is known of the outputs below a folder: the entries by name, the latest of each way of making last."""

    def __init__(self, entries: Iterable[Entry] = (), makings: Mapping[str, Making] | None = None) -> None:
        self.entries: dict[str, list[Entry]] = {}
        self.makings = dict(makings or {})
        self.begun: dict[str, list[Begun]] = {}
        """The outputs that were begun and of which nobody has said since what became of them, by whom."""
        for entry in entries:
            self.entries.setdefault(entry.name, []).append(entry)

    @classmethod
    def read(cls, target: Path) -> Self:
        """Merge the files of all writers; torn and damaged lines are passed over.

        Raises ``TranslateError`` for a file of a newer version.
        """
        manifest = cls()
        open_ended: list[tuple[str, Begun]] = []
        settled: dict[str, int] = {}
        for file in sorted((target / FOLDER / "manifest").glob("*.jsonl")):
            begun: dict[str, int] = {}
            placed: dict[str, list[tuple[int, int]]] = {}
            here = False
            for found in read_lines(file):
                refuse_newer(file, found, VERSION)
                if (entry := Entry.from_json(found)) is not None:
                    manifest.entries.setdefault(entry.name, []).append(entry)
                    for path, _ in entry.outputs:
                        settled[path] = max(begun.pop(path, 0), settled.get(path, 0))
                elif isinstance(found.get("begun"), list) and isinstance(found.get("at"), int):
                    begun |= {str(path): found["at"] for path in found["begun"]}
                elif isinstance(found.get("failed"), list):
                    for path in found["failed"]:
                        begun.pop(str(path), None)
                elif isinstance(found.get("placed"), str):
                    about = placed.setdefault(found["placed"], [])
                    if isinstance(found.get("size"), int) and isinstance(found.get("mtime"), int):
                        about.append((found["size"], found["mtime"]))
                elif isinstance(found.get("making"), str) and isinstance(found.get("options"), dict):
                    here = found.get("machine") == atomic.machine()
                    manifest.makings[found["making"]] = Making(str(found.get("translator")), found["options"])
            for path, at in begun.items():
                open_ended.append((path, Begun(at, tuple(placed.get(path, ())) if here else None)))
        for path, each in open_ended:
            # Whoever came later has made it anew, and what is there now is known by that one's line.
            if each.at > settled.get(path, 0):
                manifest.begun.setdefault(path, []).append(each)
        return manifest

    def owners(self) -> dict[str, list[tuple[str, Stamp]]]:
        """The images that each output was made of, by the output's path, each with the output's stamp."""
        found: dict[str, list[tuple[str, Stamp]]] = {}
        for name, entries in self.entries.items():
            for entry in entries:
                for path, stamp in entry.outputs:
                    found.setdefault(path, []).append((name, stamp))
        return found


class Ledger:
    """The manifest's file of this writer: it collects entries from threads, and flushes them in groups.

    Use it in a ``with``; at its end everything is flushed.
    """

    def __init__(self, target: Path, making: Making) -> None:
        self._target, self._making = target, making
        self._lock = threading.Lock()
        self._waiting: list[Entry] = []
        self._failed: list[str] = []
        self._since = time.monotonic()
        self._handle: int | None = None
        self._begun = False
        self._expected: set[str] = set()

    def __enter__(self) -> Self:
        folder = self._target / FOLDER / "manifest"
        host = re.sub(r"[^A-Za-z0-9-]+", "-", Process.own().host)[:40] or "host"
        path = folder / f"{host}-{os.getpid()}-{secrets.token_hex(6)}.jsonl"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(path, flags, 0o666)
        except OSError as error:
            raise unwritable(self._target, error) from None
        self._path = path
        atomic.witnesses.append(self._place)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._handle is not None
        atomic.witnesses.remove(self._place)
        try:
            # What is not flushed on a full disk is done again the next time; the reason why it ended is told first.
            with contextlib.suppress(OSError, TranslateError) if kind is not None else contextlib.nullcontext():
                self.flush()
        finally:
            os.close(self._handle)
            if not self._begun:
                self._path.unlink(missing_ok=True)

    def begin(self, outputs: Iterable[Path]) -> None:
        """Say which outputs are to be written next, before they are: what is lost in between is known as ours."""
        begun = self._below(outputs)
        with self._lock:
            failed, self._failed = self._failed, []
            self._expected.update(begun)
            self._append([*_failure(failed), line_of({"begun": begun, "at": time.time_ns()})])

    def _place(self, path: Path, known: os.stat_result) -> None:
        """Say of an output that was begun what is about to take its name; not flushed, as that would cost too much."""
        if not path.is_relative_to(self._target):
            return
        name = path.relative_to(self._target).as_posix()
        with self._lock:
            if name not in self._expected:
                return
            assert self._handle is not None
            line = line_of({"placed": name, "size": known.st_size, "mtime": known.st_mtime_ns})
            try:
                append(self._handle, line, flush=False)
            except OSError as error:
                raise unwritable(self._target, error) from error

    def fail(self, outputs: Iterable[Path]) -> None:
        """Say that outputs which were begun are not written, with the next group of images."""
        with self._lock:
            failed = self._below(outputs)
            self._failed += failed
            self._expected.difference_update(failed)
            due = self._is_due()
        if due:
            self.flush()

    def _below(self, outputs: Iterable[Path]) -> list[str]:
        return [path.relative_to(self._target).as_posix() for path in outputs]

    def add(
        self,
        name: str,
        source: Stamp,
        outputs: Mapping[Path, Stamp],
        algorithm: str = "whole",
        partners: Mapping[str, Stamp] | None = None,
    ) -> None:
        """Add an image whose outputs are written, with the stamps of its file, of theirs and of its partners."""
        written = tuple((path.relative_to(self._target).as_posix(), stamp) for path, stamp in outputs.items())
        entry = Entry(name, source, self._making.key, algorithm, written, tuple((partners or {}).items()))
        with self._lock:
            self._waiting.append(entry)
            self._expected.difference_update(path for path, _ in written)
            due = self._is_due()
        if due:
            self.flush()

    def flush(self) -> None:
        """Make the outputs' folders and then their entries survive a power cut."""
        assert self._handle is not None
        with self._lock:
            waiting, self._waiting = self._waiting, []
            failed, self._failed = self._failed, []
            self._since = time.monotonic()
            if not waiting and not failed:
                return
            for folder in dict.fromkeys((self._target / path).parent for entry in waiting for path, _ in entry.outputs):
                atomic.flush_folder(folder)
            self._append([*(line_of(entry.to_json()) for entry in waiting), *_failure(failed)])

    def _is_due(self) -> bool:
        return len(self._waiting) + len(self._failed) >= GROUP or time.monotonic() - self._since > GROUP_SECONDS

    def _append(self, lines: Sequence[bytes]) -> None:
        assert self._handle is not None
        try:
            append(self._handle, b"".join([*([] if self._begun else [self._first()]), *lines]))
        except OSError as error:
            raise unwritable(self._target, error) from error
        if not self._begun:
            atomic.flush_folder(self._path.parent)
        self._begun = True

    def _first(self) -> bytes:
        fields = {"version": VERSION, "making": self._making.key, **asdict(self._making)}
        return line_of({**fields, "machine": atomic.machine(), "at": time.time_ns()})


def _failure(outputs: Sequence[str]) -> list[bytes]:
    return [line_of({"failed": list(outputs)})] if outputs else []


def unwritable(target: Path, error: OSError) -> TranslateError:
    """The error of a folder that takes no outputs."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FullDiskError(f"the disk of {target} is full; free space, and run the same command again to go on")
    reason = (error.strerror or str(error)).lower()
    return TranslateError(f"cannot write into {target}: {reason}; choose another folder, or change its permissions")
