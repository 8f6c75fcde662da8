"""Winograd's convolution as a custom op, into which compilers do not look.

A compiler that writes out its overlapping windows spends more than twenty minutes on their indices.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from translate.compute.winograd import Tile, convolution_gradients, convolve_transformed, transform_weights


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, tile: Tile, dtype: torch.dtype) -> Tensor:
    """``winograd.convolve`` for networks that are being compiled; it has a first derivative only."""
    output: Tensor = _convolve(x.to(dtype), weight, bias, *tile)
    return output


@torch.library.custom_op(
    "translate::convolve", mutates_args=(), schema="(Tensor x, Tensor weight, Tensor? bias, int m, int n) -> Tensor"
)
def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, m: int, n: int) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return convolve_transformed(x, transform_weights(weight, (m, n), x.dtype), bias, (m, n))


@_convolve.register_fake
def _(x: Tensor, weight: Tensor, *_: object) -> Tensor:
    count, _channels, height, width = x.shape
    return x.new_empty(count, height - 2, width - 2, len(weight)).permute(0, 3, 1, 2)


@torch.library.custom_op(
    "translate::convolve_gradients",
    mutates_args=(),
    schema="(Tensor x, Tensor weight, Tensor gradient, int m, int n, bool for_x, bool for_weight) -> (Tensor, Tensor)",
)
def _gradients(
    x: Tensor, weight: Tensor, gradient: Tensor, m: int, n: int, for_x: bool, for_weight: bool
) -> tuple[Tensor, Tensor]:
    """The gradients of x and of the weights; one that is not needed is empty."""
    with torch.autocast(x.device.type, enabled=False):
        grad_x, grad_weight = convolution_gradients(x, weight, gradient.to(x.dtype), (m, n), (for_x, for_weight))
    return (
        x.new_empty(0) if grad_x is None else grad_x.contiguous(memory_format=torch.channels_last),
        weight.new_empty(0) if grad_weight is None else grad_weight.contiguous(),
    )


@_gradients.register_fake
def _(x: Tensor, weight: Tensor, *given: Any) -> tuple[Tensor, Tensor]:
    for_x, for_weight = given[-2:]
    return (
        torch.empty_like(x, memory_format=torch.channels_last) if for_x else x.new_empty(0),
        torch.empty_like(weight, memory_format=torch.contiguous_format) if for_weight else weight.new_empty(0),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], **_: object) -> None:
    x, weight, bias, *ctx.tile = inputs
    ctx.save_for_backward(x, weight)
    ctx.has_bias = bias is not None


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    x, weight = ctx.saved_tensors
    for_x, for_weight = ctx.needs_input_grad[:2]
    grad_x, grad_weight = _gradients(x, weight, gradient, *ctx.tile, for_x, for_weight)
    grad_bias = gradient.sum((0, 2, 3)) if ctx.has_bias else None
    return grad_x if for_x else None, grad_weight if for_weight else None, grad_bias, None, None


_convolve.register_autograd(_backward, setup_context=_setup_context)
