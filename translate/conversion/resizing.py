"""Resizing: the size at which an image is converted, by one of three options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from translate.errors import TranslateError
from translate.sizes import Size


@dataclass(frozen=True, slots=True)
class Resizing:
    """What is asked for: a size, whatever the image's aspect; or the length of its longer side, or a scale.

    >>> Resizing().of((300, 400)), Resizing(at=(256, 256)).of((300, 400))
    ((300, 400), (256, 256))
    >>> Resizing(long_side=1024).of((300, 400)), Resizing(scale=0.5).of((1, 401))
    ((768, 1024), (1, 200))
    """

    at: Size | None = None
    long_side: int | None = None
    scale: float | None = None

    def of(self, size: Size) -> Size:
        """The size at which an image of a (height, width) is converted."""
        if self.at is not None:
            return self.at
        factor = 1.0 if self.scale is None else self.scale
        if self.long_side is not None:
            factor = self.long_side / max(size)
        height, width = (max(1, round(side * factor)) for side in size)
        return height, width

    def squashes(self, size: Size) -> bool:
        """Whether an image's aspect changes, by more than a fiftieth."""
        if self.at is None:
            return False
        before, after = size[0] / size[1], self.at[0] / self.at[1]
        return max(before, after) > 1.02 * min(before, after)


def check_resizing(asked: Mapping[str, Any]) -> None:
    """Refuse more than one of the options ``at``, ``long_side`` and ``scale``."""
    flags = {"at": "--at", "long_side": "--long-side", "scale": "--scale"}
    given = [flag for name, flag in flags.items() if asked.get(name) is not None]
    if len(given) > 1:
        raise TranslateError(f"convert: {' and '.join(given)} each set the size of the images; give one of them")
