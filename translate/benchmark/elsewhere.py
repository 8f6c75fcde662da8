"""A rival in a separate process, so that it shares none of this process's memory and thread settings."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection

from translate.errors import TranslateError

Action = Callable[[], object]


@contextmanager
def elsewhere(make: Callable[[], Action]) -> Iterator[Action]:
    """Build an action by ``make()`` in a new process, and yield a function that runs it there.

    ``make`` must be a module's function or a partial of one. A call costs some 50 microseconds besides the action.
    """
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, make))
    process.start()
    theirs.close()

    def wait() -> None:
        try:
            ours.recv()
        except EOFError:
            raise TranslateError("the process of the loop by hand has ended; see its error above") from None

    def act() -> None:
        # If the process has ended, wait() raises.
        with suppress(BrokenPipeError):
            ours.send(True)
        wait()

    try:
        wait()
        yield act
    finally:
        ours.close()
        process.join()


def _serve(pipe: Connection, make: Callable[[], Action]) -> None:
    # The parent process handles Ctrl-C; when it ends, the pipe closes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    action = make()
    pipe.send(True)
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        action()
        pipe.send(True)
