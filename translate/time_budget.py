"""Time budget: how many steps a training of so many minutes has, by the speed of some that are taken back again."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from translate import changes, checkpoint
from translate.errors import TranslateError
from translate.loader import Loader
from translate.run import Run
from translate.setup import Setup

SETTLING, FEWEST = 3, 5
"""Steps that are not timed, since the first are slower, and the fewest that are."""

SECONDS, SHARE = 5.0, 0.02
"""The time of measuring that is enough, and the largest share of the budget for it beyond the fewest steps."""

log = logging.getLogger("translate")


def fix_steps(
    setup: Setup, run: Run, loader: Loader, minutes: float, clock: Callable[[], float] = time.perf_counter
) -> None:
    """Measure some steps, take them back, and give the run as many as fit into ``minutes`` of training.

    The time that it has trained before counts. Then the run is one of that many steps like any other: so its schedule
    knows the whole length from the first step on, and it can be resumed exactly. All ranks must call this. Raises
    ``TranslateError`` if no time is left.
    """
    engine, config = setup.engine, setup.config
    left = 60 * minutes - run.progress.seconds_before
    if left <= 0:
        raise TranslateError(
            f"{run.folder} has trained {run.progress.seconds_before / 60:.3g} minutes already; give more --minutes"
        )
    began = clock()
    state, facts = checkpoint.snapshot(engine.tensors()), engine.metadata()

    def seconds_of(count: int) -> float:
        _wait_for(engine.device)
        start = clock()
        for _ in range(count):
            first = engine.step_count * config.accumulate
            engine.step([loader.batch(first + number) for number in range(config.accumulate)])
        _wait_for(engine.device)
        # All ranks take the same mean, so that all take the same decisions.
        taken = torch.tensor((clock() - start) / count, dtype=torch.float64, device=engine.device)
        return max(float(setup.group.mean(taken)), 1e-9)

    seconds_of(SETTLING)
    each, timed = seconds_of(FEWEST), FEWEST
    more = math.ceil(min(SECONDS, SHARE * left) / each) - FEWEST
    if more > 0:
        each, timed = seconds_of(more), more
    engine.load(state, facts)
    spent = torch.tensor(clock() - began, dtype=torch.float64, device=engine.device)
    steps = run.step + max(1, int((left - float(setup.group.mean(spent))) / each))
    before = run.steps
    setup.steps = engine.steps = run.steps = steps
    run.config = setup.config = replace(config, steps=steps, epochs=None, minutes=None)
    if not setup.group.is_main:
        return
    log.warning(
        "%g minutes are about %d steps: one takes %.3g s, as %d of them did, which were then taken back; the run has "
        "this length from now on, beside which samples, checkpoints and validations take their time",
        minutes, steps, each, timed,
    )  # fmt: skip
    run.write_config(setup.metadata)
    if run.step == 0:
        changes.record(run.folder, 0, "length", f"{minutes:g} minutes", f"{steps} steps")
    else:
        changes.record(run.folder, run.step, "steps", before, steps)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
