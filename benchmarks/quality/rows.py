"""The rows of the digits' table: method, data, options and what is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DIGITS: Mapping[str, Any] = {"size": 32, "load_size": 32, "flip": False, "log_every": 100}
"""What all rows share: nothing is cropped, and no digit is mirrored."""


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


JUDGED_MNIST = "content_accuracy(classifier='{mnist}')"
JUDGED_USPS = "content_accuracy(classifier='{usps}')"

SUPERVISED: Mapping[str, Any] = {
    "size": 32,
    # Windows of a slightly larger image: digits a little to the side.
    "load_size": 36,
    "flip": False,
    "log_every": 100,
    "batch": 64,
    "steps": 3000,
    "optimizer": ("adam(lr=0.001, betas=(0.9, 0.999))",),
    "ema": 0.99,
}

ROWS: dict[str, Row] = {
    "classifier-usps": Row(
        "the judge of USPS, and the fixed network that sees USPS",
        "classifier",
        "usps",
        SUPERVISED,
        {"classify": ("classification_error",)},
    ),
    "classifier-mnist": Row(
        "the judge of MNIST, and the fixed network that sees MNIST",
        "classifier",
        "mnist",
        SUPERVISED,
        {"classify": ("classification_error",)},
    ),
}
