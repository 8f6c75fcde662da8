"""Performance: every row of the tables in docs/performance.md, measured here, kept as JSON, and the page made of it.

python -m benchmarks.performance list              the rows, each with its command
python -m benchmarks.performance run ROW... | all  measure rows on this machine; one file for each row and machine
python -m benchmarks.performance page [--check]    fill docs/performance.md from the files
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import step
from translate.benchmark import bench
from translate.errors import TranslateError

RESULTS = Path(__file__).resolve().parent / "results"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
FIRST, LAST = "<!-- performance: benchmarks/performance.py -->", "<!-- end of performance -->"


@dataclass(frozen=True, slots=True)
class Row:
    """What ``translate bench`` is asked for, and where: some rows are too long for a CPU, or for nothing else."""

    method: str
    asked: Mapping[str, Any]
    on: tuple[str, ...] = ("cpu", "cuda")


COSTED = ("pix2pix", "cyclegan", "gan", "unit", "vaegan", "pix2pixhd", "stackgan")
"""Methods whose published networks train on pictures without labels."""

GOALS = [] if torch.cuda.is_available() else ["float32", "bf16", "openvino-bf16", "openvino-int8"]
"""Ways to convert a thousand images, which takes a CPU minutes; a GPU all that it has."""

OTHERS = ["compiled-float32", "compiled-bf16", "openvino-float32"]
"""The other ways, which so many images would not change."""

ROWS: Mapping[str, Row] = {
    "cyclegan-1": Row("cyclegan", {"what": ["steps"], "rounds": 9}),
    "cyclegan-1-compiled": Row("cyclegan", {"what": ["steps"], "rounds": 7, "compile": "yes"}),
    "pix2pix-1": Row("pix2pix", {"what": ["steps"], "rounds": 15}),
    "pix2pix-16": Row("pix2pix", {"what": ["steps"], "batch": 16, "rounds": 7}),
    "cyclegan-16": Row("cyclegan", {"what": ["steps"], "batch": 16, "rounds": 9}, on=("cuda",)),
    "feeding": Row("pix2pix", {"what": ["feeding"], "rounds": 9}),
    "conversion": Row("gan", {"what": ["conversion"], "images": 1000, "rounds": 9, "rival": GOALS}),
    "conversion-64": Row("gan", {"what": ["conversion"], "images": 64, "rounds": 3, "rival": OTHERS}, on=("cpu",)),
    **{f"cost-{method}": Row(method, {"what": ["cost"], "rounds": 6}) for method in COSTED},
    "beginning": Row("pix2pix", {"what": ["beginning"], "rounds": 15}),
}
"""Published networks at 256 px; ``gan`` has CycleGAN's generator of 9 blocks."""

FLAGS = ("what", "rounds", "batch", "images", "rival")
"""What is an option of the command itself; all else is one of the training."""

OVERHEAD = ["--pairs", "1000"]


def command(row: Row) -> str:
    """The row as a command line."""
    words = ["translate", "bench", row.method]
    for name, value in row.asked.items():
        for each in value if isinstance(value, list) else [value]:
            words += [f"--{name}", str(each)] if name in FLAGS else [f"{name}={each}"]
    return shlex.join(words)


def measure(names: Sequence[str]) -> None:
    """Measure rows and keep each in a file named after it and the machine."""
    for name in names:
        if name == "overhead":
            found: dict[str, Any] = step.measure(step.parser().parse_args(OVERHEAD))
            told = [f"engine over the loop by hand: {found['ratio']:.3f}"]
            found["command"] = f"python -m benchmarks.step {' '.join(OVERHEAD)}"
        else:
            report = bench(ROWS[name].method, **ROWS[name].asked)
            found, told = report.to_json(), report.lines()
            found["command"] = command(ROWS[name])
        found["date"] = time.strftime("%Y-%m-%d")
        print("\n".join(told), flush=True)
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{name}-{_plain(found['machine'])}.json"
        path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def render(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The tables in Markdown: one for each machine."""
    if not results:
        return "No results yet.\n"
    machines: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, result in results.items():
        told = "{cpu}, {cores} cores, {device}, torch {torch}, {threads} threads".format(**result["machine"])
        machines.setdefault(told, {})[name] = result
    lines = []
    for told, rows in machines.items():
        lines += [
            f"### {told}",
            "",
            "| what | | time | times as fast (95 % of the median) | |",
            "|---|---|--:|--:|---|",
        ]
        facts = []
        for result in rows.values():
            if "parts" not in result:
                lines.append(_overhead(result))
                continue
            for title, rivals in result["parts"].items():
                lines += [_line(title if not number else "", rival) for number, rival in enumerate(rivals)]
                facts += [f"- {title}: {fact} {value}." for fact, value in result["facts"].items()]
        commands = [f"{result['command']}  # {result['date']}" for result in rows.values()]
        lines += ["", *facts, "", "```sh", *commands, "```", ""]
    return "\n".join(lines)


def _line(title: str, rival: Mapping[str, Any]) -> str:
    seconds, ratio = float(rival["seconds"]), rival["ratio"]
    shown = f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.2f} ms"
    times = "" if ratio is None else f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"
    return f"| {title} | {rival['name']} | {shown} | {times} | {rival['note']} |"


def _overhead(found: Mapping[str, Any]) -> str:
    low, high = 1 / found["ratio_high"], 1 / found["ratio_low"]
    times = f"{1 / found['ratio']:.3f} ({low:.3f} to {high:.3f})"
    what = f"engine alone: pix2pix, {found['size']} px, width {found['width']}, float32, fused Adam on both sides"
    return f"| {what} | translate against by hand | {found['ours_ms']:.2f} ms | {times} |  |"


def _plain(machine: Mapping[str, Any]) -> str:
    name = machine["cpu"] if machine["device"] == "cpu" else machine["device"]
    return "".join(letter if letter.isalnum() else "-" for letter in f"{name}-{machine['cores']}").lower()


def fill(check: bool) -> int:
    """Write the tables into the page, or answer 1 if they would change it."""
    files = sorted(RESULTS.glob("*.json")) if RESULTS.exists() else []
    results = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in files}
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(FIRST)
    after = rest.partition(LAST)[2]
    new = f"{before}{FIRST}\n\n{render(results)}\n{LAST}{after}"
    if check:
        return int(new != page)
    PAGE.write_text(new, encoding="utf-8")
    return 0


def main(given: Sequence[str] | None = None) -> int:
    """List, measure, or fill the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="the rows, each with its command")
    running = actions.add_parser("run", help="measure rows on this machine")
    running.add_argument("rows", nargs="+", choices=["all", "overhead", *ROWS], metavar="ROW")
    page = actions.add_parser("page", help="fill docs/performance.md")
    page.add_argument("--check", action="store_true", help="write nothing; 1 if the page is out of date")
    arguments = parser.parse_args(given)
    if arguments.action == "page":
        return fill(arguments.check)
    if arguments.action == "list":
        print("\n".join(f"{name}: {command(row)}" for name, row in ROWS.items()))
        return 0
    here = [name for name, row in ROWS.items() if ("cuda" if torch.cuda.is_available() else "cpu") in row.on]
    try:
        measure([*here, "overhead"] if "all" in arguments.rows else arguments.rows)
    except TranslateError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
