"""Reshaping: batches of images, padded or resized to a size that a network takes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from translate.sizes import Size


def resized(batch: Tensor, size: Size) -> Tensor:
    """A batch (N, C, H, W), resized bilinearly; antialiased where it shrinks."""
    if batch.shape[-2:] == torch.Size(size):
        return batch
    if size[1] == 1 < size[0]:
        # torch 2.13 repeats the first row in a column of one pixel, but not in a row.
        return resized(batch.mT, (1, size[0])).mT
    return F.interpolate(batch, size, mode="bilinear", antialias=True)


def padded(batch: Tensor, multiple: int) -> Tensor:
    """A batch (N, C, H, W), padded at the lower and right edge by reflection, repeatedly if the image is small."""
    while True:
        height, width = batch.shape[-2:]
        down, right = -height % multiple, -width % multiple
        if not down and not right:
            return batch
        # Reflection can pad by side - 1 at most; a side of one pixel can only be replicated.
        step = (0, min(right, max(width - 1, 1)), 0, min(down, max(height - 1, 1)))
        mode = "replicate" if min(height, width) == 1 else "reflect"
        batch = F.pad(batch, step, mode=mode)
