"""The ResNet generators of CycleGAN's and CUT's projects: one sequence of layers, numbered with those without weights.

c7s1, two downsamplings, residual blocks, two upsamplings, c7s1. In CUT each downsampling ends, and each upsampling
begins, with a blur, whose filter stands in the state dict.
"""

from __future__ import annotations

import re

import torch

from translate.errors import TranslateError
from translate.options import Call
from translate_foreign.layers import Layers, Network

BLOCK = re.compile(r"model\.(\d{1,4})\.conv_block\.")
DOWN = torch.tensor([1.0, 2.0, 1.0])
UP = torch.tensor([1.0, 3.0, 3.0, 1.0])


def read_resnet(layers: Layers, dropout: float | None) -> Network:
    """Take a ResNet apart; ``dropout`` is the rate asked for, if any."""
    state = layers.state
    width, inputs, *_ = _four(layers, "model.1.weight")
    layers.detect("model.1", "model.2")
    layers.take("model.1", "encoder.1", (width, inputs, 7, 7), normalization=("model.2", "encoder.2"))
    place = 4
    blurred_down = "model.7.filt" in state
    for channels in (width, 2 * width):
        layers.take(
            f"model.{place}", f"encoder.{place}", (2 * channels, channels, 3, 3),
            normalization=(f"model.{place + 1}", f"encoder.{place + 1}"),
        )  # fmt: skip
        if blurred_down:
            _take_filter(layers, f"model.{place + 3}.filt", 2 * channels, DOWN, 1)
        place += 4 if blurred_down else 3
    blocks, noisy = _take_blocks(layers, place, 4 * width)
    place += blocks
    blurred_up = f"model.{place}.filt" in state
    here = 0
    for channels in (4 * width, 2 * width):
        if blurred_up:
            _take_filter(layers, f"model.{place}.filt", channels, UP, 4)
            place, here = place + 1, here + 1
        halved = (channels, channels // 2, 3, 3) if not blurred_up else (channels // 2, channels, 3, 3)
        layers.take(
            f"model.{place}", f"decoder.{here}", halved, transposed=not blurred_up,
            normalization=(f"model.{place + 1}", f"decoder.{here + 1}"),
        )  # fmt: skip
        place, here = place + 3, here + 3
    outputs = _four(layers, f"model.{place + 1}.weight")[0]
    layers.take(f"model.{place + 1}", f"decoder.{here + 1}", (outputs, width, 7, 7), biased=True)
    rate = (0.5 if noisy else 0.0) if dropout is None else dropout
    options = {
        "blocks": blocks,
        "width": width,
        "norm": layers.kept,
        "dropout": rate,
        **({"downsample": "antialiased"} if blurred_down else {}),
        **({"upsample": "antialiased"} if blurred_up else {}),
    }
    antialiased = "antialiased " if blurred_down or blurred_up else ""
    noise = f" with dropout {rate:g}" if rate else ""
    return Network(
        Call("resnet", options), layers.tensors, inputs, outputs, width, (256, 256),
        f"{'an' if antialiased else 'a'} {antialiased}ResNet-{blocks} generator{noise}",
    )  # fmt: skip


def _take_blocks(layers: Layers, first: int, channels: int) -> tuple[int, bool]:
    """Take the residual blocks from a place on; return their number, and whether there is dropout in them."""
    found = sorted({int(match[1]) for name in layers.state.names if (match := BLOCK.match(name))})
    if not found or found != list(range(first, first + len(found))):
        down = (found[0] - 4) / 3 if found else 0
        raise TranslateError(
            f"its residual blocks begin at model.{found[0] if found else '?'}, where those of {layers.state.what} with "
            f"two downsamplings begin at model.{first}" + (f" (it has {down:g})" if down in (1, 3, 4) else "")
        )
    shape = (channels, channels, 3, 3)
    noisy = f"model.{first}.conv_block.5.weight" not in layers.state
    second = 6 if noisy else 5
    for number, place in enumerate(found):
        for index, to in ((1, "first"), (second, "second")):
            there, here = f"model.{place}.conv_block", f"blocks.{number}.{to}"
            layers.take(
                f"{there}.{index}", f"{here}.1", shape, normalization=(f"{there}.{index + 1}", f"{here}.2")
            )  # fmt: skip
    return len(found), noisy


def _take_filter(layers: Layers, name: str, channels: int, row: torch.Tensor, gain: float) -> None:
    """Take a blur's filter, which must be the binomial one."""
    kernel = torch.outer(row, row) * (gain / row.sum() ** 2)
    if not torch.allclose(layers.state.take(name, (channels, 1, *kernel.shape)), kernel, atol=1e-6):
        raise TranslateError(f"its {name} is another filter than the one by which CUT blurs")


def _four(layers: Layers, name: str) -> tuple[int, ...]:
    """The shape of a convolution's weight."""
    shape = layers.state.shape(name)
    if len(shape) != 4:
        raise TranslateError(f"its {name} has the shape {shape}, where {layers.state.what} has a convolution")
    return shape
