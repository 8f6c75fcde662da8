"""Holes: what a mask marks in images is filled, everything else is kept; for methods that inpaint."""

from __future__ import annotations

import torch
from torch import Tensor

from translate.data import OPAQUE, Domain
from translate.errors import TranslateError
from translate.precision import to_float32

__all__ = [
    "EXTRA_CHANNELS",
    "check_domains",
    "compose",
    "hole_of",
    "masked_input",
    "mean_in_hole",
]

EXTRA_CHANNELS = 1
"""How many more channels than its image a network takes that gets a ``masked_input``: the plane of the hole."""


def check_domains(source: Domain, target: Domain) -> None:
    """Raise ``TranslateError`` unless pixels of the source are pixels of the target, too."""
    kinds = [(each.channels, each.classes, each.ranged, each.low, each.high, each.alpha) for each in (source, target)]
    if source.classes or kinds[0] != kinds[1]:
        raise TranslateError(
            "with a mask the known pixels of the source are those of the target, so both must be images of the same "
            f"channels, range and transparency, and the source has {source.summary}, the target {target.summary}; "
            "leave mask out, or give the images that are to be filled as the source"
        )


def hole_of(mask: Tensor, *, opaque: bool = False) -> Tensor:
    """The hole (N, 1, H, W) of a mask (N, K, H, W) in [-1, 1]: 1 where the last plane is above 0, which is white.

    So a gray mask is white where it is to be filled, and of a map of two classes the second is the hole. Pixels of a
    map that have no class are -1 in all planes and are kept. With ``opaque``, the mask is an image's alpha instead, 1
    where the image is opaque: the hole is all that is not wholly so, since colours under it are not the image's own.
    It has the dtype of the mask.

    >>> hole_of(torch.tensor([[[[-1.0, 0.0, 0.1, 1.0]]]])).flatten().tolist()
    [0.0, 0.0, 1.0, 1.0]
    >>> hole_of(torch.tensor([[[[-1.0, 0.0, 0.9, 1.0]]]]), opaque=True).flatten().tolist()
    [1.0, 1.0, 1.0, 0.0]
    """
    plane = mask[:, -1:]
    return (plane < OPAQUE if opaque else plane > 0).to(mask.dtype)


def masked_input(image: Tensor, hole: Tensor) -> Tensor:
    """What a network sees of images (N, C, H, W) with a hole (N, 1, H, W): (N, C + 1, H, W).

    The images are 0, which is gray, inside the hole, whatever they held there, and the hole is the last plane, 0 or 1,
    so that a gray pixel is no hole.
    """
    return torch.cat([torch.where(hole > 0, torch.zeros_like(image), image), hole.to(image.dtype)], dim=1)


def compose(filled: Tensor, image: Tensor, hole: Tensor) -> Tensor:
    """Images (N, C, H, W) that are ``filled`` inside the hole (N, 1, H, W) and ``image`` elsewhere, to the bit.

    The result has the wider of the two dtypes, so that what is filled in bf16 leaves the rest in float32. No gradient
    of a known pixel reaches ``filled``. With several samples of each image, which lie side by side in (N * S, C, H, W),
    all keep the same pixels.

    >>> filled, image = torch.ones(1, 1, 1, 2), torch.full((1, 1, 1, 2), 0.1)
    >>> compose(filled, image, torch.tensor([[[[1.0, 0.0]]]])).flatten().tolist()
    [1.0, 0.10000000149011612]
    """
    # Not by len(), which would make the batch size of an exported network a constant.
    if filled.shape[0] != image.shape[0]:
        samples = filled.shape[0] // image.shape[0]
        image, hole = (each.repeat_interleave(samples, dim=0) for each in (image, hole))
    return torch.where(hole > 0, filled, image)


def mean_in_hole(values: Tensor, hole: Tensor) -> Tensor:
    """The mean of a loss's values (N, C, H, W) inside the hole (N, 1, H, W): a scalar in float32; float64 stays.

    ``1/N sum_n  sum(hole_n * values_n) / (C * sum(hole_n))``: each image counts the same, however large its hole is, so
    batches of a step, and those of several ranks, average to one large batch. An image without a hole adds 0. Where a
    value is not in the hole, neither it nor its gradient counts, also if it is not finite.

    >>> values = torch.tensor([[[[3.0, 5.0, 7.0]]], [[[2.0, 2.0, 2.0]]]])
    >>> mean_in_hole(values, torch.tensor([[[[1.0, 1.0, 0.0]]], [[[0.0, 0.0, 0.0]]]])).item()
    2.0
    """
    values = to_float32(values)
    inside = torch.where(hole > 0, values, torch.zeros_like(values)).sum(dim=(1, 2, 3))
    count = values.shape[1] * hole.to(values.dtype).sum(dim=(1, 2, 3))
    return (inside / count.clamp(min=1)).mean()
