"""DiffAugment: differentiable augmentation of all that the discriminator judges."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor

from translate.options import Option

Policy = Literal["color", "translation", "cutout"]


class DiffAugment:
    """DiffAugment (Zhao et al. 2020, arXiv:2006.10738): real and fake are augmented alike, for both players.

    The discriminator sees T(x) and T(G(z)) only, so it cannot learn a small data set by heart. T is differentiable:
    the generator's gradient passes through it, and the generator does not learn to make augmented images. The policy's
    parts are applied in the order given, each with draws of its own for each image:

    - ``color``: brightness ``x + b``, b in [-0.5, 0.5]; saturation: the distance from the mean over channels times s
      in [0, 2]; contrast: the distance from the image's mean times c in [0.5, 1.5]. Values may leave [-1, 1].
    - ``translation``: a shift of up to 1/8 of each side, with zeros where nothing is left.
    - ``cutout``: a rectangle of half of each side, at a random centre, becomes zero.

    A condition is shifted and cut with its image, so that both stay in register, and keeps its colours.
    """

    def __init__(
        self,
        *,
        policy: Annotated[tuple[Policy, ...], Option("what is changed: color, translation, cutout")] = (
            "color",
            "translation",
            "cutout",
        ),
    ) -> None:
        self.policy = policy

    def augment(self, image: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Change images (N, C, H, W) and what lies beside them; draws come from torch's generator of the device."""
        for part in self.policy:
            if part == "color":
                image = color(image)
            elif part == "translation":
                rows, columns = draw_shifts(image)
                image = shift(image, rows, columns)
                condition = None if condition is None else shift(condition, rows, columns)
            else:
                kept = draw_window(image)
                image = image * kept
                condition = None if condition is None else condition * kept
        return image, condition


def color(image: Tensor) -> Tensor:
    """Change brightness, saturation and contrast, in this order."""
    b, s, c = torch.rand(3, len(image), 1, 1, 1, dtype=image.dtype, device=image.device)
    image = image + (b - 0.5)
    gray = image.mean(1, keepdim=True)
    image = torch.lerp(gray, image, 2 * s)
    level = image.mean((1, 2, 3), keepdim=True)
    return torch.lerp(level, image, 0.5 + c)


def draw_shifts(image: Tensor) -> tuple[Tensor, Tensor]:
    """Shifts (N,) in whole pixels, down and to the right, of up to an eighth of the side."""
    farthest = [int(side / 8 + 0.5) for side in image.shape[-2:]]
    down, right = (torch.randint(-far, far + 1, (len(image),), device=image.device) for far in farthest)
    return down, right


def shift(image: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Move each image (C, H, W) by its own numbers of pixels; zeros come in from outside.

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
        # As published: centres of an even length lie between pixels, the two borders among them.
        centre = torch.randint(0, side + 1 - length % 2, (len(image), 1), device=image.device)
        distance = torch.arange(side, device=image.device) - (centre - length // 2)
        cut.append((distance >= 0) & (distance < length))
    rows, columns = cut
    return (~(rows[:, :, None] & columns[:, None, :])).unsqueeze(1).to(image.dtype)
