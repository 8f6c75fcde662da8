"""Changes: what a run was told to do otherwise on its way, such as another learning rate from some step on.

``config.json`` holds the settings that a run has now; its ``changes.json`` says which it had before, and until when.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from translate import atomic
from translate.errors import TranslateError

__all__ = [
    "Change",
]

NAME = "changes.json"

RATE_FACTOR = "learning rate factor"
"""What a rollback changes: see ``translate.rollback``."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a run: ``what`` was ``before`` and is ``after`` from ``step`` on, which are JSON values.

    >>> str(Change(12000, "optimizer", "adam", "adam(lr=0.0001)"))
    'optimizer adam -> adam(lr=0.0001) from step 12000 on'
    """

    step: int
    what: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.what} {_shown(self.before)} -> {_shown(self.after)} from step {self.step} on"


def record(run_folder: Path, step: int, what: str, before: Any, after: Any) -> Change:
    """Add a change to a run's ``changes.json`` and return it; ``before`` and ``after`` are JSON values.

    What the file holds already stays. Raises ``TranslateError``, and changes nothing, if it is damaged or cannot be
    written. Of several ranks only the main one may call this.
    """
    change = Change(step, what, before, after)
    _write(run_folder, [*read(run_folder), change])
    return change


def read(run_folder: Path) -> list[Change]:
    """The changes of a run in their order; none if it has no ``changes.json``.

    Raises ``TranslateError`` if the file cannot be read, or does not fit its schema.
    """
    # Imported where a file is read: it takes longer than all of the command line.
    from translate.schema import ChangesFacts, FactsError, check_file, parse_json, read_text

    path = run_folder / NAME
    try:
        values = parse_json(read_text(path))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise TranslateError(f"cannot read {path}: {error.strerror}") from None
    except FactsError as error:
        raise TranslateError(f"{path} is damaged: {error}; restore it, or remove it to go on without it") from None
    check_file(path, ChangesFacts, values)
    return [Change(**each) for each in values["changes"]]


def rewind(run_folder: Path, step: int) -> list[Change]:
    """Let changes after ``step``, from which a run goes on, hold from there on; return them as they are now.

    It is so where the checkpoints after a change are lost: the settings are the new ones all the same.
    """
    found = read(run_folder)
    moved = [dataclasses.replace(each, step=step) for each in found if each.step > step]
    if moved:
        _write(run_folder, [each for each in found if each.step <= step] + moved)
    return moved


def _write(run_folder: Path, changes: Iterable[Change]) -> None:
    values = {"changes": [dataclasses.asdict(each) for each in changes]}
    path = run_folder / NAME
    try:
        atomic.write(path, f"{json.dumps(values, indent=2, allow_nan=False)}\n".encode())
    except OSError as error:
        raise TranslateError(f"cannot write {path}: {error.strerror}; nothing that was there before is lost") from None


def _shown(value: Any) -> str:
    """A value as a line tells it: texts as they are, lists with commas, none for nothing."""
    if value is None or value in ((), []):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_shown, value))
    return str(value)
