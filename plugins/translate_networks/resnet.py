"""The residual generator of CycleGAN."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.options import Option
from translate.precision import to_float32
from translate_networks.blur import Blur
from translate_networks.initialization import initialize
from translate_networks.noise import check_samples, repeat
from translate_networks.normalization import Norm, needs_bias, normalization
from translate_networks.sizes import check_sides

Upsample = Literal["transposed", "resize", "antialiased"]
Downsample = Literal["strided", "antialiased"]


class Padding(nn.Module):
    """Reflection padding, or replication padding if the image is too small for it."""

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.pixels = pixels

    def forward(self, x: Tensor) -> Tensor:
        """Pad all four edges of (N, C, H, W)."""
        mode = "reflect" if min(x.shape[-2:]) > self.pixels else "replicate"
        # On a CPU autocast would convert x to float32 for padding, needlessly; on other devices this has no effect.
        with torch.autocast("cpu", enabled=False):
            return F.pad(x, (self.pixels,) * 4, mode=mode)


class Block(nn.Module):
    """A residual block (Johnson et al. 2016): ``x + norm(conv(dropout(relu(norm(conv(x))))))``, reflection padding."""

    def __init__(self, channels: int, norm: Norm, dropout: float) -> None:
        super().__init__()
        bias = needs_bias(norm)
        self.dropout = dropout
        self.first = nn.Sequential(
            Padding(1), nn.Conv2d(channels, channels, 3, bias=bias), normalization(norm, channels), nn.ReLU()
        )
        self.second = nn.Sequential(
            Padding(1), nn.Conv2d(channels, channels, 3, bias=bias), normalization(norm, channels)
        )

    def forward(self, x: Tensor, noisy: bool) -> Tensor:
        """Map (N, C, H, W) to the same shape; ``noisy`` enables dropout."""
        output: Tensor = x + self.second(F.dropout(self.first(x), self.dropout, training=noisy))
        return output


class ResNet(nn.Module):
    """Two downsamplings, residual blocks, two upsamplings (Johnson et al. 2016, arXiv:1603.08155).

    As in CycleGAN (Zhu et al. 2017, arXiv:1703.10593, appendix 7.2): c7s1-64, d128, d256, R256 x ``blocks``, u128,
    u64, c7s1-3, reflection padding, instance normalization, tanh. ``blocks`` is by default 9 for training images of
    256 px and more, 6 below. 9 blocks have 11.378 million parameters, as published (convolutions before instance
    normalization have a bias). ``upsample="resize"`` is nearest-neighbour upsampling and a convolution, which avoids
    checkerboard artifacts (Odena et al. 2016, doi:10.23915/distill.00003). The ``antialiased`` forms are those of CUT
    (Park et al. 2020, arXiv:2007.15651) after Zhang 2019 (arXiv:1904.11486): a convolution of stride 1 before a blur of
    stride 2, and one after bilinear upsampling. ``size_multiple`` is 4.
    """

    size_multiple = 4
    prefers_channels_last = True

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: tuple[int, int] | None = None,
        *,
        blocks: Annotated[int | None, Option("residual blocks; none: 9 from 256 px on, 6 below", ge=0)] = None,
        width: Annotated[int, Option("channels of the first map; the inner ones have 4 times as many", ge=1)] = 64,
        norm: Annotated[Norm, Option("normalization")] = "instance",
        downsample: Annotated[Downsample, Option("strided convolution, or convolution and blur")] = "strided",
        upsample: Annotated[
            Upsample, Option("transposed convolution, or convolution after nearest or bilinear (antialiased) resizing")
        ] = "transposed",
        dropout: Annotated[float, Option("dropout rate in the blocks, as noise", ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__()
        if blocks is None:
            blocks = 9 if size is None or min(size) >= 256 else 6
        bias = needs_bias(norm)
        self.dropout = dropout
        self.translates_each_alone = norm != "batch" and not dropout
        self.encoder = nn.Sequential(
            Padding(3), nn.Conv2d(inputs, width, 7, bias=bias), normalization(norm, width), nn.ReLU()
        )
        for channels in (width, 2 * width):
            stride = 2 if downsample == "strided" else 1
            self.encoder.append(nn.Conv2d(channels, 2 * channels, 3, stride, 1, bias=bias))
            self.encoder.append(normalization(norm, 2 * channels))
            self.encoder.append(nn.ReLU())
            if downsample == "antialiased":
                self.encoder.append(Blur(2 * channels))
        convolutions = [name for name, layer in self.encoder.named_children() if isinstance(layer, nn.Conv2d)]
        self.feature_layers = (
            "",
            *(f"encoder.{name}" for name in convolutions[1:]),
            # The first and the fifth: with 9 blocks these are the five layers of CUT.
            *(f"blocks.{number}" for number in range(0, min(blocks, 5), 4)),
        )
        self.blocks = nn.ModuleList(Block(4 * width, norm, dropout) for _ in range(blocks))
        self.decoder = nn.Sequential()
        for channels in (4 * width, 2 * width):
            if upsample == "transposed":
                doubling = nn.ConvTranspose2d(channels, channels // 2, 3, 2, 1, output_padding=1, bias=bias)
                self.decoder.append(doubling)
            elif upsample == "antialiased":
                # Between pixels 3/4 of one and 1/4 of the other, as the transposed blur [1, 3, 3, 1] computes.
                self.decoder.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
                self.decoder.append(nn.Conv2d(channels, channels // 2, 3, padding=1, bias=bias))
            else:
                self.decoder.append(nn.Upsample(scale_factor=2, mode="nearest"))
                self.decoder.append(Padding(1))
                self.decoder.append(nn.Conv2d(channels, channels // 2, 3, bias=bias))
            self.decoder.append(normalization(norm, channels // 2))
            self.decoder.append(nn.ReLU())
        self.decoder.append(Padding(3))
        self.decoder.append(nn.Conv2d(width, outputs, 7))
        initialize(self)

    def forward(self, image: Tensor, samples: int | None = None) -> Tensor:
        """Translate (N, inputs, H, W) in [-1, 1] to (N, outputs, H, W) in [-1, 1], float32 also under autocast.

        In evaluation the output is deterministic. With ``samples`` dropout is active, and the output is
        (N * samples, outputs, H, W), the samples of an image next to each other.
        """
        check_sides(image, self.size_multiple, "resnet")
        check_samples(samples, self.dropout, "resnet")
        x = repeat(self.encoder(image), samples)
        for block in self.blocks:
            x = block(x, self.training or samples is not None)
        x = self.decoder(x)
        # In bf16, tanh rounds to 1 from 3.2 on and its gradient to 0.
        return torch.tanh(to_float32(x))
