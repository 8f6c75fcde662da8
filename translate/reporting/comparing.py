"""Comparing: the names of runs that lie side by side, and the options in which they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


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
