"""MLflow: a run in a store of its own in the run's folder, or in the one that the user names."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

from translate.errors import TranslateError
from translate.logger import LoggedRun
from translate.options import Option
from translate_loggers.marks import Mark
from translate_loggers.packages import require
from translate_loggers.values import shown

LONGEST_VALUE = 6000
"""The longest value of a parameter that a store takes."""

STATES = {"finished": "FINISHED", "interrupted": "KILLED"}


class MLflow:
    """MLflow, with a store in the run's folder: `mlflow ui --backend-store-uri sqlite:///RUN/logs/mlflow/mlflow.db`.

    It cannot take anything back: after a resume from an earlier step, what it holds stays, and is not logged twice.
    """

    def __init__(
        self,
        *,
        uri: Annotated[
            str | None, Option("tracking store; by default MLFLOW_TRACKING_URI, or else one in the run's folder")
        ] = None,
        experiment: Annotated[str, Option("experiment of the run")] = "translate",
    ) -> None:
        self._uri, self._experiment = uri or os.environ.get("MLFLOW_TRACKING_URI"), experiment
        require("mlflow", "mlflow", {"MLFLOW_DISABLE_TELEMETRY": "true"})
        self._entities: Any = require("mlflow.entities", "mlflow")
        self._tracking: Any = require("mlflow.tracking", "mlflow")
        if not self._uri:
            for package in ("sqlalchemy", "alembic"):
                require(package, "mlflow")

    def start(self, run: LoggedRun) -> int | None:
        """Open the run, the same as before if it is resumed, and log the options."""
        self._mark = Mark(run.folder, run.name)
        local = run.folder.resolve()
        # It says there that it makes tables.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        store, place = local / "mlflow.db", (local / "artifacts").as_uri()
        if not self._uri and {"?", "%"} & set(str(store)):
            # In an address they mean something else, and MLflow would write to another place.
            raise TranslateError(
                f"MLflow keeps no store below a path with ? or %, as {local}; name one by mlflow(uri=...)"
            )
        self._client = self._tracking.MlflowClient(tracking_uri=self._uri or f"sqlite:///{store}")
        found = self._client.get_experiment_by_name(self._experiment)
        if found is None:
            own = {} if self._uri else {"artifact_location": place}
            number = self._client.create_experiment(self._experiment, **own)
        else:
            number = found.experiment_id
            if not self._uri and found.artifact_location != place:
                _follow(store, found.artifact_location, place)
        tag = "translate.identifier"
        runs = self._client.search_runs([number], f"tags.`{tag}` = '{self._mark.identifier}'", max_results=1)
        if runs:
            self._run = runs[0].info.run_id
            self._client.update_run(self._run, status="RUNNING")
        else:
            self._run = self._client.create_run(
                number, run_name=run.name, tags={tag: self._mark.identifier}
            ).info.run_id
        held = runs[0].data.params if runs else {}
        for name, value in run.options.items():
            text = str(shown(value))[:LONGEST_VALUE]
            # A parameter keeps its value; a tag says what a resumed run has instead.
            if name not in held:
                self._client.log_param(self._run, name, text)
            elif held[name] != text:
                self._client.set_tag(self._run, f"resumed.{name}", text)
        return self._mark.step if runs else None

    def log_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log a row at once."""
        now = int(time.time() * 1000)
        metrics = [self._entities.Metric(name, value, now, step) for name, value in values.items()]
        self._client.log_batch(self._run, metrics=metrics)
        self._mark.reach(step)

    def log_image(self, step: int, name: str, path: Path) -> None:
        """Keep the picture as an artifact."""
        self._client.log_artifact(self._run, str(path), name)

    def finish(self, reason: str, final: Mapping[str, float]) -> None:
        """Say how the training ended; the last values are there."""
        self._client.set_terminated(self._run, STATES.get(reason, "FAILED"))


def _follow(store: Path, before: str, now: str) -> None:
    """Let a store that was moved with its run's folder find its pictures, which it knows by the whole path.

    MLflow's interface cannot: without this, further ones would be written to where the run lay before.
    """
    with closing(sqlite3.connect(store)) as found, found:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            found.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                (now, len(before) + 1, len(before), before),
            )
