"""Signals that end a command, or that ask a training to save; those that a system lacks are left out."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

EXIT_BASE = 128
"""A command that a signal has ended exits with 128 plus the signal's number, as shells say it."""


class Asked(IntEnum):
    """What signals have asked a training to do; the larger wins."""

    NOTHING = 0
    SAVE = 1
    END = 2
    FAIL = 3
    """No signal: the first of several ranks has failed beside the steps, so all end together."""


class Ended(KeyboardInterrupt):
    """A signal has ended the command outside a training's steps; the message says which."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.exit_code = EXIT_BASE + number


def ending_signals() -> list[signal.Signals]:
    """Ctrl-C, SIGTERM, and the terminal's hangup where systems have it, but for a hangup that ``nohup`` ignores."""
    hangup = getattr(signal, "SIGHUP", None)
    heard = [] if hangup is None or signal.getsignal(hangup) == signal.SIG_IGN else [hangup]
    return [signal.SIGINT, signal.SIGTERM, *heard]


def saving_signals() -> list[signal.Signals]:
    """SIGUSR1, where systems have it."""
    return [signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else []


class Caught:
    """The signals that have come while ``caught`` collects them."""

    def __init__(self) -> None:
        self.ending: int | None = None
        """The signal that asked the training to end."""
        self._save = False

    def end(self, number: int) -> None:
        """Note a signal that ends."""
        self.ending = number

    def save(self, _number: int) -> None:
        """Note a signal that asks to save."""
        self._save = True

    def take(self) -> Asked:
        """What has been asked since the last call; once a signal has asked to end, always that."""
        save, self._save = self._save, False
        if self.ending is not None:
            return Asked.END
        return Asked.SAVE if save else Asked.NOTHING


@contextmanager
def handled(numbers: Sequence[signal.Signals], handler: Callable[[int], None], *, once: bool = False) -> Iterator[None]:
    """Let ``handler`` handle signals within the block; ``once``: after the first, the earlier handlers are back.

    Only the main thread may set handlers; in other threads the program's own stay.
    """
    before: dict[int, Any] = {}

    def put_back() -> None:
        for number, earlier in before.items():
            # None: a handler that was not set from Python, which cannot be put back.
            signal.signal(number, signal.SIG_DFL if earlier is None else earlier)

    def handle(number: int, _frame: Any) -> None:
        if once:
            put_back()
        handler(number)

    try:
        for number in numbers:
            before[number] = signal.signal(number, handle)
    except ValueError:
        pass
    try:
        yield
    finally:
        put_back()


@contextmanager
def caught() -> Iterator[Caught]:
    """Collect signals, so that a step is finished and saved; after one that ends, a second one stops at once."""
    found = Caught()
    with handled(ending_signals(), found.end, once=True), handled(saving_signals(), found.save):
        yield found


@contextmanager
def ending_cleanly() -> Iterator[None]:
    """Turn a signal that ends the process into ``Ended``, so that a command tidies up; a second one stops at once.

    Ctrl-C stays ``KeyboardInterrupt``. What asks to save is ignored, since there is nothing to save yet.
    """

    def end(number: int) -> None:
        raise Ended(number)

    ending: list[signal.Signals] = [number for number in ending_signals() if number != signal.SIGINT]
    with handled(ending, end, once=True), handled(saving_signals(), lambda _number: None):
        yield
