"""Classification: a classifier and a folder in, the class of each image out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from translate.common_options import Device
from translate.options import asked_of

if TYPE_CHECKING:
    from translate.saved import Classifier

__all__ = [
    "Prediction",
    "classify",
]


@dataclass(frozen=True, slots=True)
class Prediction:
    """A classifier's answer to an image: its class and the probability of it; or why it could not be read."""

    source: Path
    label: str = ""
    probability: float = 0.0
    error: str | None = None


def classify(
    classifier: Classifier | str | Path,
    source: str | Path,
    *,
    device: Device = "auto",
    plugins: Sequence[str] = (),
    no_plugins: Sequence[str] = (),
) -> Iterator[Prediction]:
    """Predict the class of an image, or of all images below a folder, in the order of their names.

    Each is resized to the training's size. The prediction for one that cannot be read gives the reason, and the rest
    goes on. ``device`` and the plugins matter only for a classifier that is still to be loaded.
    """
    asked = asked_of(classify, locals())
    # Imported here, so that what may be asked can be read without torch.
    from translate.classification.predicting import predict

    for row in predict(classifier, Path(source), asked, plugins, no_plugins):
        yield Prediction(*row)
