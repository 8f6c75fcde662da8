"""Convolutions to few channels as such of stride 2 to four times as many: the pixels of each 2x2 square at once.

A processor multiplies vectors of sixteen numbers, of which three channels would leave most empty. The mathematics is
the same, and rounding nearly so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEW = 4
"""Up to so many outputs this is faster, if the kernel is large."""


def is_plain_conv(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether a module is a convolution of stride 1 with zeros around, and nothing else."""
    return (
        type(module) is nn.Conv2d
        and not isinstance(module.padding, str)
        and module.padding_mode == "zeros"
        and (module.stride, module.dilation, module.groups) == ((1, 1), (1, 1), 1)
    )


def has_few_outputs(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether a module is a convolution that is faster by squares."""
    return (
        is_plain_conv(module)
        and module.out_channels <= FEW
        and module.in_channels >= 16
        and min(module.kernel_size) > 4
    )


def of_squares(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The weights (4K, C, h + 1, w + 1) and biases of the convolution of stride 2, from (K, C, h, w) and (K,)."""
    moved = [F.pad(weight, (right, 1 - right, down, 1 - down)) for down in (0, 1) for right in (0, 1)]
    outputs, inputs, high, wide = weight.shape
    whole = torch.stack(moved, 1).reshape(4 * outputs, inputs, high + 1, wide + 1)
    return whole, None if bias is None else bias.repeat_interleave(4)


def by_squares(x: Tensor, module: nn.Conv2d, strided: Callable[[Tensor], Tensor]) -> Tensor:
    """What a convolution answers to (N, C, H, W), by the one of stride 2 that has the weights of its squares."""
    above, left = (int(each) for each in module.padding)
    high, wide = module.kernel_size
    height, width = x.shape[-2] + 2 * above - high + 1, x.shape[-1] + 2 * left - wide + 1
    padding = (left, left + width % 2, above, above + height % 2)
    padded = F.pad(x, padding) if any(padding) else x
    return F.pixel_shuffle(strided(padded), 2)[..., :height, :width]


class Squares(nn.Module):
    """A trained convolution by its squares, whose weights are made once: ``strided`` is an ordinary convolution.

    >>> module = nn.Conv2d(16, 3, 7, padding=3).requires_grad_(False)
    >>> x = torch.rand(1, 16, 9, 8)
    >>> torch.allclose(Squares(module)(x), module(x), atol=1e-5)
    True
    """

    def __init__(self, module: nn.Conv2d) -> None:
        super().__init__()
        # In a tuple, which torch does not look into: its weights are here already.
        self._of = (module,)
        weight, bias = of_squares(module.weight.detach(), None if module.bias is None else module.bias.detach())
        outputs, inputs, high, wide = weight.shape
        self.strided = nn.Conv2d(inputs, outputs, (high, wide), stride=2, bias=bias is not None, device="meta")
        self.strided.weight = nn.Parameter(weight, requires_grad=False)
        self.strided.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W)."""
        return by_squares(x, self._of[0], self.strided)
