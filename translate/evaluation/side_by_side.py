"""Several evaluations of the same images: the differences of their scores, with intervals of the same resamples."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from translate.errors import TranslateError
from translate.evaluation import is_error
from translate.evaluation.extremes import Pictures
from translate.evaluation.keeping import Home
from translate.evaluation.measurement import Scores
from translate.evaluation.resampling import interval
from translate.paths import names_apart


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """The scores of one run, and the entries of its protocol."""

    path: Path
    """What stands for it: its run's folder, or the file without its suffix, a checkpoint's below the run's folder."""
    scores: Scores
    protocol: Mapping[str, Any]
    home: Home | None = None
    """Where it is kept, None for nowhere."""
    pictures: Pictures | None = None


STEP = re.compile(r"step-\d+$|best-")
"""How the names of a run's checkpoints begin."""

ALIKE = ("direction", "size", "given", "targets")
"""The entries of the protocol in which runs must agree."""


def names_of(runs: Sequence[Measured]) -> list[str]:
    """Names by which a table tells runs apart."""
    # A step alone would not say of which run.
    return names_apart([each.path for each in runs], [2 if STEP.match(each.path.name) else 1 for each in runs])


def check_alike(runs: Sequence[Measured]) -> None:
    """Raise ``TranslateError`` unless all runs have measured the same images in the same way."""
    first, names = runs[0], names_of(runs)
    for other, name in zip(runs[1:], names[1:], strict=True):
        for entry in ALIKE:
            one, two = first.protocol.get(entry), other.protocol.get(entry)
            if one != two:
                cure = {"size": "; set one by --at", "direction": "; choose one by --direction"}.get(entry, "")
                raise TranslateError(
                    f"{names[0]} and {name} cannot be compared: their {entry} differ, {_shown(one)} and "
                    f"{_shown(two)}{cure}"
                )
        if first.scores.images != other.scores.images:
            raise TranslateError(
                f"{names[0]} and {name} cannot be compared: one makes {first.scores.images}, the other "
                f"{other.scores.images}; evaluate them one by one"
            )
        for score in first.scores.each.keys() & other.scores.each.keys():
            one, two = first.scores.each[score].place, other.scores.each[score].place
            if list(one.names) != list(two.names) or not np.array_equal(one.rows, two.rows):
                raise TranslateError(
                    f"{names[0]} and {name} cannot be compared: they were measured on other images; evaluate "
                    "them one by one"
                )


def _shown(value: object) -> str:
    return "none" if value is None else f"{value!s:.80}"


def differences(first: Scores, other: Scores) -> dict[str, dict[str, Any]]:
    """By score, how much the other's is above the first's, with an interval of resamples of the same images."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in first.values.items():
        if name not in other.values or is_error(name, first.values):
            continue
        found[name] = {"difference": other.values[name] - value}
        if name in first.draws and name in other.draws:
            found[name]["interval"] = interval(other.draws[name] - first.draws[name])
    return found
