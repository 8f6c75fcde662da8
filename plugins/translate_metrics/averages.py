"""Means over images, with their standard errors."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Average:
    """The mean of one value per image, accumulated batch by batch.

    >>> average = Average("psnr")
    >>> average.add(torch.tensor([1.0, 2.0, 3.0]))
    >>> average.result()
    {'psnr': 2.0, 'psnr_standard_error': 0.577...}
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._values: list[Tensor] = []
        self._there: list[Tensor] = []

    def add(self, values: Tensor, there: Tensor | None = None) -> None:
        """Add the values (N,) of a batch; where ``there`` (N,) is false, an image has none."""
        self._values.append(values.detach().cpu().double())
        self._there.append(torch.ones(len(values), dtype=torch.bool) if there is None else there.cpu())

    @property
    def count(self) -> int:
        """The number of images that have a value."""
        return sum(int(each.sum()) for each in self._there)

    @property
    def each(self) -> Tensor:
        """The value of each image (N,), NaN for those without."""
        if not self._values:
            return torch.zeros(0, dtype=torch.float64)
        return torch.cat(self._values).masked_fill(~torch.cat(self._there), math.nan)

    def result(self) -> dict[str, float]:
        """The mean, and ``NAME_standard_error``: the standard deviation over the root of the count, if finite."""
        if not self._values:
            return {}
        values = torch.cat(self._values)[torch.cat(self._there)]
        found = {self.name: values.mean().item()}
        if len(values) > 1 and math.isfinite(error := values.std().item() / math.sqrt(len(values))):
            found[f"{self.name}_standard_error"] = error
        return found
