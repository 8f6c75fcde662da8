"""Partners of aligned images: where images are cut to keep their aspect ratio, both must have the same one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from translate import images
from translate.data import Domain, Example
from translate.images import ImageError
from translate.memory import Budget
from translate.sizes import Size
from translate.terminal import printable


def refuse_unlike(example: Example, size: Sequence[int], partner: Sequence[int]) -> None:
    """Raise ``ImageError`` unless an aligned image (height, width) has the aspect ratio of its partner."""
    if size[0] * partner[1] != size[1] * partner[0]:
        name = str(example.pixels) if isinstance(example.pixels, Path) else printable(example.name, 100)
        raise ImageError(
            f"{name} has {size[0]} x {size[1]} pixels, and the image that it belongs to {partner[0]} x {partner[1]}, "
            "so that --resize cover would cut another part of it; make both alike, or use --resize stretch"
        )


def unlike(
    examples: Mapping[str, Sequence[Example]],
    domains: Mapping[str, Domain],
    aligned: Mapping[str, str],
    *,
    budget: Budget,
    workers: int,
) -> dict[tuple[str, int], ImageError]:
    """The aligned images, by stream and index, that have another aspect ratio than their partner.

    Files are told by their headers. What cannot be read is none of these; decoding tells it.
    """
    found: dict[tuple[str, int], ImageError] = {}
    with ThreadPoolExecutor(workers, thread_name_prefix="translate-decode") as pool:
        for stream, partner in aligned.items():
            both = [
                pool.map(lambda one, domain=domains[name]: _size(one, domain, budget), examples[name])
                for name in (stream, partner)
            ]
            for row, (mine, theirs) in enumerate(zip(*both, strict=True)):
                if mine is not None and theirs is not None:
                    try:
                        refuse_unlike(examples[stream][row], mine, theirs)
                    except ImageError as error:
                        found[stream, row] = error
    return found


def _size(example: Example, domain: Domain, budget: Budget) -> Size | None:
    try:
        if isinstance(example.pixels, Path):
            header = images.probe(example.pixels, budget=budget)
            return header.height, header.width if example.region == "whole" else header.width // 2
        if isinstance(example.pixels, np.ndarray) and example.region == "whole":
            return example.pixels.shape[0], example.pixels.shape[1]
        height, width = images.read_example(example, domain, budget=budget).shape[:2]
    except ImageError:
        return None
    return height, width
