"""The commands that show trainings: ``report``, ``runs`` and ``watch``."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import click

from translate.cli.flags import PathType
from translate.cli.output import say, say_fields
from translate.cli.verbs import Verb
from translate.memory import in_words


def _report_report(_: click.Context, result: Any, **__: Any) -> None:
    say(f"wrote {result.page}, {in_words(result.size)}")
    if result.linked:
        say(f"  {result.linked} sample grids are not in it, and are shown from the runs' folders")


report = Verb(
    "report",
    "translate.reporting:report",
    arguments=[click.Argument(["run"], metavar="RUN...", type=PathType(), nargs=-1, required=True)],
    report=_report_report,
    help="""Write the report of a run, or lay several runs side by side: one HTML file that asks nothing of a network.

    \b
      translate report runs/one
      translate report runs/one runs/two -o compared.html

    Curves, sample grids, options that differ, scores, warnings, and the commands to go on. Each run writes its own
    report.html while it trains; this command makes it anew.
    """,
)


def _report_runs(_: click.Context, result: Any, as_json: bool, **__: Any) -> None:
    if as_json:
        click.echo(json.dumps([each.to_json() for each in result], indent=2))
        return
    rows = [
        (
            str(each.folder), each.state, each.method, each.data, f"{each.step}/{each.steps}" if each.steps else "",
            _best(each.best), in_words(each.size), time.strftime("%Y-%m-%d %H:%M", time.localtime(each.changed)),
        )
        for each in result
    ]  # fmt: skip
    if not sys.stdout.isatty():
        for row in rows:
            say_fields(*row)
        return
    titles = ("run", "state", "method", "data", "step", "best", "size", "changed")
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for row in (titles, *rows):
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for each in result:
        if each.problem:
            say(f"damaged: {each.problem}", error=True)


def _best(best: Any) -> str:
    return "" if best is None else f"{best['score']} {float(best['value']):.5g} at {best['step']}"


runs = Verb(
    "runs",
    "translate.reporting:runs",
    arguments=[click.Argument(["folder"], metavar="[FOLDER]", type=PathType(), default="runs")],
    report=_report_runs,
    flags=[click.Option(["--json", "as_json"], is_flag=True, help="print JSON")],
    help="""List the runs below FOLDER (default: runs): method, data, step, state, best score, size on disk.

    \b
      translate runs
      translate runs /data/runs | cut -f 1,2

    A state is running, finished, stopped or damaged. In a pipe the fields are separated by tabs, without a title. The
    best score is that of the first validation score, the higher or the lower one as its name says.
    """,
)


def _report_watch(_: click.Context, result: Any, **__: Any) -> None:
    say(f"watch {result.run.folder} at {result.url} (Ctrl-C ends)")
    sys.stdout.flush()
    result.serve()
    say("ended")


watch = Verb(
    "watch",
    "translate.reporting:watch",
    arguments=[click.Argument(["run"], metavar="RUN", type=PathType())],
    report=_report_watch,
    help="""Serve the report of a run on 127.0.0.1, refreshed while it trains.

    \b
      translate watch runs/one
      translate watch runs/one --port 0

    It reads the run's folder alone, so it may be started and ended at any time. The exit code is 0 after Ctrl-C, 143
    after SIGTERM, and 2 if the folder is no run or the port is taken.
    """,
)
