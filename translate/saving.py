"""Saving: the checkpoints and the translator of a training, written from it and loaded into it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import Any

from torch import Tensor

from translate import checkpoint, translator
from translate.background import Background
from translate.checkpoint import CheckpointError
from translate.derived import FACTS
from translate.errors import TranslateError
from translate.lock import refuse_lost
from translate.paths import quoted
from translate.run import Run
from translate.setup import Setup

log = logging.getLogger("translate")


def save(setup: Setup, run: Run, background: Background) -> None:
    """Write the checkpoint and the translator; the oldest checkpoints are deleted once the new one is complete.

    Training continues as soon as all tensors are copied. All ranks must call this; the main rank writes.
    """
    tensors = setup.engine.tensors()
    if not setup.group.is_main:
        return
    state = checkpoint.snapshot(tensors)
    trained, facts = translator_of(setup, run)
    metadata = {"engine": setup.engine.metadata(), "config": run.config.to_json(), **setup.metadata, FACTS: facts}
    saved_run = copy(run)

    def write() -> None:
        refuse_lost(saved_run.folder)
        path = saved_run.folder / "checkpoints" / f"step-{saved_run.step:08d}.safetensors"
        checkpoint.save(path, state, metadata)
        checkpoint.save(saved_run.translator, trained, facts)
        for old in saved_run.checkpoints[: -setup.config.keep]:
            old.unlink(missing_ok=True)
        setup.tell("checkpoint_saved", run=saved_run, path=path)

    background.begin(write)


def translator_of(setup: Setup, run: Run) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The run's translator at its step: copies of its tensors, averaged where there are averages, and its metadata."""
    with setup.engine.averaged():
        trained, facts = translator.contents(
            setup.method,
            name=setup.config.method,
            options=setup.config.options,
            parts=setup.parts,
            plugin=setup.catalog.offer("methods", setup.config.method).plugin,
            step=run.step,
        )
        return checkpoint.snapshot(trained), facts


def translator_step(run: Run) -> int:
    """The step of the run's translator; -1 if it is missing or damaged, or of a version that noted none."""
    try:
        return int(checkpoint.load(run.translator)[1].get("step", -1))
    except CheckpointError:
        return -1


def last_good(run: Run) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The tensors and metadata of the newest readable checkpoint; None if there is none at all."""
    for path in reversed(run.checkpoints):
        try:
            return checkpoint.load(path, holds="training")
        except CheckpointError as error:
            log.warning("warning: %s; trying the one before", error)
    if run.checkpoints:
        raise TranslateError(f"no checkpoint of {run.folder} can be read; start anew, or restore one")
    return None


def load_initial_weights(setup: Setup, init: Path) -> None:
    """Load the weights of another run, without its optimizer state and step number."""
    found = last_good(Run.open(init)) if init.is_dir() else checkpoint.load(init)
    if found is None:
        raise TranslateError(f"{init} has no checkpoint to start from")
    weights = {name: value for name, value in found[0].items() if name.startswith("method/")}
    if not weights:
        raise TranslateError(
            f"{init} is no checkpoint of a training; give a run's folder or a file in its checkpoints/"
        )
    setup.engine.load_weights(weights)


def check_environment(run: Run, metadata: Mapping[str, Any], setup: Setup) -> None:
    """Refuse to resume on other data; warn of other versions or threads, which may change the result."""
    here = setup.metadata
    if metadata["data"] != here["data"]:
        raise TranslateError(
            f"the data of {run.folder} has changed since, so it cannot be resumed; "
            f"start a new run from its weights with --init {quoted(run.folder)}"
        )
    for name in ("versions", "threads", "ranks", "device", "plugin"):
        if metadata.get(name, 1) != here[name]:
            log.warning("%s was made with other %s; it is resumed, but not to the last bit", run.folder, name)
