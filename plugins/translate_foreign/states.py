"""A state dict that is taken apart: each tensor once, of the expected shape, until nothing is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from translate.errors import TranslateError

SHOWN = 3
"""How many tensors an error names."""


class State:
    """The tensors of a state dict that are not taken yet; ``what`` names the network in an error."""

    def __init__(self, tensors: Mapping[str, Tensor], what: str) -> None:
        self._left = dict(tensors)
        self.what = what

    def __contains__(self, name: str) -> bool:
        return name in self._left

    @property
    def names(self) -> list[str]:
        """The names of what is left."""
        return list(self._left)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor that must be there."""
        if name not in self._left:
            raise TranslateError(f"it lacks {name!r:.100}, which {self.what} has")
        return tuple(self._left[name].shape)

    def take(self, name: str, shape: Sequence[int]) -> Tensor:
        """Take a tensor, which must have that shape and be of float32."""
        found = self.shape(name)
        if found != tuple(shape):
            raise TranslateError(f"its {name!r:.100} has the shape {found}, where {self.what} has {tuple(shape)}")
        tensor = self._left.pop(name)
        if tensor.dtype != torch.float32:
            raise TranslateError(f"its {name!r:.100} is of {tensor.dtype}, where {self.what} has floats of 32 bits")
        return tensor

    def drop(self, name: str) -> bool:
        """Leave a tensor out; whether it was there."""
        return self._left.pop(name, None) is not None

    def finish(self) -> None:
        """Raise ``TranslateError`` if anything is left."""
        if self._left:
            more = f" and {len(self._left) - SHOWN} more" if len(self._left) > SHOWN else ""
            raise TranslateError(f"it holds {listed(self._left)}{more}, which {self.what} has not")


def listed(tensors: Mapping[str, Tensor]) -> str:
    """The first tensors, with their shapes."""
    return ", ".join(f"{name:.60} {tuple(tensor.shape)}" for name, tensor in list(tensors.items())[:SHOWN])
