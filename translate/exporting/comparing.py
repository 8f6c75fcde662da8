"""Comparing: the answers of an exported network, opened from its file, with those of the network in torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from translate.data import Domain
from translate.errors import TranslateError
from translate.exporting.formats import Compute
from translate.exporting.program import Program
from translate.sizes import Size

MOST_DIFFERENCE = 1e-3
"""The largest difference that is allowed, of outputs in [-1, 1]: an eighth of a level of 8 bits.

Rounding alone gives 1e-6 to 1e-5, and a mistake more than a hundredth.
"""

SIDES = (16, 512)
"""Networks are compared at about their training size, within these sides."""


def sizes_to_compare(size: Size, multiple: int, fixed: Size | None) -> list[tuple[int, Size]]:
    """Three batch sizes with the sizes (height, width) at which a network trained at ``size`` is compared.

    >>> sizes_to_compare((256, 256), 4, None)
    [(1, (256, 256)), (2, (128, 260)), (1, (260, 128))]
    >>> sizes_to_compare((64, 64), 1, (64, 64))
    [(1, (64, 64)), (2, (64, 64)), (3, (64, 64))]
    """
    if fixed is not None:
        return [(count, fixed) for count in (1, 2, 3)]

    def fitting(side: int) -> int:
        return -(-min(max(side, SIDES[0]), SIDES[1]) // multiple) * multiple

    height, width = size
    return [
        (1, (fitting(height), fitting(width))),
        (2, (fitting(height // 2), fitting(width) + multiple)),
        (1, (fitting(height) + multiple, fitting(width // 2))),
    ]


def example(domain: Domain, count: int, size: Size) -> Tensor:
    """Images (N, C, H, W) of a domain in [-1, 1]: smooth ones with noise, or random maps of classes."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, domain.channels, 4, 4, generator=generator)
    smooth = F.interpolate(coarse, size, mode="bilinear", align_corners=False)
    mixed = 0.5 * smooth + 0.5 * torch.rand(smooth.shape, generator=generator)
    if domain.one_hot:
        classes = F.one_hot(mixed.argmax(1), domain.channels).permute(0, 3, 1, 2)
        return classes.float().contiguous() * 2 - 1
    return mixed * 2 - 1


def example_inputs(program: Program, count: int, size: Size) -> list[Tensor]:
    """Inputs that follow so many images of a (height, width): classes in turn, and noise where numbers may be any."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for each in program.inputs:
        if each.kind == "class":
            found.append(torch.arange(count) % max(len(each.labels), 1))
        elif each.kind in ("vector", "latent"):
            found.append(torch.randn(count, each.length or 1, generator=generator))
        else:
            assert each.domain is not None
            sides = program.trained if each.kind == "image" else size
            noise = torch.randn(count, each.domain.channels, *sides, generator=generator)
            found.append(noise if each.kind == "noise" else example(each.domain, count, sides))
    return found


@torch.no_grad()
def largest_difference(program: Program, compute: Compute, pairs: list[tuple[int, Size]], what: str) -> float:
    """The largest difference over all pairs; raises ``TranslateError``, which names ``what``, if it is too large."""
    largest = 0.0
    for count, size in pairs:
        image = example(program.source, count, size)
        inputs = example_inputs(program, count, size)
        wanted = program.network(image, *inputs)
        shown = f"{size[0]}x{size[1]}"
        answer = compute(image, *inputs)
        if answer.shape != wanted.shape:
            raise TranslateError(
                f"{what} answers {tuple(answer.shape)} at {shown}, where torch answers {tuple(wanted.shape)}; "
                "try another --format"
            )
        difference = (answer - wanted).abs().max().item()
        # The other way round, a value that is no number would pass.
        if not difference <= MOST_DIFFERENCE:
            raise TranslateError(
                f"{what} is {difference:.2g} off torch's output in [-1, 1] at {shown}, and at most "
                f"{MOST_DIFFERENCE:g} is allowed; try another --format"
            )
        largest = max(largest, difference)
    return largest
