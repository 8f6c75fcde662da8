"""What a reader of another project's networks answers: the method that keeps the network here, and its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from translate.options import Call
from translate.sizes import Size

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Foreign",
]


@dataclass(frozen=True, slots=True)
class Foreign:
    """A network of another project, as it is kept here.

    ``method`` rebuilds it, with ``inputs`` channels in and ``outputs`` channels out; ``tensors`` are the state of that
    method's only translator, by the names that they have here. ``size`` (height, width) is what such networks are
    trained at. ``summary`` completes "took it for", and ``notes`` are what else a user should know, a sentence each.
    """

    method: Call
    tensors: Mapping[str, Tensor]
    inputs: int
    outputs: int
    size: Size
    summary: str
    notes: tuple[str, ...] = ()
