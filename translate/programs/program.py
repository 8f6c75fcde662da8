"""An opened file as a network of images in [-1, 1]: what it is, what it takes, and how it is computed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate.errors import TranslateError
from translate.exported import LIMITS, Facts
from translate.programs.session import Session, to_range
from translate.sizes import Size
from translate.taken import Taken, Wanted

MEASURED = (96, 384)
"""The least sides of the images by whose passes memory is measured."""

USUAL = (256, 256)
"""The size of images that is told of a network where nothing else is known."""

FEW = 64
"""Sides that a network may find too small: where it pads by reflection, a map must have more pixels than it adds."""

SPARE = 1.3
"""How much more an arena may hold than what is in use in it."""


def further_of(facts: Facts | None) -> dict[str, Wanted]:
    """The inputs that a file takes behind its image, by what it says of itself; all must be given, but for noise."""
    if facts is None or not facts.inputs:
        return {}
    told = {name: each.model_dump(exclude_none=True) for name, each in facts.inputs.items()}
    return {name: replace(each, required=True) for name, each in Taken.from_json({"inputs": told}).inputs.items()}


def _if_few(image: NDArray[Any]) -> str:
    """What to do if an image is small enough for that to be the reason of a failure."""
    height, width = image.shape[-2:]
    if min(height, width) >= FEW:
        return ""
    return f"; {width} x {height} pixels may be too few for it, so convert it larger, with --scale"


class Program:
    """A session as a function of arrays, (N, C, H, W) in [-1, 1] to the same, whatever the file's own are.

    ``taken`` is what it takes beside its image.
    """

    def __init__(self, session: Session, facts: Facts) -> None:
        self.session = session
        self.facts = facts
        self.size_multiple = facts.size_multiple
        self.fixed_size = None if facts.fixed_size is None else (facts.fixed_size[0], facts.fixed_size[1])
        self.taken = Taken(inputs=further_of(facts))
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

    def __call__(
        self, image: NDArray[np.float32], further: Mapping[str, NDArray[Any]] | None = None
    ) -> NDArray[np.float32]:
        """Compute the translation; sides must be multiples of ``size_multiple``, or the ``fixed_size``.

        ``further`` has a row for each image of all that ``taken`` lists. Raises ``TranslateError`` for what the file
        cannot compute.
        """
        facts = self.facts
        given = to_range(image, facts.range, facts.layout, self.session.dtype)
        try:
            answer = self.session.run(given, facts.output or self.session.outputs[0], further)
        except RuntimeError as error:
            raise TranslateError(f"{error}{_if_few(image)}") from None
        whole = answer if facts.layout == "NCHW" else answer.transpose(0, 3, 1, 2)
        low, high = LIMITS[facts.output_range or facts.range]
        scaled = (whole.astype(np.float32) - np.float32(low)) * np.float32(2 / (high - low)) - np.float32(1)
        wanted = (len(image), facts.domains[1].channels, *image.shape[-2:])
        if scaled.shape != wanted:
            raise TranslateError(
                f"{self.session.path.name} answers {scaled.shape} where {wanted} is expected; its channels or its size "
                f"multiple ({facts.size_multiple}) are others than noted"
            )
        return np.ascontiguousarray(scaled)

    @property
    def trained(self) -> Size | None:
        """The (height, width) that the network was trained at, or has; None if the file does not tell."""
        known = self.facts.size or self.facts.fixed_size
        return None if known is None else (known[0], known[1])

    @property
    def described(self) -> dict[str, Any]:
        """The arguments by which a ``Translator`` of this network tells what it translates, at which size."""
        facts = self.facts
        height, width = self.trained or USUAL
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

    def _zeros(self, size: Size) -> dict[str, NDArray[Any]]:
        """What it takes beside one image of a (height, width), of zeros."""
        found: dict[str, NDArray[Any]] = {}
        for name, wanted in self.taken.inputs.items():
            if wanted.kind == "class":
                found[name] = np.zeros(1, np.int64)
            elif wanted.domain is None:
                found[name] = np.zeros((1, wanted.length or 1), np.float32)
            else:
                sides = self.described["size"] if wanted.kind == "image" else size
                found[name] = np.zeros((1, wanted.domain.channels, *sides), np.float32)
        return found

    def _measure(self) -> tuple[float, float]:
        sides = [(-(-side // self.size_multiple) * self.size_multiple,) * 2 for side in MEASURED]
        if self.fixed_size is not None:
            sides = [self.fixed_size]
        facts, peaks = self.facts, []
        for height, width in sides:
            black = np.zeros((1, facts.domains[0].channels, height, width), np.float32)
            given = to_range(black, facts.range, facts.layout, self.session.dtype)
            further = self._zeros((height, width))
            peak = self.session.peak(given, facts.output or self.session.outputs[0], further)
            peaks.append((height * width, peak))
        (few, low), (many, high) = peaks[0], peaks[-1]
        slope = max(high - low, 0) / (many - few) if many > few else 0.0
        return max(low - slope * few, 0.0), slope
