"""Guarding: what a run's ``guard.jsonl`` says, in which the guard of a training writes down its looks and warnings.

The file is read as any other of a run: whoever writes it need not be there, and what makes no sense is left out.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from translate.errors import TranslateError
from translate.growing import Growing
from translate.reporting import journal
from translate.terminal import printable

NAME = "guard.jsonl"

MOST_SEEN = 200
"""The most numbers that a report shows of what was looked at."""


class Guarding:
    """The warnings of a run's guard, how often it has looked, and what it saw last; ``read`` reads what is new."""

    def __init__(self, folder: Path) -> None:
        self._file = Growing(folder / NAME)
        self.problem = ""
        self._forget()

    def _forget(self) -> None:
        self.looks = 0
        self.last_step = 0
        self.warnings: list[dict[str, Any]] = []
        self._seen: dict[str, list[Any]] = {}

    def read(self) -> None:
        """Read what has been appended; ``problem`` says why that was not possible."""
        self.problem = ""
        try:
            anew, lines = self._file.read()
        except TranslateError as error:
            self.problem = str(error)
            return
        if anew:
            self._forget()
        for line in lines:
            self._add(line)

    def _add(self, line: bytes) -> None:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(row, dict) or type(row.get("step")) is not int or not 0 <= row["step"] <= 2**53:
            return
        if isinstance(row.get("warning"), str):
            texts = {name: printable(str(row.get(name, ""))[: journal.LONGEST]) for name in ("text", "advice")}
            self.warnings = [*self.warnings, {"step": row["step"], **texts}][-journal.SHOWN :]
            return
        seen = row.get("seen")
        if not isinstance(seen, dict):
            return
        self.looks += 1
        self.last_step = max(self.last_step, row["step"])
        signs = row.get("signs", [])
        signs = signs if isinstance(signs, list) else []
        for name, value in seen.items():
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if is_number and (name in self._seen or len(self._seen) < MOST_SEEN):
                self._seen[name] = [row["step"], value, name in signs]

    def facts(self) -> dict[str, Any] | None:
        """What a page shows, as JSON values: looks, warnings, and of each thing looked at the last value.

        ``seen`` has a row each: what was looked for, of what, the value, its step, and whether it was a sign. None for
        a run without a guard.
        """
        if not self.looks and not self.warnings:
            return None
        seen = []
        for name, (step, value, sign) in self._seen.items():
            warning, _, subject = name.partition(":")
            seen.append([printable(warning), printable(subject), f"{value:.3g}", step, sign])
        return {"looks": self.looks, "step": self.last_step, "warnings": len(self.warnings), "seen": seen}
