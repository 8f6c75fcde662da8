"""Listing: the runs below a folder, what has become of them, and what they take on the disk."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from translate.errors import TranslateError
from translate.numbered import steps_of
from translate.reporting.facts import State, best_of, last_step, state_of
from translate.reporting.series import Series
from translate.run import Run
from translate.terminal import printable

log = logging.getLogger("translate")

DEEPEST = 6
"""How many folders below the first are looked into."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run of a list: what it trains, how far it is, and its size on the disk in bytes.

    ``best`` holds ``score``, ``value``, ``step`` and ``better`` of the first validation score; ``changed`` is when
    something was last written, in seconds since 1970; ``problem`` says why a run is damaged.
    """

    folder: Path
    state: State
    method: str = ""
    data: str = ""
    step: int = 0
    steps: int = 0
    best: dict[str, Any] | None = None
    size: int = 0
    changed: float = 0.0
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """The summary as JSON values."""
        return {**asdict(self), "folder": str(self.folder)}


def summaries(folder: Path) -> list[RunSummary]:
    """The runs at and below a folder, by their names; raises ``TranslateError`` if it cannot be listed."""
    try:
        with os.scandir(folder):
            pass
    except OSError as error:
        raise TranslateError(f"cannot list {folder}: {error.strerror}; name a folder of runs") from None
    return [_summary(each) for each in sorted(_runs(folder, DEEPEST, set()))]


def _runs(folder: Path, deeper: int, seen: set[str]) -> Iterator[Path]:
    """The runs at and below a folder; what cannot be listed is told.

    A link is followed to a run alone, since it may lead anywhere. ``seen`` are the real paths of those that were found.
    """
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        log.warning("%s is left out, which cannot be looked into: %s", folder, error.strerror or error)
        return
    found = {entry.name: _is_folder(entry) for entry in entries}
    if _is_run(folder, found):
        if (real := os.path.realpath(folder)) not in seen:
            seen.add(real)
            yield folder
        return
    if not deeper:
        return
    inner = [entry for entry in entries if found[entry.name] and not entry.name.startswith(".")]
    # A run has its own name rather than that of a link to it.
    for entry in sorted(inner, key=lambda entry: (entry.is_symlink(), entry.name)):
        yield from _runs(folder / entry.name, 0 if entry.is_symlink() else deeper - 1, seen)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    with suppress(OSError):  # a link to itself
        return entry.is_dir()
    return False


def _is_run(folder: Path, found: Mapping[str, bool]) -> bool:
    """Whether a folder holds what a training leaves, also where its ``config.json`` is lost or damaged.

    ``found`` says of what lies in the folder whether it is one itself.
    """
    has_config = found.get("config.json") is False
    return (has_config and found.get("checkpoints", False)) or (
        found.get("metrics.jsonl") is False and (has_config or bool(steps_of(folder)))
    )


def _summary(folder: Path) -> RunSummary:
    size, changed = _on_disk(folder)
    try:
        run, series = Run.open(folder), Series(folder)
        series.read()
    except TranslateError as error:
        return RunSummary(folder, "damaged", size=size, changed=changed, problem=printable(error))
    step = last_step(run, series)
    return RunSummary(
        folder,
        state_of(run, step),
        run.config.method,
        run.config.data,
        step,
        run.steps,
        best_of(run, series.curves()),
        size,
        changed,
    )


def _on_disk(folder: Path) -> tuple[int, float]:
    """The bytes of all files of a run, and when the last of them was changed."""
    size, changed = 0, 0.0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                found = os.lstat(Path(place, name))
            except OSError:
                continue
            size, changed = size + found.st_size, max(changed, found.st_mtime)
    return size, changed
