"""An image pool: a history of generated images, so that the discriminator does not forget earlier ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = [
    "ImagePool",
]


class ImagePool(nn.Module):
    """A fixed buffer of earlier images, drawn without replacement on the device.

    A history of generated images (Shrivastava et al. 2017, arXiv:1612.07828), as CycleGAN uses it with 50. While it
    fills, images are stored and returned; once it is full, each image of a batch is exchanged, with probability 1/2,
    for an earlier one. Its contents are part of a checkpoint. ``shape`` is (C, H, W). Random numbers come from
    torch's generator of the device.
    """

    images: Tensor
    count: Tensor

    def __init__(self, size: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("images", torch.zeros(size, *shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Exchange a batch (N, C, H, W); the output has its shape and no gradient."""
        n = len(images)
        if self.size == 0 or n == 0:
            return images.detach()
        images = images.detach()
        row = torch.arange(n, device=images.device)
        full = self.count >= self.size
        # Full: distinct places, so no image is returned twice in a batch. Filling: the next free places.
        drawn = torch.randperm(self.size, device=images.device)[row % self.size]
        place = torch.where(full, drawn, (self.count + row) % self.size)
        exchange = full & (row < self.size) & (torch.rand(n, device=images.device) < 0.5)
        store = exchange | (~full & (self.count + row < self.size))
        earlier = self.images[place].to(images.dtype)
        output = torch.where(exchange[:, None, None, None], earlier, images)
        # Rows that are not stored write back what their place holds already.
        kept = torch.where(store[:, None, None, None], images, earlier).to(self.images.dtype)
        self.images.index_copy_(0, place[: self.size], kept[: self.size])
        self.count.add_(n).clamp_(max=self.size)
        return output
