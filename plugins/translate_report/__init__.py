"""Report: ``report.html`` in a run's folder, written while the run trains; ``--no-plugin report`` leaves it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from translate import hookimpl

if TYPE_CHECKING:
    from translate.reporting import RunReport
    from translate.run import Run

# Observers are functions, so the report of the training that goes on is a module variable.
_report: RunReport | None = None


@hookimpl
def run_started(run: Run) -> None:
    """Begin the report."""
    global _report
    from translate.reporting import RunReport

    _report = RunReport(run)
    _report.begin()


@hookimpl(trylast=True)
def samples_drawn() -> None:
    """Show the new grid, once it is written."""
    _update()


@hookimpl(trylast=True)
def checkpoint_saved() -> None:
    """Show what was logged since the last time."""
    _update()


@hookimpl
def run_ended(reason: str) -> None:
    """Write the report for the last time."""
    global _report
    ended, _report = _report, None
    if ended is not None:
        ended.end(reason)


def _update() -> None:
    if _report is not None:
        _report.update()
