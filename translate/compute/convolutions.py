"""Convolution algorithms for CPUs: Winograd for wide 3x3 convolutions, a stride-2 rewrite for few outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.compute import custom_op, winograd
from translate.compute.squares import by_squares, has_few_outputs, is_plain_conv, of_squares
from translate.compute.winograd import Tile, convolve_transformed, transform_weights
from translate.runtime import Seen

Convolutions = Literal["auto", "direct", "fast"]

WIDE = 128
"""From this many channels on, Winograd's algorithm saves more by fewer products than its transformations cost."""

TILES: Mapping[torch.dtype, tuple[Tile, int]] = {
    torch.float64: ((4, 4), 0),
    torch.float32: ((4, 4), 2**18),
    torch.bfloat16: ((2, 4), 2**19),
}
"""By dtype of the products: the output tile, and the smallest N * H * W * min(C_in, C_out) for which it is faster.

In bf16 larger tiles would lose another bit. float64 gains no speed, but tells rounding from a mistake.
"""


def convolutions_of(asked: Convolutions, device: torch.device) -> Literal["direct", "fast"]:
    """The algorithms of a run's convolutions; ``auto`` is fast on CPUs only, since cuDNN chooses for itself.

    >>> convolutions_of("auto", torch.device("cpu"))
    'fast'
    """
    if asked != "auto":
        return asked
    return "fast" if device.type == "cpu" else "direct"


def convolve_fast(network: nn.Module) -> None:
    """Replace the forward of each convolution of a network for whose shape there is a faster algorithm.

    3x3 convolutions of wide maps use Winograd's algorithm. Those with at most four outputs, which would leave three
    quarters of each vector register empty, compute 2x2 pixels at once. Outputs differ by rounding.
    """
    for module in network.modules():
        if not is_plain_conv(module):
            continue
        if module.kernel_size == (3, 3) and min(module.in_channels, module.out_channels) >= WIDE:
            vars(module)["forward"] = _WinogradConv(module)
        elif has_few_outputs(module):
            vars(module)["forward"] = _FewOutputConv(module)


def algorithms(network: nn.Module) -> list[object]:
    """The replaced forwards of a network's convolutions; copies of it that share its tensors may share them."""
    found = (vars(module).get("forward") for module in network.modules())
    return [each for each in found if isinstance(each, (_WinogradConv, _FewOutputConv))]


class _WinogradConv:
    """A 3x3 convolution by Winograd's algorithm, where the map is large smallest."""

    def __init__(self, module: nn.Conv2d) -> None:
        self._module = module
        self._cached: _Transformed | None = None

    def __call__(self, x: Tensor) -> Tensor:
        module = self._module
        if x.dim() == 3:
            output: Tensor = self(x[None])[0]
            return output
        dtype = module.weight.dtype
        if torch.is_autocast_enabled(x.device.type) and dtype != torch.float64:
            dtype = torch.get_autocast_dtype(x.device.type)
        top, left = (int(each) for each in module.padding)
        height, width = x.shape[-2] + 2 * top - 2, x.shape[-1] + 2 * left - 2
        tile, smallest = TILES.get(dtype, ((1, 1), 0))
        if tile == (1, 1) or len(x) * height * width * min(module.in_channels, module.out_channels) < smallest:
            return nn.Conv2d.forward(module, x)
        padding = (left, left + -width % tile[1], top, top + -height % tile[0])
        padded = F.pad(x, padding) if any(padding) else x
        padded = padded.to(dtype, memory_format=torch.channels_last)
        compiling = torch.compiler.is_compiling()
        if compiling or torch.is_grad_enabled() or module.weight.requires_grad:
            convolve = custom_op.convolve if compiling else winograd.convolve
            return convolve(padded, module.weight, module.bias, tile, dtype)[..., :height, :width]
        # The weights are frozen: they are transformed once for all images.
        with torch.autocast(x.device.type, enabled=False):
            return convolve_transformed(padded, self._transformed(tile, dtype), module.bias, tile)[..., :height, :width]

    def _transformed(self, tile: Tile, dtype: torch.dtype) -> Tensor:
        """The transformed weights, cached until the weights change."""
        weight = self._module.weight
        if weight.is_inference():
            # torch has no version counter for inference tensors, so a change would go unnoticed.
            return transform_weights(weight, tile, dtype)
        # Read once: another thread may replace the cache meanwhile.
        cached = self._cached
        if cached is None or cached.key != (tile, dtype) or not cached.seen([weight]):
            cached = self._cached = _Transformed((tile, dtype), Seen([weight]), transform_weights(weight, tile, dtype))
        return cached.weight

    def __getstate__(self) -> dict[str, object]:
        """Leave out the cache: a copy has its own weights."""
        return {**vars(self), "_cached": None}


@dataclass(frozen=True, slots=True)
class _Transformed:
    """A transformed weight, the (tile, dtype) that it is for, and the weight that it was made of."""

    key: tuple[Tile, torch.dtype]
    seen: Seen
    weight: Tensor


class _FewOutputConv:
    """A few-output convolution, computed with stride 2 and four times the outputs, followed by a pixel shuffle."""

    def __init__(self, module: nn.Conv2d) -> None:
        self._module = module

    def __call__(self, x: Tensor) -> Tensor:
        if x.dim() == 3:
            output: Tensor = self(x[None])[0]
            return output
        weight, bias = of_squares(self._module.weight, self._module.bias)
        return by_squares(x, self._module, lambda padded: F.conv2d(padded, weight, bias, stride=2))
