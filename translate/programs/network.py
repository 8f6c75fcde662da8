"""A program as a network of torch, so that its translator takes tensors and Pillow's images as any other does."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from translate.programs.program import Program


class ProgramNetwork(nn.Module):
    """A program as a network, computed on the CPU by the library that the program is for."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program
        self.size_multiple = program.size_multiple
        self.fixed_size = program.fixed_size

    def __deepcopy__(self, memo: dict[int, Any]) -> ProgramNetwork:
        # The library uses all cores itself.
        raise TypeError("a session cannot be copied")

    def forward(self, image: Tensor, **inputs: Tensor) -> Tensor:
        """Compute the translation of images (N, C, H, W) in [-1, 1], with a row for each of what else it takes."""
        further = {name: each.cpu().numpy() for name, each in inputs.items()}
        return torch.from_numpy(self.program(image.cpu().float().numpy(), further))
