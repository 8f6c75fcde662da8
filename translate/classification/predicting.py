"""The implementation of ``classify``: run a classifier on batches of images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from translate.file_batches import FileBatch, FileBatches
from translate.saved import Classifier, load_classifier, loaded

Row = tuple[Path, str, float, str | None]


def predict(
    classifier: Classifier | str | Path,
    sources: Sequence[Path],
    asked: Mapping[str, Any],
    plugins: Sequence[str],
    no_plugins: Sequence[str],
) -> Iterator[Row]:
    """Yield (file, class, probability, error); ``error`` is the reason why the file cannot be read, otherwise None."""
    classifier = loaded(classifier, load_classifier, asked, plugins, no_plugins)
    batches = FileBatches(classifier, sources, asked, "classify")
    for batch in batches:
        yield from _predict_batch(classifier, batch, batches.at_once)
    for path, reason in batches.lost:
        yield path, "", 0.0, reason


def _predict_batch(classifier: Classifier, batch: FileBatch, at_once: int) -> Iterator[Row]:
    probabilities = iter(() if batch.images is None else classifier.classify(batch.images, at_once=at_once))
    for file in batch.files:
        if file in batch.errors:
            yield file, "", 0.0, batch.errors[file]
            continue
        probability, label = next(probabilities).max(dim=0)
        yield file, classifier.labels[int(label)], float(probability), None
