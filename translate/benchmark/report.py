"""The report of a benchmark: the times and ratios of all rivals, as text and as JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from translate.benchmark.hardware import described
from translate.benchmark.timing import Ratio


@dataclass(frozen=True, slots=True)
class Row:
    """One rival: its median time in seconds, and how many times faster it is than the baseline."""

    name: str
    seconds: float
    ratio: Ratio | None
    note: str = ""


@dataclass(slots=True)
class Report:
    """The results by part of the benchmark, with the machine and the options."""

    machine: Mapping[str, Any]
    asked: Mapping[str, Any]
    parts: dict[str, list[Row]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def add(
        self, part: str, seconds: Mapping[str, Sequence[float]], against: str | None, notes: Mapping[str, str]
    ) -> None:
        """Add the rivals of a part, each compared with the rival ``against``, if any."""
        rows = []
        for name, values in seconds.items():
            ratio = None if against in (None, name) else Ratio.of(seconds[str(against)], values)
            rows.append(Row(name, sorted(values)[len(values) // 2], ratio, notes.get(name, "")))
        self.parts[part] = rows

    def lines(self) -> list[str]:
        """The report as lines of text for a terminal."""
        lines = [described(dict(self.machine))]
        for part, rows in self.parts.items():
            lines += ["", part]
            width = max(len(row.name) for row in rows)
            for row in rows:
                ratio = str(row.ratio) if row.ratio is not None else ""
                lines.append(f"  {row.name:<{width}}  {_time(row.seconds):>9}  {ratio:<24}{row.note}".rstrip())
        return lines + (["", *(f"{name}: {fact}" for name, fact in self.facts.items())] if self.facts else [])

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        parts = {part: [asdict(row) for row in rows] for part, rows in self.parts.items()}
        return {"machine": dict(self.machine), "asked": dict(self.asked), "parts": parts, "facts": self.facts}


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.2f} ms"
