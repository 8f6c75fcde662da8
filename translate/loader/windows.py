"""Windows of images: crops and mirrored crops out of many, on a CPU by slices and on a device by indices."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from translate.sizes import Size


def slices(kept: Tensor, numbers: Sequence[Sequence[int]], size: Size) -> Tensor:
    """Crop each (row, top, left, mirrored) out of images (n, C, H, W): (N, C, h, w), on a CPU."""
    height, width = size
    found = []
    for row, top, left, mirrored in numbers:
        image = kept[row, :, top : top + height, left : left + width]
        found.append(image.flip(-1) if mirrored else image)
    return torch.stack(found)


def crop(kept: Tensor, rows: Tensor, lines: Tensor, columns: Tensor) -> Tensor:
    """Take rows (N,), lines (N, h) and columns (N, w) of images (n, C, H, W): (N, C, h, w), without a device sync.

    Whole lines first, then columns within them: far fewer indices than one for each pixel.
    """
    _, channels, height, width = kept.shape
    sheets = rows[:, None] * channels + torch.arange(channels, device=kept.device)
    starts = sheets[:, :, None] * height + lines[:, None, :]
    strips = kept.view(-1, width).index_select(0, starts.flatten()).view(*starts.shape, width)
    return strips.gather(3, columns[:, None, None, :].expand(*starts.shape, columns.shape[1]))
