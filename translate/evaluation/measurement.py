"""Measurements: the scores of one direction of a trained method on a split, by the protocol of ``evaluate``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from translate.errors import TranslateError
from translate.evaluation.drawings import Answers, Drawings
from translate.evaluation.subjects import Asked, Subject, reads
from translate.evaluation.translations import Translations
from translate.method import role_of
from translate.parts import CatalogParts, build
from translate.saved import classifier_of, sampler_of
from translate.translator import translator_of

if TYPE_CHECKING:
    from translate.evaluation import Metric

COUNTED = ("source", "target", "fake", "samples", "bits", "encoded", "logits")
"""The tensors whose rows are counted, where a metric reads them."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What was measured: scores by name, how each metric computed them, how many images of each kind there were."""

    values: Mapping[str, float]
    protocols: Mapping[str, str]
    counts: Mapping[str, int]
    facts: Mapping[str, Any]
    """Further entries of the protocol, of the subject."""
    read: frozenset[str]
    """The tensors that some metric reads."""


class Measurement:
    """Measures the network of one direction; it may be repeated, after its weights have changed."""

    def __init__(self, asked: Asked, device: str) -> None:
        self._asked = asked
        self._network = _LOADERS[role_of(asked.direction)](asked.saved, asked.direction, device=device)

    def _subject(self) -> Subject:
        found: Subject = _SUBJECTS[role_of(self._asked.direction)](self._asked, self._network)
        return found

    def _built(self, subject: Subject, metrics: Sequence[str]) -> dict[str, Metric]:
        asked = self._asked
        parts = CatalogParts(asked.saved.catalog, source=subject.source, target=subject.target, size=asked.size)
        return {text: build(asked.saved.catalog, "metrics", text, parts=parts) for text in metrics}

    def fitting(self, metrics: Sequence[str]) -> tuple[dict[str, Metric], dict[str, str]]:
        """Those of the metrics that the direction and the data fit, and why the others do not, by their texts.

        Those that fit have seen one batch, so that what they refuse is known. They are not measured further.
        """
        subject = self._subject()
        built, unfit = self._built(subject, metrics), {}
        for text, metric in built.items():
            reasons = (subject.lacks(need) for need in sorted(metric.needs))
            if (reason := next((each for each in reasons if each is not None), None)) is not None:
                unfit[text] = reason
        found = {text: metric for text, metric in built.items() if text not in unfit}
        subject.choose_targets(found.values())
        self._update(subject, found, frozenset().union(*map(reads, found.values())), batches=1)
        return found, unfit

    def scores(self, metrics: Sequence[str]) -> Scores:
        """Measure; raises ``TranslateError`` for a metric that the direction or the data does not fit."""
        subject = self._subject()
        built = self._built(subject, metrics)
        for text, metric in built.items():
            for need in sorted(metric.needs):
                if (reason := subject.lacks(need)) is not None:
                    raise TranslateError(f"{text} {reason}")
        wanted = frozenset().union(*map(reads, built.values()))
        subject.choose_targets(built.values())
        counts = self._update(subject, built, wanted)
        values: dict[str, float] = {}
        protocols: dict[str, str] = {}
        for text, metric in built.items():
            found = {name: float(value) for name, value in metric.result().items()}
            if duplicates := sorted(found.keys() & values.keys()):
                raise TranslateError(
                    f"{text} measures {duplicates[0]}, which another metric has measured; ask for one at a time"
                )
            values |= found
            protocols[next(iter(found), text)] = metric.protocol
        return Scores(values, protocols, counts, subject.facts(), wanted)

    @torch.no_grad()  # not inference mode: decoding threads write into tensors made here
    def _update(
        self, subject: Subject, built: Mapping[str, Metric], wanted: frozenset[str], batches: int | None = None
    ) -> dict[str, int]:
        """Show metrics all batches, or some; returns how many images of each kind they have seen."""
        counts: dict[str, int] = {}
        found: Iterator[dict[str, Tensor]] = subject.batches(wanted) if wanted else iter(())
        for number, each in enumerate(found):
            if number == batches:
                break
            for name in COUNTED:
                if name in each and name in wanted:
                    counts[name] = counts.get(name, 0) + len(each[name])
            for metric in built.values():
                for part in subject.parts_of(each, metric):
                    if part:
                        metric.update(part)
        return counts


_SUBJECTS: Mapping[str, Callable[..., Subject]] = {
    "translator": Translations,
    "sampler": Drawings,
    "classifier": Answers,
}
_LOADERS: Mapping[str, Callable[..., Any]] = {
    "translator": translator_of,
    "sampler": sampler_of,
    "classifier": classifier_of,
}
