"""Which class a translation should show."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from translate.adversary import Adversary
from translate.consistency import ClassConsistency
from translate.data import Domain
from translate.discriminator import DiscriminatorOutput
from translate.method import Parts


class Sure(nn.Module):
    """Gives the first of two classes the probability that an image's first value is."""

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        first = image[:, 0, 0, 0]
        classes = torch.stack([first.log(), (1 - first).log()], dim=1)
        return DiscriminatorOutput((first[:, None],), classes=classes)


class Known:
    source, target = Domain(1, labels=("a", "b", "z")), Domain(1, labels=("b", "a"))


def wanted(probabilities: list[float], labels: list[int], confidence: float) -> list[int]:
    judge = Adversary(Sure(), None)  # type: ignore[arg-type]
    batch = {"source": torch.tensor(probabilities)[:, None, None, None], "source_label": torch.tensor(labels)}
    found: list[int] = ClassConsistency(cast(Parts, Known()), confidence)(batch, judge).tolist()
    return found


def test_a_label_counts_where_both_sides_know_it_and_else_what_the_classifier_sees() -> None:
    # The target numbers "b" 0 and "a" 1; it knows no "z".
    assert wanted([0.9, 0.9, 0.9, 0.2], [0, 1, 2, -1], confidence=0.0) == [1, 0, 0, 1]


def test_a_classifier_that_is_not_sure_is_not_asked() -> None:
    assert wanted([0.95, 0.85, 0.15, 0.05, 0.5], [-1, -1, -1, -1, 0], confidence=0.9) == [0, -1, -1, 1, 1]
