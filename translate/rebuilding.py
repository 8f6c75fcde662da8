"""Rebuilding of networks that a file names, in no more memory and time than its own tensors justify.

A few bytes of metadata can name a network of gigabytes. While a method is rebuilt, ``Frugal`` counts what is created,
refuses what the file cannot fill, and leaves out random initial weights, since all weights are loaded afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from translate.errors import TranslateError

SPARE_BYTES = 2**30
"""What may be created beside the file's own tensors: discriminators, feature extractors."""

SPARE_CALLS = 5_000
LAZY_BYTES = 2**36
"""The most that ``torch.zeros`` may reserve, for image pools: memory that nothing writes to is not taken."""

FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn}
RANDOM = {
    "normal_", "uniform_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "xavier_normal_",
    "orthogonal_",
}  # fmt: skip


class Frugal(TorchFunctionMode):
    """A mode in which networks are built for ``tensors``, by name, that will be loaded into them."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        self._bytes_left = SPARE_BYTES + 8 * size
        self._lazy_left = LAZY_BYTES
        self._calls_left = SPARE_CALLS + 100 * len(tensors)
        self._grad_enabled = True

    def __enter__(self) -> Self:
        self._grad_enabled = torch.is_grad_enabled()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)  # type: ignore[no-untyped-call]
        # A refusal within the entry into `torch.no_grad()` leaves the grad mode changed.
        torch.set_grad_enabled(self._grad_enabled)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        self._calls_left -= 1
        if self._calls_left < 0:
            raise TranslateError("it names networks of far more layers than it holds weights for")
        if func in FACTORIES:
            size = 4 * _numel(func, args, given)
            if func is torch.zeros:
                self._lazy_left -= size
            else:
                self._bytes_left -= size
            if self._bytes_left < 0 or self._lazy_left < 0:
                raise TranslateError("it names networks that are far larger than the weights that it holds")
        if getattr(func, "__name__", "") in RANDOM:
            target = args[0] if args else given.get("tensor")
            # Only weights: a buffer may be made from random numbers for good.
            if isinstance(target, nn.Parameter):
                return target
        return func(*args, **given)


def _numel(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """The number of values that a factory function is asked for; 0 if that cannot be told."""
    size = kwargs.get("size", args[0] if args and (func is torch.full or not isinstance(args[0], int)) else args)
    try:
        return math.prod(int(side) for side in size)
    except (TypeError, ValueError):
        return 0


def check_fit(module: nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    """Raise ``TranslateError`` unless tensors have the names, shapes and dtypes of a module's state."""
    wanted = module.state_dict()
    for name, value in wanted.items():
        if name not in tensors:
            raise TranslateError(f"{what} lacks the tensor {name!r:.100}")
        given = tensors[name]
        if given.shape != value.shape or given.dtype != value.dtype:
            raise TranslateError(
                f"{what} holds {name!r:.100} as {given.dtype} {tuple(given.shape)} "
                f"where {value.dtype} {tuple(value.shape)} belongs"
            )
    for name in tensors:
        if name not in wanted:
            raise TranslateError(f"{what} holds the tensor {name!r:.100}, which has no place in it")
