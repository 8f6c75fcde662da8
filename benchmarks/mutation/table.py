"""The table: figures by file, and the survivors with the reasons that are kept for some of them by hand."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.mutation.verdicts import Verdict

REASONS = Path(__file__).with_name("survivors.toml")
ORDER = ("killed", "timeout", "survived", "no test", "stale")

Reasons = dict[tuple[str, str, str], str]
"""By file, kind and text of the statement before it was changed: so line numbers may move."""


def reasons_of(path: Path = REASONS) -> Reasons:
    """The reasons why some survivors are no faults or are accepted."""
    if not path.exists():
        return {}
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("survivor", [])
    return {(entry["file"], entry["kind"], entry["line"]): entry["reason"] for entry in entries}


def reason_of(verdict: Verdict, reasons: Reasons) -> str:
    """The reason for one survivor; empty where none is kept."""
    return reasons.get((verdict.mutation.file, verdict.mutation.kind, verdict.line), "")


def figures(verdicts: Sequence[Verdict], reasons: Reasons) -> dict[str, int]:
    """How many mutants there were of each result, and how many survivors have a reason."""
    counts = Counter(verdict.result for verdict in verdicts)
    explained = sum(bool(reason_of(verdict, reasons)) for verdict in verdicts if verdict.result == "survived")
    return {name: counts[name] for name in ORDER} | {"survived with a reason": explained, "all": len(verdicts)}


def table(verdicts: Sequence[Verdict], reasons: Reasons) -> str:
    """Markdown: figures by file, then survivors and what no test sees."""
    lines = [
        "| file | mutants | killed | survived | with a reason | no test |",
        "| :-- | --: | --: | --: | --: | --: |",
    ]
    for file in dict.fromkeys(verdict.mutation.file for verdict in verdicts):
        of_file = [verdict for verdict in verdicts if verdict.mutation.file == file]
        lines.append(_row(f"`{file}`", of_file, reasons))
    lines.append(_row("all", verdicts, reasons))
    left = [verdict for verdict in verdicts if verdict.result not in ("killed", "timeout")]
    if left:
        lines += ["", "| mutant | line | becomes | result | reason |", "| :-- | :-- | :-- | :-- | :-- |"]
    for verdict in left:
        cells = (_code(verdict.mutation.id), _code(verdict.line), _code(verdict.changed))
        lines.append(f"| {' | '.join(cells)} | {verdict.result} | {reason_of(verdict, reasons)} |")
    return "\n".join(lines)


def _row(name: str, verdicts: Sequence[Verdict], reasons: Reasons) -> str:
    counts = figures(verdicts, reasons)
    cells = (len(verdicts), counts["killed"] + counts["timeout"], counts["survived"], counts["survived with a reason"])
    return f"| {name} | {' | '.join(map(str, cells))} | {counts['no test']} |"


def _code(text: str) -> str:
    text = text.replace("|", "\\|")
    return f"`{text}`" if "`" not in text else f"`` {text} ``"
