"""Console: progress of training and conversion, as a bar on a terminal and as plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from translate import hookimpl

if TYPE_CHECKING:
    from translate.run import Run, Scalars


@hookimpl
def images_decoded(done: int, total: int) -> None:
    """Show the progress of decoding."""
    from translate_console import training

    training.show_decoding(done, total)


@hookimpl
def run_started(run: Run) -> None:
    """Start the progress bar."""
    from translate_console import training

    training.start(run)


@hookimpl
def step_passed(run: Run) -> None:
    """Advance the progress bar."""
    from translate_console import training

    training.move(run)


@hookimpl
def step_ended(run: Run, scalars: Scalars) -> None:
    """Show the loss terms and the speed."""
    from translate_console import training

    training.log(run, scalars)


@hookimpl
def validation_ended(run: Run, scores: Mapping[str, float], is_best: bool) -> None:
    """Show the scores of a validation."""
    from translate_console import training

    training.validate(run, scores, is_best)


@hookimpl
def checkpoint_saved(run: Run, path: Path) -> None:
    """Report a saved checkpoint."""
    from translate_console import training

    training.save(run, path)


@hookimpl
def run_ended() -> None:
    """Remove the progress bar."""
    from translate_console import training

    training.end()


@hookimpl
def conversion_started(total: int, verb: str) -> None:
    """Start the progress bar of a conversion, an encoding or a sampling."""
    from translate_console import conversion

    conversion.start(total, verb)


@hookimpl
def image_converted(source: Path, error: str | None, bottleneck: str) -> None:
    """Count an image and report a failure."""
    from translate_console import conversion

    conversion.count(source, error, bottleneck)


@hookimpl
def conversion_ended() -> None:
    """Remove the progress bar."""
    from translate_console import conversion

    conversion.end()
