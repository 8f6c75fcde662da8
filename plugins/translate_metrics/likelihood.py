"""Likelihood: bits per dimension of true images under a network with an exact density."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from translate_metrics.averages import Average


class BitsPerDimension:
    """The mean of ``-log2 p(target | source) / (C H W)``: bits for one value of one channel of an image.

    For networks with an exact likelihood, given by a method ``bits_per_dimension(image, condition)`` that returns
    (N,). A uniform distribution over b-bit values has b bits per dimension. Of a translator whose method takes images
    alone it is ``-log2 p(source) / (C H W)``, with the images of the direction's source.
    """

    needs = frozenset({"bits"})
    protocol = "of the target given its source; of one domain alone where bits_of names it, or of a sampler's"

    def __init__(self) -> None:
        self._average = Average("bits_per_dim")

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """Add the bits (N,) of a batch."""
        self._average.add(batch["bits"])

    def result(self) -> Mapping[str, float]:
        """The mean over images and its standard error."""
        return self._average.result()
