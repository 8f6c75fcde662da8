"""Networks whose convolutions compute in 8 bits, with ranges found on some images."""

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
    """The smallest and the largest number that comes to each convolution, by its name; 0 lies always between."""
    found: dict[str, Range] = {}

    def look(name: str, _: nn.Module, given: tuple[Tensor, ...]) -> None:
        low, high = found.get(name, (0.0, 0.0))
        x = given[0]
        # In the order in which the numbers lie, which is ten times as fast.
        smallest, largest = (x if x.is_contiguous() else x.permute(0, 2, 3, 1)).aminmax()
        found[name] = min(low, smallest.item()), max(high, largest.item())

    handles = [
        module.register_forward_pre_hook(partial(look, name))
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
    """A copy whose convolutions see and multiply numbers of 8 bits; those of no range stay as they are.

    Post-training quantization (Jacob et al. 2018, arXiv:1712.05877; Nagel et al. 2021, arXiv:2106.08295): what comes to
    a convolution lies on 256 steps over its range, its weights on 255 steps, symmetric, with a scale for each channel
    of its answer. Computed in float32 here; a runtime sees the steps and computes with whole numbers.
    """
    answer = copy_sharing_weights(network)
    for name, between in found.items():
        parent, _, leaf = name.rpartition(".")
        layer = answer.get_submodule(name)
        if isinstance(layer, Convolution) and between[1] > between[0]:
            setattr(answer.get_submodule(parent), leaf, Quantized(layer, between))
    return answer


class Quantized(nn.Module):
    """A convolution, transposed or not, on the steps of 8 bits."""

    steps: Tensor
    zeros: Tensor

    def __init__(self, layer: Convolution, between: Range) -> None:
        super().__init__()
        low, high = between
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
            answer: Tensor = layer._conv_forward(x, weight, layer.bias)
            return answer
        shape = layer.stride, layer.padding, layer.output_padding, layer.groups, layer.dilation
        return F.conv_transpose2d(x, weight, layer.bias, *shape)  # type: ignore[arg-type]
