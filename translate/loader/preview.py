"""The preview batch: the first examples of each domain, for sample grids and validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from translate.data import Domain, Example
from translate.images import ImageError
from translate.loader.cache import Resize, decode_all, normalize
from translate.sizes import Size


def preview_batch(
    examples: Mapping[str, Sequence[Example]],
    domains: Mapping[str, Domain],
    *,
    count: int,
    size: Size,
    resize: Resize,
    device: torch.device,
    memory: int | None = None,
    max_pixels: int | None = None,
    paired: bool = False,
    on_broken: Callable[[str, str], None] | None = None,
) -> dict[str, Tensor]:
    """The first ``count`` examples of each domain (N, C, H, W) in [-1, 1], resized to ``size``, with nothing random.

    For sample grids and validation. A domain with fewer examples gives all of them. ``memory`` and ``max_pixels`` bound
    the decoding, as in ``decode_all``. ``on_broken`` gets the domain and
    the reason of each that does not decode; those that follow take their places, with both images of ``paired`` data. A
    domain of which none can be read is missing. Without ``on_broken``, raises a TranslateError.
    """
    listed = {name: list(examples[name]) for name in ("source", "target") if name in examples}
    asked: dict[str, Any] = {
        "size": size, "resize": resize, "device": device, "memory": memory, "max_pixels": max_pixels,
    }  # fmt: skip
    while True:
        first = {name: each[:count] for name, each in listed.items() if each}
        broken: set[tuple[str, int]] = set()

        def note(name: str, row: int, error: ImageError) -> None:
            assert on_broken is not None
            broken.add((name, row))  # noqa: B023
            on_broken(name, str(error))

        kept = decode_all(first, domains, on_broken=None if on_broken is None else note, **asked)
        if not broken:
            return {name: normalize(pixels, domains[name]) for name, pixels in kept.items()}
        dropped = {row for _, row in broken}
        listed = {
            name: [
                example for row, example in enumerate(each) if not (row in dropped if paired else (name, row) in broken)
            ]
            for name, each in listed.items()
        }
