"""An opened file, whatever library computes it: an array in, an array out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate.errors import TranslateError
from translate.exported import LIMITS, Layout

TYPES = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8,
    "f32": np.float32, "f16": np.float16, "u8": np.uint8,
}  # fmt: skip
"""The types of images that are given to a network, by the libraries' names."""


@dataclass(frozen=True, slots=True)
class Input:
    """The only input of a file: name, type, and its four sides, None where they are free."""

    name: str
    dtype: Any
    shape: tuple[int | None, ...]

    @classmethod
    def only(cls, path: Path, inputs: Sequence[tuple[str, str, Sequence[Any]]]) -> Input:
        """The input, out of the names, types and shapes of all; raises ``TranslateError`` unless it is one image."""
        if len(inputs) != 1:
            names = ", ".join(f"{name:.40}" for name, _, _ in inputs[:5])
            raise TranslateError(
                f"{path} takes {len(inputs)} inputs ({names or 'none'}), and an image is one; "
                "export the network with its image as the only input"
            )
        name, kind, shape = inputs[0]
        if kind not in TYPES or len(shape) != 4:
            raise TranslateError(
                f"{path} takes {name:.40} as {kind} of {len(shape)} dimensions, where an image is floats or bytes "
                "(N, C, H, W) or (N, H, W, C)"
            )
        return cls(name, TYPES[kind], tuple(side if isinstance(side, int) and side > 0 else None for side in shape))


class Session(ABC):
    """An opened file: an array in, an array out. It has one input, an image (4 dimensions), of ``shape``."""

    path: Path
    shape: tuple[int | None, ...]
    dtype: Any
    outputs: list[str]
    """The names of the outputs that may be images, those that must be first."""
    weights: tuple[Path, ...] = ()
    """Further files, with weights of the network."""

    @abstractmethod
    def compute(self, batch: NDArray[Any], output: str) -> Any:
        """Compute an output for a batch; raises ``RuntimeError`` or ``MemoryError`` with one line."""

    @abstractmethod
    def peak(self, batch: NDArray[Any], output: str) -> int:
        """About the most bytes in use at once while a batch is computed."""

    def run(self, batch: NDArray[Any], output: str) -> NDArray[Any]:
        """Compute an output for a batch; one by one if the network takes one image only."""
        if self.shape[0] == 1 and len(batch) > 1:
            return np.concatenate([self.run(batch[number : number + 1], output) for number in range(len(batch))])
        found = self.compute(batch, output)
        if not isinstance(found, np.ndarray) or found.ndim != 4 or found.dtype.kind not in "fu":
            raise TranslateError(f"{self.path} answers no image under {output!r:.60}; name another output")
        return found


def to_range(batch: NDArray[Any], limits: str, layout: Layout, dtype: Any) -> NDArray[Any]:
    """Images (N, C, H, W) in [-1, 1] as a file takes them."""
    low, high = LIMITS[limits]
    scaled = (batch + np.float32(1)) * np.float32((high - low) / 2) + np.float32(low)
    if dtype == np.uint8:
        scaled = scaled.round().clip(0, 255)
    ordered = scaled if layout == "NCHW" else scaled.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(ordered, dtype)


def channels_and_layout(shape: Sequence[int | None]) -> tuple[int | None, Layout | None]:
    """The channels and the layout that a shape of four dimensions tells, as far as it does.

    >>> channels_and_layout((1, 3, None, None)), channels_and_layout((None, 224, 224, 3))
    ((3, 'NCHW'), (3, 'NHWC'))
    """
    second, last = shape[1], shape[3]
    few, many = second is not None and second <= MOST_CHANNELS, last is not None and last <= MOST_CHANNELS
    if few and not many:
        return second, "NCHW"
    if many and not few:
        return last, "NHWC"
    return None, None


MOST_CHANNELS = 4
"""The most channels by which a dimension is recognized as such."""
