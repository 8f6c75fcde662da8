"""Styles: of a latent by the mapping network, or of an image by the style encoder, with a head for each class."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate_stargan.layers import SLOPE, Block, halvings, initialize, widths

SHARED, OWN = 4, 4
"""The layers of the mapping network that all classes share, and those of each class."""


class MappingNetwork(nn.Module):
    """Latents (N, latent) and classes (N,) to styles (N, style) (F of Choi et al. 2020, arXiv:1912.01865).

    Four linear layers of ``hidden`` numbers, shared by all classes, and four for each class, with ReLU between them.
    """

    def __init__(self, classes: int, *, latent: int, style: int, hidden: int) -> None:
        super().__init__()
        self.shared = nn.Sequential()
        for number in range(SHARED):
            self.shared.append(nn.Linear(hidden if number else latent, hidden))
            self.shared.append(nn.ReLU())
        self.heads = nn.ModuleList()
        for _ in range(classes):
            layers: list[nn.Module] = []
            for _ in range(OWN - 1):
                layers += [nn.Linear(hidden, hidden), nn.ReLU()]
            self.heads.append(nn.Sequential(*layers, nn.Linear(hidden, style)))
        initialize(self)

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        """The styles of latents in their classes."""
        x = self.shared(latent)
        return of_class([head(x) for head in self.heads], label)


class StyleEncoder(nn.Module):
    """Images (N, C, H, W) and classes (N,) to styles (N, style) (E of Choi et al. 2020, arXiv:1912.01865).

    A 1x1 convolution, residual blocks that halve the sides down to 4 px, a 4x4 convolution, whose answers at several
    places, if there are any, are averaged, and a linear head for each class. Nothing is normalized, since the
    statistics of an image are part of its style.
    """

    def __init__(
        self, inputs: int, classes: int, *, size: tuple[int, int], style: int, width: int, widest: int
    ) -> None:
        super().__init__()
        self.trunk = Trunk(inputs, size=size, width=width, widest=widest)
        self.heads = nn.ModuleList(nn.Linear(self.trunk.outputs, style) for _ in range(classes))
        initialize(self)

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        """The styles of images in their classes."""
        x = self.trunk(image)
        return of_class([head(x) for head in self.heads], label)


class Trunk(nn.Module):
    """Images (N, C, H, W) to features (N, outputs): the layers that style encoder and discriminator have alike."""

    def __init__(self, inputs: int, *, size: tuple[int, int], width: int, widest: int) -> None:
        super().__init__()
        count = halvings(size)
        channels = widths(width, widest, count)
        self.first = nn.Conv2d(inputs, width, 1)
        self.blocks = nn.ModuleList(Block(channels[number], channels[number + 1], down=True) for number in range(count))
        self.outputs = channels[-1]
        self.last = nn.Conv2d(self.outputs, self.outputs, min(4, *size))
        initialize(self)

    def forward(self, image: Tensor) -> Tensor:
        """The features of images."""
        x = self.first(image)
        for block in self.blocks:
            x = block(x)
        x = self.last(F.leaky_relu(x, SLOPE))
        return F.leaky_relu(x, SLOPE).mean((2, 3))


def of_class(answers: list[Tensor], label: Tensor) -> Tensor:
    """Of the answers (N, D) of all heads, for each row that of its class, (N, D).

    >>> of_class([torch.zeros(2, 1), torch.ones(2, 1)], torch.tensor([1, 0])).flatten().tolist()
    [1.0, 0.0]
    """
    stacked = torch.stack(answers, dim=1)
    return stacked.gather(1, label[:, None, None].expand(-1, 1, stacked.shape[2]))[:, 0]
