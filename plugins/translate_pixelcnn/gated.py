"""The gated PixelCNN: causal convolutions in a vertical and a horizontal stack, without a blind spot."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.precision import to_float32

FIRST_REACH = 3
"""Reach of the first layer in pixels: its filters are 7x7, as published."""


class Masked(nn.Conv2d):
    """A causal convolution along the row: its inputs are the pixels to the left and earlier colours of the same pixel.

    Maps are divided evenly among the image's ``colours``, in order; the maps of a colour depend on those of the same
    and of earlier colours, or, if ``strict``, of earlier ones only (masks B and A of van den Oord et al. 2016,
    arXiv:1601.06759, section 3.4). ``sets`` is how often the division repeats in the outputs: 2 for maps and their
    gates.
    """

    mask: Tensor

    def __init__(
        self, inputs: int, outputs: int, reach: int = 0, *, colours: int, strict: bool = False, sets: int = 1
    ) -> None:
        super().__init__(inputs, outputs, (1, reach + 1))
        self.reach = reach
        input_colour = torch.arange(inputs) * colours // inputs
        per_set = outputs // sets
        output_colour = (torch.arange(outputs) % per_set) * colours // per_set
        mask = torch.ones(self.weight.shape)
        mask[:, :, 0, -1] = input_colour < output_colour[:, None] if strict else input_colour <= output_colour[:, None]
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H, W)."""
        return F.conv2d(F.pad(x, (self.reach, 0, 0, 0)), self.weight * self.mask, self.bias)


class Layer(nn.Module):
    """A gated layer of both stacks (van den Oord et al. 2016, arXiv:1606.05328, equation 2 and figure 2).

    ``y = tanh(W_f * x + V_f * s) sigmoid(W_g * x + V_g * s)``, where s are the condition's maps. The vertical stack
    takes the rows above; the horizontal stack takes the pixels to the left in the row, and the vertical stack through a
    1x1 convolution. The horizontal stack is residual except in its first layer, which must not see the pixel itself.
    """

    def __init__(self, inputs: int, width: int, reach: int, *, colours: int, context: int, first: bool) -> None:
        super().__init__()
        self.first, self.reach = first, reach
        # The first layer excludes row i itself; later layers may include it, because their input at row i is causal.
        self.vertical = nn.Conv2d(inputs, 2 * width, (reach if first else reach + 1, 2 * reach + 1))
        self.link = nn.Conv2d(2 * width, 2 * width, 1)
        self.horizontal = Masked(inputs, 2 * width, reach, colours=colours, strict=first, sets=2)
        self.out = Masked(width, width, colours=colours)
        self.context = nn.Conv2d(context, 4 * width, 1, bias=False) if context else None

    def down(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """The vertical stack: maps (N, C, H, W) to the next ones, and to the link to the horizontal stack."""
        x = self.vertical(F.pad(x, (self.reach, self.reach, self.reach, -1 if self.first else 0)))
        link: Tensor = self.link(x)
        if context is not None:
            of_vertical, of_horizontal = context.chunk(2, dim=1)
            x, link = x + of_vertical, link + of_horizontal
        return gate(x), link

    def along(self, x: Tensor, link: Tensor) -> Tensor:
        """The horizontal stack: maps (N, C, H, W) to the next ones."""
        output: Tensor = self.out(gate(self.horizontal(x) + link))
        return output if self.first else x + output


class GatedPixelCNN(nn.Module):
    """The logits of each colour of each pixel, given all pixels above and to the left and the pixel's earlier colours.

    ``p(x | s) = prod_i p(x_i | x_1 ... x_(i-1), s)``, over pixels row by row and, in a pixel, over its colours (van den
    Oord et al. 2016, arXiv:1606.05328, equations 1 and 3). The first layer has filters of 7x7, the others of
    ``kernel``. The last layer is initialized to zero, so that at first all ``levels`` are equally likely. ``width`` is
    rounded up to a multiple of the colours. ``reach`` is the reach of the receptive field in pixels.
    """

    def __init__(self, colours: int, levels: int, *, width: int, layers: int, kernel: int, context: int) -> None:
        super().__init__()
        width = -(-width // colours) * colours
        reaches = [FIRST_REACH] + [kernel // 2] * (layers - 1)
        self.colours, self.levels, self.reach = colours, levels, sum(reaches)
        self.layers = nn.ModuleList(
            Layer(width if number else colours, width, reach, colours=colours, context=context, first=not number)
            for number, reach in enumerate(reaches)
        )
        self.hidden = Masked(width, width, colours=colours)
        self.logits = Masked(width, colours * levels, colours=colours)
        nn.init.zeros_(self.logits.weight)
        if self.logits.bias is not None:
            nn.init.zeros_(self.logits.bias)

    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        """Logits (N, colours, levels, H, W) for an image (N, colours, H, W) and condition maps (N, D, H, W)."""
        return self.head(self.along(image, self.down(image, self.contexts(context))))

    def contexts(self, context: Tensor | None) -> list[Tensor | None]:
        """The projection of the condition's maps for each layer."""
        if context is None:
            return [None] * len(self.layers)
        return [layer.context(context) for layer in self.layers]  # type: ignore[operator]

    def down(self, image: Tensor, contexts: Sequence[Tensor | None]) -> list[Tensor]:
        """The vertical stack: each layer's link to the horizontal stack, which depends on the rows above only."""
        links = []
        x = image
        for layer, context in zip(self.layers, contexts, strict=True):
            assert isinstance(layer, Layer)
            x, link = layer.down(x, context)
            links.append(link)
        return links

    def along(self, image: Tensor, links: Sequence[Tensor]) -> Tensor:
        """The horizontal stack, given its links; its maps at a pixel do not depend on pixels to the right."""
        x = image
        for layer, link in zip(self.layers, links, strict=True):
            assert isinstance(layer, Layer)
            x = layer.along(x, link)
        return x

    def head(self, maps: Tensor) -> Tensor:
        """Logits (N, colours, levels, H, W) in float32 of the horizontal stack's maps."""
        logits: Tensor = self.logits(F.relu(self.hidden(F.relu(maps))))
        logits = to_float32(logits)
        n, _, height, width = logits.shape
        return logits.view(n, self.colours, self.levels, height, width)


def gate(x: Tensor) -> Tensor:
    """``tanh(a) sigmoid(b)`` of the first and the second half of the channels, (N, 2 C, ...) to (N, C, ...)."""
    maps, gates = x.chunk(2, dim=1)
    return torch.tanh(maps) * torch.sigmoid(gates)
