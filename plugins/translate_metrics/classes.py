"""Class metrics: how many translations keep their source's class, and the error rate of a classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from translate.errors import TranslateError
from translate.method import Parts
from translate.options import Option
from translate_metrics.averages import Average
from translate_metrics.extraction import fingerprint, name_of


class ContentAccuracy:
    """The share of translations, in percent, for which a classifier predicts the class of the source.

    The classifier must be trained on real images of the target domain. ``ceiling`` is its accuracy on real targets, if
    they have labels: a translator that keeps every class reaches about that. ``untranslated`` is its accuracy on the
    sources themselves, if they have the targets' channels: the score of a translator that changes nothing.
    """

    needs = frozenset({"fake", "source_label"})
    wants = frozenset({"source", "target", "target_label"})
    better: ClassVar = {"content_accuracy": "higher"}

    def __init__(
        self, parts: Parts, *, classifier: Annotated[Path, Option("run that trained a classifier of the target domain")]
    ) -> None:
        self._network = parts.classifier(classifier).eval()
        try:
            with torch.inference_mode():
                count = self._network(torch.zeros(1, parts.target.channels, *parts.size)).shape[1]
        except RuntimeError:
            height, width = parts.size
            raise TranslateError(
                f"the classifier {classifier} does not take images of {parts.target.channels} channels and "
                f"{height}x{width} pixels; train one on images like the target's"
            ) from None
        known: Sequence[str] = getattr(self._network, "labels", ())
        self._of_source = Numbering(parts.source.labels, known, count)
        self._of_target = Numbering(parts.target.labels, known, count)
        self._description = f"classifier {name_of(str(classifier.resolve()))}, weights {fingerprint(self._network)}"
        source, target = parts.source, parts.target
        self._alike = source.channels == target.channels and source.one_hot == target.one_hot
        self._translated, self._untranslated, self._real = (
            Average(name) for name in ("content_accuracy", "untranslated", "ceiling")
        )

    @property
    def protocol(self) -> str:
        """The classifier and the number of images."""
        real = f", {self._real.count} real" if self._real.count else ""
        return f"percent; {self._description}; {self._translated.count} labelled translated{real} images"

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """Classify a batch's translations and their sources, and its real images where they have labels."""
        if "fake" in batch:
            labels = self._of_source(batch["source_label"])
            self._add_accuracy(batch["fake"], labels, self._translated)
            if self._alike and "source" in batch:
                self._add_accuracy(batch["source"], labels, self._untranslated)
        if "target" in batch and "target_label" in batch:
            self._add_accuracy(batch["target"], self._of_target(batch["target_label"]), self._real)

    def result(self) -> Mapping[str, float]:
        """The accuracies in percent, with standard errors."""
        return {**self._translated.result(), **self._untranslated.result(), **self._real.result()}

    def per_image(self) -> Mapping[str, Mapping[str, Tensor]]:
        """100 for each image whose class was predicted, else 0."""
        of_source = {each.name: each.each for each in (self._translated, self._untranslated) if each.count}
        return {"fake": of_source, **({"target": {"ceiling": self._real.each}} if self._real.count else {})}

    def _add_accuracy(self, images: Tensor, labels: Tensor, average: Average) -> None:
        logits = self._network.to(images.device)(images)
        average.add(100.0 * correct(logits, labels), labels >= 0)


class ClassificationError:
    """The share of images, in percent, whose most probable class is wrong."""

    needs = frozenset({"logits", "label"})
    better: ClassVar = {"classification_error": "lower"}

    def __init__(self, parts: Parts) -> None:
        # In the evaluation of a classifier, source labels are those of the data, target labels those of its outputs.
        self._names = (parts.source.labels, parts.target.labels)
        self._average = Average("classification_error")

    @property
    def protocol(self) -> str:
        """The number of classified images."""
        return f"percent; {self._average.count} labelled images"

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """Count a batch's errors."""
        numbering = Numbering(*self._names, batch["logits"].shape[1])
        labels = numbering(batch["label"])
        self._average.add(100 - 100.0 * correct(batch["logits"], labels), labels >= 0)

    def result(self) -> Mapping[str, float]:
        """The error in percent and its standard error."""
        return self._average.result()

    def per_image(self) -> Mapping[str, Mapping[str, Tensor]]:
        """100 for each image that was classified wrongly, else 0."""
        return {"logits": {"classification_error": self._average.each}}


class Numbering:
    """Maps the data's label numbers to a classifier's classes, by name if both have class names.

    >>> Numbering(("cat", "dog"), ("dog", "cat"), 2)(torch.tensor([0, 1, -1])).tolist()
    [1, 0, -1]
    """

    def __init__(self, names: Sequence[str], known: Sequence[str], count: int) -> None:
        self._count = count
        self._table: list[int] | None = None
        if names and known and tuple(names) != tuple(known):
            if unknown := [name for name in names if name not in known]:
                raise TranslateError(
                    f"the classifier knows no class {unknown[0]!r}, only {', '.join(known)}; "
                    "evaluate on data of the classes that it was trained on"
                )
            self._table = [list(known).index(name) for name in names]

    def __call__(self, labels: Tensor) -> Tensor:
        """Map labels (N,) to class numbers of the classifier; -1 stays -1."""
        if self._table is not None:
            table = torch.tensor([*self._table, -1], device=labels.device)
            labels = table[labels]
        if len(labels) and int(labels.max()) >= self._count:
            raise TranslateError(
                f"an image has the label {int(labels.max())}, but the classifier tells {self._count} classes apart; "
                "evaluate on data of the classes that it was trained on"
            )
        return labels


def correct(logits: Tensor, labels: Tensor) -> Tensor:
    """1.0 where the largest logit (N, K) is that of the label (N,), else 0.0.

    >>> correct(torch.tensor([[2.0, 1.0], [2.0, 1.0], [2.0, 1.0]]), torch.tensor([0, 1, -1])).tolist()
    [1.0, 0.0, 0.0]
    """
    return (logits.argmax(1) == labels).float()
