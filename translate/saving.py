"""Saving: the checkpoints and the translator of a training, written from it and loaded into it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from pathlib import Path
from typing import Any

from torch import Tensor

from translate import checkpoint, translator
from translate.background import Background
from translate.best import VALIDATED, as_json, best_checkpoint, best_translator
from translate.checkpoint import CheckpointError
from translate.derived import FACTS
from translate.errors import TranslateError
from translate.intervals import interval_of, outdated
from translate.lock import refuse_lost
from translate.numbered import checkpoint_path, steps_of
from translate.run import Config, Run
from translate.setup import Setup

log = logging.getLogger("translate")


def save(
    setup: Setup,
    run: Run,
    background: Background,
    beside: Callable[[], AbstractContextManager[None]] = nullcontext,
    *,
    regular: bool = True,
    best: bool = False,
) -> None:
    """Write the checkpoint and the translator; the oldest checkpoints are deleted once the new one is complete.

    The ``best`` of the training is kept under a name of its own, as well or, if it is not ``regular``, alone.
    Training continues as soon as all tensors are copied. All ranks must call this; the main rank writes, within
    ``beside``, which no collective operation is.
    """
    tensors = setup.engine.tensors()
    if setup.group.is_main:
        with beside():
            background.begin(writing(setup, run, tensors, regular=regular, best=best))


def writing(
    setup: Setup,
    run: Run,
    tensors: Mapping[str, Tensor],
    *,
    partial: bool = False,
    regular: bool = True,
    best: bool = False,
) -> Callable[[], None]:
    """Copy what a checkpoint and the translator hold; the result writes them, and deletes the oldest checkpoints.

    ``partial`` notes that it is not exactly the state after a step.
    """
    state = checkpoint.snapshot(tensors)
    trained, facts = translator_of(setup, run)
    engine = {**setup.engine.metadata(), **({"partial": True} if partial else {})}
    metadata = {"engine": engine, "config": run.config.to_json(), **setup.metadata, FACTS: facts}
    metadata["progress"] = run.progress.facts()
    if run.best is not None:
        metadata["best"] = run.best.facts()
    saved_run = copy(run)

    def write() -> None:
        refuse_lost(saved_run.folder)
        if best and saved_run.best is not None:
            name, value = saved_run.best.name, as_json(saved_run.best.value)
            path = best_checkpoint(saved_run.folder, name)
            checkpoint.save(path, state, metadata)
            chosen = {"score": name, "value": value, "split": VALIDATED}
            checkpoint.save(best_translator(saved_run.folder, name), trained, {**facts, "chosen": chosen})
            setup.tell("checkpoint_saved", run=saved_run, path=path)
        if not regular:
            return
        path = checkpoint_path(saved_run.folder, saved_run.step)
        checkpoint.save(path, state, metadata)
        checkpoint.save(saved_run.translator, trained, facts)
        every = interval_of(setup.config.save_every, saved_run.steps)
        there = steps_of(saved_run.folder)
        for step in outdated(sorted(there), every, setup.config.keep):
            there[step].unlink(missing_ok=True)
        setup.tell("checkpoint_saved", run=saved_run, path=path)

    return write


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
            notes=_notes(setup.config),
        )
        return checkpoint.snapshot(trained), facts


def is_translator_current(setup: Setup, run: Run) -> bool:
    """Whether the run's translator is readable, of the run's step, and holds the licence and description asked for."""
    try:
        facts = checkpoint.load(run.translator)[1]
    except CheckpointError:
        return False
    notes = _notes(setup.config)
    return facts.get("step", -1) >= run.step and all(facts.get(name) == text for name, text in notes.items())


def _notes(config: Config) -> dict[str, str | None]:
    return {"licence": config.licence, "about": config.about}


def last_good(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The tensors and metadata of a run's newest readable checkpoint; None if there is none at all."""
    paths = steps_of(folder).values()
    for path in paths:
        try:
            return checkpoint.load(path, holds="training")
        except CheckpointError as error:
            log.warning("warning: %s; trying the one before", error)
    if paths:
        raise TranslateError(f"no checkpoint of {folder} can be read; start anew, or restore one")
    return None


def check_environment(run: Run, metadata: Mapping[str, Any], setup: Setup) -> None:
    """Warn of other versions or threads, which may change the result; other data is the concern of ``DataCheck``."""
    here = setup.metadata
    for name in ("versions", "threads", "ranks", "device", "plugin"):
        if metadata.get(name, 1) != here[name]:
            log.warning("%s was made with other %s; it is resumed, but not to the last bit", run.folder, name)
    if metadata["engine"].get("partial"):
        log.warning("%s ended within a step; it is resumed from there, but not to the last bit", run.folder)
