"""The commands that measure: ``translate evaluate`` and ``translate compare``."""

from __future__ import annotations

import json
from typing import Any

import click

from translate.cli.flags import PathType
from translate.cli.output import say
from translate.cli.verbs import Verb


def _report_scores(_: click.Context, result: Any, as_json: bool, **__: Any) -> None:
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2, allow_nan=False))
        return
    for line in result.lines():
        say(line)


def _runs_and_data(values: dict[str, Any]) -> dict[str, Any]:
    first, *others = values["runs"]
    return {"run": first, "data": values["data"], "against": others}


evaluate = Verb(
    "evaluate",
    "translate.evaluation:evaluate",
    arguments=[
        click.Argument(["runs"], metavar="RUN_OR_FILE...", type=PathType(), nargs=-1, required=True),
        click.Argument(["data"], metavar="DATA"),
    ],
    positional=(),
    further=_runs_and_data,
    report=_report_scores,
    flags=[click.Option(["--json", "as_json"], is_flag=True, help="print JSON")],
    help="""Measure a trained network with metrics, on data that it was not trained on.

    \b
      translate evaluate runs/one photos/ --metric psnr --metric ssim
      translate evaluate runs/one photos/ --metric "frechet(extractor=squeezenet(weights='squeezenet.pth'))"
      translate evaluate runs/one runs/two photos/ --metric psnr --per-image scores.csv

    Several runs are measured on the same images, and compared with the first.
    """,
)


compare = Verb(
    "compare",
    "translate.evaluation:compare",
    arguments=[
        click.Argument([name], metavar=metavar, type=PathType())
        for name, metavar in (("made", "OUT"), ("truth", "TRUTH"))
    ],
    report=_report_scores,
    flags=[click.Option(["--json", "as_json"], is_flag=True, help="print JSON")],
    help="""Measure the images of one folder against those of another with metrics, without any run.

    \b
      translate compare converted/ truth/ --metric psnr --metric ssim
      translate compare converted/ truth/ --metric "kid(extractor=squeezenet(weights='squeezenet.pth'))" --at 256

    Metrics of pairs compare images of the same path below the folders, without suffix; metrics of sets need no pairs.
    Sizes that differ are refused, unless --at resizes all images.
    """,
)
