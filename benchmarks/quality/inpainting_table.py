"""The table of filled holes: one line for each row, mean and spread over the seeds."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COLUMNS = {"psnr": ("PSNR in the hole, dB ↑", 2), "features": ("features in the hole ↓", 3)}
"""Heading and decimals by score; arrows point to better."""


def read(folder: Path) -> list[dict[str, Any]]:
    """All result files of a folder, by name; all must have been scored by one protocol."""
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    if any(each["protocol"] != results[0]["protocol"] for each in results):
        raise SystemExit(f"the results in {folder.name} were scored by several protocols; score all anew")
    return results


def render(results: Sequence[dict[str, Any]]) -> str:
    """The table in Markdown, trained rows first, with what was measured and the commands."""
    if not results:
        return "No results yet.\n"
    rows: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for result in sorted(results, key=lambda each: (each["kind"] != "run", each["row"], each["steps"])):
        rows.setdefault((result["row"], result["steps"]), []).append(result)
    headings = ["", "steps", "minutes", "seeds", *(heading for heading, _ in COLUMNS.values())]
    lines = ["| " + " | ".join(headings) + " |", "| :-- |" + " --: |" * (len(headings) - 1)]
    for (row, steps), members in rows.items():
        times = [member["seconds"] / 60 for member in members if "seconds" in member]
        cells = [f"`{row}`" if steps else row, f"{steps:,}" if steps else "-"]
        cells += [f"{statistics.mean(times):.0f}" if times else "-", str(len(members)) if steps else "-"]
        cells += [spread([member["scores"][score] for member in members], score) for score in COLUMNS]
        lines.append("| " + " | ".join(cells) + " |")
    told = results[0]["protocol"]
    lines += [
        "",
        f"- Data: {told['data']}: {told['train_crops']} crops for training, {told['test_crops']} held-out crops of "
        f"{told['size']} px, `{told['holes']}`, {100 * told['hole_share']:.0f} % of the held-out pixels.",
        f"- Features: {told['feature_network']} (`{told['feature_weights']}`, SHA-256 "
        f"`{told['feature_weights_sha256'][:16]}…`), images resized to {told['feature_size']} px.",
        "",
        "```sh",
        *dict.fromkeys(command for result in results for command in result["commands"]),
        "```",
    ]
    return "\n".join(lines) + "\n"


def spread(values: Sequence[float], score: str) -> str:
    """The mean, and the standard deviation of several seeds.

    >>> spread([20.0, 22.0], "psnr"), spread([0.5], "features")
    ('21.00 ± 1.41', '0.500')
    """
    digits = COLUMNS[score][1]
    text = f"{statistics.mean(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ± {statistics.stdev(values):.{digits}f}"
