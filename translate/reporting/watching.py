"""Watching: the report of a run served on this machine alone, whose page asks for what is new every other second.

Only fixed addresses and steps of known grids are answered, so no path comes from a client. A request must name this
server as its host, which a page of a stranger that resolves its own name to 127.0.0.1 does not.
"""

from __future__ import annotations

import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from translate import __version__
from translate.errors import TranslateError
from translate.reporting.facts import RunFacts
from translate.reporting.grids import grids_of
from translate.reporting.writing import content_of, page_of, title_of
from translate.run import Run
from translate.signals import Ended
from translate.terminal import printable
from translate.webpage import json_text

HOST = "127.0.0.1"
SECONDS = 2.0
"""How often the page asks for what is new, and how long a client may keep a connection silent, times five."""

MOST_BYTES = 256 * 2**20
"""The largest sample picture that is served."""


class Watch:
    """A server of one run's report, bound to ``port`` of 127.0.0.1, 0 for any; ``url`` is its address."""

    def __init__(self, folder: Path, port: int) -> None:
        self.run = Run.open(folder)
        self.facts = RunFacts(folder)
        self.reading = threading.Lock()
        try:
            self._server = _Server((HOST, port), _Handler)
        except OSError as error:
            raise TranslateError(
                f"cannot serve on port {port} of {HOST}: {error.strerror}; name another --port, or 0 for any"
            ) from None
        self._server.watch = self
        self.port = int(self._server.server_address[1])
        self.url = f"http://{HOST}:{self.port}/"

    def serve(self) -> None:
        """Answer until Ctrl-C, or until ``close`` is called from another thread; other signals raise ``Ended``."""
        try:
            self._server.serve_forever(poll_interval=0.2)
        except Ended:
            raise
        except KeyboardInterrupt:
            pass
        finally:
            self._server.server_close()

    def close(self) -> None:
        """End ``serve``."""
        self._server.shutdown()

    def content(self) -> dict[str, Any]:
        """What the page shows now; where the run's files cannot be read for a moment, ``TranslateError`` says so."""
        with self.reading:
            content = content_of([self.facts], None, held=False)
        return {**content, "live": SECONDS}

    def answer(self, path: str) -> tuple[str, bytes] | None:
        """The type and the body of what lies at a path; None if there is nothing."""
        if path == "/":
            content = self.content()
            return "text/html; charset=utf-8", page_of(content, title_of(content)).encode()
        if path == "/data.json":
            return "application/json", json_text(self.content()).encode()
        if found := re.fullmatch(r"/grids/([0-9]{1,19})", path):
            for grid in grids_of(self.run):
                if grid.step == int(found[1]) and grid.size <= MOST_BYTES:
                    return "image/png", grid.path.read_bytes()
        return None

    def is_own(self, host: str | None, origin: str | None) -> bool:
        """Whether a request's host, and its origin where it names one, are this server."""
        hosts = {f"{name}:{self.port}" for name in (HOST, "localhost")}
        return host in hosts and (origin is None or origin in {f"http://{each}" for each in hosts})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    watch: Watch

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle of an answer is nobody's fault."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = f"translate/{__version__}"
    sys_version = ""
    timeout = 5 * SECONDS

    def do_GET(self) -> None:
        """Answer a request, or refuse it with a status and one sentence."""
        watch = self.server.watch
        if not watch.is_own(self.headers.get("Host"), self.headers.get("Origin")):
            self._refuse(403, "this server answers its own page only")
            return
        try:
            found = watch.answer(self.path)
        except (TranslateError, OSError) as error:
            self._refuse(503, printable(error))
            return
        if found is None:
            self._refuse(404, "there is nothing at this address")
            return
        kind, body = found
        mark = f'"{hashlib.sha256(_timeless(body) if kind == "application/json" else body).hexdigest()[:32]}"'
        if self.headers.get("If-None-Match") == mark:
            self.send_response(304)
            self._headers({"ETag": mark})
            return
        self.send_response(200)
        self._headers({"Content-Type": kind, "Content-Length": str(len(body)), "ETag": mark})
        self.wfile.write(body)

    def _refuse(self, status: int, sentence: str) -> None:
        body = f"{sentence}\n".encode("utf-8", "replace")
        self.send_response(status)
        self._headers({"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(body))})
        self.wfile.write(body)

    def _headers(self, headers: dict[str, str]) -> None:
        fixed = {
            "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin", "Content-Security-Policy": "frame-ancestors 'none'",
            "Connection": "close",
        }  # fmt: skip
        for name, value in {**fixed, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing: a page asks every other second."""


def _timeless(body: bytes) -> bytes:
    """What is the same as long as nothing has changed but the time."""
    return re.sub(rb'"written":[0-9]+', b"", body)
