"""Sizes: how often an image can be halved, and the check of a generator's input size."""

from __future__ import annotations

from torch import Tensor

from translate.errors import TranslateError


def halvings(size: tuple[int, int], least: int = 2, most: int = 8) -> int:
    """How often both sides (height, width) can be halved, from ``least`` to ``most``.

    >>> [halvings(size) for size in ((256, 256), (128, 256), (360, 480), (28, 28), (65, 65))]
    [8, 7, 3, 2, 2]
    """
    count = 0
    while count < most and all(side % 2 ** (count + 1) == 0 for side in size):
        count += 1
    return max(count, least)


def check_sides(image: Tensor, multiple: int, network: str) -> None:
    """Refuse an image (N, C, H, W) whose sides do not divide by ``multiple``."""
    height, width = image.shape[-2:]
    if height % multiple or width % multiple:
        raise TranslateError(
            f"{network} takes sides that divide by {multiple}, which {height}x{width} does not; "
            "pad or resize the images"
        )
