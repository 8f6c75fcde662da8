"""An opened file, whatever library computes it: an array in, an array out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate.errors import TranslateError
from translate.exported import LIMITS, Layout
from translate.taken import Wanted

TYPES = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8,
    "f32": np.float32, "f16": np.float16, "u8": np.uint8,
}  # fmt: skip
"""The types of images that are given to a network, by the libraries' names."""

MOST_NUMBERS = 2**20
"""The longest vector that a file may take."""


@dataclass(frozen=True, slots=True)
class Input:
    """The image that a file takes: name, type, and its four sides, None where they are free."""

    name: str
    dtype: Any
    shape: tuple[int | None, ...]

    @classmethod
    def only(
        cls, path: Path, inputs: Sequence[tuple[str, str, Sequence[Any]]], further: Mapping[str, Wanted] | None = None
    ) -> Input:
        """The image, out of the names, types and shapes of all inputs; ``further`` are those that the file says it has.

        Raises ``TranslateError`` unless it is one image, with exactly these beside it.
        """
        others = {name: (kind, shape) for name, kind, shape in inputs if name in (further or {})}
        inputs = [each for each in inputs if each[0] not in others]
        for name, wanted in (further or {}).items():
            _check_further(path, name, wanted, others.get(name))
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


def _check_further(path: Path, name: str, wanted: Wanted, found: tuple[str, Sequence[Any]] | None) -> None:
    """Raise ``TranslateError`` unless an input is what the file says of it."""
    of_class = wanted.kind == "class"
    types, rank = ("tensor(int64)", "i64") if of_class else ("tensor(float)", "f32"), 1 if of_class else 4
    planes = None if wanted.domain is None else wanted.domain.channels
    if wanted.domain is None and not of_class:
        rank, planes = 2, wanted.length
    if found is not None and found[0] in types and len(found[1]) == rank and (planes or 0) <= MOST_NUMBERS:
        own = found[1][1] if rank > 1 else None
        if not isinstance(own, int) or own <= 0 or planes in (None, own):
            return
    shown = "no such input" if found is None else f"{found[0]} of the shape {list(found[1])}"
    raise TranslateError(f"{path} says that it takes {name}, {wanted.describe()}, and has {shown}; export it again")


class Session(ABC):
    """An opened file: an array in, an array out. Its image (4 dimensions) is of ``shape``."""

    path: Path
    shape: tuple[int | None, ...]
    dtype: Any
    outputs: list[str]
    """The names of the outputs that may be images, those that must be first."""
    weights: tuple[Path, ...] = ()
    """Further files, with weights of the network."""

    @abstractmethod
    def compute(self, batch: NDArray[Any], output: str, further: Mapping[str, NDArray[Any]] | None = None) -> Any:
        """Compute an output for a batch with what it takes ``further``, a row for each image.

        Raises ``RuntimeError`` or ``MemoryError`` with one line.
        """

    @abstractmethod
    def peak(self, batch: NDArray[Any], output: str, further: Mapping[str, NDArray[Any]] | None = None) -> int:
        """About the most bytes in use at once while a batch is computed."""

    def run(self, batch: NDArray[Any], output: str, further: Mapping[str, NDArray[Any]] | None = None) -> NDArray[Any]:
        """Compute an output for a batch; one by one if the network takes one image only."""
        if self.shape[0] == 1 and len(batch) > 1:
            rows = [slice(number, number + 1) for number in range(len(batch))]
            own = [{name: each[row] for name, each in (further or {}).items()} for row in rows]
            return np.concatenate([self.run(batch[row], output, beside) for row, beside in zip(rows, own, strict=True)])
        found = self.compute(batch, output, further)
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
