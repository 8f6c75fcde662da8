"""Augmentations of batches: colours change where there are some, and all that belongs together moves alike."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from torch import Tensor

from translate.data import Domain
from translate.errors import TranslateError
from translate.terminal import printable

Augmentation = Callable[..., Tensor]
"""Maps images (N, C, H, W) and seeds (N,) to images; a ``geometric`` one takes the keyword ``nearest``, too, and one
of a ``stream`` the keyword ``domain``."""


class Augmentations:
    """Several augmentations, one after another.

    One whose attribute ``geometric`` is true moves pixels, so it is applied to images of any channels, and by nearest
    neighbour to class maps and aligned streams. One with an attribute ``stream`` is applied to the aligned stream of
    that name alone, and takes the keyword ``domain``. All others change the colours of gray and RGB images.

    Raises ``TranslateError`` for a stream that is not among ``aligned``, those that the method asks for.
    """

    def __init__(self, augmentations: Sequence[Augmentation], aligned: Container[str] = ()) -> None:
        self._each = [
            (augment, bool(getattr(augment, "geometric", False)), getattr(augment, "stream", None))
            for augment in augmentations
        ]
        for _, _, stream in self._each:
            if stream is not None and stream not in aligned:
                raise TranslateError(
                    f"an augmentation changes the aligned stream {printable(str(stream), 60)!r}, and the method asks "
                    "for none of that name; name the one that it uses, or leave the augmentation out"
                )

    def __len__(self) -> int:
        return len(self._each)

    def __call__(self, images: Tensor, domain: Domain, seeds: Sequence[Tensor], stream: str = "") -> Tensor:
        """Change images of a domain, which are those of ``stream``, by a seed each for every augmentation."""
        coloured = not domain.by_nearest and domain.channels in (1, 3)
        for (augment, geometric, own), each in zip(self._each, seeds, strict=True):
            if own is not None:
                if own == stream:
                    images = augment(images, each, domain=domain)
            elif geometric:
                images = augment(images, each, nearest=domain.by_nearest)
            elif coloured:
                images = augment(images, each)
        return images
