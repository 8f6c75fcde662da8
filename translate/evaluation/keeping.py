"""Keeping: what was measured of a run, in the folder ``evaluations/`` of the run, from where its report shows it.

An evaluation is a JSON file with the scores and their protocol; beside it, under the same name, lie the table of the
scores of each image, and a picture of the images for which a score is highest and lowest. Nothing is ever replaced: an
evaluation of a name that is taken gets a number, and one that is there already is not written again.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from translate import atomic, images
from translate.evaluation import EVALUATIONS, per_image
from translate.evaluation.extremes import Pictures

log = logging.getLogger("translate")

MOST = 10_000
"""The most evaluations of one name."""

QUALITY = 85


@dataclass(frozen=True, slots=True)
class Home:
    """Where an evaluation of a run is kept: the run's folder, and the name by which it is called there."""

    run: Path
    name: str


def home_of(weights: Path, split: str, step: int | None, direction: str | None) -> Home | None:
    """The home of an evaluation of some weights; None for a file that lies in no run's folder.

    ``direction`` is None for the run's first.
    """
    run = weights.parent.parent if weights.parent.name == "checkpoints" else weights.parent
    if not (run / "config.json").is_file() or not (run / "checkpoints").is_dir():
        return None
    which = weights.stem if weights.stem.startswith("best-") or step is None else f"step-{step:08d}"
    return Home(run, "-".join(filter(None, (split, direction, which))))


def keep(
    home: Home, found: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], pictures: Pictures | None
) -> Path | None:
    """Write an evaluation, its table and its picture; the result is its file, None where it cannot be kept.

    ``found`` are JSON values. What cannot be written is told, and is no error: the scores are printed all the same.
    """
    folder = home.run / EVALUATIONS
    values = dict(found) | ({} if pictures is None else {"pictures": pictures.layout()})
    data = f"{json.dumps(values, indent=2, allow_nan=False)}\n".encode()
    try:
        folder.mkdir(exist_ok=True)
        for number in range(1, MOST):
            stem = f"{home.name}{'' if number == 1 else f'-{number}'}"
            path, table, picture = (folder / f"{stem}{suffix}" for suffix in (".json", ".csv", ".webp"))
            if path.is_file() and path.read_bytes() == data:
                return path
            if any(os.path.lexists(each) for each in (path, table, picture)):
                continue
            with contextlib.suppress(FileExistsError), path.open("xb") as file, _all_or_nothing(path, table, picture):
                # The file by which the others are found is there first, empty, so that nobody else takes the name.
                if any(len(row) > len(per_image.KEYS) for row in rows):
                    per_image.put(table, rows)
                if pictures is not None:
                    atomic.write(picture, images.encode(images.Image(pictures.pixels), ".webp", quality=QUALITY))
                file.write(data)
                return path
    except OSError as error:
        log.warning(
            "the evaluation is not kept in %s: %s; with --no-keep it is not tried", folder, error.strerror or error
        )
    return None


@contextlib.contextmanager
def _all_or_nothing(*paths: Path) -> Iterator[None]:
    """Remove files that the block has made if it fails."""
    try:
        yield
    except BaseException:
        for path in paths:
            with contextlib.suppress(OSError):
                path.unlink()
        raise
