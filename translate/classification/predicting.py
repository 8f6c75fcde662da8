"""The implementation of ``classify``: run a classifier on batches of images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from translate import images
from translate.data import Example
from translate.errors import TranslateError
from translate.images import read_example
from translate.loader import planes
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
    for start in range(0, len(files), BATCH):
        yield from _predict_batch(classifier, files[start : start + BATCH], budget, at_once)
    for path, reason in left_out(images.survey(source)):
        yield path, "", 0.0, reason


def _predict_batch(classifier: Classifier, files: Sequence[Path], budget: Budget, at_once: int) -> Iterator[Row]:
    errors: dict[Path, str] = {}
    rows: list[torch.Tensor] = []
    domain = classifier.domain
    for file in files:
        try:
            pixels = read_example(Example(file, file.name), domain, budget=budget)
        except images.ImageError as error:
            errors[file] = str(error)
            continue
        rows.append(images.normalize(planes(pixels, domain, classifier.size, "stretch")[None], domain))
    probabilities = iter(classifier.classify(torch.cat(rows), at_once=at_once) if rows else ())
    for file in files:
        if file in errors:
            yield file, "", 0.0, errors[file]
            continue
        probability, label = next(probabilities).max(dim=0)
        yield file, classifier.labels[int(label)], float(probability), None
