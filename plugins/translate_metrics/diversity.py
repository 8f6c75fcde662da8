"""Diversity: differences between several translations of one image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from translate.errors import TranslateError
from translate.method import Parts
from translate_metrics.averages import Average
from translate_metrics.extraction import Comparison, Extraction


class Diversity:
    """The mean absolute difference between two translations of one source, over all pairs of its samples.

    Compares pixels in [-1, 1], or an extractor's features, averaged over positions. It is 0 if the network ignores its
    noise. A large value alone does not mean good images: pure noise is diverse, too.
    """

    needs = frozenset({"samples"})
    better: ClassVar = {"diversity": "higher"}

    def __init__(
        self,
        parts: Parts,
        *,
        extractor: Comparison = "",
    ) -> None:
        self._features = Extraction(parts, extractor) if extractor else None
        self._average = Average("diversity")
        self._samples = 0

    @property
    def protocol(self) -> str:
        """What was compared, and the number of samples and images."""
        where = "pixels in [-1, 1]" if self._features is None else f"pooled features of {self._features.description}"
        return f"mean absolute difference of {where}; {self._samples} samples of each of {self._average.count} images"

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """Compare the samples (N, S, C, H, W) of each image."""
        samples = batch["samples"]
        self._samples = samples.shape[1]
        if self._samples < 2:
            raise TranslateError("diversity compares several translations of one image; ask for at least 2 --samples")
        rows = samples.flatten(0, 1)
        rows = rows.flatten(1) if self._features is None else self._features.pooled(rows)
        self._average.add(pairwise(rows.unflatten(0, samples.shape[:2])))

    def result(self) -> Mapping[str, float]:
        """The mean over sources and its standard error."""
        return self._average.result()

    def per_image(self) -> Mapping[str, Mapping[str, Tensor]]:
        """The mean of each source's samples."""
        return {"samples": {"diversity": self._average.each}}


def pairwise(samples: Tensor) -> Tensor:
    """The mean absolute difference over all pairs of the samples of each image: (N, S, D) to (N,).

    >>> pairwise(torch.tensor([[[0.0], [1.0], [3.0]]])).tolist()
    [2.0]
    """
    pairs = torch.combinations(torch.arange(samples.shape[1]), 2).tolist()
    total = torch.zeros(len(samples), device=samples.device)
    for (
        first,
        second,
    ) in pairs:  # one pair at a time: all pairs at once take (S - 1) / 2 times the memory of the samples
        total += (samples[:, first] - samples[:, second]).abs().mean(1)
    return total / len(pairs)
