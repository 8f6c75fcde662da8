"""Rollback: a training whose values are no longer finite goes on from its last good checkpoint at half the rates."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from translate import changes, checkpoint
from translate.background import Background
from translate.best import Best
from translate.errors import NotFiniteError, TranslateError
from translate.numbered import checkpoint_path, steps_of
from translate.ordered import OrderedLog
from translate.progress import Progress
from translate.run import Run
from translate.saving import last_good, save
from translate.setup import Setup

MOST = 3
"""How often a run may go back, over all its resumptions."""

log = logging.getLogger("translate")


def go_back(
    error: NotFiniteError,
    setup: Setup,
    run: Run,
    background: Background,
    ordered: OrderedLog,
    beside: Callable[[], AbstractContextManager[None]],
) -> None:
    """Load the last good checkpoint into a training and halve its learning rates; all ranks must call this.

    A checkpoint to which the run has gone back before, and after which no other was written, is not good: it is removed
    if there is an earlier one. All is told, and recorded in the run's ``changes.json`` and ``config.json``. The
    checkpoint is written again, so that a resumed run goes on from the same state.

    Raises ``NotFiniteError`` if the run is not to go back, may not do so again, or has nothing to go back to.
    """
    if setup.config.on_nan != "rollback":
        raise error
    if run.rollbacks >= MOST:
        raise NotFiniteError(f"{error}, after {MOST} rollbacks")
    with beside():
        background.finish()
        ordered.tell_all()
    found = _found(run) if setup.group.is_main else None
    step = torch.tensor(-1 if found is None else int(found[1]["engine"]["step"]))
    setup.group.broadcast([step])
    if int(step) < 0:
        raise NotFiniteError(f"{error}, and there is no checkpoint to go back to")
    tensors, metadata = found or checkpoint.load(checkpoint_path(run.folder, int(step)), holds="training")
    failed, before = run.step, run.rate_scale
    run.rollbacks += 1
    setup.engine.rate_scale = run.rate_scale
    setup.engine.load(tensors, metadata["engine"])
    run.step = setup.engine.step_count
    run.progress = Progress(metadata.get("progress"))
    run.progress.begin(setup.epoch_length, run.step * setup.images_per_step)
    run.best = Best.restored(setup.config.keep_best, metadata.get("best"))
    if setup.group.is_main:
        log.warning(
            "%s: the training goes back from step %d to %d, and its learning rates are halved to %g of what was asked "
            "for (rollback %d of %d)",
            error, failed, run.step, setup.engine.rate_scale, run.rollbacks, MOST,
        )  # fmt: skip
        with beside():
            run.forget_after(run.step)
            run.write_config(setup.metadata)
            changes.rewind(run.folder, run.step)
            changes.record(run.folder, run.step, changes.RATE_FACTOR, before, setup.engine.rate_scale)
    save(setup, run, background, beside)


def _found(run: Run) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The checkpoint to go back to; None if there is none that can be read."""
    try:
        found = last_good(run.folder)
        if found is None:
            return None
        step = int(found[1]["engine"]["step"])
        earlier = next((each for each in steps_of(run.folder) if each < step), None)
        if earlier is None or not any(each.what == changes.RATE_FACTOR and each.step == step for each in run.changes):
            return found
        path = checkpoint_path(run.folder, step)
        found = checkpoint.load(checkpoint_path(run.folder, earlier), holds="training")
        path.unlink()
        log.warning("%s is removed, since the training has gone back to it before", path)
        return found
    except (TranslateError, OSError) as unreadable:
        log.warning("%s", unreadable)
        return None
