"""Guard: watches a training and says in plain words when it goes wrong, on the console and in ``guard.jsonl``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from translate import hookimpl

if TYPE_CHECKING:
    from torch import Tensor

    from translate.columns import Made
    from translate.run import Run, Scalars
    from translate_guard.guard import Guard

# Observers are functions, so what a training has shown so far is a module variable; a process trains one at a time.
_guard: Guard | None = None


@hookimpl
def run_started(run: Run, examples: Mapping[str, Tensor]) -> None:
    """Begin to watch a training, from where its ``guard.jsonl`` ends, and look at its data."""
    global _guard
    _guard = None
    if run.config.guard:
        from translate_guard.guard import Guard

        _guard = Guard(run, examples)


@hookimpl
def step_ended(run: Run, scalars: Scalars) -> None:
    """Look at the terms, gradients and balances of a log interval."""
    if _guard is not None:
        _guard.log(run, scalars)


@hookimpl
def samples_drawn(run: Run, images: Mapping[str, Tensor], made: Mapping[str, Made], real: Mapping[str, Tensor]) -> None:
    """Look at what the networks make of the shown examples."""
    if _guard is not None:
        _guard.look(run, images, made, real)


@hookimpl
def run_ended() -> None:
    """Stop watching."""
    global _guard
    _guard = None
