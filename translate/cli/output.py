"""What the command line prints: each line by one function, in which nothing controls the terminal."""

from __future__ import annotations

import logging
import sys
from typing import Any

import click

from translate.terminal import printable


def say(line: object = "", *, error: bool = False) -> None:
    """Print one line, to stderr if it tells of an ``error``; what came from files and names is escaped."""
    click.echo(printable(line), err=error)


def say_fields(*fields: object) -> None:
    """Print one line of fields with tabs between, each of them escaped."""
    click.echo("\t".join(printable(field) for field in fields))


class _Formatter(logging.Formatter):
    """Log messages as single escaped lines."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(record.getMessage())


def prepare_output() -> None:
    """Let the log go to stderr, and let streams write what their encoding lacks as escapes instead of failing."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
