"""What a dataset lists: domains, splits, examples and labels, and whether source i belongs to target i.

A dataset never decodes, batches, shuffles or moves anything: the loader does, in the same way for all datasets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

__all__ = [
    "Dataset",
    "Depth",
    "Domain",
    "Example",
    "Pixels",
    "Region",
]

Depth = Literal["uint8", "uint16", "float32"]
Region = Literal["whole", "left", "right"]
Pixels = Path | NDArray[Any] | Callable[[], NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One image of a domain: its pixels, name, region and label.

    ``pixels`` is a file, an array (H, W) or (H, W, C), or a function that makes such an array.
    ``region`` takes the left or right half of it (side-by-side files). ``label`` is its class, -1 for none.
    """

    pixels: Pixels
    name: str
    region: Region = "whole"
    label: int = -1


@dataclass(frozen=True, slots=True)
class Domain:
    """The format of a domain's images, as files and as tensors.

    ``channels``: planes of the tensor that a network sees. ``depth``: how the files store a value. ``low`` and
    ``high``: the values of float files that become -1 and 1 (integers use their full range). ``classes``: more than 0
    for maps of class indices, which become one-hot planes in {-1, 1} (``channels == classes``), or, with a ``palette``
    of that many colours, RGB images. ``labels``: the names of the classes that whole images may belong to; an example's
    label is an index into them.

    >>> Domain(channels=12, classes=12).one_hot
    True
    """

    channels: int
    depth: Depth = "uint8"
    low: float = 0.0
    high: float = 1.0
    classes: int = 0
    palette: tuple[tuple[int, int, int], ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def one_hot(self) -> bool:
        """Whether the tensor has one plane per class."""
        return self.classes > 0 and not self.palette


@dataclass(frozen=True, slots=True)
class Dataset:
    """A listing: for each split and domain (``source``, ``target``) its examples.

    ``paired``: example i of the source belongs to example i of the target, in every split. ``problems``: reasons why
    the data is unfit for training, one sentence each (files without a partner, an empty folder).
    """

    name: str
    layout: str
    paired: bool
    domains: Mapping[str, Domain]
    splits: Mapping[str, Mapping[str, Sequence[Example]]]
    problems: tuple[str, ...] = ()
