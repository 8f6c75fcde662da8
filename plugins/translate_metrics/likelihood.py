"""Likelihood: how well a network with an exact density foresees the true images."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from translate_metrics.averages import Average


class BitsPerDimension:
    """The mean of ``-log2 p(target | source) / (C H W)``: bits that one value of one channel of an image costs.

    For networks that know the probability of an image, by a method ``bits_per_dimension(image, condition)`` that
    answers (N,). An image of b bits a channel costs b under a uniform guess.
    """

    needs = frozenset({"bits"})
    protocol = "exact; of the target given its source"

    def __init__(self) -> None:
        self._average = Average("bits_per_dim")

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """Take a batch's bits (N,)."""
        self._average.add(batch["bits"])

    def result(self) -> Mapping[str, float]:
        """The mean over images and its standard error."""
        return self._average.result()
