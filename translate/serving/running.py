"""The server's life: it binds its address, loads the translator, serves, and stops when a signal asks it to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import uvicorn

from translate.conversion import Converter
from translate.errors import TranslateError
from translate.serving.application import Application
from translate.serving.desk import Desk
from translate.serving.guard import is_local, parse_host, parse_origin
from translate.serving.metrics import Metrics
from translate.serving.protocol import HEAD_BYTES, Connection
from translate.signals import EXIT_BASE, ending_signals, handled

log = logging.getLogger("translate")

CONNECTIONS = 64
"""Connections beside those of the requests that are admitted."""

LINGER_SECONDS = 5
"""How long a stopping server waits beyond the time that a request has."""


def run(
    path: Path,
    asked: Mapping[str, Any],
    plugins: Sequence[str],
    no_plugins: Sequence[str],
    started: Callable[[str], None],
) -> None:
    """Serve until a signal comes; ``asked`` are the checked options of ``serve``."""
    for host in asked["allow_host"]:
        parse_host(host)
    for origin in asked["allow_origin"]:
        parse_origin(origin)
    with contextlib.closing(_listen(asked["host"], asked["port"])) as listening:
        converter = Converter(path, asked, plugins, no_plugins)
        port = listening.getsockname()[1]
        name = f"[{asked['host']}]" if ":" in asked["host"] else asked["host"]
        if not is_local(asked["host"]):
            log.warning(
                "%s is reached from other machines: whoever reaches it may translate, since there is no password",
                asked["host"],
            )
        folder = Path(tempfile.mkdtemp(prefix="translate-serve-"))
        try:
            asyncio.run(_serve(converter, path, asked, listening, folder, lambda: started(f"http://{name}:{port}/")))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, UnicodeError, OverflowError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise TranslateError(
            f"serve cannot listen at {host!r:.100}, port {port}: {reason}; choose another --host or --port"
        ) from None


class _Server(uvicorn.Server):
    """uvicorn's server without its own signals, which would be raised again at its end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to whoever runs the server."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and tell it."""
        await super().startup(sockets)
        self.on_startup()

    on_startup: Callable[[], None] = staticmethod(lambda: None)


async def _serve(
    converter: Converter,
    path: Path,
    asked: Mapping[str, Any],
    listening: socket.socket,
    folder: Path,
    started: Callable[[], None],
) -> None:
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio"):
        # What clients do wrong is answered, not logged.
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    desk = Desk(converter, queue=asked["queue"], timeout=asked["timeout"], place=folder, metrics=Metrics())
    application = Application(desk, path, asked)
    Connection.most = asked["queue"] + CONNECTIONS
    config = uvicorn.Config(
        application.guarded, http=Connection, ws="none", lifespan="off", loop="asyncio", log_config=None,
        access_log=False, proxy_headers=False, server_header=False, h11_max_incomplete_event_size=HEAD_BYTES,
        timeout_keep_alive=5, timeout_graceful_shutdown=int(asked["timeout"]) + LINGER_SECONDS,
    )  # fmt: skip
    server = _Server(config)
    server.on_startup = started
    asked_to_stop = 0

    def stop(number: int) -> None:
        nonlocal asked_to_stop
        asked_to_stop += 1
        if asked_to_stop > 1:
            # At once: threads that compute are not waited for.
            shutil.rmtree(folder, ignore_errors=True)
            sys.stdout.flush()
            os._exit(EXIT_BASE + number)
        desk.stopping = True
        server.should_exit = True

    working = asyncio.create_task(desk.run())
    with handled(ending_signals(), stop):
        await server.serve([listening])
        await desk.close()
    working.cancel()
