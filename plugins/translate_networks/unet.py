"""The U-Net generator of pix2pix."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.errors import TranslateError
from translate.options import Option
from translate.precision import to_float32
from translate.sizes import fitting_sizes
from translate_networks.initialization import initialize
from translate_networks.noise import check_samples, repeat
from translate_networks.normalization import Norm, needs_bias, normalization
from translate_networks.sizes import check_sides, halvings


class UNet(nn.Module):
    """An encoder and a decoder with a skip connection at each scale (Ronneberger et al. 2015, arXiv:1505.04597).

    As in pix2pix (Isola et al. 2017, arXiv:1611.07004, appendix 6.1): encoder C64-C128-C256-C512-C512-..., 4x4
    convolutions of stride 2, leaky ReLU 0.2; decoder, mirrored, ReLU, 4x4 transposed convolutions of stride 2, dropout
    0.5 in the first three; each gets the encoder's map of its scale, concatenated with its own input. No normalization
    of the first and of the innermost map; tanh.

    The default ``depth`` is the number of times that both sides of ``size`` (height, width) can be halved, 2 to 8. For
    256 px these are 8 and 54.41 million parameters, as published (with batch normalization only the last convolution
    has a bias). ``size_multiple`` is 2 ** depth.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: tuple[int, int] | None = None,
        *,
        depth: Annotated[
            int | None, Option("number of downsamplings; none: as many as the image size allows", ge=2, le=12)
        ] = None,
        width: Annotated[int, Option("channels of the first map; deeper ones have up to 8 times as many", ge=1)] = 64,
        dropout: Annotated[float, Option("dropout rate in the decoder, as noise", ge=0, lt=1)] = 0.5,
        norm: Annotated[Norm, Option("normalization")] = "batch",
    ) -> None:
        super().__init__()
        if depth is None:
            depth = 8 if size is None else halvings(size)
            if size is not None and depth < 5 and min(size) >= 64:
                raise TranslateError(
                    f"unet: {size[0]}x{size[1]} can be halved only {depth} times, too few to see the whole image; "
                    f"train with --size {fitting_sizes(size, 32)}, or name a depth: unet(depth={depth})"
                )
        self.size_multiple = 2**depth
        self.dropout = dropout
        self.translates_each_alone = norm != "batch" and not dropout
        # No dropout in the last block: it makes the image.
        self.noisy = min(3, depth - 1)
        channels = [width * min(2**scale, 8) for scale in range(depth)]
        bias = needs_bias(norm)

        self.encoder = nn.ModuleList()
        for scale, made in enumerate(channels):
            block = nn.Sequential()
            if scale:
                block.append(nn.LeakyReLU(0.2))
            block.append(nn.Conv2d(channels[scale - 1] if scale else inputs, made, 4, 2, 1, bias=bias))
            if 0 < scale < depth - 1:
                block.append(normalization(norm, made))
            self.encoder.append(block)

        self.decoder = nn.ModuleList()
        for scale in reversed(range(depth)):
            taken = channels[scale] * (1 if scale == depth - 1 else 2)
            block = nn.Sequential(nn.ReLU())
            if scale:
                made = channels[scale - 1]
                block.append(nn.ConvTranspose2d(taken, made, 4, 2, 1, bias=bias))
                block.append(normalization(norm, made))
            else:
                block.append(nn.ConvTranspose2d(taken, outputs, 4, 2, 1))
            self.decoder.append(block)
        self.feature_layers = ("", *(f"encoder.{scale}" for scale in range(depth)))
        initialize(self)

    def forward(self, image: Tensor, samples: int | None = None) -> Tensor:
        """Translate (N, inputs, H, W) in [-1, 1] to (N, outputs, H, W) in [-1, 1], float32 also under autocast.

        In evaluation the output is deterministic. With ``samples`` dropout is active, as at test time in the paper, and
        the output is (N * samples, outputs, H, W), the samples of an image next to each other.
        """
        check_sides(image, self.size_multiple, "unet")
        check_samples(samples, self.dropout, "unet")
        skips = []
        x = image
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        x = repeat(skips.pop(), samples)
        for number, block in enumerate(self.decoder):
            if number:
                x = torch.cat([x, repeat(skips.pop(), samples)], dim=1)
            x = block(x)
            if number < self.noisy:
                x = F.dropout(x, self.dropout, training=self.training or samples is not None)
        # In bf16, tanh rounds to 1 from 3.2 on and its gradient to 0.
        return torch.tanh(to_float32(x))
