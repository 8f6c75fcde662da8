"""Augmentations of batches: colours change where there are some, and all that belongs together moves alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from translate.data import Domain

Augmentation = Callable[..., Tensor]
"""Maps images (N, C, H, W) and seeds (N,) to images; a ``geometric`` one takes the keyword ``nearest``, too."""


class Augmentations:
    """Several augmentations, one after another.

    One whose attribute ``geometric`` is true moves pixels, so it is applied to images of any channels, and by nearest
    neighbour to class maps and aligned streams; all others change the colours of gray and RGB images alone.
    """

    def __init__(self, augmentations: Sequence[Augmentation]) -> None:
        self._each = [(augment, bool(getattr(augment, "geometric", False))) for augment in augmentations]

    def __len__(self) -> int:
        return len(self._each)

    def __call__(self, images: Tensor, domain: Domain, seeds: Sequence[Tensor]) -> Tensor:
        """Change images of a domain by a seed each for every augmentation."""
        coloured = not domain.by_nearest and domain.channels in (1, 3)
        for (augment, geometric), each in zip(self._each, seeds, strict=True):
            if geometric:
                images = augment(images, each, nearest=domain.by_nearest)
            elif coloured:
                images = augment(images, each)
        return images
