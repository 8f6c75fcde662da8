"""The loss: distances of a frozen network's maps, each channel with a weight."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.errors import TranslateError
from translate.method import Parts
from translate.options import Option
from translate.precision import to_float32
from translate.weights import read_weights


class Perceptual(nn.Module):
    """A learned perceptual distance (LPIPS, Zhang et al. 2018, arXiv:1801.03924, equation 1).

    ``sum_l mean_hw sum_c w_lc (f_lc(image) - f_lc(target))^2``: the maps f of each stage of a frozen network, of length
    1 at every position, weighed by w >= 0 for each channel. Stage l is a 3x3 convolution of stride 2 with a ReLU.

    The file of ``weights`` holds the tensors ``stages.L.weight``, ``stages.L.bias`` and ``linear.L``. It is read when a
    training begins; afterwards checkpoints hold them, and a translator needs none of this.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        weights: Annotated[Path, Option("file of the network's and the channels' weights, .safetensors or .pth")],
        widths: Annotated[tuple[int, ...], Option("channels of each stage", ge=1)] = (16, 32, 64),
    ) -> None:
        super().__init__()
        if parts.target.channels not in (1, 3):
            raise TranslateError(
                f"perceptual takes RGB or gray images, not images of {parts.target.channels} channels; choose l1"
            )
        self.stages = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)
            for inputs, outputs in zip((3, *widths), widths, strict=False)
        )
        self.linear = nn.ParameterList(torch.ones(width) for width in widths)

    def read(self, weights: Path) -> None:
        """Load the weights; called after construction, but not where they come with a checkpoint."""
        read_weights(self, weights, "perceptual")

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        """The mean distance of two batches (N, 1 or 3, H, W) in [-1, 1], a scalar in float32."""
        first, second = (each.expand(-1, 3, -1, -1) for each in (image, target))
        total = torch.zeros((), device=image.device)
        for stage, weight in zip(self.stages, self.linear, strict=True):
            first, second = stage(first).relu(), stage(second).relu()
            # In float32, and with a length that has a gradient at 0, where a map is all zeros.
            one, other = (F.normalize(to_float32(each), dim=1, eps=1e-6) for each in (first, second))
            total = total + ((one - other).square() * weight.clamp(min=0)[:, None, None]).sum(1).mean()
        return total
