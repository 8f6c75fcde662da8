"""The protocol of one connection: uvicorn's for HTTP/1.1, with limits for clients that are slow, many or malformed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""Within which the head of a request must come, once a connection is open or the request has begun."""

HEAD_BYTES = 2**14
"""The most bytes of a request's head."""

STALLED_SECONDS = 15.0
"""After which a connection is cut whose client has taken nothing of an answer."""


class Connection(H11Protocol):
    """A connection; of more than ``most`` at a time each is answered by 503 and closed."""

    most = 256
    head_seconds = HEAD_SECONDS
    stalled_seconds = STALLED_SECONDS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch."""
        super().connection_made(transport)
        self._unsent = 0
        self._watch: asyncio.TimerHandle | None = None
        self._head: asyncio.TimerHandle | None = None
        if len(self.connections) > self.most:
            self._answer(503, "there are too many connections; try again later")
            return
        self._head = self.loop.call_later(self.head_seconds, self._without_head)
        self._watch = self.loop.call_later(self.stalled_seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """End to watch."""
        for timer in (self._watch, self._head):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come; the time for a head runs from its first byte to its last."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        waits = self.conn.their_state is h11.IDLE
        if not waits and self._head is not None:
            self._head.cancel()
            self._head = None
        elif waits and self._head is None and not self.transport.is_closing():
            self._head = self.loop.call_later(self.head_seconds, self._without_head)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, or has too long a head."""
        self._answer(400, "this is no request of HTTP/1.1, or its head is too long")

    def handle_events(self) -> None:
        """Take events; a target that is no text in UTF-8 is refused as what is no HTTP."""
        try:
            super().handle_events()
        except (UnicodeError, h11.LocalProtocolError):
            self.send_400_response("")

    def shutdown(self) -> None:
        """Close, once what is being answered is."""
        try:
            super().shutdown()
        except h11.LocalProtocolError:
            self.transport.abort()

    def _should_upgrade(self) -> bool:
        return False

    def _without_head(self) -> None:
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            begun = bool(self.conn.trailing_data[0])
            if begun:
                self._answer(408, f"the head of the request did not come within {self.head_seconds:g} seconds")
            else:
                self.transport.close()

    def _look(self) -> None:
        """Cut the connection if its client takes nothing of what was sent."""
        unsent = self.transport.get_write_buffer_size()
        if unsent and unsent >= self._unsent > 0:
            self.transport.abort()
            return
        self._unsent = unsent
        self._watch = self.loop.call_later(self.stalled_seconds, self._look)

    def _answer(self, status: int, sentence: str) -> None:
        """Answer without a route, and close."""
        if self.transport.is_closing():
            return
        body = json.dumps({"error": sentence}).encode()
        headers: list[tuple[Any, Any]] = [
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("connection", "close"),
            *([("retry-after", "5")] if status == 503 else []),
        ]
        try:
            parts = [h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage()]
            self.transport.write(b"".join(self.conn.send(each) or b"" for each in parts))
        except h11.LocalProtocolError:
            # An answer is on its way already.
            self.transport.abort()
            return
        self.transport.close()
