"""Ordered: the log's lines come in the order of steps, although checkpoints are written beside the training."""

from __future__ import annotations

from collections import deque

from translate.background import Background
from translate.run import Run, Scalars
from translate.setup import Setup


class OrderedLog:
    """Tells the observers of log intervals in order with the checkpoints that a background thread writes and tells.

    While a checkpoint of an earlier step is being written, intervals wait; the training does not.
    """

    def __init__(self, setup: Setup, run: Run, background: Background) -> None:
        self._setup, self._run, self._background = setup, run, background
        self._waiting: deque[Scalars] = deque()

    def add(self, scalars: Scalars) -> None:
        """Tell a log interval, now or once the background is done."""
        self._waiting.append(scalars)
        self.flush()

    def flush(self) -> None:
        """Tell what waits, unless the background is busy."""
        if not self._background.busy:
            self.tell_all()

    def catch_up(self) -> None:
        """Before the next job begins: wait for the background if an interval does."""
        if self._waiting:
            self._background.finish()
            self.tell_all()

    def tell_all(self) -> None:
        """Tell all that waits; nothing may be running in the background."""
        while self._waiting:
            self._setup.tell("step_ended", run=self._run, scalars=self._waiting.popleft())
