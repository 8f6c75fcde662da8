"""Classifiers of all real labels, which judge what others make."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.quality.rows.row import SUPERVISED, Row

ROWS: Mapping[str, Row] = {
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
