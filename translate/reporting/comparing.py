"""Comparing: the options in which runs that lie side by side differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def differences(runs: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """The options in which runs differ: name, and the value of each run, None where it has no such option."""
    asked = [
        {"method": each["method"], "data": each["data"]} | {name: value for name, value, _ in each["options"]}
        for each in runs
    ]
    names = dict.fromkeys(name for each in asked for name in each)
    rows = [[name, [each.get(name) for each in asked]] for name in names]
    return [[name, values] for name, values in rows if len(set(values)) > 1]
