"""Post-training quantization: convolutions in 8 bits, with ranges calibrated on some images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.runtime import copy_sharing_weights

Range = tuple[float, float]
LEVELS = 255
Convolution = nn.Conv2d | nn.ConvTranspose2d


@torch.no_grad()
def ranges(network: nn.Module, batches: Iterable[Tensor]) -> dict[str, Range]:
    """The smallest and the largest input value of each convolution, by its name; the range always includes 0."""
    found: dict[str, Range] = {}

    def observe(name: str, _: nn.Module, given: tuple[Tensor, ...]) -> None:
        low, high = found.get(name, (0.0, 0.0))
        x = given[0]
        # aminmax is ten times as fast on contiguous memory.
        smallest, largest = (x if x.is_contiguous() else x.permute(0, 2, 3, 1)).aminmax()
        found[name] = min(low, smallest.item()), max(high, largest.item())

    handles = [
        module.register_forward_pre_hook(partial(observe, name))
        for name, module in network.named_modules()
        if isinstance(module, Convolution)
    ]
    try:
        for batch in batches:
            network(batch)
    finally:
        for handle in handles:
            handle.remove()
    return found


def quantized(network: nn.Module, found: Mapping[str, Range]) -> nn.Module:
    """A copy with quantized convolutions; those without a range are not changed.

    Post-training quantization (Jacob et al. 2018, arXiv:1712.05877; Nagel et al. 2021, arXiv:2106.08295): inputs of a
    convolution have 256 levels over their range (affine, per tensor), weights 255 levels (symmetric, per output
    channel). Here the quantization is simulated in float32; a runtime recognizes it and computes with integers.
    """
    copied = copy_sharing_weights(network)
    for name, bounds in found.items():
        parent, _, leaf = name.rpartition(".")
        layer = copied.get_submodule(name)
        if isinstance(layer, Convolution) and bounds[1] > bounds[0]:
            setattr(copied.get_submodule(parent), leaf, Quantized(layer, bounds))
    return copied


class Quantized(nn.Module):
    """A convolution or transposed convolution with simulated 8-bit quantization."""

    steps: Tensor
    zeros: Tensor

    def __init__(self, layer: Convolution, bounds: Range) -> None:
        super().__init__()
        low, high = bounds
        self.layer = layer
        self.step = (high - low) / LEVELS
        self.zero = round(-low / self.step)
        self.axis = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
        largest = layer.weight.detach().abs().amax([axis for axis in range(4) if axis != self.axis])
        self.register_buffer("steps", largest.clamp(min=1e-8) / (LEVELS // 2), persistent=False)
        self.register_buffer("zeros", torch.zeros(len(largest), dtype=torch.int32), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W)."""
        half = LEVELS // 2
        x = torch.fake_quantize_per_tensor_affine(x, self.step, self.zero, 0, LEVELS)
        layer = self.layer
        weight = torch.fake_quantize_per_channel_affine(layer.weight, self.steps, self.zeros, self.axis, -half, half)
        if isinstance(layer, nn.Conv2d):
            output: Tensor = layer._conv_forward(x, weight, layer.bias)
            return output
        shape = layer.stride, layer.padding, layer.output_padding, layer.groups, layer.dilation
        return F.conv_transpose2d(x, weight, layer.bias, *shape)  # type: ignore[arg-type]
