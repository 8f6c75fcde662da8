"""Tensors of images: stored values to [-1, 1] and back, and to RGB, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

from translate.data import Depth, Domain
from translate.images.display import colours
from translate.images.pixels import LARGEST


def normalize(stored: Tensor, domain: Domain) -> Tensor:
    """Convert stored images (N, C, H, W) to float32 in [-1, 1], on their device.

    Integers: v / 127.5 - 1, or v / 32767.5 - 1 for 16 bits. Floats and ranged integers: ``low`` becomes -1 and
    ``high`` 1. Class indices (N, 1, H, W): one plane per class, 1 where the class is and -1 elsewhere, or the palette's
    colours; a pixel of the ignored index is -1 in all planes.
    """
    if domain.one_hot:
        classes = torch.arange(domain.classes, device=stored.device).view(1, -1, 1, 1)
        found = stored.long() == classes
        if domain.ignore is not None:
            found = found & (stored != domain.ignore)
        return found.float().mul_(2).sub_(1)
    if domain.palette:
        table = torch.tensor(domain.palette, dtype=torch.float32, device=stored.device) / 127.5 - 1
        index = stored[:, 0].long()
        if domain.ignore is not None:
            table = torch.cat([table, torch.full_like(table[:1], -1)])
            index = torch.where(index == domain.ignore, domain.classes, index)
        return table[index].permute(0, 3, 1, 2).contiguous()
    if domain.depth == "float32" or domain.ranged:
        return (stored.float() - domain.low).mul_(2 / (domain.high - domain.low)).sub_(1)
    return stored.float().div_(LARGEST[domain.depth] / 2).sub_(1)


def denormalize(images: Tensor, depth: Depth, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Convert images in [-1, 1] to stored values, rounded and clamped, on their device; the inverse of ``normalize``.

    >>> denormalize(torch.tensor([-1.0, 0.0, 1.0, 1.5]), "uint8").tolist()
    [0, 128, 255, 255]
    """
    share = images.float().add(1)
    if depth == "float32":
        return share.mul_((high - low) / 2).add_(low).clamp_(low, high)
    largest = LARGEST[depth]
    return share.mul_(largest / 2).round_().clamp_(0, largest).to(torch.uint8 if depth == "uint8" else torch.uint16)


def to_stored(images: Tensor, domain: Domain, depth: Depth) -> Tensor:
    """Convert a network's outputs (N, C, H, W) in [-1, 1] to what a file of their domain stores, on their device.

    Class maps become indices (N, 1, H, W): the largest plane, or the palette's nearest colour. Other images are
    ``denormalize``d to ``depth``.
    """
    if domain.one_hot:
        return images.argmax(1, keepdim=True).to(torch.uint8)
    if not domain.palette:
        own = domain.at(depth)
        if own.ranged:
            share = images.float().add(1).mul_((own.high - own.low) / 2).add_(own.low)
            stored = share.round_().clamp_(max(0.0, own.low), own.high)
            return stored.to(torch.uint8 if depth == "uint8" else torch.uint16)
        return denormalize(images, depth, domain.low, domain.high)
    palette = torch.tensor(domain.palette, dtype=images.dtype, device=images.device) / 127.5 - 1
    best = torch.full_like(images[:, :1], torch.inf)
    index = torch.zeros_like(best, dtype=torch.uint8)
    for number, colour in enumerate(palette):
        distance = (images - colour[:, None, None]).square().sum(1, keepdim=True)
        index = torch.where(distance < best, number, index)
        best = torch.minimum(distance, best)
    return index.to(torch.uint8)


def to_rgb(images: Tensor, domain: Domain) -> Tensor:
    """Convert images (N, C, H, W) in [-1, 1] for display: (N, 3, H, W) uint8 on the CPU.

    One-hot planes become distinct colours, gray is repeated, two planes become red and green, of more than three the
    first three are taken.
    """
    images = images.detach()
    if domain.one_hot:
        table = torch.tensor(colours(domain.classes), dtype=torch.uint8)
        return table[images.argmax(1).cpu()].permute(0, 3, 1, 2).contiguous()
    shown = denormalize(images[:, :3], "uint8").cpu()
    if shown.shape[1] == 1:
        return shown.repeat(1, 3, 1, 1)
    if shown.shape[1] == 2:
        return torch.cat([shown, torch.zeros_like(shown[:, :1])], 1)
    return shown
