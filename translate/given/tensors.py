"""Tensors: the values of a batch's images, stacked as a network takes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from translate import images
from translate.errors import TranslateError
from translate.given.values import Planes, Value
from translate.holes import compose, hole_of
from translate.reshaping import padded, resized
from translate.sizes import Size
from translate.taken import Taken


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """What a network is called with beside its image: ``options``, and ``tensors`` with a row for each image."""

    options: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    def row(self, number: int) -> Ready:
        """The same for one image of the batch."""
        return Ready(self.options, {name: each[number : number + 1] for name, each in self.tensors.items()})


def stacked(rows: Sequence[Mapping[str, Value]], taken: Taken, device: torch.device) -> dict[str, Tensor]:
    """The tensors of a batch whose images have these values, in the network's order; planes of one input are alike."""
    if not rows:
        return {}
    return {name: _stack([row[name] for row in rows], name, device) for name in taken.inputs if name in rows[0]}


def _stack(values: Sequence[Value], name: str, device: torch.device) -> Tensor:
    first = values[0]
    if isinstance(first, int):
        return torch.tensor(values, dtype=torch.int64, device=device)
    if not isinstance(first, Planes):
        if len({len(each) for each in values}) > 1:  # type: ignore[arg-type]
            raise TranslateError(f"{name} has vectors of different lengths")
        return torch.from_numpy(np.stack(values)).to(device)  # type: ignore[arg-type]
    parts = [normalized(each, device) for each in values]  # type: ignore[arg-type]
    if len({each.shape for each in parts}) > 1:
        raise TranslateError(f"{name} has images of different sizes")
    return torch.cat(parts)


def keep_known(output: Tensor, batch: Tensor, ready: Ready, taken: Taken) -> Tensor:
    """A network's answers to a batch, which are its images themselves outside of what is filled, if anything says so.

    The network has kept them, but a runtime may round them, and so does resizing.
    """
    hole = _marked(ready, taken)
    return output if hole is None else compose(output, batch, hole)


def fill_alpha(alpha: NDArray[Any], ready: Ready, taken: Taken) -> NDArray[Any]:
    """The alpha plane (H, W) of an image's answer: opaque where it is filled."""
    hole = _marked(ready, taken)
    return alpha if hole is None else images.opaque_inside(alpha, hole[0, 0].bool().cpu().numpy())


def _marked(ready: Ready, taken: Taken) -> Tensor | None:
    """What is filled of a batch (N, 1, H, W), see ``translate.holes``; None if nothing says so."""
    for name, wanted in taken.inputs.items():
        if wanted.hole and wanted.domain is not None and name in ready.tensors:
            return hole_of(ready.tensors[name], opaque=wanted.domain.alpha == "only")
    return None


def examples(
    taken: Taken, names: Collection[str], lengths: Mapping[str, int], count: int, size: Size, trained: Size
) -> dict[str, Tensor]:
    """Inputs of black images, first classes and zeros, for a batch of so many images of a (height, width).

    They are those called ``names``, those that must be given, and noise; images have the size ``trained``.
    """
    found: dict[str, Tensor] = {}
    for name, wanted in taken.inputs.items():
        if name not in names and not wanted.required and not wanted.drawn:
            continue
        if wanted.kind == "class":
            found[name] = torch.zeros(count, dtype=torch.int64)
        elif wanted.kind in ("vector", "latent"):
            found[name] = torch.zeros(count, lengths.get(name) or wanted.length or 1)
        else:
            assert wanted.domain is not None
            sides = trained if wanted.kind == "image" else size
            found[name] = torch.zeros(count, wanted.domain.channels, *sides)
    return found


def normalized(planes: Planes, device: torch.device) -> Tensor:
    """Planes as a batch (1, C, H, W) of one image in [-1, 1]."""
    stored = torch.from_numpy(np.ascontiguousarray(planes.pixels.transpose(2, 0, 1))[None])
    return images.normalize(stored.to(device), planes.domain)


def fitted(tensors: Mapping[str, Tensor], taken: Taken, multiple: int, fixed: Size | None) -> dict[str, Tensor]:
    """Aligned images and noise padded or resized as their batch is, so that the network takes both."""
    found = dict(tensors)
    for name, tensor in tensors.items():
        wanted = taken.inputs[name]
        if wanted.kind not in ("aligned", "noise"):
            continue
        if fixed is None:
            found[name] = padded(tensor, multiple)
        elif wanted.domain is not None and getattr(wanted.domain, "by_nearest", wanted.domain.one_hot):
            found[name] = F.interpolate(tensor, fixed, mode="nearest-exact")
        else:
            found[name] = resized(tensor, fixed)
    return found
