"""A program as a translator of arrays, by which folders are converted without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from translate.errors import UnfitError
from translate.plugins import Catalog
from translate.programs.program import Program
from translate.sizes import Size


@dataclass(frozen=True, slots=True)
class Processor:
    """The CPU, named as torch names its devices."""

    type: str = "cpu"

    def __str__(self) -> str:
        return self.type


class ArrayTranslator:
    """Turns arrays of images into arrays of images, with what a conversion asks of any translator.

    Images may have any size: they are padded to a multiple of ``size_multiple`` or resized to the program's
    ``fixed_size``, and the outputs are cropped or resized back.
    """

    needs_calibration = False
    device = Processor()

    def __init__(self, program: Program, catalog: Catalog) -> None:
        self.program = program
        self.catalog = catalog
        self.direction: str = program.facts.direction
        self.source, self.target = program.facts.domains
        self.size: Size = program.described["size"]
        self.size_multiple = program.size_multiple
        self.fixed_size = program.fixed_size
        self.bytes_for = program.bytes_for

    def replicate(self) -> None:
        """None: one thread at a time translates, since the library uses all cores itself."""

    def translate(
        self, batch: NDArray[np.float32], *, samples: int | None = None, seed: int = 0
    ) -> NDArray[np.float32]:
        """Translate (N, C, H, W) in [-1, 1] to (N, C', H, W); ``samples`` are refused, since no noise is drawn."""
        if samples is not None:
            raise UnfitError("this translator draws no noise, so it has one answer; leave out --samples")
        height, width = batch.shape[-2:]
        if self.fixed_size is not None:
            return resized(self.program(resized(batch, self.fixed_size)), (height, width))
        return self.program(padded(batch, self.size_multiple))[..., :height, :width]


def padded(batch: NDArray[np.float32], multiple: int) -> NDArray[np.float32]:
    """A batch (N, C, H, W), padded at the lower and right edge by reflection, repeatedly if the image is small.

    >>> padded(np.array([[[[0, 1, 2], [3, 4, 5]]]], np.float32), 4)[0, 0].tolist()
    [[0.0, 1.0, 2.0, 1.0], [3.0, 4.0, 5.0, 4.0], [0.0, 1.0, 2.0, 1.0], [3.0, 4.0, 5.0, 4.0]]
    """
    while True:
        height, width = batch.shape[-2:]
        down, right = min(-height % multiple, max(height - 1, 1)), min(-width % multiple, max(width - 1, 1))
        if not down and not right:
            return batch
        # A side of one pixel can only be repeated.
        mode: Literal["edge", "reflect"] = "edge" if min(height, width) == 1 else "reflect"
        batch = np.pad(batch, ((0, 0), (0, 0), (0, down), (0, right)), mode=mode)


def resized(batch: NDArray[np.float32], size: Size) -> NDArray[np.float32]:
    """A batch (N, C, H, W), resized bilinearly; antialiased where it shrinks.

    >>> resized(np.array([[[[0, 2]]]], np.float32), (1, 1)).tolist()
    [[[[1.0]]]]
    """
    if batch.shape[-2:] == tuple(size):
        return batch
    planes: NDArray[Any] = np.ascontiguousarray(batch, np.float32).reshape(-1, *batch.shape[-2:])
    made = [
        np.asarray(PIL.Image.fromarray(plane).resize(size[::-1], PIL.Image.Resampling.BILINEAR)) for plane in planes
    ]
    return np.stack(made).reshape(*batch.shape[:2], *size)
