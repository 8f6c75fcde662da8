"""The guard of one training: looks, remembers, and warns."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping
from threading import Lock
from typing import Any

from torch import Tensor

from translate.balance import Balance
from translate.columns import Made
from translate.run import Run, Scalars
from translate.terminal import printable
from translate_guard import record
from translate_guard.detectors import DETECTORS, Seen
from translate_guard.interval import Interval
from translate_guard.pictures import look_at_data, look_at_outputs
from translate_guard.streaks import Streak

YOUNG, FIRST_STEPS = 0.05, 100
"""Outputs are judged from this share of the training on, and this step: nobody has learnt anything before."""

log = logging.getLogger("translate")


class Guard:
    """Watches one run. All that it remembers is in its rows, so a resumed run goes on from them."""

    def __init__(self, run: Run, examples: Mapping[str, Tensor]) -> None:
        # Log intervals come from the training's thread, images from another.
        self._lock = Lock()
        self._examples = examples
        self._interval = Interval()
        self._streaks: dict[str, Streak] = {}
        self._remember(run)
        self._note(run, run.step, look_at_data(examples))

    def log(self, run: Run, scalars: Scalars) -> None:
        """Look at a log interval."""
        with self._lock:
            norms = {name: each for name, each in scalars.gradient_norms.items() if math.isfinite(each)}
            balances = {name: each for name, each in scalars.balances.items() if _is_finite(each)}
            seen = self._interval.look(scalars.terms, norms, balances)
            listed = {name: dataclasses.astuple(each) for name, each in balances.items()}
            self._note(run, scalars.step, seen, gradient_norms=norms, balances=listed)

    def look(
        self, run: Run, images: Mapping[str, Tensor], made: Mapping[str, Made], real: Mapping[str, Tensor]
    ) -> None:
        """Look at a sample grid."""
        if run.step < max(YOUNG * run.steps, FIRST_STEPS):
            return
        with self._lock:
            self._note(run, run.step, look_at_outputs(images, made, real, self._examples))

    def _note(self, run: Run, step: int, seen: Mapping[str, Seen], **more: Any) -> None:
        """Write down what was seen, and warn where a sign has been there for long."""
        seen = {key: each for key, each in seen.items() if math.isfinite(each.value)}
        if not seen:
            return
        signs = [key for key, each in seen.items() if each.sign]
        values = {key: float(f"{each.value:.5g}") for key, each in seen.items()}
        rows: list[Mapping[str, Any]] = [{"step": step, "seen": values, "signs": signs, **more}]
        for key, each in seen.items():
            detector, _, subject = key.partition(":")
            asked = DETECTORS[detector]
            lasted = self._streaks.setdefault(key, Streak()).add(each.sign, step, run.steps, asked.patience)
            if lasted is None:
                continue
            text = printable(asked.text.format(subject=subject or "the method", value=each.value, steps=lasted))
            rows.append({"step": step, "warning": detector, "subject": subject, "text": text, "advice": asked.advice})
            log.warning("at step %d %s; what to do: %s", step, text, asked.advice)
        record.append(run.folder, rows)

    def _remember(self, run: Run) -> None:
        """Go through what a resumed run has seen, without a word."""
        rows = record.read_until(run.folder, run.step)
        terms = {row["step"]: row for row in run.metrics} if run.step else {}
        for row in rows:
            if "warning" in row:
                self._streaks.setdefault(f"{row['warning']}:{row.get('subject', '')}", Streak()).warned = True
            for key in row.get("seen", {}):
                detector = DETECTORS.get(key.partition(":")[0])
                if detector is not None and "signs" in row:
                    streak = self._streaks.setdefault(key, Streak())
                    warned = streak.warned
                    # What was told is in the rows: the patience may have been another, with other --steps.
                    if streak.add(key in row["signs"], row["step"], run.steps, detector.patience) is not None:
                        streak.warned = warned
            if "balances" in row:
                self._interval.look(
                    {name: each for name, each in terms.get(row["step"], {}).items() if _is_term(name, each)},
                    row.get("gradient_norms", {}),
                    {name: Balance(*each) for name, each in row["balances"].items()},
                )


def _is_finite(balance: Balance) -> bool:
    return all(math.isfinite(each) for each in (balance.accuracy, balance.discriminator, balance.generator))


def _is_term(name: str, value: object) -> bool:
    return isinstance(value, (int, float)) and "/" in name and not name.startswith("learning_rate/")
