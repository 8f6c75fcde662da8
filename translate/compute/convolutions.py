"""Convolutions: by which algorithm they are computed. On a CPU some are faster by fewer products, or as other ones."""

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
"""From so many channels on, fewer products win more than the transformations cost."""

TILES: Mapping[torch.dtype, tuple[Tile, int]] = {
    torch.float64: ((4, 4), 0),
    torch.float32: ((4, 4), 2**18),
    torch.bfloat16: ((2, 4), 2**19),
}
"""By the type of the products: outputs computed together, and from how many numbers of a map on that is faster.

In bf16 larger tiles would cost another bit. In float64 nothing is won; there it can be told apart from a mistake.
"""


def convolutions_of(asked: Convolutions, device: torch.device) -> Literal["direct", "fast"]:
    """The algorithms of a run's convolutions; ``auto`` is fast on CPUs, since a GPU's library chooses for itself.

    >>> convolutions_of("auto", torch.device("cpu"))
    'fast'
    """
    if asked != "auto":
        return asked
    return "fast" if device.type == "cpu" else "direct"


def convolve_fast(network: nn.Module) -> None:
    """Let each convolution of a network be computed in the way that is faster for its shape, where there is one.

    3x3 convolutions of wide maps go by Winograd's algorithm. Those to at most four channels, of whose vectors three
    quarters would be empty, compute 2x2 pixels at once. The answers differ by rounding.
    """
    for module in network.modules():
        if not is_plain_conv(module):
            continue
        if module.kernel_size == (3, 3) and min(module.in_channels, module.out_channels) >= WIDE:
            vars(module)["forward"] = _Wide(module)
        elif has_few_outputs(module):
            vars(module)["forward"] = _Narrow(module)


def algorithms(network: nn.Module) -> list[object]:
    """What computes a network's convolutions in place of torch; it may serve copies that have the same tensors."""
    found = (vars(module).get("forward") for module in network.modules())
    return [each for each in found if isinstance(each, (_Wide, _Narrow))]


class _Wide:
    """A 3x3 convolution by Winograd's algorithm, where the map is large enough."""

    def __init__(self, module: nn.Conv2d) -> None:
        self._module = module
        self._kept: _Kept | None = None

    def __call__(self, x: Tensor) -> Tensor:
        module = self._module
        if x.dim() == 3:
            answer: Tensor = self(x[None])[0]
            return answer
        dtype = module.weight.dtype
        if torch.is_autocast_enabled(x.device.type) and dtype != torch.float64:
            dtype = torch.get_autocast_dtype(x.device.type)
        above, left = (int(each) for each in module.padding)
        height, width = x.shape[-2] + 2 * above - 2, x.shape[-1] + 2 * left - 2
        tile, enough = TILES.get(dtype, ((1, 1), 0))
        if tile == (1, 1) or len(x) * height * width * min(module.in_channels, module.out_channels) < enough:
            return nn.Conv2d.forward(module, x)
        padding = (left, left + -width % tile[1], above, above + -height % tile[0])
        padded = F.pad(x, padding) if any(padding) else x
        padded = padded.to(dtype, memory_format=torch.channels_last)
        compiling = torch.compiler.is_compiling()
        if compiling or torch.is_grad_enabled() or module.weight.requires_grad:
            convolve = custom_op.convolve if compiling else winograd.convolve
            return convolve(padded, module.weight, module.bias, tile, dtype)[..., :height, :width]
        # Nothing changes these weights: what is made of them serves all images.
        with torch.autocast(x.device.type, enabled=False):
            return convolve_transformed(padded, self._transformed(tile, dtype), module.bias, tile)[..., :height, :width]

    def _transformed(self, tile: Tile, dtype: torch.dtype) -> Tensor:
        """The weights at the points, kept for as long as the weights stay as they are."""
        weight = self._module.weight
        if weight.is_inference():
            # Of such a tensor torch does not count the changes.
            return transform_weights(weight, tile, dtype)
        # Looked up once: another thread may keep something else meanwhile.
        kept = self._kept
        if kept is None or kept.of != (tile, dtype) or not kept.seen([weight]):
            kept = self._kept = _Kept((tile, dtype), Seen([weight]), transform_weights(weight, tile, dtype))
        return kept.made

    def __getstate__(self) -> dict[str, object]:
        """A copy has weights of its own."""
        return {**vars(self), "_kept": None}


@dataclass(frozen=True, slots=True)
class _Kept:
    """What was made of a weight, for tiles and in a type."""

    of: tuple[Tile, torch.dtype]
    seen: Seen
    made: Tensor


class _Narrow:
    """A convolution to few channels as one of stride 2 to four times as many: the pixels of each 2x2 square."""

    def __init__(self, module: nn.Conv2d) -> None:
        self._module = module

    def __call__(self, x: Tensor) -> Tensor:
        if x.dim() == 3:
            answer: Tensor = self(x[None])[0]
            return answer
        weight, bias = of_squares(self._module.weight, self._module.bias)
        return by_squares(x, self._module, lambda padded: F.conv2d(padded, weight, bias, stride=2))
