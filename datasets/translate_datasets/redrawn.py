"""Holes that are drawn anew each time an image is seen: an augmentation of a stream of masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from translate.data import Domain
from translate.options import Option
from translate_datasets.drawing import draw_holes
from translate_datasets.holes import Holes, Largest, Shape, Smallest


def random_holes(
    *,
    stream: Annotated[str, Option("name of the aligned stream that gets the holes")] = "mask",
    shape: Shape = "mixed",
    smallest: Smallest = 0.2,
    largest: Largest = 0.5,
) -> Redrawn:
    """Build an augmentation of one aligned stream: its masks are drawn anew each time, whatever they were.

    >>> change = random_holes(shape="box", smallest=0.5, largest=0.5)
    >>> change(torch.zeros(1, 1, 4, 6), torch.tensor([3]), domain=Domain(1)).add(1).div(2).sum().item()
    6.0
    """
    return Redrawn(Holes(shape, smallest, largest), stream)


@dataclass(frozen=True, slots=True)
class Redrawn:
    """The augmentation that ``random_holes`` builds."""

    holes: Holes
    stream: str

    def __call__(self, images: Tensor, seeds: Tensor, *, domain: Domain) -> Tensor:
        """Masks (N, C, H, W) of a domain, which mark new holes: white, the last class, or where alpha is -1."""
        hole = draw_holes(self.holes, seeds, (images.shape[-2], images.shape[-1]))
        marked = torch.where(hole ^ (domain.alpha == "only"), 1.0, -1.0).to(images.dtype)
        if not domain.one_hot:
            return marked.expand_as(images).contiguous()
        found = torch.full_like(images, -1.0)
        found[:, :1], found[:, -1:] = -marked, marked
        return found
