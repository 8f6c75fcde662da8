"""The routes of the server: the page, the interface for images, its description, health and metrics."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from translate.conversion import Answered, Job
from translate.memory import in_words
from translate.serving.describing import description_of
from translate.serving.desk import Desk
from translate.serving.fields import asked_of_form, taken_of
from translate.serving.guard import Guard, error_answer
from translate.serving.metrics import CONTENT_TYPE
from translate.serving.multipart import Form, read_form, read_image
from translate.serving.page import Page
from translate.serving.refusing import RefusedError, not_kept
from translate.webpage import json_text

MEDIA_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".tiff": "image/tiff",
    ".tif": "image/tiff",
    ".bmp": "image/bmp",
}
"""Types of the answers by their suffix; arrays have none of their own."""

BODY_SECONDS = 10.0
"""Within which the first bytes of a body must come; each kilobyte that has come gives another ``KILOBYTE_SECONDS``."""

KILOBYTE_SECONDS = 1.0

LINGER_SECONDS = 2.0
"""How long a body that is too large is still read, so that its client reads the refusal."""


class Application:
    """Answers requests with what a desk makes of them."""

    def __init__(self, desk: Desk, path: Path, asked: Mapping[str, Any]) -> None:
        self._desk = desk
        self._max_bytes: int = asked["max_bytes"]
        self._taken = taken_of(desk.converter)
        self._description = description_of(desk.converter, path, asked)
        self._page = Page(self._description)
        routes = [
            Route("/", self._show_page),
            Route("/api/translate", self._translate, methods=["POST"]),
            Route("/api/translator", self._describe),
            Route("/health", self._health),
            Route("/metrics", self._metrics),
        ]
        inner = Starlette(routes=routes, exception_handlers={HTTPException: _no_route, RefusedError: _refused})
        inner.router.redirect_slashes = False
        self.guarded = Guard(
            inner, host=asked["host"], hosts=asked["allow_host"], origins=asked["allow_origin"], metrics=desk.metrics,
            routes={each.path for each in routes},
        )  # fmt: skip

    async def _show_page(self, _: Request) -> Response:
        headers = {"content-security-policy": self._page.policy}
        return Response(self._page.text, media_type="text/html", headers=headers)

    async def _describe(self, _: Request) -> Response:
        return Response(json_text(self._description), media_type="application/json")

    async def _health(self, _: Request) -> Response:
        if self._desk.stopping:
            return JSONResponse({"status": "stopping"}, 503, {"retry-after": "10"})
        return JSONResponse({"status": "ok", "active": self._desk.active, "queue": self._desk.queue})

    async def _metrics(self, _: Request) -> Response:
        return PlainTextResponse(self._desk.metrics.text(), media_type=CONTENT_TYPE)

    async def _translate(self, request: Request) -> Response:
        begun: float = request.scope["translate.begun"]
        self._check_head(request)
        folder = self._desk.admit()
        job = Job(folder, folder / "image", "", {})
        try:
            left = self._desk.timeout - (time.perf_counter() - begun)
            try:
                async with asyncio.timeout(left):
                    form = await self._read(request, folder)
            except TimeoutError:
                raise RefusedError(
                    408, f"the request did not come within {self._desk.timeout:g} seconds; send it faster"
                ) from None
            except OSError as error:
                raise not_kept(error) from None
            query = _query(request)
            job.name, job.asked, job.given = asked_of_form(form, query, self._taken)
        except BaseException:
            await asyncio.shield(self._desk.release(job))
            raise
        work = self._desk.begin(job)
        gone = asyncio.create_task(_gone(request))
        try:
            left = self._desk.timeout - (time.perf_counter() - begun)
            await asyncio.wait((work.answer, gone), timeout=max(left, 0), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not work.answer.done():
                computed = work.give_up()
        if work.answer.done():
            answered = work.answer.result()
            self._desk.metrics.latency.add(time.perf_counter() - begun)
            return _answer(job, answered)
        seconds = f"{self._desk.timeout:g} seconds"
        if computed:
            raise RefusedError(504, f"the network did not answer within {seconds}; send a smaller image")
        raise RefusedError(503, f"the image was not begun within {seconds}; try again later", again=5)

    def _check_head(self, request: Request) -> None:
        """Refuse what its head alone shows to be wrong, before anything is read."""
        encoding = request.headers.get("content-encoding", "identity").lower()
        if encoding != "identity":
            raise RefusedError(415, f"the body is encoded as {encoding!r:.30}; send it as it is")
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 18:
            raise RefusedError(400, f"a content-length of {length!r:.30} is none; send the number of bytes")
        if int(length) > 2 * self._max_bytes:
            # Nobody waits for so much: the client learns it by the answer, or by the end of the connection.
            raise self._too_large()

    def _too_large(self) -> RefusedError:
        return RefusedError(
            413, f"the request has more than {in_words(self._max_bytes)} ({self._max_bytes} bytes); send a smaller file"
        )

    async def _read(self, request: Request, folder: Path) -> Form:
        """The body of a request, within its limit."""
        content_type = request.headers.get("content-type", "")
        kind = content_type.partition(";")[0].strip().lower()
        # Any other type is taken for the image itself, whose bytes say what it is: clients guess, or say nothing.
        if kind == "multipart/form-data":
            return await read_form(self._chunks(request), content_type, folder)
        return await read_image(self._chunks(request), folder)

    async def _chunks(self, request: Request) -> AsyncIterator[bytes]:
        size, begun, chunks = 0, time.perf_counter(), _stream(request)
        while True:
            # Whoever sends a byte now and then would keep a place in the queue for as long as a request may take.
            left = BODY_SECONDS + KILOBYTE_SECONDS * size / 1024 - (time.perf_counter() - begun)
            try:
                async with asyncio.timeout(left):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise RefusedError(408, "the request comes too slowly; send more than a kilobyte a second") from None
            size += len(chunk)
            if size > self._max_bytes:
                await self._linger(request, size)
                raise self._too_large()
            yield chunk

    async def _linger(self, request: Request, size: int) -> None:
        """Read the rest of a body that is too large, within limits."""
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                async for chunk in _stream(request):
                    size += len(chunk)
                    if size > 2 * self._max_bytes:
                        return
        except TimeoutError:
            return


async def _stream(request: Request) -> AsyncIterator[bytes]:
    """The chunks of a body; raises ``RefusedError`` if the client goes before its end."""
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise RefusedError(400, "the request is cut off; send it whole")
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body"):
            return


async def _gone(request: Request) -> None:
    """Wait until the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _query(request: Request) -> dict[str, str]:
    """The fields in a request's address, each there once."""
    try:
        request.scope["query_string"].decode("ascii")
        pairs = request.query_params.multi_items()
    except (UnicodeDecodeError, ValueError):
        raise RefusedError(400, "the address holds letters that are no ASCII; escape them") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise RefusedError(400, f"the address has {name!r:.60} twice; send it once")
        if "\ufffd" in name + value:
            raise RefusedError(400, f"the address has a {name!r:.60} that is no text in UTF-8; encode it as such")
        found[name] = value
    return found


def _answer(job: Job, answered: Answered) -> Response:
    """One image as it is, or several samples as JSON."""
    kind = MEDIA_TYPES.get(answered.suffix.lower(), "application/octet-stream")
    if job.asked["samples"] is not None:
        files = [base64.b64encode(each).decode() for each in answered.files]
        return JSONResponse(
            {"type": kind, "suffix": answered.suffix, "images": files, "notices": list(answered.notices)}
        )
    headers = {
        "x-translate-suffix": answered.suffix,
        "x-translate-notices": json.dumps(answered.notices, ensure_ascii=True),
        "content-disposition": f'inline; filename="translated{answered.suffix}"',
    }
    return Response(answered.files[0], media_type=kind, headers=headers)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    headers = {} if error.again is None else {"retry-after": str(error.again)}
    if error.status in (408, 413):
        # What is left of the body is not read.
        headers["connection"] = "close"
    return error_answer(error.status, str(error), headers)


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 404:
        return error_answer(404, "there is nothing at this address; the page is at /, images go to /api/translate")
    if error.status_code == 405:
        allowed = headers.get("Allow", "another method")
        return error_answer(405, f"{request.url.path} takes {allowed}, not {request.method}", headers)
    return error_answer(error.status_code, str(error.detail), headers)
