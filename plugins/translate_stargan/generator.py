"""The generator: an image and a style to an image of that style."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from translate_stargan.layers import SLOPE, Block, InstanceNorm, StyledBlock, initialize, widths


class Generator(nn.Module):
    """Images (N, C, H, W) and styles (N, S) to images of that size (G of Choi et al. 2020, arXiv:1912.01865).

    A 1x1 convolution to ``width`` channels; ``downs`` residual blocks that halve the sides and double the channels up
    to ``widest``, and ``blocks`` more, with instance normalization; then as many again with AdaIN, of which the last
    double the sides; instance normalization and a 1x1 convolution. At 256 px the paper has width 64, 4 downs and 2
    blocks. Its outputs are not bounded, as published.
    """

    def __init__(self, inputs: int, outputs: int, *, style: int, width: int, widest: int, downs: int, blocks: int):
        super().__init__()
        channels = widths(width, widest, downs)
        last = channels[-1]
        self.first = nn.Conv2d(inputs, width, 1)
        self.encoder = nn.ModuleList(
            Block(channels[number], channels[number + 1], norm=True, down=True) for number in range(downs)
        )
        self.encoder.extend(Block(last, last, norm=True) for _ in range(blocks))
        self.decoder = nn.ModuleList(StyledBlock(last, last, style) for _ in range(blocks))
        self.decoder.extend(
            StyledBlock(channels[number + 1], channels[number], style, up=True) for number in reversed(range(downs))
        )
        self.norm = InstanceNorm(width)
        self.last = nn.Conv2d(width, outputs, 1)
        self.size_multiple = 2**downs
        initialize(self)

    def forward(self, image: Tensor, style: Tensor) -> Tensor:
        """Give images the styles."""
        x = self.first(image)
        for block in self.encoder:
            x = block(x)
        for block in self.decoder:
            x = block(x, style)
        output: Tensor = self.last(F.leaky_relu(self.norm(x), SLOPE))
        return output
