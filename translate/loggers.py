"""Loggers: a training's log taken elsewhere, each by a thread of its own that can neither stop nor slow the training.

What a logger gets is read from the run's own files, ``metrics.jsonl`` and the pictures in ``samples``. So a logger that
is slow holds nothing in memory, and one that comes late, or has failed in an earlier part of the training, catches up.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from translate import lock, metrics_file
from translate.draws import seeded_draws
from translate.errors import TranslateError
from translate.growing import Growing
from translate.isolation import failures_of_a_plugin
from translate.logger import LoggedRun, Logger
from translate.numbered import picture_path, pictures_of
from translate.options import parse_call
from translate.parts import build
from translate.plugins import Catalog, discover, format_error
from translate.run import Config, Run
from translate.step_rows import row_of

log = logging.getLogger("translate")

FOLDER = "logs"
"""The folder of a run in which each logger has one of its own."""

SILENT_SECONDS = 60.0
"""How long the end of a training waits for a logger that gets nothing done."""

LONGEST_SECONDS = 300.0
"""How long the end of a training waits for a logger at all."""

METHODS = ("start", "log_scalars", "log_image", "finish")


class Loggers:
    """The loggers of a training, told of its events on the main rank."""

    def __init__(self, loggers: Mapping[str, Logger]) -> None:
        self._loggers = loggers
        self._threads: list[_Logging] = []
        self._step = 0

    @classmethod
    def build(cls, catalog: Catalog, texts: Sequence[str]) -> Loggers:
        """Build loggers by name; raises ``TranslateError`` for one that cannot work here."""
        built: dict[str, Logger] = {}
        for text in texts:
            name = parse_call(text).name
            try:
                with failures_of_a_plugin():
                    logger = build(catalog, "loggers", text)
            except TranslateError:
                raise
            except Exception as error:  # a factory of a plugin
                raise TranslateError(
                    f"the logger {name} cannot be built: {format_error(error)}; leave out --log {name}, or mend it"
                ) from error
            missing = [each for each in METHODS if not callable(getattr(logger, each, None))]
            if missing:
                plugin = catalog.offer("loggers", name).plugin
                raise TranslateError(f"the logger {name} of the plugin {plugin} has no {missing[0]}()")
            built[name] = logger
        return cls(built)

    @classmethod
    def check(cls, texts: Sequence[str], plugins: Sequence[str], no_plugins: Sequence[str]) -> None:
        """Raise ``TranslateError`` for a logger that cannot work here, before several ranks start."""
        if texts:
            cls.build(discover(extra=plugins, blocked=no_plugins), texts)

    def tell(self, event: str, *, run: Run | None = None, reason: str = "failed", **others: Any) -> None:
        """Take note of an event of ``translate.hookspecs``; never raises, and waits at the training's end only."""
        if event == "run_started" and run is not None:
            self._threads = [_Logging(name, logger, run) for name, logger in self._loggers.items()]
        elif event == "step_ended" and run is not None:
            # The run may be further on; intervals come in order with checkpoints.
            self._step = getattr(others.get("scalars"), "step", run.step)
            for each in self._threads:
                each.wake()
        elif event == "validation_ended":
            for each in self._threads:
                each.wake()
        elif event == "checkpoint_saved" and run is not None and run.step < self._step:
            # The training has gone back, and has cut its log.
            self._step = run.step
            for each in self._threads:
                each.wake(back=run.step)
        elif event == "samples_drawn" and run is not None:
            for each in self._threads:
                each.wake(picture=run.step)
        elif event == "run_ended":
            ended, self._threads = self._threads, []
            for each in ended:
                each.wake(reason=reason)
            deadline = time.monotonic() + LONGEST_SECONDS
            for each in ended:
                each.join(deadline)


class _Logging:
    """One logger in its thread, which the end of the process does not wait for."""

    def __init__(self, name: str, logger: Logger, run: Run) -> None:
        self._name = name
        self._logger = logger
        # The training moves the run on meanwhile.
        self._run = LoggedRun(
            run.folder.resolve().name, run.folder / FOLDER / name, _options(run.config), run.step, run.steps
        )
        self._folder = run.folder
        self._rows = _Rows(run.folder)
        self._pictures = deque(_pictures(run))
        self._reason: str | None = None
        self._back: int | None = None
        self._woken = threading.Event()
        self._woken.set()
        self._moved = time.monotonic()
        self._warning = threading.Lock()
        self._left_out = False
        self._thread = threading.Thread(target=self._guarded, name=f"translate-logger-{name}", daemon=True)
        self._thread.start()

    def wake(self, picture: int | None = None, reason: str | None = None, back: int | None = None) -> None:
        """Let the thread look for what is new; ``reason`` says that the training has ended.

        ``back`` is the step to which it has gone back.
        """
        if back is not None:
            self._back = back
        if picture is not None:
            self._pictures.append(picture)
        if reason is not None:
            self._reason = reason
        self._woken.set()

    def join(self, deadline: float) -> None:
        """Wait for the thread's end, as long as it gets something done."""
        while self._thread.is_alive() and time.monotonic() < min(deadline, self._moved + SILENT_SECONDS):
            self._thread.join(0.1)
        if self._thread.is_alive():
            self._warn("has not answered for a while, so its log lacks the end; a resumed run goes on with it")

    def _guarded(self) -> None:
        try:
            # What it draws by torch must not move the generators of the training.
            with seeded_draws(0):
                self._log()
        except BaseException as error:  # whatever a logger raises ends its thread alone
            self._warn(f"failed and is left out, the training goes on: {format_error(error)}")

    def _warn(self, what: str) -> None:
        with self._warning:
            if not self._left_out:
                self._left_out = True
                log.warning("warning: the logger %s %s", self._name, what)

    def _log(self) -> None:
        since = self._start()
        while True:
            self._woken.wait()
            self._woken.clear()
            reason, back = self._reason, self._back
            lock.refuse_lost(self._folder)
            if back is not None:
                # As if it had been interrupted and resumed.
                self._back = None
                self._logger.finish("interrupted", self._rows.last)
                self._run = replace(self._run, step=back)
                self._rows = _Rows(self._folder)
                since = self._start()
            for step, values in self._rows.new():
                if step > since:
                    self._logger.log_scalars(step, values)
                self._moved = time.monotonic()
            while self._pictures:
                step = self._pictures.popleft()
                path = picture_path(self._folder, step)
                # A plugin makes the pictures, which may be blocked or have failed.
                if step > since and path.exists():
                    self._logger.log_image(step, "samples", path)
                self._moved = time.monotonic()
            if reason is not None:
                self._logger.finish(reason, self._rows.last)
                return

    def _start(self) -> int:
        """Open the log; the last step that it holds, -1 for none."""
        held = self._logger.start(self._run)
        if held is not None and (isinstance(held, bool) or not isinstance(held, int)):
            raise TypeError(f"start() must return a step or None, not {held!r:.80}")
        if held is not None and held > self._run.step:
            log.warning(
                "the log of %s holds steps %d to %d already; it keeps them as they were",
                self._name, self._run.step + 1, held,
            )  # fmt: skip
        return -1 if held is None else held


class _Rows:
    """The rows of a run's ``metrics.jsonl``, read as they come; ``last`` has the last value of each name."""

    def __init__(self, folder: Path) -> None:
        self._file = Growing(folder / metrics_file.NAME)
        self._has_begun = False
        self.last: dict[str, float] = {}

    def new(self) -> list[tuple[int, dict[str, float]]]:
        """The steps and values of the rows that were not read yet."""
        anew, lines = self._file.read()
        if anew and self._has_begun:
            # The training has cut it, and says next to which step.
            return []
        self._has_begun = self._has_begun or bool(lines)
        found = []
        for row in filter(None, map(row_of, lines)):
            step = row.pop("step")
            values = metrics_file.scalars_of(row)
            self.last.update(values)
            found.append((step, values))
        return found


def _pictures(run: Run) -> list[int]:
    """The steps of the pictures that a run has already; later ones than its step are drawn anew."""
    with suppress(OSError):
        return [step for step in pictures_of(run.folder) if step <= run.step]
    return []


def _options(config: Config) -> dict[str, Any]:
    """All options by name as JSON values."""
    values = config.to_json()
    return {**{name: value for name, value in values.items() if name != "options"}, **values["options"]}
