"""TensorBoard: event files in the run's folder, written by the package ``tensorboard`` without TensorFlow."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from translate.logger import LoggedRun
from translate_loggers.marks import Mark
from translate_loggers.packages import require
from translate_loggers.values import header_of_png, shown, table


class TensorBoard:
    """Event files for `tensorboard --logdir RUN`, in the run's folder.

    A resumed run goes on in a file of its own, which tells TensorBoard to drop what came after the checkpoint.
    """

    def __init__(self) -> None:
        self._events: Any = require("tensorboard.compat.proto.event_pb2", "tensorboard")
        self._summaries: Any = require("tensorboard.compat.proto.summary_pb2", "tensorboard")
        self._records: Any = require("tensorboard.summary.writer.record_writer", "tensorboard")
        self._hyperparameters: Any = require("tensorboard.plugins.hparams.summary_v2", "tensorboard")
        self._texts: Any = require("tensorboard.plugins.text.metadata", "tensorboard")
        self._file: io.BufferedWriter | None = None

    def start(self, run: LoggedRun) -> int | None:
        """Open a new event file; entries after the run's step are taken back."""
        self._mark = Mark(run.folder, run.name)
        held = None if self._mark.step is None else min(self._mark.step, run.step)
        if held is not None:
            self._mark.go_back(held)
        number = sum(1 for _ in run.folder.glob("events.out.tfevents.*"))
        # The order of the files is that of their names.
        path = run.folder / f"events.out.tfevents.{int(time.time()):010d}.{number:04d}.{os.getpid()}"
        self._file = path.open("xb")
        self._writer = self._records.RecordWriter(self._file)
        self._write(file_version="brain.Event:2")
        if held is not None:
            self._write(session_log=self._events.SessionLog(status=self._events.SessionLog.START), step=held + 1)
        options = {name: shown(value) for name, value in run.options.items()}
        self._write(summary=self._hyperparameters.hparams_pb(options, trial_id=run.name), step=run.step)
        summary = self._summaries.Summary()
        text = summary.value.add(tag="options", metadata=self._texts.create_summary_metadata("options", ""))
        text.tensor.dtype = 7  # DT_STRING
        text.tensor.tensor_shape.dim.add(size=1)
        text.tensor.string_val.append(table(options).encode())
        self._write(summary=summary, step=run.step)
        return held

    def log_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write one event with all values."""
        summary = self._summaries.Summary()
        for name, value in values.items():
            summary.value.add(tag=name, simple_value=value)
        self._write(summary=summary, step=step)
        self._mark.reach(step)

    def log_image(self, step: int, name: str, path: Path) -> None:
        """Write the file as it is."""
        data = path.read_bytes()
        width, height, planes = header_of_png(data)
        summary = self._summaries.Summary()
        image = summary.value.add(tag=name).image
        image.width, image.height, image.colorspace, image.encoded_image_string = width, height, planes, data
        self._write(summary=summary, step=step)

    def finish(self, reason: str, final: Mapping[str, float]) -> None:
        """Close the file; TensorBoard shows the last values itself."""
        if self._file is not None:
            self._file.close()

    def _write(self, **content: Any) -> None:
        assert self._file is not None
        self._writer.write(self._events.Event(wall_time=time.time(), **content).SerializeToString())
        # What is flushed is seen by TensorBoard, and survives the end of the process.
        self._file.flush()
