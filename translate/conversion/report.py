"""Report of a conversion: a JSON file with what became of every image, how long it took, and what was told."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from translate import __version__, atomic, images, outputs
from translate.conversion.batch import Work
from translate.conversion.manifest import FOLDER, Making
from translate.conversion.piping import Piped
from translate.conversion.plan import Task
from translate.errors import TranslateError

KIND = "translate conversion report"


class Report:
    """The report of one conversion, written to ``path`` at its end; nothing if that is None.

    ``piped`` are the files that stand for standard input and output. The report's folder must be there, or be that of
    the outputs, ``target``, which is made before the report is written.

    Raises ``TranslateError`` if a file is there that is no report, unless ``overwrite``, and for a name that an image,
    a translator or another file of a conversion may have.
    """

    def __init__(self, path: Path | None, target: Path, *, overwrite: bool = False, piped: Piped | None = None) -> None:
        self._path = path
        self._piped = piped or Piped()
        self._begun = time.time()
        self._facts: dict[str, Any] = {}
        if path is None:
            return
        _check_name(path)
        if path.is_dir() or path.absolute() == target.absolute():
            raise TranslateError(f"{path} is a folder; name a file for the report, such as {path / 'report.json'}")
        folder = path.absolute().parent
        if folder == target.absolute() and not target.suffix and not os.path.lexists(folder):
            return
        if not folder.is_dir():
            raise TranslateError(f"there is no folder {path.parent} for the report {path.name}; make it first")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise TranslateError(f"the report {path} cannot be written into its folder; check its permissions")
        if not overwrite and not _is_report(path):
            outputs.refuse_existing(path)

    def begin(self, making: Making, target: Path) -> None:
        """Note how and where the outputs are made."""
        self._facts = {
            "translator": making.translator,
            "options": dict(making.options),
            "target": str(self._piped.path(target)),
        }

    def end(
        self,
        tasks: Sequence[Task],
        kept: Sequence[Task],
        failed: Sequence[tuple[Path, str]],
        converted: int,
        work: Work,
    ) -> None:
        """Write what became of every image: ``converted``, ``kept``, ``failed``, or ``not done`` if it was stopped."""
        if self._path is None:
            return
        reasons = dict(failed)
        notices = work.notices.by_image()
        untouched = {task.name for task in kept}
        rows = []
        for task in tasks:
            stages = {stage: round(seconds, 6) for stage, seconds in work.stages.of(task.source).items()}
            reason = reasons.pop(task.source, None)
            done = work.stages.is_done(task.source)
            result = "kept" if task.name in untouched else "failed" if reason else "converted" if done else "not done"
            source = self._piped.path(task.source)
            row = {
                "name": task.name if source == task.source else str(source),
                "source": str(source),
                "outputs": [str(self._piped.path(output)) for output in task.outputs],
                "result": result,
                "seconds": stages,
                "warnings": [self._piped.sentence(each) for each in notices.get(task.source, ())],
            }
            rows.append(row | ({"reason": self._piped.sentence(reason)} if reason else {}))
        rows += [
            {"name": source.name, "source": str(source), "outputs": [], "result": "left out", "reason": reason}
            for source, reason in reasons.items()
        ]
        results = [row["result"] for row in rows]
        facts = {
            "kind": KIND,
            "version": 1,
            "translate": __version__,
            "begun": datetime.fromtimestamp(self._begun, UTC).isoformat(timespec="seconds"),
            "seconds": round(time.time() - self._begun, 3),
            **self._facts,
            "counts": {result: results.count(result) for result in dict.fromkeys(results)},
            "images": rows,
        }
        try:
            atomic.write(self._path, (json.dumps(facts, indent=1) + "\n").encode())
        except OSError as error:
            raise TranslateError(f"cannot write the report {self._path}: {error.strerror}; check its disk") from None


def _check_name(path: Path) -> None:
    """Refuse a path that is another file's, whether that is there already or will be."""
    outputs.refuse_standard(path, "a report")
    if path.suffix.lower() in _others or FOLDER in path.absolute().parts:
        raise TranslateError(
            f"{path} is named as another kind of file, which a report would replace; name it report.json, say"
        )


_others = images.READABLE | {".safetensors", ".onnx", ".xml", ".bin", ".pth", ".pt", ".html", ".jsonl", ".lock"}


def _is_report(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return KIND.encode() in file.read(100)
    except OSError:
        return False
