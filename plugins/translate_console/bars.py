"""Progress bars on stderr, drawn by rich; imported only if stderr is a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from translate.terminal import printable
from translate_console import text
from translate_console.estimate import Estimate

if TYPE_CHECKING:
    from translate.run import Run, Scalars


class TrainingBar:
    """A progress bar of steps with speed, memory and time left; the loss terms are on the line below."""

    def __init__(self, run: Run) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("step"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[stats]}", table_column=Column(no_wrap=True)),
            console=console,
            expand=True,
        )
        self._task = self._progress.add_task("step", total=run.steps, completed=run.step, stats="")
        self._estimate: Estimate | None = Estimate()
        self._terms = Text("", style="dim", overflow="ellipsis", no_wrap=True)
        self._scores = Text("", style="dim", overflow="ellipsis", no_wrap=True)
        self._live = Live(Group(self._progress, self._terms, self._scores), console=console, refresh_per_second=5)
        self._live.start()

    def move(self, run: Run) -> None:
        """Show how many steps are done and, until the first log interval has ended, an estimate of the end."""
        left = None if self._estimate is None else self._estimate.seconds_left(run.step, run.steps)
        if left is not None:
            self._progress.update(self._task, stats=_end(left))
        self._progress.update(self._task, completed=run.step)

    def log(self, run: Run, scalars: Scalars) -> None:
        """Show the terms, the speed, the memory and the time left."""
        stats = [
            text.speed(scalars.images_per_second),
            text.memory(scalars.memory),
            _end(scalars.seconds_left),
        ]
        self._estimate = None
        self._progress.update(self._task, completed=run.step, stats="  ".join(stats))
        self._terms.plain = printable(text.terms(scalars.terms))

    def validate(self, run: Run, scores: Mapping[str, float], is_best: bool) -> None:
        """Show the scores of the last validation."""
        self._scores.plain = printable(f"step {run.step}  {text.scores(scores, is_best)}")

    def save(self, run: Run, path: Path) -> None:
        """Show nothing: saved checkpoints would only push the bar away."""

    def close(self) -> None:
        """Keep the last state on the screen and release the terminal."""
        self._live.stop()


def _end(seconds: float) -> str:
    """The time left, and when that is."""
    return f"eta {text.duration(seconds)} ({text.end(seconds)})"


class ConversionBar:
    """A progress bar of images with the speed and the time left; failures are printed above it."""

    def __init__(self, total: int, verb: str) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn(text.participle(verb)),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            Pace(),
            console=self._console,
            expand=True,
        )
        self._bytes = 0
        self._task = self._progress.add_task(verb, total=total, bytes=0, bottleneck="")
        self._progress.start()

    def count(self, failure: str | None, size: int = 0, bottleneck: str = "") -> None:
        """Advance by one image of a ``size`` in bytes; print the message if it failed."""
        self._bytes += size
        if failure is not None:
            self._console.print(Text(printable(failure)), soft_wrap=True)
        self._progress.update(self._task, advance=1, bytes=self._bytes, bottleneck=bottleneck)

    def close(self) -> None:
        """Keep the last state on the screen and release the terminal."""
        self._progress.stop()


class Pace(ProgressColumn):
    """Images and MB a second, the time left, and the stage that the others wait for."""

    def render(self, task: Task) -> Text:
        """Speed and time left as text; empty before the first measurement."""
        pace = task.finished_speed or task.speed
        if not pace:
            return Text("")
        left = 0.0 if task.remaining is None else task.remaining / pace
        megabytes = pace * task.fields["bytes"] / max(task.completed, 1) / 1e6
        slowest = task.fields["bottleneck"]
        waiting = f"  {slowest} is slowest" if slowest else ""
        return Text(f"{text.speed(pace)}  {megabytes:.3g} MB/s  eta {text.duration(left)}{waiting}")
