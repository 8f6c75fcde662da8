"""The implementation of ``classify``: run a classifier on batches of images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from translate import images
from translate.errors import TranslateError
from translate.file_batches import FileBatch, file_batches
from translate.memory import Budget, images_at_once
from translate.overview import left_out
from translate.saved import BATCH, Classifier, load_classifier, loaded

Row = tuple[Path, str, float, str | None]


def predict(
    classifier: Classifier | str | Path,
    source: Path,
    asked: Mapping[str, Any],
    plugins: Sequence[str],
    no_plugins: Sequence[str],
) -> Iterator[Row]:
    """Yield (file, class, probability, error); ``error`` is the reason why the file cannot be read, otherwise None."""
    classifier = loaded(classifier, load_classifier, asked, plugins, no_plugins)
    if not source.exists():
        raise TranslateError(f"there is no file or folder {source} to classify; check its name")
    files = images.find(source) if source.is_dir() else [source]
    if not files:
        others = "".join(f"; {reason}" for reason in images.count_left_out(images.survey(source).left_out))
        raise TranslateError(f"{source} holds no images to classify; give a folder with some{others}")
    budget = Budget(asked["memory"], asked["max_pixels"])
    at_once = images_at_once(
        BATCH, classifier.size, classifier.bytes_for, memory=budget.total, device=str(classifier.device)
    )
    for batch in file_batches(files, classifier.domain, classifier.size, budget, BATCH):
        yield from _predict_batch(classifier, batch, at_once)
    for path, reason in left_out(images.survey(source)):
        yield path, "", 0.0, reason


def _predict_batch(classifier: Classifier, batch: FileBatch, at_once: int) -> Iterator[Row]:
    probabilities = iter(() if batch.images is None else classifier.classify(batch.images, at_once=at_once))
    for file in batch.files:
        if file in batch.errors:
            yield file, "", 0.0, batch.errors[file]
            continue
        probability, label = next(probabilities).max(dim=0)
        yield file, classifier.labels[int(label)], float(probability), None
