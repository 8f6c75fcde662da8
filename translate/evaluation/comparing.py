"""The implementation of ``compare``: metrics of the images of two folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from translate.devices import pick_device
from translate.evaluation import per_image
from translate.evaluation.folders import Folders
from translate.evaluation.measurement import scores_of
from translate.evaluation.measuring import RESIZE, fields_of
from translate.evaluation.resampling import Resamples
from translate.plugins import discover


def compare_folders(
    made: Path, truth: Path, asked: Mapping[str, Any], plugins: Sequence[str], no_plugins: Sequence[str]
) -> dict[str, Any]:
    """Measure with the checked options of ``compare``; returns the fields of an ``Evaluation``."""
    if asked["per_image"] is not None:
        per_image.check(asked["per_image"], asked["overwrite"])
    catalog = discover(extra=plugins, blocked=no_plugins)
    folders = Folders(made, truth, asked, pick_device(asked["device"]))
    resamples = Resamples(asked["bootstrap"], asked["seed"]) if asked["bootstrap"] else None
    scores = scores_of(folders, catalog, asked["metrics"], folders.size, resamples)
    rows = per_image.rows_of(made.name, scores.each)
    if asked["per_image"] is not None:
        per_image.write(asked["per_image"], rows)
    resize = RESIZE if asked["at"] is not None else "not resized"
    protocol = {**scores.facts, "resize": resize, "metrics": dict(scores.protocols)}
    return fields_of(made.name, scores, protocol, resamples, rows)
