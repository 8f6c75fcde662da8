"""What a row of the digits' table is, and what rows of several families share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DIGITS: Mapping[str, Any] = {"size": 32, "load_size": 32, "flip": False, "log_every": 100}
"""What the rows share: nothing is cropped, and no digit is mirrored."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A measurement of a translator that is given more than an image; ``{name}`` in a value stands for data's path.

    Without ``data`` it is done on those of the row. ``called`` is what an accuracy is called if its judge does not tell
    digits.
    """

    metrics: Sequence[str]
    given: Mapping[str, Any]
    data: str = ""
    called: str = "content_accuracy"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: what is trained on which arrays, and what of it is measured, by direction ("" for the only one).

    An option ``{name}`` stands for the run of another row with the same seed; ``{mnist}`` in a metric for the judge of
    that domain, a classifier trained on all its real labels.
    """

    about: str
    method: str
    data: str
    options: Mapping[str, Any]
    metrics: Mapping[str, Sequence[str]]
    cycle: bool = False
    """Whether the error of translating there and back is measured, too."""
    measured: Mapping[str, Measured] = field(default_factory=dict)
    """Further measurements, by what stands before their scores."""
    asked: bool = False
    """Whether the judge of MNIST reads samples of each class that is asked for."""


JUDGED_MNIST = "content_accuracy(classifier='{mnist}')"
JUDGED_USPS = "content_accuracy(classifier='{usps}')"

BY_JUDGE = "frechet(extractor='{mnist}')"
"""The distance of sets in the features of the judge of MNIST."""

TO_MNIST = (JUDGED_MNIST, BY_JUDGE)
TO_USPS = (JUDGED_USPS, "frechet(extractor='{usps}')")
"""Content, and whether translations look like the target: what copies its source has the first and not the second."""

SUPERVISED: Mapping[str, Any] = {
    # A judge sees digits as they are: one trained on moved or scaled ones reads untranslated digits just as well.
    **DIGITS,
    "batch": 64,
    "steps": 3000,
    "optimizer": ("adam(lr=0.001, betas=(0.9, 0.999))",),
    "ema": 0.99,
}

SMALL: Mapping[str, Any] = {
    "batch": 16,
    "generator": "small_unet(norm=instance)",
    "discriminator": "small_patch(width=16)",
    "optimizer": ("adam(lr=0.0005)",),
    "ema": 0.99,
}
"""Small networks for translating digits."""
