"""An opened file as a network that takes and answers images in [-1, 1], whatever library computes it."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from translate.errors import TranslateError
from translate.exported import LIMITS, Facts, Layout
from translate.sizes import Size

TYPES = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8,
    "f32": np.float32, "f16": np.float16, "u8": np.uint8,
}  # fmt: skip
"""The types of images that are given to a network, by the libraries' names."""

MEASURED = (96, 384)
"""The least sides of the images by whose passes memory is measured."""

USUAL = (256, 256)
"""The size of images that is told of a network where nothing else is known."""

SPARE = 1.3
"""How much more an arena may hold than what is in use in it."""


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


class Program(nn.Module):
    """A session as a network: (N, C, H, W) in [-1, 1] to the same, whatever the file's own range and layout are."""

    def __init__(self, session: Session, facts: Facts) -> None:
        super().__init__()
        self.session = session
        self.facts = facts
        self.size_multiple = facts.size_multiple
        self.fixed_size = None if facts.fixed_size is None else (facts.fixed_size[0], facts.fixed_size[1])
        self._line: tuple[float, float] | None = None

    @property
    def identity(self) -> str:
        """The hash of the file, with its weights beside it, and of how images are handed to it."""
        # As JSON, so that facts are the same when they come from a file as when they were found out.
        digest = hashlib.blake2b(self.facts.to_json().encode(), digest_size=16)
        for path in (self.session.path, *self.session.weights):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def __deepcopy__(self, memo: dict[int, Any]) -> Program:
        # The library uses all cores itself.
        raise TypeError("a session cannot be copied")

    def forward(self, image: Tensor) -> Tensor:
        """Compute the translation."""
        facts = self.facts
        given = to_range(image.cpu().float().numpy(), facts.range, facts.layout, self.session.dtype)
        answer = self.session.run(given, facts.output or self.session.outputs[0])
        whole = answer if facts.layout == "NCHW" else answer.transpose(0, 3, 1, 2)
        low, high = LIMITS[facts.output_range or facts.range]
        scaled = (whole.astype(np.float32) - np.float32(low)) * np.float32(2 / (high - low)) - np.float32(1)
        wanted = (len(image), facts.domains[1].channels, *image.shape[-2:])
        if scaled.shape != wanted:
            raise TranslateError(
                f"{self.session.path.name} answers {scaled.shape} where {wanted} is expected; its channels or its size "
                f"multiple ({facts.size_multiple}) are others than noted"
            )
        return torch.from_numpy(np.ascontiguousarray(scaled))

    @property
    def described(self) -> dict[str, Any]:
        """The arguments by which a ``Translator`` of this network tells what it translates, at which size."""
        facts = self.facts
        height, width = facts.size or facts.fixed_size or USUAL
        source, target = facts.domains
        return {
            "direction": facts.direction,
            "directions": (facts.direction,),
            "source": source,
            "target": target,
            "size": (height, width),
        }

    def bytes_for(self, size: Size) -> int:
        """About how much memory one image (height, width) takes, by two passes that are measured at the first call."""
        if self._line is None:
            self._line = self._measure()
        height, width = (side + -side % self.size_multiple for side in self.fixed_size or size)
        base, slope = self._line
        return int(SPARE * (base + slope * height * width))

    def _measure(self) -> tuple[float, float]:
        sides = [(-(-side // self.size_multiple) * self.size_multiple,) * 2 for side in MEASURED]
        if self.fixed_size is not None:
            sides = [self.fixed_size]
        facts, peaks = self.facts, []
        for height, width in sides:
            black = np.zeros((1, facts.domains[0].channels, height, width), np.float32)
            given = to_range(black, facts.range, facts.layout, self.session.dtype)
            peaks.append((height * width, self.session.peak(given, facts.output or self.session.outputs[0])))
        (few, low), (many, high) = peaks[0], peaks[-1]
        slope = max(high - low, 0) / (many - few) if many > few else 0.0
        return max(low - slope * few, 0.0), slope


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
