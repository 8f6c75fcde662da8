"""Console: what training and conversion tell on the terminal, as a bar, or as plain lines where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from translate import hookimpl

if TYPE_CHECKING:
    from translate.run import Run, Scalars


@hookimpl
def images_decoded(done: int, total: int) -> None:
    """Show how far the decoding is."""
    from translate_console import training

    training.show_decoding(done, total)


@hookimpl
def run_started(run: Run) -> None:
    """Put up the bar."""
    from translate_console import training

    training.start(run)


@hookimpl
def step_passed(run: Run) -> None:
    """Move the bar."""
    from translate_console import training

    training.move(run)


@hookimpl
def step_ended(run: Run, scalars: Scalars) -> None:
    """Show the terms and the speed."""
    from translate_console import training

    training.log(run, scalars)


@hookimpl
def checkpoint_saved(run: Run, path: Path) -> None:
    """Say that a checkpoint is safe."""
    from translate_console import training

    training.save(run, path)


@hookimpl
def run_ended() -> None:
    """Take the bar down."""
    from translate_console import training

    training.end()


@hookimpl
def conversion_started(total: int) -> None:
    """Put up the bar of a conversion."""
    from translate_console import conversion

    conversion.start(total)


@hookimpl
def image_converted(source: Path, error: str | None) -> None:
    """Count an image, and tell a failure."""
    from translate_console import conversion

    conversion.count(source, error)


@hookimpl
def conversion_ended() -> None:
    """Take the bar down."""
    from translate_console import conversion

    conversion.end()
