"""Moments: mean and variance of a whole map, summed in float64 over its parts, and the operations that take them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from translate.errors import TranslateError

CHUNK = 2**20
"""How many values are converted to float64 at a time."""


class Moments:
    """The mean and variance of a map (1, C, H, W) for each of ``groups`` of its channels, from the map's parts.

    >>> whole = torch.arange(32.0).reshape(1, 2, 4, 4)
    >>> moments = Moments(2)
    >>> moments.add(whole[..., :1, :]), moments.add(whole[..., 1:, :])
    (None, None)
    >>> moments.mean.tolist(), moments.variance(0).tolist()
    ([7.5, 23.5], [21.25, 21.25])
    """

    def __init__(self, groups: int) -> None:
        self.groups = groups
        self.count = 0
        self._sum: Tensor | None = None
        self._squares: Tensor | None = None
        self._offset: Tensor | None = None

    def add(self, part: Tensor) -> None:
        """Add a part (1, C, h, w) of the map."""
        _, channels, height, width = part.shape
        if self._offset is None:
            # Sums around some value of the map lose nothing where the mean is large and the variance small.
            self._offset = part[0, :, 0, 0].double().reshape(self.groups, -1)[:, :1].clone()
            self._sum = torch.zeros(self.groups, dtype=torch.float64, device=part.device)
            self._squares = torch.zeros_like(self._sum)
        assert self._sum is not None
        assert self._squares is not None
        offset = self._offset.expand(self.groups, channels // self.groups).reshape(1, channels, 1, 1)
        step = max(1, CHUNK // (channels * width))
        for row in range(0, height, step):
            values = part[:, :, row : row + step].double() - offset
            self._sum += values.sum((0, 2, 3)).reshape(self.groups, -1).sum(1)
            self._squares += values.square_().sum((0, 2, 3)).reshape(self.groups, -1).sum(1)
        self.count += channels // self.groups * height * width

    @property
    def mean(self) -> Tensor:
        """The means (groups,) in float64."""
        assert self._sum is not None
        assert self._offset is not None
        return self._offset[:, 0] + self._sum / self.count

    def variance(self, correction: float) -> Tensor:
        """The variances (groups,) in float64; ``correction`` is subtracted from the number of values."""
        assert self._sum is not None
        assert self._squares is not None
        return (self._squares - self._sum.square() / self.count).clamp_min_(0) / max(self.count - correction, 0)

    @classmethod
    def standard(cls, groups: int, device: torch.device) -> Moments:
        """Mean 0 and variance 1, as if they had been measured."""
        made = cls(groups)
        # So many that it does not matter how many are subtracted.
        made.count = 2**40
        made._offset = torch.zeros(groups, 1, dtype=torch.float64, device=device)
        made._sum = made._offset[:, 0]
        made._squares = torch.full_like(made._sum, made.count)
        return made


@dataclass(frozen=True, slots=True)
class GlobalOperation:
    """An operation on a map ``x`` (1, C, H, W) that needs moments of the whole map for each of ``groups``.

    ``apply(x, moments)`` is its result for any part of the map: a map of the part's size if ``local``, or otherwise
    numbers of the whole.
    """

    x: Tensor
    groups: int
    apply: Callable[[Tensor, Moments], Any]
    local: bool


def global_operation(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> GlobalOperation | None:
    """Recognize a call of a torch function, by its name, as an operation that takes moments; None for others."""
    found = _OPERATIONS.get(name)
    x = args[0] if args else kwargs.get("input")
    if found is None or not isinstance(x, Tensor) or x.dim() != 4 or len(args) > len(found[0]):
        return None
    if x.shape[0] != 1:
        raise TranslateError("an image is translated in parts alone, not in a batch with others")
    return found[1](x, {**dict(zip(found[0], args, strict=False)), **kwargs})


def _apply_norm(weight: Tensor | None, bias: Tensor | None, eps: float) -> Callable[[Tensor, Moments], Tensor]:
    def apply(x: Tensor, moments: Moments) -> Tensor:
        channels = x.shape[1]
        dtype = torch.promote_types(torch.float32, x.dtype)
        mean, variance = (
            each.to(dtype).reshape(-1, 1).expand(moments.groups, channels // moments.groups).reshape(-1)
            for each in (moments.mean, moments.variance(0))
        )
        return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps)

    return apply


def _norm(x: Tensor, groups: int, given: Mapping[str, Any]) -> GlobalOperation:
    apply = _apply_norm(given.get("weight"), given.get("bias"), given.get("eps", 1e-5))
    return GlobalOperation(x, groups, apply, local=True)


def _batch_norm(x: Tensor, given: Mapping[str, Any]) -> GlobalOperation | None:
    return _norm(x, x.shape[1], given) if given.get("training") else None


def _instance_norm(x: Tensor, given: Mapping[str, Any]) -> GlobalOperation | None:
    return _norm(x, x.shape[1], given) if given.get("use_input_stats", True) else None


def _reduction(x: Tensor, given: Mapping[str, Any], finish: Callable[[Moments], tuple[Tensor, ...]]) -> Any:
    """Numbers of the whole map, over its positions, or over these and its channels."""
    dim, keepdim = given.get("dim"), bool(given.get("keepdim", False))
    dims = {each % 4 for each in ((dim,) if isinstance(dim, int) else dim if dim else range(4))}
    if not {2, 3} <= dims or given.get("dtype") is not None:
        return None
    shape = [1 if each in dims else x.shape[each] for each in range(4)]
    kept = shape if keepdim else [side for each, side in enumerate(shape) if each not in dims]

    def apply(part: Tensor, moments: Moments) -> Any:
        made = tuple(each.to(part.dtype).reshape(kept) for each in finish(moments))
        return made if len(made) > 1 else made[0]

    return GlobalOperation(x, 1 if 1 in dims else x.shape[1], apply, local=False)


def _correction(given: Mapping[str, Any]) -> float:
    found = given.get("correction")
    return float(given.get("unbiased", True)) if found is None else float(found)


def _mean(x: Tensor, given: Mapping[str, Any]) -> Any:
    return _reduction(x, given, lambda moments: (moments.mean,))


def _var_mean(x: Tensor, given: Mapping[str, Any]) -> Any:
    return _reduction(x, given, lambda moments: (moments.variance(_correction(given)), moments.mean))


def _var(x: Tensor, given: Mapping[str, Any]) -> Any:
    return _reduction(x, given, lambda moments: (moments.variance(_correction(given)),))


def _std(x: Tensor, given: Mapping[str, Any]) -> Any:
    return _reduction(x, given, lambda moments: (moments.variance(_correction(given)).sqrt(),))


def _pool(x: Tensor, given: Mapping[str, Any]) -> Any:
    to_one = given.get("output_size") in (1, (1, 1), [1, 1])
    return _mean(x, {"dim": (2, 3), "keepdim": True}) if to_one else None


_STATISTICS = ("input", "running_mean", "running_var", "weight", "bias")
_VARIANCE = ("input", "dim", "unbiased", "keepdim")

_OPERATIONS: Mapping[str, tuple[tuple[str, ...], Callable[[Tensor, Mapping[str, Any]], GlobalOperation | None]]] = {
    "batch_norm": ((*_STATISTICS, "training", "momentum", "eps"), _batch_norm),
    "instance_norm": ((*_STATISTICS, "use_input_stats", "momentum", "eps"), _instance_norm),
    "group_norm": (
        ("input", "num_groups", "weight", "bias", "eps"),
        lambda x, given: _norm(x, given["num_groups"], given),
    ),
    "mean": (("input", "dim", "keepdim"), _mean),
    "var_mean": (_VARIANCE, _var_mean),
    "var": (_VARIANCE, _var),
    "std": (_VARIANCE, _std),
    "adaptive_avg_pool2d": (("input", "output_size"), _pool),
}
"""The names of the parameters of each function, in order, and how its call is read."""
