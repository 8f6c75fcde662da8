"""Measurements: the scores of one direction of a trained method on a split, by the protocol of ``evaluate``."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from translate.best import Better
from translate.data import Domain
from translate.errors import TranslateError
from translate.evaluation import answered
from translate.evaluation.drawings import Answers, Drawings
from translate.evaluation.extremes import Pictures, pictures_of
from translate.evaluation.opening import opened
from translate.evaluation.resampling import FEWEST, Draws, Place, Resamples, Values, draws_of, values_of
from translate.evaluation.subjects import Asked, Subject, reads
from translate.evaluation.translations import Translations
from translate.method import role_of
from translate.parts import CatalogParts, build
from translate.plugins import Catalog
from translate.saved import classifier_of, sampler_of
from translate.sizes import Size
from translate.translator import Translator, translator_of

if TYPE_CHECKING:
    from translate.evaluation import Metric

COUNTED = ("source", "target", "fake", "samples", "bits", "encoded", "logits", "training")
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
    each: Mapping[str, Values] = field(default_factory=dict)
    """The values of each image, of the scores that are means of them."""
    draws: Mapping[str, Draws] = field(default_factory=dict)
    """The scores in each resample, where they were asked for."""
    warnings: Sequence[str] = ()
    """What samples are too small for, and what has no interval, in sentences."""
    images: str = ""
    """What the compared images are, in words."""
    better: Mapping[str, Better] = field(default_factory=dict)
    """Which values of a score are the better ones, of those whose metrics say it."""
    metrics: Mapping[str, str] = field(default_factory=dict)
    """The metric that has measured a score, as it was asked for."""


class Measured(Protocol):
    """What gives batches of tensors to metrics: a ``Subject``, or the images of two folders."""

    source: Domain
    target: Domain
    device: torch.device

    def lacks(self, need: str) -> str | None: ...

    def choose_targets(self, metrics: Collection[Metric]) -> None: ...

    def batches(self, wanted: Set[str]) -> Iterator[dict[str, Tensor]]: ...

    def parts_of(self, batch: Mapping[str, Tensor], metric: Metric) -> Iterator[dict[str, Tensor]]: ...

    def places(self, metric: Metric) -> Mapping[str, Place]: ...

    def facts(self) -> dict[str, Any]: ...


class Measurement:
    """Measures the network of one direction; it may be repeated, after its weights have changed."""

    def __init__(self, asked: Asked, device: str) -> None:
        self._asked, self._device = asked, device
        self._measured: Subject | None = None
        self._network = _LOADERS[role_of(asked.direction)](asked.saved, asked.direction, device=device)

    def _subject(self) -> Subject:
        role, direction = role_of(self._asked.direction), self._asked.direction
        if role == "translator":
            leads_back = _BACK.get(direction) in self._asked.saved.method.translators
            return Translations(self._asked, self._network, (lambda: self._back) if leads_back else None)
        return _SUBJECTS[role](self._asked, self._network)

    @cached_property
    def _back(self) -> Translator:
        """The network that leads back. It is loaded once, since loading takes the weights of the file."""
        return translator_of(self._asked.saved, _BACK[self._asked.direction], device=self._device)

    def fitting(self, metrics: Sequence[str]) -> tuple[dict[str, Metric], dict[str, str]]:
        """Those of the metrics that the direction and the data fit, and why the others do not, by their texts.

        Those that fit have seen one batch, so that what they refuse is known. They are not measured further.
        """
        subject = self._subject()
        built, unfit = _built(self._asked.saved.catalog, subject, metrics, self._asked.size), {}
        for text, metric in built.items():
            reasons = (subject.lacks(need) for need in sorted(metric.needs))
            if (reason := next((each for each in reasons if each is not None), None)) is not None:
                unfit[text] = reason
        found = {text: metric for text, metric in built.items() if text not in unfit}
        subject.choose_targets(found.values())
        _update(subject, found, frozenset().union(*map(reads, found.values())), batches=1)
        return found, unfit

    def scores(self, metrics: Sequence[str], resamples: Resamples | None = None) -> Scores:
        """Measure; raises ``TranslateError`` for a metric that the direction or the data does not fit."""
        self._measured = self._subject()
        return scores_of(self._measured, self._asked.saved.catalog, metrics, self._asked.size, resamples)

    @torch.no_grad()
    def pictures(self, scores: Scores) -> Pictures | None:
        """The images for which scores that were measured last are highest and lowest; None if there are none."""
        return None if self._measured is None else pictures_of(self._measured, scores.each)


def scores_of(
    subject: Measured, catalog: Catalog, metrics: Sequence[str], size: Size, resamples: Resamples | None = None
) -> Scores:
    """The scores of a subject by metrics, whose networks are built for images of ``size``.

    Raises ``TranslateError`` for a metric that the subject does not fit.
    """
    built = _built(catalog, subject, metrics, size)
    for text, metric in built.items():
        for need in sorted(metric.needs):
            if (reason := subject.lacks(need)) is not None:
                raise TranslateError(f"{text} {reason}")
        prepare = getattr(metric, "prepare_resampling", None)
        if resamples is not None and prepare is not None:
            prepare()
    wanted = frozenset().union(*map(reads, built.values()))
    subject.choose_targets(built.values())
    counts = _update(subject, built, wanted)
    found: dict[str, float] = {}
    protocols: dict[str, str] = {}
    each: dict[str, Values] = {}
    draws: dict[str, Draws] = {}
    warnings: list[str] = []
    better: dict[str, Better] = {}
    asked: dict[str, str] = {}
    for text, metric in built.items():
        scores = answered.scores(metric.result(), text)
        if duplicates := sorted(scores.keys() & found.keys()):
            raise TranslateError(
                f"{text} measures {duplicates[0]}, which another metric has measured; ask for one at a time"
            )
        found |= scores
        asked |= dict.fromkeys(scores, text)
        protocols[next(iter(scores), text)] = metric.protocol
        warnings += getattr(metric, "warnings", ())
        better |= getattr(metric, "better", {})
        places = subject.places(metric)
        values = values_of(text, metric, places)
        each |= values
        if resamples is not None:
            drawn = draws_of(text, metric, scores, values, places, resamples)
            draws |= drawn
            if not drawn:
                finite = any(map(math.isfinite, scores.values()))
                reason = "cannot be resampled" if finite else "are not finite"
                warnings.append(f"{text} has no interval, since its scores {reason}")
    warnings += _of_few(each)
    warnings += [
        f"{name} is no number: look for images, or outputs of the network, that hold values that are not finite"
        for name, value in found.items()
        if math.isnan(value)
    ]
    return Scores(
        found, protocols, counts, subject.facts(), wanted, each, draws, warnings, subject.target.summary, better, asked
    )


def _of_few(each: Mapping[str, Values]) -> list[str]:
    """What is told of means over few images, a sentence for those of one count."""
    few: dict[int, list[str]] = {}
    for name, values in each.items():
        if 0 < (count := int((~np.isnan(values.values)).sum())) < FEWEST:
            few.setdefault(count, []).append(name)
    return [
        f"{', '.join(names)}: {count} {'image is' if count == 1 else 'images are'} few; from {FEWEST} on standard "
        "errors and intervals can be relied on"
        for count, names in few.items()
    ]


def _built(catalog: Catalog, subject: Measured, metrics: Sequence[str], size: Size) -> dict[str, Metric]:
    parts = CatalogParts(catalog, source=subject.source, target=subject.target, size=size)
    load_translator = partial(opened, catalog, device=str(subject.device))
    return {text: build(catalog, "metrics", text, parts=parts, load_translator=load_translator) for text in metrics}


@torch.no_grad()  # not inference mode: decoding threads write into tensors made here
def _update(
    subject: Measured, built: Mapping[str, Metric], wanted: frozenset[str], batches: int | None = None
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
    "sampler": Drawings,
    "classifier": Answers,
}
_BACK = {"forward": "backward", "backward": "forward"}
"""The direction that leads back."""

_LOADERS: Mapping[str, Callable[..., Any]] = {
    "translator": translator_of,
    "sampler": sampler_of,
    "classifier": classifier_of,
}
