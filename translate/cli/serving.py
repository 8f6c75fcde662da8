"""The command ``serve``, which prints its address when it listens, and ends when a signal comes."""

from __future__ import annotations

import sys
from typing import Any

import click

from translate.cli.flags import PathType
from translate.cli.output import say
from translate.cli.verbs import Verb


def _tell_address(values: dict[str, Any]) -> dict[str, Any]:
    def tell(address: str) -> None:
        # Whoever waits for it may read a pipe.
        say(f"serving {values['run']} at {address}")
        sys.stdout.flush()

    return {"started": tell}


def _report_served(_: click.Context, __: Any, **___: Any) -> None:
    say("stopped")


serve = Verb(
    "serve",
    "translate.serving:serve",
    arguments=[click.Argument(["run"], metavar="RUN_OR_FILE", type=PathType())],
    report=_report_served,
    further=_tell_address,
    help="""Serve a page and an HTTP interface that translate images.

    \b
      translate serve runs/one
      translate serve model.onnx --port 9000
      curl -F image=@photo.jpg http://127.0.0.1:8000/api/translate -o translated.jpg

    On the page one drops, pastes or draws an image. Ctrl-C stops the server: no more requests are taken, those that
    have begun are answered, and the exit code is 0. A second one ends it at once, with exit code 130.
    """,
)
