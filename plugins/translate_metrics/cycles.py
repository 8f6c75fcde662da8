"""The cycle error: how far an image is from its translation there and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from translate_metrics.averages import Average


class CycleError:
    """The mean absolute difference of a source and its translation there and back, values in [-1, 1] (L1).

    The way back is the network of the other direction of the same run. Small errors alone say little: a network may
    hide the source in its translations.
    """

    needs = frozenset({"source", "cycle"})
    better: ClassVar = {"cycle_error": "lower"}
    protocol = "mean absolute difference, values in [-1, 1]; translated there by this direction, back by the other"

    def __init__(self) -> None:
        self._average = Average("cycle_error")

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """Compare a batch's sources with what came back."""
        if "cycle" in batch:
            self._average.add((batch["source"] - batch["cycle"]).abs().flatten(1).mean(1))

    def result(self) -> Mapping[str, float]:
        """The mean over images and its standard error."""
        return self._average.result()

    def per_image(self) -> Mapping[str, Mapping[str, Tensor]]:
        """The error of each source."""
        return {"source": {"cycle_error": self._average.each}}
