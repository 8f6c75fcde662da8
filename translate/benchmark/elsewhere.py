"""Elsewhere: a rival in a process of its own, which has nothing from us that a script would not have."""

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
    """An action that another process has made by ``make()``, which must be a module's function or a partial of one.

    A call takes as long as the action does, and some 50 microseconds for the message.
    """
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, make))
    process.start()
    theirs.close()

    def answer() -> None:
        try:
            ours.recv()
        except EOFError:
            raise TranslateError("the process of the loop by hand has ended; see what it says above") from None

    def act() -> None:
        # That it has ended shows when it should answer.
        with suppress(BrokenPipeError):
            ours.send(True)
        answer()

    try:
        answer()
        yield act
    finally:
        ours.close()
        process.join()


def _serve(pipe: Connection, make: Callable[[], Action]) -> None:
    # Ctrl-C is for the one that asks; when it goes, the pipe ends.
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
