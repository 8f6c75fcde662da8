"""The layers of a generator whose maps are compared, and how many channels they have."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from translate.errors import TranslateError
from translate.inner_maps import inner
from translate.method import Parts
from translate.traits import Traits

IMAGE = "image"
"""What the input of a network is called in the option ``layers``."""


def chosen_layers(generator: nn.Module, asked: str, parts: Parts) -> dict[str, int]:
    """The channels of each layer that is compared, by its name: of those asked for, or else of the feature layers.

    ``asked`` is a list of names between commas. A layer of one location has no negatives: by default it is left out.
    Raises ``TranslateError`` if it is asked for, if a layer has no maps, and if there is nothing to compare.
    """
    name = type(generator).__name__
    names = [each.strip() for each in asked.split(",") if each.strip()]
    layers = ["" if each == IMAGE else each for each in names] or list(Traits(generator).feature_layers)
    if not layers:
        raise TranslateError(f"{name} names no feature layers; name some of its layers: --layers '{IMAGE}, ...'")
    found: dict[str, int] = {}
    for layer, shape in _shapes(generator, layers, parts).items():
        if len(shape) == 4 and shape[2] * shape[3] > 1:
            found[layer] = shape[1]
        elif names:
            what = "one location" if len(shape) == 4 else "no map"
            raise TranslateError(
                f"the layer {layer!r} of {name} has {what} at {parts.size[0]}x{parts.size[1]}, so its patches cannot "
                "be told apart; leave it out of --layers"
            )
    if not found:
        raise TranslateError(
            f"no feature layer of {name} has more than one location at {parts.size[0]}x{parts.size[1]}; "
            "name other ones with --layers, or train on larger images"
        )
    return found


@torch.no_grad()
def _shapes(generator: nn.Module, layers: Sequence[str], parts: Parts) -> dict[str, torch.Size]:
    """The shapes of layers' maps for one image of the training size, without computing them where that is possible."""
    weights = (*generator.parameters(), *generator.buffers())
    memo: dict[int, Tensor] = {id(each): torch.empty_like(each, device="meta") for each in weights}
    hollow = copy.deepcopy(generator, memo).eval()
    image = torch.zeros(1, parts.source.channels, *parts.size, device="meta")
    try:
        maps = inner(hollow, image, layers)
    except (NotImplementedError, RuntimeError):
        # The network looks at values, which tensors on this device do not have.
        was_training = generator.training
        maps = inner(generator.eval(), torch.zeros_like(image, device=weights[0].device), layers)
        generator.train(was_training)
    return {layer: each.shape for layer, each in maps.items()}
