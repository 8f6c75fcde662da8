"""Reports: what became of trainings, as one HTML page, of a run while it trains, of one afterwards, or of several."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from translate import outputs
from translate.options import Option, asked_of
from translate.paths import expanded
from translate.reporting.listing import RunSummary, summaries
from translate.reporting.writing import PAGE, RunReport, write_report

if TYPE_CHECKING:
    from translate.reporting.watching import Watch

__all__ = [
    "Report",
    "RunReport",
    "RunSummary",
    "report",
    "runs",
    "watch",
]


@dataclass(frozen=True, slots=True)
class Report:
    """A report that was written: its page and its size in bytes, of how many runs, and which grids it only links."""

    page: Path
    runs: int
    size: int
    linked: int


def report(
    run: Sequence[str | Path],
    *,
    output: Annotated[
        Path | None,
        Option("the page (default: report.html in the run, of several in this folder)", metavar="FILE", short="-o"),
    ] = None,
    overwrite: Annotated[bool, Option("replace FILE if it is something else than a report")] = False,
) -> Report:
    """Write the report of a run, or of several side by side, and return what was written.

    Raises ``TranslateError`` if a folder is no run, or if the page would replace something else than a report.
    """
    asked = asked_of(report, {"output": output, "overwrite": overwrite})
    # One run may be named twice, also by a link to it.
    named: dict[str, Path] = {}
    for each in map(expanded, run):
        named.setdefault(os.path.realpath(each), each)
    folders = list(named.values())
    page = asked["output"] or (folders[0] / PAGE if len(folders) == 1 else Path(PAGE))
    outputs.refuse_standard(page, "a report")
    return Report(page, len(folders), *write_report(folders, page, overwrite=asked["overwrite"]))


def runs(folder: str | Path = "runs") -> list[RunSummary]:
    """The runs at and below a folder, by their names, also damaged ones.

    Raises ``TranslateError`` if the folder cannot be listed.
    """
    return summaries(expanded(folder))


def watch(
    run: str | Path,
    *,
    port: Annotated[int, Option("port on 127.0.0.1; 0: any that is free", ge=0, le=65535)] = 8765,
) -> Watch:
    """Serve the report of a run on this machine; ``Watch.serve`` answers until it is ended by Ctrl-C.

    Raises ``TranslateError`` if the folder is no run, or if the port is taken.
    """
    from translate.reporting.watching import Watch

    return Watch(expanded(run), asked_of(watch, {"port": port})["port"])
