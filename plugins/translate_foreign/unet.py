"""The U-Net generators of pix2pix's project: blocks that hold one another.

Each block halves the sides, has the next block inside, and doubles them. Its parent gets what went in, joined to what
comes out; here the decoder's own map comes first, so the halves of the weights that take both are exchanged.
"""

from __future__ import annotations

import torch

from translate.errors import TranslateError
from translate.options import Call
from translate_foreign.layers import Layers, Network

MOST_DEPTH = 12


def read_unet(layers: Layers, dropout: float | None) -> Network:
    """Take a U-Net apart; ``dropout`` is the rate asked for, if any."""
    state = layers.state
    shape = state.shape("model.model.0.weight")
    if len(shape) != 4:
        raise TranslateError(f"its model.model.0.weight has the shape {shape}, where {state.what} has a convolution")
    width, inputs = shape[:2]
    prefixes = ["model.model."]
    while not prefixes[1:] or f"{prefixes[-1]}3.weight" not in state:
        if len(prefixes) == MOST_DEPTH:
            raise TranslateError(f"it does not end after {MOST_DEPTH} blocks, as {state.what} does")
        prefixes.append(f"{prefixes[-1]}{3 if prefixes[1:] else 1}.model.")
        state.shape(f"{prefixes[-1]}1.weight")
    depth = len(prefixes)
    channels = [width * min(2**scale, 8) for scale in range(depth)]
    layers.detect(f"{prefixes[-1]}3", f"{prefixes[-1]}4")

    layers.take("model.model.0", "encoder.0.0", (width, inputs, 4, 4))
    for scale in range(1, depth):
        inner = scale == depth - 1
        layers.take(
            f"{prefixes[scale]}1", f"encoder.{scale}.1", (channels[scale], channels[scale - 1], 4, 4),
            normalization=None if inner else (f"{prefixes[scale]}2", f"encoder.{scale}.2"),
        )  # fmt: skip
    outputs = state.shape("model.model.3.weight")[1]
    for number, scale in enumerate(reversed(range(depth))):
        inner = scale == depth - 1
        taken = channels[scale] * (1 if inner else 2)
        made = channels[scale - 1] if scale else outputs
        up, norm = (3, 4) if inner or not scale else (5, 6)
        layers.take(
            f"{prefixes[scale]}{up}", f"decoder.{number}.1", (taken, made, 4, 4), transposed=True, biased=not scale,
            normalization=(f"{prefixes[scale]}{norm}", f"decoder.{number}.2") if scale else None,
        )  # fmt: skip
        if not inner:
            skip, own = layers.tensors[f"decoder.{number}.1.weight"].chunk(2)
            layers.tensors[f"decoder.{number}.1.weight"] = torch.cat([own, skip])
    rate = 0.5 if dropout is None else dropout
    side = 2**depth
    noted = (
        "a state dict does not tell dropout, which draws noise for --samples alone: 0.5 was taken, as in pix2pix "
        "(dropout=0 if it was trained with --no_dropout)",
    )
    return Network(
        Call("unet", {"depth": depth, "width": width, "dropout": rate, "norm": layers.kept}),
        layers.tensors, inputs, outputs, width, (side, side), f"a U-Net-{side} generator",
        noted if dropout is None else (),
    )  # fmt: skip
