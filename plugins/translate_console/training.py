"""Training on the console: a progress bar with the loss terms below it, or one plain line for each log interval."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from translate_console import text
from translate_console.estimate import Estimate

if TYPE_CHECKING:
    from translate.run import Run, Scalars


class Display(Protocol):
    """How a run is displayed; ``close`` restores the terminal and may be called twice."""

    def move(self, run: Run) -> None: ...

    def log(self, run: Run, scalars: Scalars) -> None: ...

    def validate(self, run: Run, scores: Mapping[str, float], is_best: bool) -> None: ...

    def save(self, run: Run, path: Path) -> None: ...

    def close(self) -> None: ...


class Lines:
    """Plain lines on stderr, for files and pipes."""

    def __init__(self) -> None:
        self._estimate: Estimate | None = Estimate()

    def move(self, run: Run) -> None:
        """Write one line once it can be told how long the run will take: single steps would fill a file."""
        left = None if self._estimate is None else self._estimate.seconds_left(run.step, run.steps)
        if left is not None:
            self._estimate = None
            text.say(f"step {run.step}/{run.steps}  about {text.span(left)} to go, ends at {text.end(left)}")

    def log(self, run: Run, scalars: Scalars) -> None:
        """Write the line of a log interval."""
        parts = [
            f"step {scalars.step}/{run.steps}",
            text.terms(scalars.terms),
            text.speed(scalars.images_per_second),
            text.memory(scalars.memory),
            f"eta {text.duration(scalars.seconds_left)}",
        ]
        text.say("  ".join(part for part in parts if part))

    def validate(self, run: Run, scores: Mapping[str, float], is_best: bool) -> None:
        """Write the scores of a validation."""
        text.say(f"step {run.step}/{run.steps}  {text.scores(scores, is_best)}")

    def save(self, run: Run, path: Path) -> None:
        """Write the path of the checkpoint."""
        text.say(f"step {run.step}/{run.steps}  saved {path}")

    def close(self) -> None:
        """Do nothing: lines need no clean-up."""


# Observers are functions, so the state of the display is a module variable; there is only one terminal.
_display: Display | None = None


def show_decoding(done: int, total: int) -> None:
    """Count the decoded images on one line of a terminal; clear the line after the last image."""
    if text.is_terminal():
        line = f"decoding images {done}/{total}"
        text.say(line if done < total else " " * len(line), end="\r")


def start(run: Run) -> None:
    """Start to display a run."""
    global _display
    end()
    if text.is_terminal():
        from translate_console.bars import TrainingBar

        _display = TrainingBar(run)
    else:
        _display = Lines()


def move(run: Run) -> None:
    """Show how many steps are done."""
    if _display is not None:
        _display.move(run)


def log(run: Run, scalars: Scalars) -> None:
    """Show the means of a log interval."""
    if _display is not None:
        _display.log(run, scalars)


def validate(run: Run, scores: Mapping[str, float], is_best: bool) -> None:
    """Show the scores of a validation."""
    if _display is not None:
        _display.validate(run, scores, is_best)


def save(run: Run, path: Path) -> None:
    """Report a checkpoint that is on the disk."""
    if _display is not None:
        _display.save(run, path)


def end() -> None:
    """Stop displaying the run."""
    global _display
    ended, _display = _display, None
    if ended is not None:
        ended.close()
