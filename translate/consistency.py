"""Class consistency: the class that a translation should show, from labels or from the adversary's classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from translate.adversary import Adversary
from translate.discriminator import no_classes
from translate.errors import TranslateError
from translate.method import Batch, Parts
from translate.precision import to_float32

__all__ = [
    "ClassConsistency",
]


class ClassConsistency(nn.Module):
    """The classes that translations of sources should show, as the target numbers them.

    A source's label is used if it is of a class that both domains name alike. Otherwise, if both domains have the same
    channels, the adversary's classifier of the target predicts the class from the source itself (semantic consistency,
    Hoffman et al. 2018, CyCADA, arXiv:1711.03213). A prediction is used only if its probability is ``confidence`` or
    more (Sohn et al. 2020, FixMatch, arXiv:2001.07685).

    Raises ``TranslateError`` if neither labels nor predictions are available.
    """

    numbers: Tensor

    def __init__(self, parts: Parts, confidence: float = 0.0) -> None:
        super().__init__()
        self.confidence = confidence
        source, target = parts.source, parts.target
        self.alike = source.channels == target.channels and source.one_hot == target.one_hot
        if not target.labels:
            raise TranslateError("semantic needs labels of some targets, and the target has no classes; leave it out")
        numbers = [target.labels.index(name) if name in target.labels else -1 for name in source.labels]
        if not self.alike and max(numbers, default=-1) < 0:
            raise TranslateError(
                "semantic must know the sources' classes, and the source has none of the target's, nor its channels; "
                "name classes alike in both domains, or leave it out"
            )
        # The last entry is for the label -1 (none).
        self.register_buffer("numbers", torch.tensor([*numbers, -1]), persistent=False)

    def forward(self, batch: Batch, adversary: Adversary) -> Tensor:
        """The classes (N,) int64 of the batch's sources; -1 where unknown."""
        source = batch["source"]
        labels = batch.get("source_label", torch.full((len(source),), -1, device=source.device))
        known = self.numbers[labels]
        if not self.alike:
            return known
        with torch.no_grad():
            seen = adversary.discriminator(source).classes
        if seen is None:
            raise no_classes(adversary.discriminator)
        likeliest, classes = to_float32(seen).softmax(dim=1).max(dim=1)
        classes = torch.where(likeliest >= self.confidence, classes, -1)
        return torch.where(known >= 0, known, classes)
