"""Batch, instance or no normalization of activations, all without running statistics."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import has_torch_function

from translate.ranks import mean_of_all

Norm = Literal["batch", "instance", "none"]

EPSILON = 1e-5

LARGE = 2**16
"""From more positions than this on, batch normalization loses too much to rounding: 90 dB at 2**16, 55 at 2**22."""


def normalization(norm: Norm, channels: int) -> nn.Module:
    """The normalization of that name for maps (N, channels, H, W).

    >>> normalization("instance", 8)
    InstanceNorm(8)
    """
    if norm == "batch":
        return BatchNorm(channels)
    if norm == "instance":
        return InstanceNorm(channels)
    return nn.Identity()


def needs_bias(norm: Norm) -> bool:
    """Whether a convolution before this normalization has a bias of its own.

    Not before batch normalization, which has a bias. Before instance normalization a bias has no effect, but the
    published CycleGAN networks have one; so do these, for the published number of parameters.
    """
    return norm != "batch"


class BatchNorm(nn.Module):
    """Batch normalization (Ioffe & Szegedy 2015, arXiv:1502.03167) with scale and shift, without running statistics.

    ``y = weight * (x - mean) / sqrt(var + 1e-5) + bias`` for each channel. In training the statistics are those of the
    batch. In evaluation they are each image's own: pix2pix (arXiv:1611.07004, section 3.4) uses those of the test
    batch, which has one image. So an image's result never depends on the others of its batch. A map of one value has
    no variance and is only scaled and shifted. With ``shared_statistics`` it is SyncBatchNorm: the statistics are those
    of the batches of all ranks.
    """

    shared_statistics = False

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (N, C, H, W); the statistics are float32 at least, the output has x's dtype."""
        if self.training and self.shared_statistics:
            return self._normalize_shared(x)
        if self.training and x.shape[0] > 1:
            return F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=EPSILON)
        return normalize_each(x, self.weight, self.bias)

    def _normalize_shared(self, x: Tensor) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, self.weight.dtype))
        mean = mean_of_all(wide.mean((0, 2, 3)))[:, None, None]
        variance = mean_of_all((wide - mean).square().mean((0, 2, 3)))[:, None, None]
        scale = torch.rsqrt(variance + EPSILON) * self.weight[:, None, None]
        return ((wide - mean) * scale + self.bias[:, None, None]).to(x.dtype)

    def extra_repr(self) -> str:
        """The number of channels."""
        return str(len(self.weight))


class InstanceNorm(nn.Module):
    """Instance normalization without a learned scale or shift (Ulyanov et al. 2016, arXiv:1607.08022).

    ``y = (x - mean) / sqrt(var + 1e-5)`` for each channel of each image. A map of one value is returned unchanged.
    """

    ones: Tensor
    zeros: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        # The kernel computes in the wider type of x and its scale; without a float32 scale, bf16 would lose two bits.
        self.register_buffer("ones", torch.ones(channels), persistent=False)
        self.register_buffer("zeros", torch.zeros(channels), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (N, C, H, W); the statistics are float32 at least, the output has x's dtype."""
        return normalize_each(x, self.ones, self.zeros)

    def extra_repr(self) -> str:
        """The number of channels."""
        return str(len(self.ones))


def normalize_each(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Normalize each channel of each image (N, C, H, W) by its own mean and variance.

    ``F.instance_norm`` is not used: on the CPU its gradient is silently wrong at batch 1 in channels_last. Of the
    correct alternatives, batch normalization of one image at a time is the fastest in channels_last. There
    ``F.group_norm`` is inexact: it computes E x^2 - (E x)^2, which is wrong in bf16 if the mean is large. Of large maps
    in channels_last, batch normalization on the CPU adds up all values one after another in float32, and from a million
    positions on its rounding shows in 8 bits; so without gradients their moments are summed in a tree. Whoever replaces
    operations by a mode of torch gets the one operation.
    """
    n, channels, height, width = x.shape
    if height * width == 1:
        return (x * weight[:, None, None] + bias[:, None, None]).to(x.dtype)
    if torch.compiler.is_exporting():
        # Runtimes compute this form in one pass and more exactly; an exported network needs no gradient.
        return F.instance_norm(x, None, None, weight, bias, use_input_stats=True, eps=EPSILON)
    last = x.device.type == "cpu" and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    # In bf16 the values' own rounding is larger, and the difference in float32 would cost memory.
    exact = last and x.dtype == weight.dtype and height * width > LARGE
    if n == 1 and exact and not torch.is_grad_enabled() and not has_torch_function((x,)):
        mean = x.mean((0, 2, 3), dtype=weight.dtype)
        variance = (x - mean[:, None, None]).square_().mean((0, 2, 3))
        return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, EPSILON)
    if n == 1:
        return F.batch_norm(x, None, None, weight, bias, training=True, eps=EPSILON)
    if last:
        images = [F.batch_norm(image, None, None, weight, bias, training=True, eps=EPSILON) for image in x.split(1)]
        return torch.cat(images)
    return F.group_norm(x.to(weight.dtype), channels, weight, bias, eps=EPSILON).to(x.dtype)
