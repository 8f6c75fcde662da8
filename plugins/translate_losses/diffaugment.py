"""DiffAugment: differentiable augmentation of all inputs of the discriminator."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor

from translate.options import Option

Policy = Literal["color", "translation", "cutout"]


class DiffAugment:
    """DiffAugment (Zhao et al. 2020, arXiv:2006.10738): real and fake are augmented alike, for both players.

    The discriminator sees only T(x) and T(G(z)), so it cannot memorise a small data set. T is differentiable: the
    generator's gradient passes through it, so the generator does not learn to make augmented images. The parts of the
    policy are applied in the given order, with independent random parameters for each image:

    - ``color``: brightness ``x + b``, b in [-0.5, 0.5]; saturation: the distance from the mean over channels times s
      in [0, 2]; contrast: the distance from the image's mean times c in [0.5, 1.5]. Values may leave [-1, 1].
    - ``translation``: a shift of up to 1/8 of each side; vacated pixels become zero.
    - ``cutout``: a rectangle of half of each side, at a random centre, becomes zero.

    A condition gets the same shift and cutout as its image, so that both stay aligned, but no colour change. One that
    is no map, such as a class, stays as it is.
    """

    def __init__(
        self,
        *,
        policy: Annotated[tuple[Policy, ...], Option("augmentations: color, translation, cutout")] = (
            "color",
            "translation",
            "cutout",
        ),
    ) -> None:
        self.policy = policy

    def augment(self, image: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Augment images (N, C, H, W) and their conditions, with random numbers of torch's generator of the device."""
        maps = condition if condition is not None and condition.dim() == 4 else None
        for part in self.policy:
            if part == "color":
                image = color(image)
            elif part == "translation":
                rows, columns = draw_shifts(image)
                image = shift(image, rows, columns)
                maps = None if maps is None else shift(maps, rows, columns)
            else:
                mask = draw_window(image)
                image = image * mask
                maps = None if maps is None else maps * mask
        return image, condition if maps is None else maps


def color(image: Tensor) -> Tensor:
    """Randomly change brightness, saturation and contrast, in this order."""
    b, s, c = torch.rand(3, len(image), 1, 1, 1, dtype=image.dtype, device=image.device)
    image = image + (b - 0.5)
    gray = image.mean(1, keepdim=True)
    image = torch.lerp(gray, image, 2 * s)
    level = image.mean((1, 2, 3), keepdim=True)
    return torch.lerp(level, image, 0.5 + c)


def draw_shifts(image: Tensor) -> tuple[Tensor, Tensor]:
    """Random shifts (N,) in whole pixels, down and to the right, of up to an eighth of the side."""
    limits = [int(side / 8 + 0.5) for side in image.shape[-2:]]
    down, right = (torch.randint(-limit, limit + 1, (len(image),), device=image.device) for limit in limits)
    return down, right


def shift(image: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Shift each image (C, H, W) by its own number of pixels; vacated pixels become zero.

    >>> shift(torch.tensor([[[[1, 2], [3, 4]]]]), torch.tensor([1]), torch.tensor([-1]))
    tensor([[[[0, 0], [2, 0]]]])
    """
    n, channels, height, width = image.shape
    rows = torch.arange(height, device=image.device) - down[:, None]
    columns = torch.arange(width, device=image.device) - right[:, None]
    inside = ((rows >= 0) & (rows < height))[:, None, :, None] & ((columns >= 0) & (columns < width))[:, None, None, :]
    rows = rows.clamp(0, height - 1)[:, None, :, None].expand(n, channels, height, width)
    columns = columns.clamp(0, width - 1)[:, None, None, :].expand(n, channels, height, width)
    return image.gather(2, rows).gather(3, columns) * inside


def draw_window(image: Tensor) -> Tensor:
    """A mask (N, 1, H, W): 0 in a rectangle of half of each side around a random centre, 1 elsewhere."""
    cut: list[Tensor] = []
    for side in image.shape[-2:]:
        length = int(side / 2 + 0.5)
        # As published: centres of rectangles of even length lie between pixels, borders of the image included.
        centre = torch.randint(0, side + 1 - length % 2, (len(image), 1), device=image.device)
        distance = torch.arange(side, device=image.device) - (centre - length // 2)
        cut.append((distance >= 0) & (distance < length))
    rows, columns = cut
    return (~(rows[:, :, None] & columns[:, None, :])).unsqueeze(1).to(image.dtype)
