"""A background thread for jobs, such as writing files, that need not stop the training."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self

MOST = 2
"""The most jobs that may wait or run: each holds what it writes in memory."""


class Background:
    """Runs jobs one after the other, in the order of ``begin``.

    An error of a job is raised by a later ``begin``, by ``finish``, or at the end of the ``with`` block. ``begin``
    waits while there are too many jobs.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="translate-background")
        self._jobs: deque[Future[None]] = deque()

    def begin(self, job: Callable[[], None]) -> None:
        """Queue a job; wait while there are too many."""
        while self._jobs and (len(self._jobs) >= MOST or self._jobs[0].done()):
            self._jobs.popleft().result()
        self._jobs.append(self._thread.submit(job))

    def finish(self) -> None:
        """Wait until all jobs are done."""
        while self._jobs:
            self._jobs.popleft().result()

    @property
    def busy(self) -> bool:
        """Whether a job waits or runs."""
        return any(not job.done() for job in self._jobs)

    def settle(self) -> None:
        """Wait until all jobs are done, whatever they raise."""
        wait(self._jobs)
        self._jobs.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.finish()
        finally:
            # After an error, running jobs are finished, and waiting ones are cancelled.
            self._thread.shutdown(wait=True, cancel_futures=error is not None)
