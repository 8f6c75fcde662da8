"""EMA: exponential moving averages of a method's translators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from translate.engine.state import compare, under
from translate.errors import TranslateError

AVERAGED = ("running_mean", "running_var")
"""The buffers that are averaged like weights: running statistics of normalizations."""


class EMA:
    """Exponential moving averages of modules by direction, with ``decay``; 0 disables them.

    Of the buffers only running statistics are averaged; all others are copied, since their mean may mean nothing. That
    of the unit vectors by which spectral normalization finds a weight's largest singular value would be shorter than 1,
    and the averaged weight would be divided by too little.
    """

    def __init__(self, modules: Mapping[str, nn.Module], decay: float) -> None:
        self._modules = dict(modules) if decay else {}
        self._decay = decay
        self._averages: dict[str, dict[str, Tensor]] = {}
        self.restart()

    def restart(self) -> None:
        """Start again from the current weights."""
        self._averages = {
            direction: {name: value.detach().clone() for name, value, _ in _tensors(module)}
            for direction, module in self._modules.items()
        }

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the averages towards the weights, after ``step`` steps."""
        # Warm-up, as is usual for Polyak averages: the first weights are noise, so a young average follows closely.
        decay = min(self._decay, (1 + step) / (10 + step))
        for direction, module in self._modules.items():
            averages, floats, weights = self._averages[direction], [], []
            for name, value, averaged in _tensors(module):
                if averaged:
                    floats.append(averages[name])
                    weights.append(value.detach())
                else:
                    averages[name].copy_(value)
            torch._foreach_lerp_(floats, weights, 1 - decay)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Put the averages into the modules inside the block."""
        pairs = [
            (value, self._averages[direction], name)
            for direction, module in self._modules.items()
            for name, value, _ in _tensors(module)
        ]
        _swap(pairs)
        try:
            yield
        finally:
            # In reverse, since two directions may share a tensor.
            _swap(reversed(pairs))

    def tensors(self) -> dict[str, Tensor]:
        """The averages, as ``DIRECTION/NAME``."""
        return {
            f"{direction}/{name}": value
            for direction, averages in self._averages.items()
            for name, value in averages.items()
        }

    def check(self, tensors: Mapping[str, Tensor]) -> None:
        """Raise ``TranslateError`` for tensors that ``load`` could not take."""
        for name in tensors:
            if name.partition("/")[0] not in self._averages:
                raise TranslateError(
                    f"the checkpoint's moving average {name!r:.100} has no place here; "
                    "it was made by another configuration"
                )
        for direction, averages in self._averages.items():
            compare(under(tensors, f"{direction}/"), averages, f"the moving average of {direction}")

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Load what ``tensors`` gave."""
        for name, value in self.tensors().items():
            value.copy_(tensors[name])


@torch.no_grad()
def _swap(pairs: Iterable[tuple[Tensor, dict[str, Tensor], str]]) -> None:
    for value, averages, name in pairs:
        value.data, averages[name] = averages[name], value.data


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor, bool]]:
    """A module's parameters and buffers: name, tensor, and whether it is averaged."""
    for name, weight in module.named_parameters():
        yield name, weight, weight.is_floating_point()
    for name, buffer in module.named_buffers():
        yield name, buffer, name.rpartition(".")[2] in AVERAGED
