"""Diversity within classes: how far images of one class are apart, drawn ones and real ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor

from translate.errors import TranslateError
from translate.method import Parts
from translate.options import Option
from translate_metrics.extraction import Comparison, Extraction, fingerprint, name_of


class ClassDiversity:
    """The mean distance of two images of one class, made ones over real ones: 1 if they are as diverse, 0 if all alike.

    Distances are mean absolute differences of pixels in [-1, 1], or of an extractor's features, averaged over
    positions; the mean is over all pairs of a class, then over the classes of which there are two images of both kinds.
    A classifier that was trained on real images tells the classes of both kinds. ``class_diversity_made`` and
    ``class_diversity_real`` are the two distances. Speckles count as diversity, so look at the images, too.
    """

    needs = frozenset({"fake", "target"})

    def __init__(
        self,
        parts: Parts,
        *,
        classifier: Annotated[Path, Option("run that trained a classifier of the target domain")],
        extractor: Comparison = "",
    ) -> None:
        self._network = parts.classifier(classifier).eval()
        self._features = Extraction(parts, extractor) if extractor else None
        self._description = f"classifier {name_of(str(classifier.resolve()))}, weights {fingerprint(self._network)}"
        self._rows: dict[str, list[Tensor]] = {"fake": [], "target": []}
        self._classes: dict[str, list[Tensor]] = {"fake": [], "target": []}
        self._compared = 0

    @property
    def protocol(self) -> str:
        """What was compared, by which classifier, and the numbers of images and classes."""
        where = "pixels in [-1, 1]" if self._features is None else f"pooled features of {self._features.description}"
        made, real = (sum(map(len, self._classes[kind])) for kind in ("fake", "target"))
        return (
            f"mean absolute difference of {where} within {self._compared} classes, over that of real images; "
            f"{self._description}; {made} made, {real} real images"
        )

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """Add the made and the real images (N, C, H, W) of a batch."""
        for kind in self._rows:
            if kind in batch:
                images = batch[kind]
                self._classes[kind].append(self._network.to(images.device)(images).argmax(1).cpu())
                rows = images.flatten(1) if self._features is None else self._features.pooled(images)
                self._rows[kind].append(rows.cpu())

    def result(self) -> Mapping[str, float]:
        """The ratio and the two distances."""
        distances: dict[str, dict[int, float]] = {}
        for kind, parts in self._rows.items():
            rows, classes = torch.cat(parts), torch.cat(self._classes[kind])
            there = [each for each, count in enumerate(torch.bincount(classes).tolist()) if count > 1]
            distances[kind] = {each: mean_distance(rows[classes == each]) for each in there}
        both = distances["fake"].keys() & distances["target"].keys()
        self._compared = len(both)
        if not both:
            raise TranslateError("class_diversity needs two made and two real images of some class; draw more images")
        made, real = (sum(distances[kind][each] for each in both) / len(both) for kind in ("fake", "target"))
        ratio = made / real if real else float("inf") if made else 1.0
        return {"class_diversity": ratio, "class_diversity_made": made, "class_diversity_real": real}


def mean_distance(rows: Tensor) -> float:
    """The mean absolute difference over all pairs of rows (N, D).

    >>> mean_distance(torch.tensor([[0.0], [3.0], [1.0]]))
    2.0
    """
    count = len(rows)
    # Of sorted numbers, the one at place i is added i times and subtracted by the others above it.
    weights = 2 * torch.arange(count, dtype=torch.float64) - (count - 1)
    total = (rows.double().sort(dim=0).values * weights[:, None]).sum(0).mean()
    return float(total) / (count * (count - 1) / 2)
