"""Programs: a trained network captured by ``torch.export``, for any batch and size that it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental import _config as shapes

from translate.data import Domain
from translate.draws import seeded_draws
from translate.errors import TranslateError
from translate.given import Bound, examples
from translate.libraries import quiet
from translate.runtime import copy_sharing_weights
from translate.schema import MOST_SIDE
from translate.sizes import Size
from translate.taken import Taken, Wanted
from translate.traits import Traits

INPUT, OUTPUT = "image", "translation"
"""The names of an exported network's input and output."""

LEAST = 32
"""No side of the image by which a network is captured is smaller, since networks do other things with small maps."""


class Deterministic(nn.Module):
    """A trained network as it is exported: images (N, C, H, W), and other inputs, to images in float32.

    It draws no noise.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, *inputs: Tensor) -> Tensor:
        """Translate (N, C, H, W) in [-1, 1], with the inputs that follow."""
        output: Tensor = self.network(image, *inputs)
        return output.float()


@dataclass(frozen=True, slots=True)
class Program:
    """A network that was captured: the ``network`` itself for comparison, and what ``torch.export`` made of it.

    ``dimensions`` are those of its image that are free, by axis, and ``further`` those of each input behind it.
    ``inputs`` are these inputs, in their order, and ``trained`` is the training size.
    """

    network: nn.Module
    captured: torch.export.ExportedProgram
    dimensions: Mapping[int, Any]
    source: Domain
    size_multiple: int
    fixed_size: Size | None
    inputs: tuple[Wanted, ...] = ()
    further: tuple[Mapping[int, Any], ...] = ()
    trained: Size = (0, 0)

    @property
    def names(self) -> list[str]:
        """The names of all inputs, the image first."""
        return [INPUT, *(each.name for each in self.inputs)]

    @property
    def shapes(self) -> list[list[int]]:
        """The shapes of all inputs, -1 where they are free."""
        sides = [-1, -1] if self.fixed_size is None else list(self.fixed_size)
        found = [[-1, self.source.channels, *sides]]
        for each in self.inputs:
            if each.kind == "class":
                found.append([-1])
            elif each.kind in ("vector", "latent"):
                found.append([-1, each.length or -1])
            else:
                assert each.domain is not None
                found.append([-1, each.domain.channels, *(list(self.trained) if each.kind == "image" else sides)])
        return found


def capture(
    network: nn.Module,
    source: Domain,
    what: str,
    *,
    options: Mapping[str, Any] | None = None,
    inputs: Sequence[Wanted] = (),
    trained: Size = (0, 0),
) -> Program:
    """Capture a trained network for images of ``source``; raises ``TranslateError``, which names ``what``.

    It is taken as it is, without the algorithms for convolutions by which ``translate`` itself computes it on a CPU.
    Its ``options`` are fixed, and ``inputs`` follow the image; ``trained`` is the training size.
    """
    traits = Traits(network)
    multiple, fixed = traits.size_multiple, traits.fixed_size
    bound = Bound(network, options or {}, [each.name for each in inputs]) if options or inputs else network
    whole = Deterministic(_with_constant_flags(bound)).eval().requires_grad_(False)
    sides: Size
    dimensions: dict[int, Any] = {0: torch.export.Dim("batch", min=1, max=MOST_SIDE)}
    if fixed is None:
        count = -(-LEAST // multiple)
        # Unlike one another, and more than one multiple, so that nothing is taken for the same or for constant.
        sides = ((count + 2) * multiple, (count + 3) * multiple)
        for axis, name in ((2, "height"), (3, "width")):
            if multiple == 1:
                dimensions[axis] = torch.export.Dim(name, min=1, max=MOST_SIDE)
            else:
                part = torch.export.Dim(f"{name}_by_{multiple}", min=1, max=max(MOST_SIDE // multiple, 2))
                dimensions[axis] = multiple * part
    else:
        sides = fixed
    example = torch.zeros(2, source.channels, *sides)
    taken = Taken(inputs={each.name: each for each in inputs})
    others = tuple(examples(taken, tuple(taken.inputs), {}, 2, sides, trained).values())
    alone = {0: dimensions[0]}
    further = tuple(dimensions if each.kind in ("aligned", "noise") else alone for each in inputs)
    try:
        # Without the last, sides of exactly one multiple would be shut out, of which a network may well make a map of
        # one pixel.
        with quiet(), torch.no_grad(), shapes.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]
            shaped = (dimensions, further) if inputs else (dimensions,)
            captured = torch.export.export(whole, (example, *others), dynamic_shapes=shaped)
    except Exception as error:  # a network of a plugin, in all the ways in which a capture can fail
        raise TranslateError(f"{what} cannot be exported: {reason_of(error)}") from None
    for node in captured.graph.nodes:
        # They hold the paths of this machine.
        for name in ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node"):
            node.meta.pop(name, None)
    return Program(whole, captured, dimensions, source, multiple, fixed, tuple(inputs), further, trained)


def _with_constant_flags(network: nn.Module) -> nn.Module:
    """A copy whose buffers of one truth value, such as whether a stage is trained, are constants, which may branch."""
    copied = copy_sharing_weights(network)
    for module in list(copied.modules()):
        for name, buffer in list(module.named_buffers(recurse=False)):
            if buffer.dtype == torch.bool and buffer.dim() == 0:
                delattr(module, name)
                setattr(module, name, bool(buffer))
    return copied


def reason_of(error: BaseException) -> str:
    """Why an exporter failed, in a few words: what a network itself says of it, or the first line of the error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, TranslateError):
            return str(cause)
        cause = cause.__cause__ or cause.__context__
    # Behind the first sentence torch names its own switches for developers.
    text = str(error).partition(" For more information")[0]
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200].rstrip('.!')}" if lines else type(error).__name__


@torch.no_grad()
def draws_noise(network: nn.Module, image: Tensor) -> bool:
    """Whether a network draws noise for its samples, so that its deterministic output is one of many."""
    if "samples" not in signature(network.forward).parameters:
        return False
    try:
        with seeded_draws(0):
            sample = network(image, samples=1)
    except TranslateError:
        # It has no noise to draw.
        return False
    return not torch.equal(sample, network(image))
