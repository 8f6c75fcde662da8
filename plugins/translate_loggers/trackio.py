"""Trackio: a run in the user's local store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from translate.logger import LoggedRun
from translate.options import Option
from translate_loggers.marks import Mark
from translate_loggers.packages import require
from translate_loggers.quiet import quiet_thread


class Trackio:
    """Trackio, in the user's local store, which `trackio show` shows.

    It cannot take anything back: after a resume from an earlier step, what it holds stays, and is not logged twice.
    """

    def __init__(self, *, project: Annotated[str, Option("project of the run")] = "translate") -> None:
        self._project = project
        self._trackio: Any = require("trackio", "trackio")

    def start(self, run: LoggedRun) -> int | None:
        """Open the run, under the same name as before if it is resumed."""
        self._mark = Mark(run.folder, run.name)
        with quiet_thread():
            self._run = self._trackio.init(
                project=self._project,
                # Runs of one name in different folders are different runs.
                name=f"{self._mark.name}-{self._mark.identifier[:6]}",
                config=dict(run.options),
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )
        return self._mark.step

    def log_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log a row."""
        with quiet_thread():
            self._run.log(dict(values), step=step)
        self._mark.reach(step)

    def log_image(self, step: int, name: str, path: Path) -> None:
        """Log a picture."""
        with quiet_thread():
            self._run.log({name: self._trackio.Image(str(path))}, step=step)

    def finish(self, reason: str, final: Mapping[str, float]) -> None:
        """Close the run."""
        with quiet_thread():
            self._run.finish()
