"""Class consistency: which class a translation should show, told by labels or by the adversary's own classifier."""

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

    A source's label counts, where it has one of a class that both domains name alike. Where it has none, and both
    domains have the same channels, the class is the one that the target's classifier, the adversary's, sees in the
    source itself (semantic consistency, Hoffman et al. 2018, CyCADA, arXiv:1711.03213). With ``confidence`` it counts
    only where the classifier gives it that probability or more (Sohn et al. 2020, FixMatch, arXiv:2001.07685).

    Raises ``TranslateError`` where nothing could say what a translation should show.
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
        # The last is what the label -1 finds: none.
        self.register_buffer("numbers", torch.tensor([*numbers, -1]), persistent=False)

    def forward(self, batch: Batch, adversary: Adversary) -> Tensor:
        """The classes (N,) int64 of the batch's sources; -1 for those that nothing is known of."""
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
