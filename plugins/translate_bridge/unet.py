"""The denoising U-Net: what diffusion models predict with."""

from __future__ import annotations

from typing import Annotated, cast

import torch
from torch import Tensor, nn

from translate.errors import TranslateError
from translate.options import Option
from translate.sizes import fitting_sizes
from translate_bridge.blocks import Attention, ResidualBlock, TimeEmbedding, Upsample, group_norm, zeros


class DenoisingUNet(nn.Module):
    """A U-Net of residual blocks that see the time (DDPM, Ho et al. 2020; ADM, Dhariwal & Nichol 2021).

    arXiv:2006.11239, appendix B, and arXiv:2105.05233, section 3: ``blocks`` residual blocks at each scale on the way
    down, one more on the way up, each joined with the map of its scale; group normalization; strided convolutions, and
    repeated pixels before a convolution; at the coarsest scale a block, attention and a block. The last convolution of
    each block, of attention and of the network is zero at first. The condition is concatenated with the image.

    BBDM has ``width=128, multipliers=(1, 4, 8)``, ADM at 256 px ``width=256, multipliers=(1, 1, 2, 2, 4, 4)``, both
    with attention at several scales. Sides must divide by ``2 ** (len(multipliers) - 1)``.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        condition: int = 0,
        size: tuple[int, int] | None = None,
        *,
        width: Annotated[int, Option("channels of the first map", ge=1)] = 64,
        multipliers: Annotated[
            tuple[int, ...], Option("channels of the scales from fine to coarse, as multiples of the width", ge=1)
        ] = (1, 2, 4, 4),
        blocks: Annotated[int, Option("residual blocks at each scale on the way down", ge=1)] = 2,
        attention: Annotated[bool, Option("attention at the coarsest scale")] = True,
        dropout: Annotated[float, Option("dropout rate in the residual blocks, in training", ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__()
        if not multipliers:
            raise TranslateError("unet: multipliers names no scale; give one number or more, such as (1, 2, 4)")
        self.size_multiple = 2 ** (len(multipliers) - 1)
        if size is not None and any(side % self.size_multiple for side in size):
            raise TranslateError(
                f"unet: {len(multipliers)} multipliers need sides that divide by {self.size_multiple}, which "
                f"{size[0]}x{size[1]} does not; train with --size {fitting_sizes(size, self.size_multiple)}, or give "
                "fewer multipliers"
            )
        embedding = 4 * width
        self.embedding = TimeEmbedding(width, embedding)
        self.first = nn.Conv2d(inputs + condition, width, 3, padding=1)

        self.down = nn.ModuleList()
        self.smaller = nn.ModuleList()
        channels, skipped = width, [width]
        for number, multiplier in enumerate(multipliers):
            scale = nn.ModuleList()
            for _ in range(blocks):
                scale.append(ResidualBlock(channels, multiplier * width, embedding, dropout))
                channels = multiplier * width
                skipped.append(channels)
            self.down.append(scale)
            if number + 1 < len(multipliers):
                self.smaller.append(nn.Conv2d(channels, channels, 3, 2, 1))
                skipped.append(channels)

        self.middle = nn.ModuleList([ResidualBlock(channels, channels, embedding, dropout) for _ in range(2)])
        self.attention = Attention(channels) if attention else nn.Identity()

        self.up = nn.ModuleList()
        self.larger = nn.ModuleList()
        for number, multiplier in reversed(list(enumerate(multipliers))):
            scale = nn.ModuleList()
            for _ in range(blocks + 1):
                scale.append(ResidualBlock(channels + skipped.pop(), multiplier * width, embedding, dropout))
                channels = multiplier * width
            self.up.append(scale)
            if number:
                self.larger.append(Upsample(channels))
        self.last = nn.Sequential(group_norm(channels), nn.SiLU(), zeros(nn.Conv2d(channels, outputs, 3, padding=1)))

    def forward(self, x: Tensor, time: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map (N, inputs, H, W), times (N,) in [0, 1] and a condition (N, condition, H, W) to (N, outputs, H, W)."""
        embedding = self.embedding(time)
        x = self.first(x if condition is None else torch.cat([x, condition], dim=1))
        skips = [x]
        for number, scale in enumerate(self.down):
            if number:
                x = self.smaller[number - 1](x)
                skips.append(x)
            for block in cast(nn.ModuleList, scale):
                x = block(x, embedding)
                skips.append(x)
        x = self.middle[1](self.attention(self.middle[0](x, embedding)), embedding)
        for number, scale in enumerate(self.up):
            if number:
                x = self.larger[number - 1](x)
            for block in cast(nn.ModuleList, scale):
                x = block(torch.cat([x, skips.pop()], dim=1), embedding)
        output: Tensor = self.last(x)
        return output
