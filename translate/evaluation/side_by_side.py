"""Several evaluations of the same images: the differences of their scores, with intervals of the same resamples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from translate.errors import TranslateError
from translate.evaluation.extremes import Pictures
from translate.evaluation.keeping import Home
from translate.evaluation.measurement import Scores
from translate.evaluation.resampling import interval


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """The scores of one run, and the entries of its protocol."""

    name: str
    scores: Scores
    protocol: Mapping[str, Any]
    home: Home | None = None
    """Where it is kept, None for nowhere."""
    pictures: Pictures | None = None


ALIKE = ("direction", "size", "given", "targets")
"""The entries of the protocol in which runs must agree."""


def check_alike(runs: Sequence[Measured]) -> None:
    """Raise ``TranslateError`` unless all runs have measured the same images in the same way."""
    first = runs[0]
    for other in runs[1:]:
        for entry in ALIKE:
            one, two = first.protocol.get(entry), other.protocol.get(entry)
            if one != two:
                cure = {"size": "; set one by --at", "direction": "; choose one by --direction"}.get(entry, "")
                raise TranslateError(
                    f"{first.name} and {other.name} cannot be compared: their {entry} differ, {_shown(one)} and "
                    f"{_shown(two)}{cure}"
                )
        if first.scores.images != other.scores.images:
            raise TranslateError(
                f"{first.name} and {other.name} cannot be compared: one makes {first.scores.images}, the other "
                f"{other.scores.images}; evaluate them one by one"
            )
        for name in first.scores.each.keys() & other.scores.each.keys():
            one, two = first.scores.each[name].place, other.scores.each[name].place
            if list(one.names) != list(two.names) or not np.array_equal(one.rows, two.rows):
                raise TranslateError(
                    f"{first.name} and {other.name} cannot be compared: they were measured on other images; evaluate "
                    "them one by one"
                )


def _shown(value: object) -> str:
    return "none" if value is None else f"{value!s:.80}"


def differences(first: Scores, other: Scores) -> dict[str, dict[str, Any]]:
    """By score, how much the other's is above the first's, with an interval of resamples of the same images."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in first.values.items():
        if name not in other.values or name.endswith("_standard_error"):
            continue
        found[name] = {"difference": other.values[name] - value}
        if name in first.draws and name in other.draws:
            found[name]["interval"] = interval(other.draws[name] - first.draws[name])
    return found
