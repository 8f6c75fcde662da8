"""The guard before the routes: who may ask, and by which name; what every answer says; and no fault without an answer.

A page of another site can make a browser send requests to this machine, and a name that it controls can be made to
stand for 127.0.0.1 (DNS rebinding). So the ``Host`` of a request must be known, and its ``Origin``, if it has one, must
be this server or allowed.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any

from starlette.responses import JSONResponse

from translate.errors import TranslateError
from translate.serving.desk import internal_error
from translate.serving.metrics import Metrics

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOCAL = ("localhost", "127.0.0.1", "::1")

ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "x-frame-options": "DENY",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
"""Headers of every answer; a route may have others of these names."""

MOST_HEADERS = 100
MOST_HEAD_BYTES = 2**14
"""Of all headers together; the protocol bounds only heads that come in pieces."""

MOST_ADDRESS_BYTES = 2**13

EXPOSED = "X-Translate-Notices, X-Translate-Suffix, Retry-After"


def error_answer(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """A refusal as JSON: ``{"error": "..."}``."""
    return JSONResponse({"error": " ".join(sentence.split())}, status, headers)


class Guard:
    """An ASGI application around another; ``host`` is the address that the server listens at."""

    def __init__(
        self, app: App, *, host: str, hosts: Sequence[str], origins: Sequence[str], metrics: Metrics, routes: set[str]
    ) -> None:
        self._app, self._metrics, self._routes = app, metrics, routes
        self._origins = frozenset(map(parse_origin, origins))
        self._hosts = {*LOCAL, host.lower(), *(parse_host(each) for each in hosts)}
        # Who listens at more than this machine's own address is asked by addresses, which nobody can rebind.
        self._addresses = not is_local(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            return
        method, begun = scope["method"], time.perf_counter()
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        origin = next((value for name, value in headers if name == "origin"), None)
        allowed = origin is not None and origin.lower() in self._origins
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _with(message["headers"], self._further(origin if allowed else None))
            await send(message)

        scope["translate.begun"] = begun
        try:
            refusal = _too_long(scope) or self._refusal(headers, method, allowed=allowed)
            if refusal is not None:
                await refusal(scope, receive, answer)
            elif method == "OPTIONS" and allowed:
                await _preflight()(scope, receive, answer)
            else:
                await self._app(scope, receive, answer)
        except Exception as error:
            refused = internal_error(error)
            if status == 0:
                await error_answer(refused.status, str(refused))(scope, receive, answer)
        finally:
            route = scope["path"] if scope["path"] in self._routes else "other"
            known = method if method in ("GET", "HEAD", "POST", "OPTIONS") else "other"
            # 499: the client has gone.
            self._metrics.requests[route, known, status or 499] += 1

    def _refusal(self, headers: Sequence[tuple[str, str]], method: str, *, allowed: bool) -> JSONResponse | None:
        found = dict(headers)
        host = found.get("host", "")
        if not self._knows(host):
            return error_answer(
                421, f"this server is not known as {host!r:.100}; ask it by its address, or start it with --allow-host"
            )
        origin = found.get("origin")
        if origin is not None and not allowed and origin.lower().partition("://")[2] != host.lower():
            return error_answer(
                403, f"pages of {origin!r:.100} may not ask this server; start it with --allow-origin to let them"
            )
        crosses = found.get("sec-fetch-site") in ("cross-site", "same-site")
        if origin is None and crosses and method not in ("GET", "HEAD"):
            return error_answer(403, "a page of another site may not ask this server; start it with --allow-origin")
        return None

    def _knows(self, host: str) -> bool:
        try:
            name = parse_host(host)
        except TranslateError:
            return False
        return name in self._hosts or (self._addresses and _is_address(name))

    def _further(self, origin: str | None) -> dict[str, str]:
        if origin is None:
            return {**ALWAYS, "cross-origin-resource-policy": "same-origin", "vary": "Origin"}
        return {
            **ALWAYS,
            "cross-origin-resource-policy": "cross-origin",
            "access-control-allow-origin": origin,
            "access-control-expose-headers": EXPOSED,
            "vary": "Origin",
        }


def parse_host(text: str) -> str:
    """The name or address in a ``Host`` header, without its port; raises ``TranslateError`` for what is none.

    >>> parse_host("Localhost:8000"), parse_host("[::1]:8000"), parse_host("::1")
    ('localhost', '::1', '::1')
    """
    found = re.fullmatch(r"\[([0-9a-f:.]+)\](?::\d{1,5})?|([a-z0-9._-]+)(?::\d{1,5})?|([0-9a-f:.]+)", text.lower())
    if found is None or len(text) > 255:
        raise TranslateError(f"serve: {text!r:.100} is no name of a host; give one such as gpu.example.org")
    name: str = next(filter(None, found.groups()))
    return name.rstrip(".")


def parse_origin(text: str) -> str:
    """An origin as browsers send it; raises ``TranslateError`` for what is none.

    >>> parse_origin("https://Example.org")
    'https://example.org'
    """
    if not re.fullmatch(r"https?://[a-z0-9._\[\]:-]+", text.lower()):
        raise TranslateError(
            f"serve: --allow-origin {text!r:.100} is no origin; give scheme and host, such as https://example.org"
        )
    return text.lower()


def is_local(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    return host.lower() == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _too_long(scope: Scope) -> JSONResponse | None:
    if len(scope["raw_path"]) + len(scope["query_string"]) > MOST_ADDRESS_BYTES:
        return error_answer(414, f"the address has more than {MOST_ADDRESS_BYTES} bytes; send fields in a form")
    size = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    if len(scope["headers"]) > MOST_HEADERS or size > MOST_HEAD_BYTES:
        return error_answer(
            431, f"the request has more than {MOST_HEADERS} headers or {MOST_HEAD_BYTES} bytes of them; send fewer"
        )
    return None


def _preflight() -> JSONResponse:
    return JSONResponse(
        None,
        headers={
            "access-control-allow-methods": "GET, POST",
            "access-control-allow-headers": "content-type",
            "access-control-max-age": "600",
        },
    )


def _with(headers: Iterable[tuple[bytes, bytes]], further: dict[str, str]) -> list[tuple[bytes, bytes]]:
    found = list(headers)
    there = {name.lower() for name, _ in found}
    return [*found, *((n.encode(), v.encode("latin-1")) for n, v in further.items() if n.encode() not in there)]
