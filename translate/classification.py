"""Classification: a classifier and a folder in, the class of each image out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from translate import images
from translate.data import Example
from translate.errors import TranslateError
from translate.loader import planes, read
from translate.saved import BATCH, Classifier, load_classifier


@dataclass(frozen=True, slots=True)
class Told:
    """What a classifier says to an image: its class and the probability of it; or why it could not be read."""

    source: Path
    label: str = ""
    probability: float = 0.0
    error: str | None = None


def classify(
    classifier: Classifier | str | Path,
    source: str | Path,
    *,
    device: str = "auto",
    plugins: Sequence[str] = (),
    no_plugins: Sequence[str] = (),
) -> Iterator[Told]:
    """Tell the class of an image, or of all images below a folder, in the order of their names.

    Each is resized to the training's size. One that cannot be read is told with its reason, and the rest goes on.
    ``device`` and the plugins matter only for a classifier that is still to be loaded.
    """
    if isinstance(classifier, (str, Path)):
        classifier = load_classifier(classifier, device=device, plugins=plugins, no_plugins=no_plugins)
    root = Path(source)
    if not root.exists():
        raise TranslateError(f"there is no file or folder {root} to classify; check its name")
    files = images.find(root) if root.is_dir() else [root]
    if not files:
        raise TranslateError(f"{root} holds no images to classify; give a folder with some")
    for start in range(0, len(files), BATCH):
        yield from _batch(classifier, files[start : start + BATCH])


def _batch(classifier: Classifier, files: Sequence[Path]) -> Iterator[Told]:
    errors: dict[Path, str] = {}
    rows: list[torch.Tensor] = []
    domain = classifier.domain
    for file in files:
        try:
            pixels = read(Example(file, file.name), domain)
        except images.ImageError as error:
            errors[file] = str(error)
            continue
        rows.append(images.normalize(planes(pixels, domain, classifier.size, "stretch")[None], domain))
    told = iter(classifier.classify(torch.cat(rows)) if rows else ())
    for file in files:
        if file in errors:
            yield Told(file, error=errors[file])
            continue
        probability, label = next(told).max(dim=0)
        yield Told(file, classifier.labels[int(label)], float(probability))
