"""Comparing: the options in which runs differ, and what evaluations have found of them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from translate.reporting.facts import text_of
from translate.schema import FactsError, parse_json, read_text
from translate.terminal import printable

FOLDER = "evaluations"
"""Where a run keeps what ``translate evaluate`` has found of it: JSON files, and tables of scores by image."""

MOST_FILES = 50
MOST_TABLE_BYTES = 16 * 2**20
SHOWN = 8
"""The best and the worst images that a report names."""

IMAGE = ("image", "name", "file", "source")
"""Columns of a table that may name its images."""


def name_apart(runs: Sequence[dict[str, Any]]) -> None:
    """Let runs of one name differ by the folders above them."""
    for depth in range(2, 20):
        names = [each["name"] for each in runs]
        if len(set(names)) == len(names):
            return
        for each in runs:
            if names.count(each["name"]) > 1:
                each["name"] = "/".join(Path(each["folder"]).parts[-depth:])


def differences(runs: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """The options in which runs differ: name, and the value of each run, None where it has no such option."""
    asked = [
        {"method": each["method"], "data": each["data"]} | {name: value for name, value, _ in each["options"]}
        for each in runs
    ]
    names = dict.fromkeys(name for each in asked for name in each)
    rows = [[name, [each.get(name) for each in asked]] for name in names]
    return [[name, values] for name, values in rows if len(set(values)) > 1]


def evaluations(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """What evaluations have found, as JSON values: the run's number, a name, scores with errors, and a protocol."""
    found = []
    for number, folder in enumerate(folders):
        place = folder / FOLDER
        try:
            files = sorted(path for path in place.iterdir() if path.suffix in (".json", ".csv"))[:MOST_FILES]
        except OSError:
            continue
        for path in files:
            entry = _of_json(path) if path.suffix == ".json" else _of_table(path)
            if entry is not None:
                found.append({"run": number, "name": printable(path.stem), **entry})
    return found


def _of_json(path: Path) -> dict[str, Any] | None:
    try:
        values = parse_json(read_text(path))
    except (OSError, FactsError):
        return None
    if not isinstance(values, dict) or not isinstance(values.get("scores"), dict):
        return None
    scores = {printable(name): value for name, value in values["scores"].items()}
    protocol = values.get("protocol")
    return {
        "scores": [
            [
                name,
                text_of(value),
                text_of(scores[f"{name}_standard_error"]) if f"{name}_standard_error" in scores else "",
            ]
            for name, value in scores.items()
            if not (name.endswith("_standard_error") and name.removesuffix("_standard_error") in scores)
        ],
        "protocol": [[printable(name), text_of(value)] for name, value in protocol.items()]
        if isinstance(protocol, dict)
        else [],
    }


def _of_table(path: Path) -> dict[str, Any] | None:
    """The best and worst images of a table of scores: a column names the image, the others hold numbers."""
    try:
        rows = list(csv.reader(io.StringIO(read_text(path, MOST_TABLE_BYTES))))
    except (OSError, FactsError, csv.Error):
        return None
    if len(rows) < 2:
        return None
    head, *lines = rows
    named = next((place for place, name in enumerate(head) if name.strip().lower() in IMAGE), 0)
    ranked = []
    for place, name in enumerate(head):
        values = sorted(
            (value, line[named])
            for line in lines
            if len(line) == len(head) and (value := _number(line[place])) is not None
        )
        if place == named or not values:
            continue
        shown = min(SHOWN, len(values))
        ranked.append({
            "name": printable(name), "count": len(values),
            "lowest": [[printable(image), f"{value:.5g}"] for value, image in values[:shown]],
            "highest": [[printable(image), f"{value:.5g}"] for value, image in reversed(values[-shown:])],
        })  # fmt: skip
    return {"images": ranked} if ranked else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
