"""EMA: the moving average of what is kept, beside the weights that train."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from translate.engine.state import compare, under

AVERAGED = ("running_mean", "running_var")
"""The buffers that are averaged as weights are: statistics of normalizations."""


class EMA:
    """Moving averages of modules by direction, with ``decay``; 0 keeps none.

    Of the buffers only running statistics are averaged; all others are copied. What they hold need not have a mean: of
    the unit vectors by which spectral normalization finds a weight's largest singular value, it would be shorter than
    1, and the averaged weight would be divided by too little.
    """

    def __init__(self, modules: Mapping[str, nn.Module], decay: float) -> None:
        self._modules = dict(modules) if decay else {}
        self._decay = decay
        self._kept: dict[str, dict[str, Tensor]] = {}
        self.restart()

    def restart(self) -> None:
        """Start from the weights as they are."""
        self._kept = {
            direction: {name: value.detach().clone() for name, value, _ in _tensors(module)}
            for direction, module in self._modules.items()
        }

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Let the averages follow the weights after so many steps."""
        # A young average follows closely: the first weights are noise (as Polyak averages are warmed up).
        decay = min(self._decay, (1 + step) / (10 + step))
        for direction, module in self._modules.items():
            kept, floats, weights = self._kept[direction], [], []
            for name, value, averaged in _tensors(module):
                if averaged:
                    floats.append(kept[name])
                    weights.append(value.detach())
                else:
                    kept[name].copy_(value)
            torch._foreach_lerp_(floats, weights, 1 - decay)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """The modules hold their averages inside."""
        pairs = [
            (value, self._kept[direction], name)
            for direction, module in self._modules.items()
            for name, value, _ in _tensors(module)
        ]
        _swap(pairs)
        try:
            yield
        finally:
            # Backwards, since two directions may share a tensor.
            _swap(reversed(pairs))

    def tensors(self) -> dict[str, Tensor]:
        """The averages, as ``DIRECTION/NAME``."""
        return {f"{direction}/{name}": value for direction, kept in self._kept.items() for name, value in kept.items()}

    def check(self, tensors: Mapping[str, Tensor]) -> None:
        """Refuse what ``load`` could not take over."""
        for direction, kept in self._kept.items():
            compare(under(tensors, f"{direction}/"), kept, f"the moving average of {direction}")

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what ``tensors`` gave."""
        for name, value in self.tensors().items():
            value.copy_(tensors[name])


@torch.no_grad()
def _swap(pairs: Iterable[tuple[Tensor, dict[str, Tensor], str]]) -> None:
    for value, kept, name in pairs:
        value.data, kept[name] = kept[name], value.data


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor, bool]]:
    """All that a module holds, by name, and whether it is averaged."""
    for name, weight in module.named_parameters():
        yield name, weight, weight.is_floating_point()
    for name, buffer in module.named_buffers():
        yield name, buffer, name.rpartition(".")[2] in AVERAGED
