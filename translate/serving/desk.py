"""The desk: requests become jobs, jobs wait in a queue, and those of one kind go through the network together.

Decoding and encoding have threads of their own; the network has one, so an image alone gets what ``convert`` gives it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Literal, TypeVar

from translate.conversion import Answered, Converter, Job
from translate.errors import TranslateError, UnfitError
from translate.machine import cores
from translate.serving.metrics import Metrics
from translate.serving.refusing import RefusedError, not_kept, status_of
from translate.terminal import printable

log = logging.getLogger("translate")

Value = TypeVar("Value")

MOST_THREADS = 8


@dataclass(slots=True, eq=False)
class _Ticket:
    """A job, where it is, and the network's answer to come."""

    job: Job
    answer: asyncio.Future[Any]
    key: tuple[Any, ...] = ()
    since: float = 0.0
    stage: Literal["files", "queue", "network"] = "files"
    dropped: bool = False
    """Nobody waits for it any more."""


@dataclass(frozen=True, slots=True)
class Work:
    """What goes on for a request: the ``answer``, and ``give_up``, after which it ends as soon as it can.

    ``give_up`` says whether the network has had it.
    """

    answer: asyncio.Task[Answered]
    give_up: Callable[[], bool]


class Desk:
    """Admits requests, up to ``queue`` of them, and answers each within ``timeout`` seconds of its beginning."""

    def __init__(self, converter: Converter, *, queue: int, timeout: float, place: Path, metrics: Metrics) -> None:
        self.converter = converter
        self.queue, self.timeout, self._place, self.metrics = queue, timeout, place, metrics
        self.active = 0
        self.stopping = False
        self._waiting: deque[_Ticket] = deque()
        self._came = asyncio.Event()
        self._freed = asyncio.Condition()
        self._network = ThreadPoolExecutor(1, thread_name_prefix="translate-serve-network")
        self._files = ThreadPoolExecutor(min(MOST_THREADS, cores()), thread_name_prefix="translate-serve-file")
        self._tasks: set[asyncio.Task[Any]] = set()
        metrics.gauges |= {
            "translate_requests_active": ("Requests that are read, wait, or are translated.", lambda: self.active),
            "translate_queue_length": ("Decoded images that wait for the network.", lambda: len(self._waiting)),
            "translate_queue_limit": ("Most requests at a time.", lambda: self.queue),
        }

    def admit(self) -> Path:
        """Take a request in: a folder of its own; raises ``RefusedError`` if there are too many, or none any more."""
        if self.stopping:
            raise RefusedError(503, "the server is stopping; ask another one, or later", again=10)
        if self.active >= self.queue:
            raise RefusedError(503, f"{self.queue} requests are waiting or worked at; try again later", again=1)
        try:
            folder = Path(mkdtemp(dir=self._place))
        except OSError as error:
            raise not_kept(error) from None
        self.active += 1
        return folder

    def begin(self, job: Job) -> Work:
        """Begin to work at a job that was admitted; the work ends by itself, and releases the job."""
        ticket = _Ticket(job, asyncio.get_running_loop().create_future())
        task = asyncio.create_task(self._work(ticket))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

        def give_up() -> bool:
            ticket.dropped = True
            if ticket in self._waiting:
                self._waiting.remove(ticket)
                ticket.answer.set_exception(_unwanted())
            # What it raises, nobody asks for.
            task.add_done_callback(lambda ended: None if ended.cancelled() else ended.exception())
            return ticket.stage == "network"

        return Work(task, give_up)

    async def release(self, job: Job) -> None:
        """Give back what an admitted request holds."""
        await self._in(self._files, self.converter.close, job)
        self.active -= 1
        async with self._freed:
            self._freed.notify_all()

    async def run(self) -> None:
        """Let waiting jobs through the network, until it is cancelled."""
        while True:
            await self._came.wait()
            batch = self._next()
            if not batch:
                self._came.clear()
                continue
            begun = time.perf_counter()
            for each in batch:
                self.metrics.waited.add(begun - each.since)
            try:
                answers = await self._in(self._network, self.converter.answer, [each.job for each in batch])
            except Exception as error:
                for each in batch:
                    if not each.answer.done():
                        each.answer.set_exception(internal_error(error))
                continue
            self.metrics.computed.add(time.perf_counter() - begun)
            self.metrics.images += len(batch)
            for each, answer in zip(batch, answers, strict=True):
                if not each.answer.done():
                    each.answer.set_result(answer)

    async def close(self) -> None:
        """Wait for the work that goes on, and end the threads."""
        self.stopping = True
        if self._tasks:
            await asyncio.wait(self._tasks)
        for pool in (self._files, self._network):
            pool.shutdown(wait=True, cancel_futures=True)

    def _next(self) -> list[_Ticket]:
        """The first that waits, and those behind it that may go with it."""
        if not self._waiting:
            return []
        first = self._waiting[0]
        most = self.converter.most(first.job)
        batch = [each for each in self._waiting if each.key == first.key][:most]
        for each in batch:
            self._waiting.remove(each)
            each.stage = "network"
        return batch

    async def _work(self, ticket: _Ticket) -> Answered:
        job = ticket.job
        try:
            await self._in(self._files, self.converter.decode, job)
            await self._hold(ticket)
            await self._in(self._files, self.converter.read, job)
            _refuse_dropped(ticket)
            ticket.key, ticket.since, ticket.stage = self.converter.key(job), time.perf_counter(), "queue"
            self._waiting.append(ticket)
            self._came.set()
            answer = await ticket.answer
            _refuse_dropped(ticket)
            if isinstance(answer, Exception):
                raise answer
            if isinstance(answer, Answered):
                return answer
            return await self._in(self._files, self.converter.encode, job, answer)
        except RefusedError:
            raise
        except TranslateError as error:
            raise RefusedError(400 if isinstance(error, UnfitError) else status_of(error), str(error)) from None
        except Exception as error:
            raise internal_error(error) from error
        finally:
            await self.release(job)

    async def _hold(self, ticket: _Ticket) -> None:
        """Hold the memory that a job needs, once others have given back enough."""
        job = ticket.job
        assert job.task is not None
        async with self._freed:
            while not self.converter.account.take(job.task, job.need):
                await self._freed.wait()
                _refuse_dropped(ticket)

    @staticmethod
    def _in(pool: ThreadPoolExecutor, call: Callable[..., Value], *given: Any) -> Awaitable[Value]:
        return asyncio.get_running_loop().run_in_executor(pool, call, *given)


def _unwanted() -> RefusedError:
    return RefusedError(503, "nobody waits for it any more; ask again")


def _refuse_dropped(ticket: _Ticket) -> None:
    """End the work at a job that nobody waits for."""
    if ticket.dropped:
        raise _unwanted()


def internal_error(error: Exception) -> RefusedError:
    """A fault of the program: where it happened goes to the log, in one line."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" in {trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno}"
    log.error("%s", printable(f"a request failed: {type(error).__name__}: {error}{place}"))
    return RefusedError(500, "the program failed; the server's log says where, tell who runs it")
