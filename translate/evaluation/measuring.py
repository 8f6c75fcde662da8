"""The implementation of ``evaluate``: compute metrics of a trained network on data."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from translate.description import check_given
from translate.errors import TranslateError, nearest
from translate.evaluation.measurement import Measurement
from translate.evaluation.subjects import Asked
from translate.layouts import open_dataset
from translate.memory import limits
from translate.parts import SavedMethod
from translate.plugins import discover
from translate.sizes import Size

log = logging.getLogger("translate")

RESIZE = "stretched to the size: mean over the area, class maps by nearest neighbour"


def measure(
    run: Path, data: str, asked: Mapping[str, Any], plugins: Sequence[str], no_plugins: Sequence[str]
) -> dict[str, Any]:
    """Measure with the checked options of ``evaluate``; returns the fields of an ``Evaluation``."""
    given = asked["given"] or {}
    check_given(run, asked["step"], asked["direction"], given)
    catalog = discover(extra=plugins, blocked=no_plugins)
    saved = SavedMethod.open(run, catalog, asked["step"])
    directions = list(saved.metadata["directions"])
    chosen = asked["direction"] or directions[0]
    if chosen not in directions:
        raise TranslateError(f"{run} has no direction {chosen!r}; {nearest(chosen, directions)}")
    with limits(asked["memory"], asked["max_pixels"]):
        dataset = open_dataset(catalog, data, asked["layout"])
    for note in dataset.notes:
        log.warning("%s", note)
    split: str = asked["split"]
    if split not in dataset.splits:
        raise TranslateError(f"{dataset.name} has no split {split!r}; {nearest(split, dataset.splits)}")
    size: Size = asked["at"] or saved.size

    samples, seed = asked["samples"], asked["seed"]
    request = Asked(
        saved, chosen, dataset, split, asked["limit"], size, asked["batch"], samples, seed, asked["memory"],
        asked["max_pixels"], given,
    )  # fmt: skip
    found = Measurement(request, asked["device"]).scores(asked["metrics"])
    with saved.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    protocol = {
        "method": saved.metadata["method"],
        "direction": chosen,
        "weights_sha256": digest,
        "data": dataset.name,
        "layout": dataset.layout,
        "split": split,
        "size": f"{size[0]}x{size[1]}",
        "resize": RESIZE,
        "metrics": dict(found.protocols),
    }
    protocol |= found.facts
    if "samples" in found.read:
        protocol |= {"samples": samples, "seed": seed}
    if "divergence" in found.read:
        protocol |= {"seed": seed}
    path = saved.path.resolve()
    if path.name == "translator.safetensors":
        name = path.parent.name
    else:
        name = f"{path.parent.parent.name}/{path.stem}" if path.parent.name == "checkpoints" else path.stem
    return {"subject": name, "scores": found.values, "counts": found.counts, "protocol": protocol}
