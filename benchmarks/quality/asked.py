"""What samples show of the class that was asked for, as a judge reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from translate.saved import load_classifier, load_sampler

EACH = 200
"""Samples of each class."""


@torch.inference_mode()
def read_right(sampler: Path, judge: Path) -> Mapping[str, float]:
    """The share of samples, in percent, that a judge reads as the class asked for; of all, and of the worst class."""
    drawing, classifier = load_sampler(sampler), load_classifier(judge)
    shares = []
    for number, label in enumerate(classifier.labels):
        rows = range(number * EACH, (number + 1) * EACH)
        made = drawing.draw(rows, given={"label": label})
        shares.append(100 * (classifier.classify(made).argmax(1) == number).float().mean().item())
    return {"sample read right": sum(shares) / len(shares), "sample read right, worst class": min(shares)}
