"""The implementation of ``evaluate``: compute metrics of a trained network on data."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from translate.description import check_given
from translate.errors import TranslateError, nearest
from translate.evaluation import Evaluation, per_image
from translate.evaluation.keeping import home_of, keep
from translate.evaluation.measurement import Measurement, Scores
from translate.evaluation.resampling import DEFAULT, Resamples, facts, interval
from translate.evaluation.side_by_side import Measured, check_alike, differences, names_of
from translate.evaluation.subjects import Asked
from translate.layouts import open_dataset
from translate.memory import limits
from translate.parts import SavedMethod
from translate.plugins import discover
from translate.sizes import Size

log = logging.getLogger("translate")

RESIZE = "stretched to the size: mean over the area, class maps by nearest neighbour"


def measure_all(
    runs: Sequence[Path], data: str, asked: Mapping[str, Any], plugins: Sequence[str], no_plugins: Sequence[str]
) -> list[dict[str, Any]]:
    """Measure all runs on the same images; returns the fields of an ``Evaluation`` for each.

    Those of the runs behind the first hold their ``differences`` from it.
    """
    count = asked["bootstrap"] or (DEFAULT if len(runs) > 1 else 0)
    resamples = Resamples(count, asked["seed"]) if count else None
    if asked["per_image"] is not None:
        per_image.check(asked["per_image"], asked["overwrite"])
    found: list[Measured] = []
    for run in runs:
        found.append(measure(run, data, asked, plugins, no_plugins, resamples))
        # What cannot be compared is told before the next run is measured.
        check_alike(found)
    names = names_of(found)
    rows = [per_image.rows_of(name, each.scores.each) for name, each in zip(names, found, strict=True)]
    if asked["per_image"] is not None:
        per_image.write(asked["per_image"], [row for each in rows for row in each])
    fields = [
        fields_of(name, each.scores, each.protocol, resamples, own)
        for name, each, own in zip(names, found, rows, strict=True)
    ]
    for each, own in zip(found, fields, strict=True):
        if each.home is not None:
            # There its name needs to differ from nobody's.
            (alone,) = names_of([each])
            values = {**Evaluation(**own).to_json(), "subject": alone, "better": dict(each.scores.better)}
            rows_alone = [{**row, "run": alone} for row in own["per_image"]]
            own["kept"] = keep(each.home, values, rows_alone, each.pictures)
    for each, own in zip(found[1:], fields[1:], strict=True):
        own["differences"] = differences(found[0].scores, each.scores)
    return fields


def fields_of(
    name: str, scores: Scores, protocol: Mapping[str, Any], resamples: Resamples | None, rows: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """The fields of an ``Evaluation``."""
    intervals = {score: found for score, draws in scores.draws.items() if (found := interval(draws)) is not None}
    return {
        "subject": name,
        "scores": scores.values,
        "counts": scores.counts,
        "protocol": {**protocol, **({} if resamples is None else {"bootstrap": facts(resamples)})},
        "intervals": intervals,
        "warnings": tuple(scores.warnings),
        "per_image": rows,
    }


def measure(
    run: Path,
    data: str,
    asked: Mapping[str, Any],
    plugins: Sequence[str],
    no_plugins: Sequence[str],
    resamples: Resamples | None,
) -> Measured:
    """Measure one run with the checked options of ``evaluate``."""
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
    measurement = Measurement(request, asked["device"])
    found = measurement.scores(asked["metrics"], resamples)
    home = None
    if asked["keep"]:
        named = None if chosen == directions[0] else chosen
        home = home_of(saved.path, split, saved.metadata.get("step"), named)
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
    folder = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    shown = folder if path.name == "translator.safetensors" else folder / path.stem
    return Measured(shown, found, protocol, home, None if home is None else measurement.pictures(found))
