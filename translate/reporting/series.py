"""Series: the rows of a run's ``metrics.jsonl``, read as they are appended, and its curves, of bounded size."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate import metrics_file
from translate.evaluation import ERROR
from translate.growing import Growing
from translate.step_rows import row_of
from translate.terminal import printable

EXACT = 4000
"""Up to so many rows each value of a curve is kept."""

BUCKETS = 2000
"""Of more rows a curve keeps the lowest, the mean and the highest value of so many parts of it."""

MOST_CURVES = 200
"""The most curves of a run; those that come later are named as left out."""

AXES = ("step", "epoch", "seconds")
"""The columns that say when a row was written."""


class Series:
    """The rows of a run's ``metrics.jsonl``. ``read`` reads what was appended since the last call.

    A line that is no row is counted in ``unreadable``; of two rows of one step the later values count. In a column NaN
    stands for a row without a value, and infinity for a value that is not finite.
    """

    def __init__(self, folder: Path) -> None:
        self._file = Growing(folder / metrics_file.NAME)
        self._forget()

    def _forget(self) -> None:
        self._places: dict[int, int] = {}
        self._columns: dict[str, array[float]] = {}
        self.unreadable = 0
        self.left_out: dict[str, None] = {}
        """Scalars that are no curve, since there are too many."""

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self._places)

    @property
    def last_step(self) -> int:
        """The step of the last row, 0 if there is none."""
        return max(self._places, default=0)

    def read(self) -> None:
        """Read what has been appended; a file that was replaced or cut is read anew.

        Raises ``TranslateError`` if there is something else than a file in its place.
        """
        anew, lines = self._file.read()
        if anew:
            self._forget()
        for line in lines:
            self._add(line)

    def _add(self, line: bytes) -> None:
        row = row_of(line)
        if row is None or row["step"] > 2**53:
            self.unreadable += bool(line.strip())
            return
        place = self._places.setdefault(row["step"], len(self._places))
        for name, value in metrics_file.scalars_of(row).items():
            column = self._columns.get(name)
            if column is None:
                if len(self._columns) >= MOST_CURVES + len(AXES):
                    self.left_out.setdefault(name)
                    continue
                column = self._columns[name] = array("d")
            missing = place + 1 - len(column)
            if missing > 0:
                column.extend([math.nan] * missing)
            column[place] = value if math.isfinite(value) else math.inf

    def scalars(self) -> dict[str, NDArray[np.float64]]:
        """All columns by name, in the order of steps, NaN where a row has none."""
        order = np.argsort(np.fromiter(self._places, np.float64, len(self._places)), kind="stable")
        found = {}
        for name, column in self._columns.items():
            values = np.full(len(order), np.nan)
            values[: len(column)] = column
            found[name] = values[order]
        return found

    def curves(self) -> list[dict[str, Any]]:
        """The curves as JSON values, in tables of curves with the same rows.

        A table holds ``step``, ``epoch`` and ``seconds`` and its ``curves``, each with ``name``, ``mean`` and, where
        several rows were put together, ``low`` and ``high``; ``rows`` says how many there were, ``each`` how many were
        put together. With ``error`` both are a standard error away. None stands for what is not finite, and
        ``not_finite`` counts it. ``lowest`` and ``highest`` are the extremes of a whole curve, ``low_at`` and
        ``high_at`` their steps.
        """
        found = self.scalars()
        axes = {name: found.pop(name) for name in AXES if name in found}
        errors = {name: found.pop(f"{name}{ERROR}") for name in [*found] if f"{name}{ERROR}" in found}
        tables: dict[bytes, list[str]] = {}
        for name, values in found.items():
            if (given := ~np.isnan(values)).any():
                tables.setdefault(given.tobytes(), []).append(name)
        listed = []
        for key, names in tables.items():
            given = np.frombuffer(key, bool)
            bounds = _bounds(int(given.sum()))
            table: dict[str, Any] = {"rows": int(given.sum()), "each": 1 if bounds is None else int(bounds[1])}
            for name, values in axes.items():
                chosen = values[given]
                table[name] = _numbers(chosen if bounds is None else chosen[_lasts(bounds, len(chosen))])
            steps = axes["step"][given]
            table["curves"] = [
                _curve(name, found[name][given], steps, bounds, errors[name][given] if name in errors else None)
                for name in names
            ]
            listed.append(table)
        return listed


def _curve(
    name: str,
    values: NDArray[np.float64],
    steps: NDArray[np.float64],
    bounds: NDArray[np.intp] | None,
    error: NDArray[np.float64] | None = None,
) -> dict[str, Any]:
    curve: dict[str, Any] = {"name": printable(name), "last": _numbers(values[-1:])[0]}
    finite = np.isfinite(values)
    if finite.any():
        for kind, place in (
            ("low", np.argmin(np.where(finite, values, np.inf))),
            ("high", np.argmax(np.where(finite, values, -np.inf))),
        ):
            curve[f"{kind}est"], curve[f"{kind}_at"] = _numbers(values[place : place + 1])[0], int(steps[place])
    if bad := int(len(values) - finite.sum()):
        curve["not_finite"] = bad
    if bounds is None:
        curve["mean"] = _numbers(values)
        if error is not None:
            # A value without one is its own band.
            spread = np.where(np.isfinite(error), error, 0.0)
            curve |= {"low": _numbers(values - spread), "high": _numbers(values + spread), "error": True}
    else:
        lengths = np.diff(np.append(bounds, len(values)))
        with np.errstate(invalid="ignore", over="ignore"):
            curve["mean"] = _numbers(np.add.reduceat(values, bounds) / lengths)
            curve["low"] = _numbers(np.minimum.reduceat(values, bounds))
            curve["high"] = _numbers(np.maximum.reduceat(values, bounds))
    return curve


def _bounds(count: int) -> NDArray[np.intp] | None:
    """Where the parts begin into which so many rows are put; None if each stays."""
    if count <= EXACT:
        return None
    return np.arange(0, count, -(-count // BUCKETS))


def _lasts(bounds: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    return np.append(bounds[1:], count) - 1


def _numbers(values: NDArray[np.float64] | Sequence[float]) -> list[float | int | None]:
    """Values with six digits, which a page needs; None for what is not finite.

    >>> _numbers([1.0, 1 / 3, float("inf"), 1234567.0])
    [1, 0.333333, None, 1234567]
    """
    found: list[float | int | None] = []
    for value in np.asarray(values, np.float64).tolist():
        if not math.isfinite(value):
            found.append(None)
        elif value == int(value) and abs(value) < 2**53:
            found.append(int(value))
        else:
            found.append(float(f"{value:.6g}"))
    return found
