"""The Charbonnier loss."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from translate.options import Option


class Charbonnier:
    """A smooth L1 distance (Lai et al. 2017, arXiv:1704.03915).

    The mean of ``sqrt((image - target)^2 + epsilon^2)``.
    """

    def __init__(self, *, epsilon: Annotated[float, Option("where the loss turns from square to linear", gt=0)] = 1e-3):
        self.epsilon = epsilon

    def __call__(self, image: Tensor, target: Tensor) -> Tensor:
        """Compare two batches of one shape; a scalar in float32."""
        return ((image.float() - target.float()).square() + self.epsilon**2).sqrt().mean()
