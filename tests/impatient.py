"""A plugin that gives clients of a server little time, and lets few of them in."""

from __future__ import annotations

import click

from translate import hookimpl
from translate.serving import application, protocol, running

protocol.Connection.head_seconds = 0.5
protocol.Connection.stalled_seconds = 0.4
running.CONNECTIONS = 2
application.BODY_SECONDS = 0.6
application.KILOBYTE_SECONDS = 0.1


@hookimpl
def commands() -> list[click.Command]:
    """None: what counts is done."""
    return []
