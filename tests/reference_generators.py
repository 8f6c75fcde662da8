"""Generators with the names and shapes of pytorch-CycleGAN-and-pix2pix and CUT in their state dicts, written anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Skip(nn.Module):
    """A residual block's or a U-Net block's inner layers under the name that the state dict has, and its bypass."""

    def __init__(self, name: str, layers: list[nn.Module], join: Callable[[Tensor, Tensor], Tensor] | None) -> None:
        super().__init__()
        self.inner, self.join = name, join
        setattr(self, name, nn.Sequential(*layers))

    def forward(self, x: Tensor) -> Tensor:
        y = getattr(self, self.inner)(x)
        return y if self.join is None else self.join(x, y)


class Binomial(nn.Module):
    """Zhang's blur: halves, or doubles, with the filter in the state dict under the name ``filt``."""

    def __init__(self, channels: int, up: bool) -> None:
        super().__init__()
        row = torch.tensor([1.0, 3.0, 3.0, 1.0] if up else [1.0, 2.0, 1.0])
        kernel = torch.outer(row, row) / row.sum() ** 2 * (4 if up else 1)
        self.up = up
        self.register_buffer("filt", kernel.repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        groups = x.shape[1]
        if not self.up:
            return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.filt, stride=2, groups=groups)
        whole = F.conv_transpose2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), self.filt, stride=2, groups=groups)
        return whole[:, :, 3:-3, 3:-3]


NORMS: Mapping[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "instance": nn.InstanceNorm2d,
    "none": lambda channels: nn.Identity(),
}


def resnet(
    blocks: int, norm: str, *, width: int = 4, ends: tuple[int, int] = (3, 3), dropout: bool = False,
    down: bool = False, up: bool = False,
) -> nn.Module:  # fmt: skip
    make, bias = NORMS[norm], norm == "instance"
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(ends[0], width, 7, bias=bias), make(width), nn.ReLU()]
    for c in (width, 2 * width):
        layers += [nn.Conv2d(c, 2 * c, 3, 1 if down else 2, 1, bias=bias), make(2 * c), nn.ReLU()]
        layers += [Binomial(2 * c, up=False)] if down else []
    for _ in range(blocks):
        c = 4 * width
        inner = [nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3, bias=bias), make(c), nn.ReLU()]
        inner += [nn.Dropout(0.5)] if dropout else []
        inner += [nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3, bias=bias), make(c)]
        layers.append(Skip("conv_block", inner, lambda x, y: x + y))
    for c in (4 * width, 2 * width):
        if up:
            layers += [Binomial(c, up=True), nn.Conv2d(c, c // 2, 3, padding=1, bias=bias)]
        else:
            layers += [nn.ConvTranspose2d(c, c // 2, 3, 2, 1, output_padding=1, bias=bias)]
        layers += [make(c // 2), nn.ReLU()]
    layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, ends[1], 7), nn.Tanh()]
    return Skip("model", layers, None)


def unet(
    depth: int, norm: str, *, width: int = 2, ends: tuple[int, int] = (3, 3), dropout: bool = False
) -> nn.Module:  # fmt: skip
    make, bias = NORMS[norm], norm == "instance"
    channels = [width * min(2**scale, 8) for scale in range(depth)]
    block: nn.Module | None = None
    for scale in reversed(range(depth)):
        outer = channels[scale - 1] if scale else ends[0]
        layers: list[nn.Module] = [nn.LeakyReLU(0.2)] if scale else []
        layers.append(nn.Conv2d(outer, channels[scale], 4, 2, 1, bias=bias))
        if block is not None:
            layers += [make(channels[scale])] if scale else []
            layers.append(block)
        taken = channels[scale] * (1 if block is None else 2)
        made = channels[scale - 1] if scale else ends[1]
        layers += [nn.ReLU(), nn.ConvTranspose2d(taken, made, 4, 2, 1, bias=bias or not scale)]
        layers += [make(made)] if scale else [nn.Tanh()]
        layers += [nn.Dropout(0.5)] if dropout and 4 < scale < depth - 1 else []
        block = Skip("model", layers, (lambda x, y: torch.cat([x, y], 1)) if scale else None)
    assert block is not None
    return Wrapped(block)


class Wrapped(nn.Module):
    """The outermost block, as that project's class holds it."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.model = block

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def seeded(network: nn.Module, seed: int = 0) -> nn.Module:
    """Weights that are far from where networks begin, running statistics as well."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if name.endswith("filt") or not tensor.is_floating_point():
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("running_var"):
            tensor.copy_(noise.abs() + 0.5)
        elif tensor.dim() == 1:
            tensor.copy_((1.0 if name.endswith("weight") else 0.0) + 0.3 * noise)
        else:
            tensor.copy_(noise * (2 / tensor[0].numel()) ** 0.5)
    return network
