"""Few-output convolutions rewritten with stride 2 and four times the outputs, followed by a pixel shuffle.

A processor multiplies vectors of sixteen numbers, of which three output channels would leave most empty. The
mathematics is the same, and the rounding nearly so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEW = 4
"""The rewrite is faster for up to this many outputs, if the kernel is large."""


def is_plain_conv(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether a module is an ``nn.Conv2d`` of stride 1 with zero padding, no dilation and no groups."""
    return (
        type(module) is nn.Conv2d
        and not isinstance(module.padding, str)
        and module.padding_mode == "zeros"
        and (module.stride, module.dilation, module.groups) == ((1, 1), (1, 1), 1)
    )


def has_few_outputs(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether a module is a convolution for which the rewrite is faster."""
    return (
        is_plain_conv(module)
        and module.out_channels <= FEW
        and module.in_channels >= 16
        and min(module.kernel_size) > 4
    )


def of_squares(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Weights (4K, C, h + 1, w + 1) and biases (4K,) of the stride-2 convolution, from (K, C, h, w) and (K,)."""
    shifted = [F.pad(weight, (right, 1 - right, down, 1 - down)) for down in (0, 1) for right in (0, 1)]
    outputs, inputs, high, wide = weight.shape
    whole = torch.stack(shifted, 1).reshape(4 * outputs, inputs, high + 1, wide + 1)
    return whole, None if bias is None else bias.repeat_interleave(4)


def by_squares(x: Tensor, module: nn.Conv2d, strided: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a convolution to (N, C, H, W) by ``strided``, which has stride 2 and the weights of ``of_squares``."""
    top, left = (int(each) for each in module.padding)
    high, wide = module.kernel_size
    height, width = x.shape[-2] + 2 * top - high + 1, x.shape[-1] + 2 * left - wide + 1
    padding = (left, left + width % 2, top, top + height % 2)
    padded = F.pad(x, padding) if any(padding) else x
    return F.pixel_shuffle(strided(padded), 2)[..., :height, :width]


class Squares(nn.Module):
    """A trained convolution whose stride-2 rewrite is made once: ``strided`` is an ordinary convolution.

    >>> module = nn.Conv2d(16, 3, 7, padding=3).requires_grad_(False)
    >>> x = torch.rand(1, 16, 9, 8)
    >>> torch.allclose(Squares(module)(x), module(x), atol=1e-5)
    True
    """

    def __init__(self, module: nn.Conv2d) -> None:
        super().__init__()
        # In a tuple, so that torch does not register it: ``strided`` has its weights already.
        self._of = (module,)
        weight, bias = of_squares(module.weight.detach(), None if module.bias is None else module.bias.detach())
        outputs, inputs, high, wide = weight.shape
        self.strided = nn.Conv2d(inputs, outputs, (high, wide), stride=2, bias=bias is not None, device="meta")
        self.strided.weight = nn.Parameter(weight, requires_grad=False)
        self.strided.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W)."""
        return by_squares(x, self._of[0], self.strided)
