"""Evaluation: what a run has trained, measured on data by metrics."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from translate.errors import TranslateError, nearest
from translate.evaluation.subjects import Asked, subject_of
from translate.parts import CatalogParts, Kept, build, open_dataset
from translate.plugins import discover
from translate.sizes import parse_size

RESIZE = "stretched to the size: mean over the area, class maps by nearest neighbour"
ERROR = "_standard_error"


class Metric(Protocol):
    """What a metric's factory builds: takes batches on the device, answers scores.

    ``needs`` names the tensors of a batch that it reads, of these: ``source``, ``target`` and ``fake``, the
    translations, (N, C, H, W) float32 in [-1, 1]; ``source_label`` and ``target_label`` (N,) int64, -1 for none;
    ``samples`` (N, S, C, H, W), several translations of each source; ``bits`` (N,), what a network with a
    ``bits_per_dimension`` answers; of a classifier ``logits`` (N, K) and ``label``. Beside them ``pairs``: target i
    must belong to source i. An attribute ``wants``, where there is one, names what it reads if it is at hand.

    Nothing else is handed in. What comes in one batch belongs together, row by row. Of data without pairs, and of a
    sampler, the sides come in batches of their own.
    """

    needs: frozenset[str]

    @property
    def protocol(self) -> str:
        """How the score was taken, in words: read after ``result``."""
        ...

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """Take one batch."""
        ...

    def result(self) -> Mapping[str, float]:
        """Scores by name; ``NAME_standard_error`` is the standard error of ``NAME``."""
        ...


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured. ``counts`` are the images of each kind that the metrics saw, ``protocol`` how it was done."""

    subject: str
    scores: Mapping[str, float]
    counts: Mapping[str, int]
    protocol: Mapping[str, Any]

    def lines(self) -> list[str]:
        """Tell it as lines of text for a terminal."""
        protocol = self.protocol
        seen = ", ".join(f"{count:,} {kind}" for kind, count in self.counts.items())
        which = f"{self.subject} ({protocol['method']}, {protocol['direction']})"
        told = [
            f"{which} on {protocol['data']}, {protocol['split']}",
            f"{seen}; {protocol['size']}, {protocol['resize']}",
            "",
        ]
        rows = []
        for name, value in self.scores.items():
            if not _is_error(name, self.scores):
                error = self.scores.get(name + ERROR)
                shown = f"{value:.5g}" + ("" if error is None else f" ± {error:.2g}")
                rows.append((name, shown))
        widths = [max((len(cell) for cell in column), default=0) for column in zip(*rows, strict=True)]
        told += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return [*told, "", *(f"{name}: {how}" for name, how in protocol["metrics"].items())]

    def to_json(self) -> dict[str, Any]:
        """Tell it as JSON values; a number that is not finite becomes its name in text, such as ``inf``."""
        scores = {name: value if math.isfinite(value) else str(value) for name, value in self.scores.items()}
        return {
            "subject": self.subject,
            "scores": scores,
            "counts": dict(self.counts),
            "protocol": {**self.protocol, "metrics": dict(self.protocol["metrics"])},
        }


def _is_error(name: str, scores: Mapping[str, float]) -> bool:
    return name.endswith(ERROR) and name.removesuffix(ERROR) in scores


def evaluate(
    run_or_translator: str | Path,
    data: str | Path,
    *,
    metrics: Sequence[str],
    split: str = "test",
    layout: str | None = None,
    direction: str | None = None,
    size: Any = None,
    limit: int | None = None,
    batch: int = 32,
    samples: int = 8,
    seed: int = 0,
    device: str = "auto",
    plugins: Sequence[str] = (),
    no_plugins: Sequence[str] = (),
) -> Evaluation:
    """Measure a run's folder, or its ``translator.safetensors``, on a split of data.

    ``metrics`` are named as parts, such as ``frechet(extractor=squeezenet(weights='w.pth'))``. ``direction`` is what of
    the run is measured: ``forward`` (by default the first it keeps), ``backward``, ``sample``, ``classify``. ``size``
    is the training's unless told otherwise; ``limit`` takes that many images of each domain, evenly spread; ``samples``
    is how many translations of one image a metric of samples gets, drawn from ``seed``.
    """
    if not metrics:
        raise TranslateError("there is nothing to measure; name at least one --metric, such as psnr")
    if (limit is not None and limit < 1) or batch < 1 or samples < 1:
        raise TranslateError("limit, batch and samples must be at least 1")
    catalog = discover(extra=plugins, blocked=no_plugins)
    kept = Kept.open(run_or_translator, catalog)
    directions = list(kept.facts["directions"])
    chosen = direction or directions[0]
    if chosen not in directions:
        raise TranslateError(f"{run_or_translator} has no direction {chosen!r}; {nearest(chosen, directions)}")
    dataset = open_dataset(catalog, str(data), layout)
    if split not in dataset.splits:
        raise TranslateError(f"{dataset.name} has no split {split!r}; {nearest(split, dataset.splits)}")
    taken = kept.size if size is None else parse_size(size)

    asked = Asked(kept, chosen, dataset, split, limit, taken, batch, samples, seed)
    subject = subject_of(asked, device=device, plugins=plugins, no_plugins=no_plugins)
    parts = CatalogParts(catalog, source=subject.source, target=subject.target, size=taken)
    built: dict[str, Metric] = {text: build(catalog, "metrics", text, parts=parts) for text in metrics}
    wanted: set[str] = set()
    for text, metric in built.items():
        for need in sorted(metric.needs):
            if (reason := subject.lacks(need)) is not None:
                raise TranslateError(f"{text} {reason}")
        wanted |= metric.needs | getattr(metric, "wants", frozenset())

    counts: dict[str, int] = {}
    with torch.no_grad():  # decoding threads write into what is made here
        for each in subject.batches(wanted):
            for name in ("source", "target", "fake", "samples", "bits", "logits"):
                if name in each and name in wanted:
                    counts[name] = counts.get(name, 0) + len(each[name])
            for metric in built.values():
                mine = metric.needs | getattr(metric, "wants", frozenset())
                if part := {name: tensor for name, tensor in each.items() if name in mine}:
                    metric.update(part)
    scores: dict[str, float] = {}
    told: dict[str, str] = {}
    for text, metric in built.items():
        found = {name: float(value) for name, value in metric.result().items()}
        if twice := sorted(found.keys() & scores.keys()):
            raise TranslateError(
                f"{text} measures {twice[0]}, which another metric has measured; ask for one at a time"
            )
        scores |= found
        told[next(iter(found), text)] = metric.protocol
    with kept.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    protocol = {
        "method": kept.facts["method"],
        "direction": chosen,
        "weights_sha256": digest,
        "data": dataset.name,
        "layout": dataset.layout,
        "split": split,
        "size": f"{taken[0]}x{taken[1]}",
        "resize": RESIZE,
        "metrics": told,
    }
    protocol |= subject.facts
    if "samples" in wanted:
        protocol |= {"samples": samples, "seed": seed}
    place = kept.path.resolve()
    name = place.parent.name if place.name == "translator.safetensors" else place.stem
    return Evaluation(name, scores, counts, protocol)
