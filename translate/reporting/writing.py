"""Writing: the page of one run or of several, and the page of a run that is written while the run trains."""

from __future__ import annotations

import logging
import platform
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from translate import atomic, lock, webpage
from translate.errors import TranslateError
from translate.machine import cpu_model
from translate.paths import names_apart
from translate.reporting import journal
from translate.reporting.comparing import differences
from translate.reporting.evaluations import evaluations
from translate.reporting.facts import RunFacts, State
from translate.reporting.grids import MOST, MOST_BYTES
from translate.run import Run
from translate.terminal import printable
from translate.webpage import marker_of

PAGE = "report.html"
MARKER = marker_of("translate report")
FOREIGN = "is no report and would be replaced; name another place, or replace it with --overwrite"

SHARE = 0.01
"""Of the time of a training its report takes at most this part; it is written less often where it would take more."""

log = logging.getLogger("translate")


def page_of(content: dict[str, Any], title: str) -> str:
    """The page of what ``content_of`` gives."""
    template, style, script = webpage.sources_of("translate.reporting", ("chart.js", "page.js"))
    return webpage.page_of(template, marker=MARKER, title=title, style=style, script=script, data=content)


def content_of(
    facts: Sequence[RunFacts], base: Path | None, *, state: State | None = None, held: bool = True
) -> dict[str, Any]:
    """What a page of some runs shows, as JSON values; see ``RunFacts.collect``; pictures only if ``held``."""
    share = max(len(facts), 1)
    most, room = (max(8, MOST // share), MOST_BYTES // share) if held else (0, 0)
    found = [each.collect(base, state=state, most=most, room=room) for each in facts]
    for each, name in zip(found, names_apart([each.folder.resolve() for each in facts]), strict=True):
        each["name"] = printable(name) or "run"
    compared = differences(found) if len(found) > 1 else []
    evaluated = evaluations([Run.open(each.folder) for each in facts], [each.tables for each in facts])
    return {"runs": found, "differ": compared, "evaluations": evaluated}


def write_report(folders: Sequence[Path], page: Path, *, overwrite: bool = False) -> tuple[int, int]:
    """Write the page of some runs; return its bytes, and how many grids it links. Raises ``TranslateError``."""
    if not overwrite:
        webpage.refuse_foreign(page, MARKER, FOREIGN)
    content = content_of([RunFacts(each) for each in folders], page.parent.resolve())
    grids = [each["grids"] for each in content["runs"]]
    return _write(page, content, "name another place with -o"), sum(len(each["list"]) - each["held"] for each in grids)


def title_of(content: dict[str, Any]) -> str:
    """The title of a page."""
    first, *others = content["runs"]
    name: str = first["name"]
    return f"{len(others) + 1} runs side by side" if others else f"{name}: training report"


def _write(page: Path, content: dict[str, Any], cure: str) -> int:
    data = page_of(content, title_of(content)).encode()
    try:
        atomic.write(page, data, content=False, folder=False)
    except OSError as error:
        raise TranslateError(f"cannot write {page}: {error.strerror or error}; {cure}") from None
    return len(data)


class RunReport:
    """The report of a run that is being trained: ``report.html`` in its folder, and ``log.jsonl``, what was told.

    ``begin`` when the training begins, ``update`` when there is something new, from any thread, and ``end`` when it has
    ended. ``update`` writes only so often that it takes at most ``SHARE`` of the training's time: ``used`` tells the
    seconds that the thread has computed, ``clock`` those that have passed.
    """

    def __init__(
        self, run: Run, clock: Callable[[], float] = time.monotonic, used: Callable[[], float] = time.thread_time
    ) -> None:
        self._run = run
        self._folder = run.folder
        self._facts = RunFacts(run.folder)
        self._clock, self._used = clock, used
        self._next = -1.0
        self._warned = False
        self._lock = threading.Lock()
        self._listener = _Listener(run)

    def begin(self) -> None:
        """Note where the run is trained, and listen to what is told. No page is written yet: the training waits."""
        webpage.refuse_foreign(self._folder / PAGE, MARKER, "is no report and is not replaced by that of this training")
        self._note(
            "begin", {"machine": cpu_model(), "system": f"{platform.system()} {platform.release()}", **_accelerator()}
        )
        log.addHandler(self._listener)

    def update(self) -> None:
        """Write the report, unless that would take more than its share of the time."""
        with self._lock:
            if self._clock() >= self._next:
                before = self._used()
                try:
                    self._write("running")
                except TranslateError as error:
                    self._warn(error)
                self._next = self._clock() + (self._used() - before) / SHARE

    def end(self, reason: str) -> None:
        """Write the report for the last time: the training has ended as ``reason`` says."""
        log.removeHandler(self._listener)
        try:
            self._note("end", {"reason": reason})
            with self._lock:
                self._write("finished" if reason == "finished" else "stopped")
        except (TranslateError, OSError) as error:
            if reason != "failed":  # else the training says itself what is wrong with its folder
                self._warn(error)

    def _warn(self, error: Exception) -> None:
        """Say once why the report is not written; it is tried again all the same."""
        if not self._warned:
            self._warned = True
            log.warning("the report is not written: %s", error)

    def _note(self, kind: str, values: dict[str, Any]) -> None:
        lock.refuse_lost(self._folder)
        journal.append(self._folder, kind, self._run.step, values)

    def _write(self, state: State) -> None:
        lock.refuse_lost(self._folder)
        content = content_of([self._facts], self._folder.resolve(), state=state)
        _write(self._folder / PAGE, content, "it is tried again, and --no-plugin report leaves it out")


class _Listener(logging.Handler):
    """Keeps what a training tells in its folder's journal."""

    def __init__(self, run: Run) -> None:
        super().__init__(logging.WARNING)
        self._run = run

    def emit(self, record: logging.LogRecord) -> None:
        # What is told is on the console in any case, and a full disk has sentences of its own.
        with suppress(Exception):
            text = printable(record.getMessage())[: journal.LONGEST]
            journal.append(self._run.folder, "told", self._run.step, {"level": "warning", "text": text})


def _accelerator() -> dict[str, str]:
    """The GPU's name, where torch is used and there is one."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return {}
    return {"accelerator": str(torch.cuda.get_device_name())}
