"""Bound networks: a network with its options fixed, as one that takes tensors by position, or an image alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Bound(nn.Module):
    """A network with its ``options`` fixed; the inputs called ``names`` follow the image by position."""

    def __init__(self, network: nn.Module, options: Mapping[str, Any], names: Sequence[str] = ()) -> None:
        super().__init__()
        self.network = network
        self.options = dict(options)
        self.names = tuple(names)
        self.train(network.training)

    def forward(self, image: Tensor, *inputs: Tensor) -> Tensor:
        """Compute the network's output for images (N, C, H, W) and a tensor for each name."""
        output: Tensor = self.network(image, **self.options, **dict(zip(self.names, inputs, strict=True)))
        return output


class Packed(nn.Module):
    """A network with its ``options`` fixed, as one of a single image whose further planes are its inputs of that size.

    So an image that is translated in parts carries its masks and its noise with it. ``planes`` tells the number of
    planes of each, in their order behind the image's own ``channels``; ``constants`` are all other inputs of one image.
    """

    def __init__(
        self,
        network: nn.Module,
        options: Mapping[str, Any],
        *,
        channels: int,
        planes: Mapping[str, int],
        constants: Mapping[str, Tensor],
    ) -> None:
        super().__init__()
        self.network = network
        self.options = dict(options)
        self.channels = channels
        self.planes = dict(planes)
        self.constants = tuple(constants)
        for name, tensor in constants.items():
            self.register_buffer(f"given_{name}", tensor, persistent=False)
        self.train(network.training)

    def hold(self, constants: Mapping[str, Tensor]) -> None:
        """Take the inputs of another image."""
        for name in self.constants:
            setattr(self, f"given_{name}", constants[name])

    def forward(self, image: Tensor) -> Tensor:
        """Compute the network's output for images (N, channels + all planes, H, W)."""
        parts = torch.split(image, [self.channels, *self.planes.values()], dim=1)
        given = dict(zip(self.planes, parts[1:], strict=True))
        # Rows of a batch, of which tests of a network have several, are of one image.
        held = {name: self.get_buffer(f"given_{name}") for name in self.constants}
        given |= {name: each.expand(len(image), *each.shape[1:]) for name, each in held.items()}
        output: Tensor = self.network(parts[0], **self.options, **given)
        return output
