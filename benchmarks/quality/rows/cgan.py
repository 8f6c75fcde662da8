"""Digits of a class that is asked for: both shapes of discriminator, with one head and two, matching-aware or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.quality.rows.row import BY_JUDGE, DIGITS, Row

SHARED: Mapping[str, Any] = {
    **DIGITS,
    "batch": 64,
    "steps": 1500,
    "generator": "dcgan(width=32)",
    "ema": 0.99,
}

METRICS = {"sample": (BY_JUDGE, "class_diversity(classifier='{mnist}', extractor='{mnist}')")}


def row(shape: str, about: str, *, heads: int = 1, **options: Any) -> Row:
    """A row of one discriminator; what is made is read by the judge."""
    discriminator = f"{shape}(width=32, heads=2)" if heads == 2 else f"{shape}(width=32)"
    return Row(about, "cgan", "mnist", {**SHARED, "discriminator": discriminator, **options}, METRICS, asked=True)


ROWS: Mapping[str, Row] = {
    "cgan-projection": row("projection", "digits of a class, the class weighed by an inner product"),
    "cgan-projection-plain": row("projection", "the same without mismatched classes", matching_aware=0.0),
    "cgan-projection-two": row("projection", "with another head for the image alone", heads=2),
    "cgan-concatenation": row("concatenation", "digits of a class, the class concatenated with a small map"),
    "cgan-concatenation-plain": row("concatenation", "the same without mismatched classes", matching_aware=0.0),
    "cgan-concatenation-two": row("concatenation", "with another head for the image alone", heads=2),
}
