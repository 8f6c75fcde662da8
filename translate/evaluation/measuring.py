"""The implementation of ``evaluate``: compute metrics of a trained network on data."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from translate.description import check_given
from translate.errors import TranslateError, nearest
from translate.evaluation.drawings import Answers, Drawings
from translate.evaluation.subjects import Asked, Subject, reads
from translate.evaluation.translations import Translations
from translate.layouts import open_dataset
from translate.memory import limits
from translate.method import role_of
from translate.parts import CatalogParts, SavedMethod, build
from translate.plugins import discover
from translate.sizes import Size

if TYPE_CHECKING:
    from translate.evaluation import Metric

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
    subject = subject_of(request, device=asked["device"], plugins=plugins, no_plugins=no_plugins)
    parts = CatalogParts(catalog, source=subject.source, target=subject.target, size=size)
    built: dict[str, Metric] = {text: build(catalog, "metrics", text, parts=parts) for text in asked["metrics"]}
    wanted: set[str] = set()
    for text, metric in built.items():
        for need in sorted(metric.needs):
            if (reason := subject.lacks(need)) is not None:
                raise TranslateError(f"{text} {reason}")
        wanted |= reads(metric)
    subject.choose_targets(built.values())

    counts: dict[str, int] = {}
    with torch.no_grad():  # not inference mode: decoding threads write into tensors made here
        for each in subject.batches(wanted):
            for name in ("source", "target", "fake", "samples", "bits", "encoded", "logits"):
                if name in each and name in wanted:
                    counts[name] = counts.get(name, 0) + len(each[name])
            for metric in built.values():
                for part in subject.parts_of(each, metric):
                    if part:
                        metric.update(part)
    scores: dict[str, float] = {}
    protocols: dict[str, str] = {}
    for text, metric in built.items():
        found = {name: float(value) for name, value in metric.result().items()}
        if duplicates := sorted(found.keys() & scores.keys()):
            raise TranslateError(
                f"{text} measures {duplicates[0]}, which another metric has measured; ask for one at a time"
            )
        scores |= found
        protocols[next(iter(found), text)] = metric.protocol
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
        "metrics": protocols,
    }
    protocol |= subject.facts()
    if "samples" in wanted:
        protocol |= {"samples": samples, "seed": seed}
    if "divergence" in wanted:
        protocol |= {"seed": seed}
    path = saved.path.resolve()
    if path.name == "translator.safetensors":
        name = path.parent.name
    else:
        name = f"{path.parent.parent.name}/{path.stem}" if path.parent.name == "checkpoints" else path.stem
    return {"subject": name, "scores": scores, "counts": counts, "protocol": protocol}


def subject_of(asked: Asked, **loading: Any) -> Subject:
    """Load the network to measure; ``loading`` holds keyword arguments of its loader."""
    roles: dict[str, Callable[..., Subject]] = {
        "translator": Translations,
        "sampler": Drawings,
        "classifier": Answers,
    }
    return roles[role_of(asked.direction)](asked, **loading)
