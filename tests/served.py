"""A server of ``translate serve`` in a process of its own, and requests to it, well-formed or not."""

from __future__ import annotations

import http.client
import json
import secrets
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import taking
from forking import Forked

SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """The answer to a request."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The sentence of a refusal, which says nothing else."""
        found = self.json
        assert list(found) == ["error"]
        sentence: str = found["error"]
        assert "\n" not in sentence
        assert "Traceback" not in sentence
        return sentence


class Served:
    """A server that has begun to listen."""

    def __init__(self, process: Forked) -> None:
        self.process = process
        end = time.monotonic() + SECONDS
        while "serving" not in process.written():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.02)
        self.url = process.written().split()[-1]
        self.port = int(self.url.rpartition(":")[2].strip("/"))

    def ask(
        self,
        method: str = "POST",
        path: str = "/api/translate",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request of a new connection, and read its answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            connection.request(method, path, body, dict(headers or {}))
            found = connection.getresponse()
            return Answer(found.status, {k.lower(): v for k, v in found.getheaders()}, found.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers=headers)

    def send(self, image: Path | bytes, name: str = "", **fields: str | Path) -> Answer:
        """Send an image as a form."""
        data = image if isinstance(image, bytes) else image.read_bytes()
        called = name or ("image.png" if isinstance(image, bytes) else image.name)
        parts: list[tuple[str, str | None, bytes]] = [("image", called, data)]
        for field, value in fields.items():
            if isinstance(value, Path):
                parts.append((field, value.name, value.read_bytes()))
            else:
                parts.append((field, None, value.encode()))
        body, kind = form(parts)
        return self.ask(body=body, headers={"content-type": kind})

    def raw(self, data: bytes, *, seconds: float = SECONDS) -> bytes:
        """Send bytes, and read all that comes until the server closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            connection.sendall(data)
            found = b""
            while piece := connection.recv(1 << 16):
                found += piece
            return found

    def metric(self, name: str) -> float:
        """A number of the metrics."""
        text = self.get("/metrics").body.decode()
        return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name} "))


def form(parts: Sequence[tuple[str, str | None, bytes]]) -> tuple[bytes, str]:
    """The body and the type of a form: names, file names if they are files, and contents."""
    boundary, body = secrets.token_hex(8), b""
    for name, filename, data in parts:
        told = "" if filename is None else f'; filename="{filename}"'
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{told}\r\n\r\n'.encode()
        body += data + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


@contextmanager
def serving(file: Path, *options: str, before: Sequence[str] = ()) -> Iterator[Served]:
    """A server of a translator of ``taking``; it is ended with the block, if it has not ended itself."""
    process = Forked(*before, "-p", taking.PLUGIN, "serve", file, "--port", "0", "--device", "cpu", *options)
    try:
        yield Served(process)
    finally:
        process.kill()
        process.wait()
