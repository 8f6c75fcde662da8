"""Classification: predict the class of each image with a trained classifier."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from translate.common_options import Device, Step
from translate.inputs import paths_of
from translate.memory import MAX_PIXELS, MaxPixels, Memory
from translate.options import asked_of

if TYPE_CHECKING:
    from translate.saved import Classifier

__all__ = [
    "Prediction",
    "classify",
]


@dataclass(frozen=True, slots=True)
class Prediction:
    """An image's predicted class with its probability, or the reason why the image could not be read."""

    source: Path
    label: str = ""
    probability: float = 0.0
    error: str | None = None


def classify(
    classifier: Classifier | str | Path,
    source: str | Path | Sequence[str | Path],
    *,
    step: Step = None,
    max_pixels: MaxPixels = MAX_PIXELS,
    memory: Memory = None,
    device: Device = "auto",
    plugins: Sequence[str] = (),
    no_plugins: Sequence[str] = (),
) -> Iterator[Prediction]:
    """Predict the class of an image, or of all images below a folder, or of several of them, in order of their names.

    ``source`` is an image, a folder, a glob such as ``"in/*.jpg"`` or ``"@files.txt"``, a list with a name a line, or a
    sequence of these. Each image is resized to the training size. The prediction for an unreadable image holds the
    reason, and the others are still classified. ``memory`` is the most that decoding may take, by default a share of
    what is free. ``step`` chooses a checkpoint of a run. ``step``, ``device`` and the plugins are used only if
    ``classifier`` is a path.
    """
    asked = asked_of(classify, locals())
    # Imported here, so that the options can be read without torch.
    from translate.classification.predicting import predict

    for row in predict(classifier, paths_of(source), asked, plugins, no_plugins):
        yield Prediction(*row)
