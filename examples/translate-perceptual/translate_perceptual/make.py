"""Random weights, to try the loss without those of a trained network: ``python -m translate_perceptual.make FILE``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file


def make(path: Path, widths: tuple[int, ...] = (16, 32, 64), seed: int = 0) -> None:
    """Write weights of the usual scale (He et al. 2015, arXiv:1502.01852), and equal ones for all channels."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for number, (inputs, outputs) in enumerate(zip((3, *widths), widths, strict=False)):
        scale = (2 / (9 * inputs)) ** 0.5
        tensors[f"stages.{number}.weight"] = torch.randn((outputs, inputs, 3, 3), generator=generator) * scale
        tensors[f"stages.{number}.bias"] = torch.zeros(outputs)
        tensors[f"linear.{number}"] = torch.full((outputs,), 1 / outputs)
    save_file(tensors, path)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
