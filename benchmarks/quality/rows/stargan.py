"""Three domains, the classes of one set, translated into one another by label and by reference."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import Any

from benchmarks.quality.rows.row import DIGITS, SUPERVISED, Measured, Row
from benchmarks.quality.three_domains import NAMES

STARGAN: Mapping[str, Any] = {
    **DIGITS,
    "batch": 8,
    "width": 16,
    "widest": 64,
    "downs": 2,
    "blocks": 2,
    "style_width": 4,
    "latent": 4,
    "hidden": 64,
    "cycle": 10.0,
    "diversity": 0.0,
    "discriminator": "multi_branch(width=16, widest=64)",
    "optimizer": ("adam(lr=0.001, betas=(0.0, 0.99))", "mapping=adam(lr=0.0001, betas=(0.0, 0.99))"),
    "ema": 0.99,
}
"""Small networks for a CPU, with ten times the published learning rate for the few steps.

With the published weights, styles of 16 numbers and a diversity, a style chose the digit: every other digit became a 0
of USPS. A narrow style without diversity, and a heavier cycle, leave the digit to the image.
"""


def measured() -> dict[str, Measured]:
    """All six directions by label and by reference: whether the digit is kept, and whether the domain is met."""
    found: dict[str, Measured] = {}
    for source, target in permutations(NAMES, 2):
        given: dict[str, Any] = {"label": NAMES.index(target)}
        by = {"label": given, "reference": {**given, "reference": f"{{domains-references-{target}}}"}}
        for way, asked in by.items():
            name = f"{source}-{target}-by-{way}"
            judge = f"content_accuracy(classifier='{{{target}}}')"
            found[name] = Measured((judge,), asked, f"domains-from-{source}")
            domain = ("content_accuracy(classifier='{domains}')",)
            found[f"{name}-domain"] = Measured(domain, asked, f"domains-from-{source}-to-{target}", "domain_accuracy")
    return found


ROWS: Mapping[str, Row] = {
    "classifier-inverted": Row(
        "the judge of inverted MNIST",
        "classifier",
        "inverted",
        SUPERVISED,
        {"classify": ("classification_error",)},
    ),
    "classifier-domains": Row(
        "the judge of the three domains MNIST, USPS and inverted MNIST",
        "classifier",
        "domains",
        {**SUPERVISED, "steps": 1000},
        {"classify": ("classification_error",)},
    ),
    "stargan": Row(
        "MNIST, USPS and inverted MNIST as three classes, by label and by reference",
        "stargan",
        "domains",
        {**STARGAN, "steps": 12_000},
        {},
        measured=measured(),
    ),
}
