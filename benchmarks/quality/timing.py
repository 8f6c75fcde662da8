"""How long a run has trained, as its log tells."""

from __future__ import annotations

from translate.run import Run


def seconds_of(run: Run) -> float:
    """The seconds up to the last step, with what was saved and drawn on the way, however often it was stopped."""
    total, before = 0.0, 0
    for line in run.metrics:
        total += (line["step"] - before) * run.config.batch * run.config.accumulate / line["images_per_second"]
        before = line["step"]
    return total
