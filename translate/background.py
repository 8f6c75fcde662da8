"""Background: one thread beside the training's, for what need not stop it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

MOST = 2
"""Jobs that may be waiting or running: each holds on to what it writes."""


class Background:
    """Runs jobs one after the other, in the order in which they were begun.

    What a job raises is raised by a later ``begin``, by ``finish``, or where the ``with`` ends. Whoever is faster than
    the jobs waits for them.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="translate-background")
        self._jobs: deque[Future[None]] = deque()

    def begin(self, job: Callable[[], None]) -> None:
        """Leave a job to the thread; waits while there are too many."""
        while self._jobs and (len(self._jobs) >= MOST or self._jobs[0].done()):
            self._jobs.popleft().result()
        self._jobs.append(self._thread.submit(job))

    def finish(self) -> None:
        """Wait until all is done."""
        while self._jobs:
            self._jobs.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.finish()
        finally:
            # After an error what has begun is still written; what has not begun no longer counts.
            self._thread.shutdown(wait=True, cancel_futures=error is not None)
