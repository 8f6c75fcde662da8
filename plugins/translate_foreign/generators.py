"""The generators of pytorch-CycleGAN-and-pix2pix and of CUT, from the names and shapes in their state dicts.

Their ResNets are one sequence, ``model.N``; their U-Nets are nested, ``model.model.1.model.3...``, each block holding
the next. What a state dict cannot tell has a default, which an option replaces.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from torch import Tensor

from translate.errors import TranslateError
from translate.foreign import Foreign
from translate.options import Call, Option
from translate_foreign.layers import Layers, Statistics
from translate_foreign.resnet import read_resnet
from translate_foreign.states import State, listed
from translate_foreign.unet import read_unet

ChosenNorm = Literal["auto", "batch", "instance", "none"]


def read_generator(
    tensors: Mapping[str, Tensor],
    direction: str,
    *,
    norm: Annotated[
        ChosenNorm,
        Option("normalization; auto: batch where it has weights, else instance where biases stand before it"),
    ] = "auto",
    statistics: Annotated[
        Statistics,
        Option("of batch normalization: of each image, as those projects test by default, or running ones (--eval)"),
    ] = "image",
    dropout: Annotated[
        float | None,
        Option(
            "rate of the noise for --samples; none: 0.5 in a U-Net, and in a ResNet where its names say so", ge=0, lt=1
        ),
    ] = None,
) -> Foreign:
    """A generator of pytorch-CycleGAN-and-pix2pix or CUT: ResNet, also antialiased, or U-Net."""
    if any(name.startswith("model.") and ".conv_block." in name for name in tensors):
        layers = Layers(State(tensors, "a ResNet generator"), norm, statistics)
        network = read_resnet(layers, dropout)
    elif any(name.startswith("model.model.") for name in tensors):
        layers = Layers(State(tensors, "a U-Net generator"), norm, statistics)
        network = read_unet(layers, dropout)
    else:
        raise TranslateError(_refusal(tensors))
    layers.finish()
    channels = f"{network.inputs} -> {network.outputs} channels"
    summary = f"{network.summary} with {layers.summary}, {channels}, {network.width} of its first map"
    return Foreign(
        Call("regression", {"generator": str(network.generator), "direction": direction}),
        network.tensors,
        network.inputs,
        network.outputs,
        network.size,
        summary,
        (*network.notes, *layers.notes),
    )


def _refusal(tensors: Mapping[str, Tensor]) -> str:
    """Why a state dict is no generator of these projects."""
    known = "pytorch-CycleGAN-and-pix2pix or CUT"
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    weights = [shape for shape in shapes.values() if len(shape) == 4]
    below = dict.fromkeys(name.partition(".model.")[0] for name in tensors if ".model." in name)
    below.pop("model", None)
    if below and not any(name.startswith("model.") for name in tensors):
        shown = ", ".join(list(below)[:4])
        return f"its tensors lie below {shown:.200}, of which --entry {next(iter(below)):.60} would name one"
    names = ("model.", "net.", "scale", "layer")
    if weights and all(name.startswith(names) for name in shapes) and weights[-1][0] == 1 and weights[0][2:] != (9, 9):
        return f"it looks like a discriminator ({listed(tensors)}); give the generator, latest_net_G.pth"
    return f"its tensors ({listed(tensors)} ...) are of another architecture than the generators of {known}"
