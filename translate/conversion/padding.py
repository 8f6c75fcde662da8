"""Padding of stored pixels to a multiple of a network's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def pad(pixels: NDArray[Any], multiple: int) -> NDArray[Any]:
    """Pad (H, W, C) at the lower and right edge by reflection, as the translator does, so that sizes share a batch."""
    height, width = pixels.shape[:2]
    down, right = -height % multiple, -width % multiple
    if min(height, width) == 1:
        # A side of one pixel cannot be reflected; the translator pads such images by replication.
        return pixels
    return np.pad(pixels, ((0, down), (0, right), (0, 0)), mode="reflect") if down or right else pixels
