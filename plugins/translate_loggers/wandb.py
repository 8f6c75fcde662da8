"""Weights & Biases: a run in the run's folder, offline unless the user asks for another mode."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from translate.errors import TranslateError
from translate.logger import LoggedRun
from translate.options import Option
from translate_loggers.marks import Mark
from translate_loggers.packages import require


class Wandb:
    """Weights & Biases, offline: `wandb sync` sends what lies in the run's folder.

    It cannot take anything back: after a resume from an earlier step, what it holds stays, and is not sent twice.
    """

    def __init__(
        self,
        *,
        mode: Annotated[
            Literal["offline", "online"] | None,
            Option("offline or online; by default WANDB_MODE of the environment, or else offline"),
        ] = None,
        project: Annotated[str, Option("project of the run")] = "translate",
        entity: Annotated[str | None, Option("user or team of the project")] = None,
    ) -> None:
        asked = mode or os.environ.get("WANDB_MODE") or "offline"
        if asked not in ("offline", "online", "disabled", "dryrun", "run", "shared"):
            raise TranslateError(f"the logger wandb has no mode {asked!r:.60}; set WANDB_MODE to offline or online")
        self._mode = {"dryrun": "offline", "run": "online"}.get(asked, asked)
        self._project, self._entity = project, entity
        self._wandb: Any = require("wandb", "wandb", {"WANDB_ERROR_REPORTING": "false"})
        # To log in, the package would ask on the terminal, in the midst of the training.
        if self._mode == "online" and not self._wandb.login(prompt=False, verify=False):
            raise TranslateError(
                "the logger wandb has no key to go online; run `wandb login`, or leave out mode=online"
            )

    def start(self, run: LoggedRun) -> int | None:
        """Open the run, under the same identifier as before if it is resumed."""
        self._mark = Mark(run.folder, run.name)
        self._run = self._wandb.init(
            project=self._project,
            entity=self._entity,
            name=run.name,
            id=self._mark.identifier,
            resume="allow",
            dir=str(run.folder),
            mode=self._mode,
            config=dict(run.options),
            allow_val_change=True,
            reinit="create_new",
            settings=self._wandb.Settings(
                silent=True, console="off", disable_git=True, disable_code=True, x_disable_stats=True
            ),
        )
        # By a name of our own, since the package's steps may not go back, as those of pictures do.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")
        return self._mark.step

    def log_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log a row."""
        self._run.log({**values, "step": step})
        self._mark.reach(step)

    def log_image(self, step: int, name: str, path: Path) -> None:
        """Log a picture."""
        self._run.log({name: self._wandb.Image(str(path)), "step": step})

    def finish(self, reason: str, final: Mapping[str, float]) -> None:
        """Write the last values into the summary, and close the run."""
        self._run.summary.update({**final, "reason": reason})
        self._run.finish(exit_code=0 if reason == "finished" else 1)
