"""The tables of docs/results.md, rebuilt from the result files; ``--check`` only says whether it is up to date.

python benchmarks/quality/table.py [--check]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.quality import digits_table, inpainting_table
from benchmarks.quality.rows import ROWS

RESULTS = Path(__file__).resolve().parent / "results"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "results.md"
FIRST, LAST = "<!-- table: benchmarks/quality/table.py -->", "<!-- end of the table -->"
HOLES = "<!-- holes: benchmarks/quality/table.py -->", "<!-- end of the holes -->"
DIGITS = "<!-- digits: benchmarks/quality/table.py -->", "<!-- end of the digits -->"

COLUMNS = {
    "l1": ("L1 ↓", 1, 2),
    "psnr": ("PSNR, dB ↑", 1, 2),
    "ssim": ("SSIM ↑", 1, 3),
    "frechet": ("Fréchet ↓", 1, 1),
    "kernel": ("kernel x 1000 ↓", 1000, 1),
}
"""Heading, unit and decimals by score; arrows point to better."""


def read(folder: Path) -> list[dict[str, Any]]:
    """All result files of a folder, by name; all must have been scored by one protocol."""
    files = sorted(folder.glob("*.json"))
    results = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    for path, result in zip(files, results, strict=True):
        if result["protocol"] != results[0]["protocol"]:
            raise SystemExit(f"{path.name} was scored by another protocol than {files[0].name}; score both anew")
    return results


def render(results: Sequence[dict[str, Any]]) -> str:
    """The table in Markdown, with what it was measured on.

    A row is the mean over its seeds and, where there are several, the standard deviation. Of a row with one answer
    the kernel distance has its standard error over the test images in brackets.
    """
    if not results:
        return "No results yet.\n"
    rows: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    # Trained runs first, then what needs no training.
    for result in sorted(results, key=lambda each: (each["kind"] != "run", each["row"], each["steps"])):
        rows.setdefault((result["kind"], result["row"], result["steps"]), []).append(result)
    headings = ["", "steps", "minutes", "seeds", *(heading for heading, _, _ in COLUMNS.values())]
    lines = ["| " + " | ".join(headings) + " |", "| :-- |" + " --: |" * (len(headings) - 1)]
    for (kind, row, steps), members in rows.items():
        name = f"`{row}`" if kind == "run" else row
        times = [member["seconds"] / 60 for member in members if "seconds" in member]
        cells = [name, f"{steps:,}" if steps else "-", f"{statistics.mean(times):.1f}" if times else "-"]
        cells.append(str(len(members)) if members[0]["seed"] is not None else "-")
        cells += [cell(members, score) for score in COLUMNS]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n\n" + measured(results)


def cell(members: Sequence[dict[str, Any]], score: str) -> str:
    """The mean over seeds, with its spread.

    >>> cell([{"scores": {"psnr": 10.0}}, {"scores": {"psnr": 12.0}}], "psnr")
    '11.00 ± 1.41'
    """
    _, unit, digits = COLUMNS[score]
    values = [unit * member["scores"][score] for member in members]
    text = f"{statistics.mean(values):.{digits}f}"
    if len(values) > 1:
        return f"{text} ± {statistics.stdev(values):.{digits}f}"
    error = unit * members[0]["scores"]["kernel_error"]
    return f"{text} (± {error:.{digits}f})" if score == "kernel" else text


def measured(results: Sequence[dict[str, Any]]) -> str:
    """What was compared, on what, and the commands."""
    protocol = results[0]["protocol"]
    machines = dict.fromkeys(
        "{cpu}, {cores} cores, torch {torch}, {threads} threads".format(**result["machine"]) for result in results
    )
    lines = [
        f"- Data: {protocol['data']}, `{protocol['layout']}`: {protocol['train_pairs']} training pairs, "
        f"{protocol['test_pairs']} test pairs, {protocol['size'][0]}x{protocol['size'][1]} px, "
        f"resized by {protocol['resize']}.",
        f"- Features: {protocol['feature_network']} (`{protocol['feature_weights']}`, SHA-256 "
        f"`{protocol['feature_weights_sha256'][:16]}…`), images resized to {protocol['feature_size']} px, "
        f"features times {protocol['feature_scale']}.",
        f"- Samples: {protocol['frechet_samples']:,} positions for the Fréchet distance, {protocol['kernel_samples']} "
        "images for the kernel distance.",
        *(f"- Scored on: {machine}." for machine in machines),
        "",
        "```sh",
        *dict.fromkeys(command for result in results for command in result["commands"]),
        "```",
    ]
    return "\n".join(lines) + "\n"


def filled(page: str, table: str, marks: tuple[str, str] = (FIRST, LAST)) -> str:
    """The page with the table between its two marks."""
    start, end = marks
    before, first, rest = page.partition(start)
    _, last, after = rest.partition(end)
    if not first or not last:
        raise SystemExit(f"{PAGE.name} lacks the lines {start} and {end}, between which the table goes")
    return f"{before}{start}\n\n{table}\n{end}{after}"


def main(given: Sequence[str] | None = None) -> int:
    """Rewrite the page, or with ``--check`` answer 1 if it would change."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if the page is out of date")
    arguments = parser.parse_args(given)
    page = PAGE.read_text(encoding="utf-8")
    digits = digits_table.render(digits_table.read(RESULTS / "digits"), list(ROWS))
    holes = inpainting_table.render(inpainting_table.read(RESULTS / "inpainting"))
    new = filled(filled(filled(page, render(read(RESULTS))), digits, DIGITS), holes, HOLES)
    if arguments.check:
        return int(new != page)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
