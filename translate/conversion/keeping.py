"""Keeping: what a network does not fill is copied from the image's file, to the bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from translate import images
from translate.conversion.banding import BandedPixels
from translate.data import Depth
from translate.given import Planes, Value, hole_in
from translate.sizes import Size

if TYPE_CHECKING:
    from translate.conversion.batch import Work
    from translate.conversion.plan import Task


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What is kept of an image: its own ``pixels`` (H, W, C), not laid on any ground, outside of ``hole`` (H, W)."""

    pixels: NDArray[Any] | BandedPixels
    hole: NDArray[np.bool_]
    low: float
    high: float

    def put_back(self, made: NDArray[Any], rows: slice, columns: slice) -> NDArray[Any]:
        """A part (h, w, C) of what a network has made, as it is stored, with the image's own pixels where it is."""
        depth: Depth = str(made.dtype)  # type: ignore[assignment]
        own = images.as_depth(np.asarray(self.pixels[rows, columns]), depth, self.low, self.high)
        return np.where(self.hole[rows, columns, None], made, own)


def hole_of(given: Mapping[str, Value], work: Work, size: Size) -> NDArray[np.bool_] | None:
    """Where an image of a (height, width) is filled, (H, W); None if nothing says so."""
    wanted = work.given.hole
    planes = None if wanted is None else given.get(wanted.name)
    if wanted is None or not isinstance(planes, Planes):
        return None
    return hole_in(planes, wanted)[: size[0], : size[1]]


def known_of(
    pixels: NDArray[Any] | BandedPixels, hole: NDArray[np.bool_] | None, depth: Depth, work: Work
) -> Known | None:
    """What is kept of an image, if it has a hole; None as well where its values are stored by another range."""
    target = work.translator.target
    if hole is None or (target.ranged and (str(pixels.dtype) != target.depth or depth != target.depth)):
        return None
    return Known(pixels, hole, target.low, target.high)


def tell(hole: NDArray[np.bool_], task: Task, work: Work, *, resized: bool) -> None:
    """Note what a user would not expect of an image's output."""
    assert work.given.hole is not None
    suffix, sentences = task.outputs[0].suffix.lower(), []
    if not hole.any():
        sentences.append(f"{work.given.hole.name} marks nothing, so nothing is filled")
    if resized:
        sentences.append("it is resized, so the pixels that are kept are those of the resized image")
    if not task.format.lossless and not (suffix == ".webp" and work.quality == 100):
        sentences.append(f"the pixels that are kept are compressed anew: {suffix} files are lossy; use --format png")
    work.notices.add(task.source, sentences)
