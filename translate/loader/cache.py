"""The cache: decodes examples on threads into planes of one size, and reports all that do not decode at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from translate import images
from translate.data import Domain, Example
from translate.errors import TranslateError
from translate.machine import cores
from translate.memory import Budget
from translate.sizes import Size

Resize = Literal["stretch", "cover"]

OnBroken = Callable[[str, int, images.ImageError], None]

_dtypes = {"uint8": torch.uint8, "uint16": torch.int16, "float32": torch.float32}


def dtype_of(domain: Domain) -> torch.dtype:
    """The dtype of cached images: their own, but int16 for 16 bits, since torch cannot gather uint16."""
    return torch.uint8 if domain.classes else _dtypes[domain.depth]


def planes_of(domain: Domain) -> int:
    """The number of planes of a cached image: class maps have one plane of indices until they are normalised."""
    return 1 if domain.classes else domain.channels


def normalize(kept: Tensor, domain: Domain) -> Tensor:
    """Convert cached images (N, C, H, W) to float32 in [-1, 1]."""
    return images.normalize(kept.view(torch.uint16) if kept.dtype == torch.int16 else kept, domain)


def planes(pixels: NDArray[Any], domain: Domain, size: Size, resize: Resize) -> Tensor:
    """Resize (H, W, C) to ``size`` and lay it out as planes (C, h, w) of ``dtype_of(domain)``.

    ``cover`` keeps the aspect ratio and takes the middle; class maps and aligned streams keep their stored values.
    """
    if resize == "cover":
        height, width = pixels.shape[:2]
        scale = min(height / size[0], width / size[1])
        inner = min(height, max(1, round(size[0] * scale))), min(width, max(1, round(size[1] * scale)))
        top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
        pixels = pixels[top : top + inner[0], left : left + inner[1]]
    resized = images.resize(pixels, size, nearest=domain.by_nearest)
    array = np.array(resized.transpose(2, 0, 1), order="C")
    return torch.from_numpy(array.view(np.int16) if array.dtype == np.uint16 else array)


def decode_all(
    examples: Mapping[str, Sequence[Example]],
    domains: Mapping[str, Domain],
    *,
    size: Size,
    resize: Resize,
    device: torch.device,
    workers: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
    memory: int | None = None,
    max_pixels: int | None = None,
    into: Mapping[str, Tensor] | None = None,
    on_broken: OnBroken | None = None,
) -> dict[str, Tensor]:
    """Decode all examples into one tensor (n, C, h, w) per domain on the device; ``on_progress`` gets (done, total).

    ``workers``: threads, 0 for one per core. ``memory``: the most bytes that decoding may take at a time, by default a
    share of what is free. ``max_pixels``: the most pixels of an image. ``into``: existing tensors to fill.
    ``on_broken`` gets the domain, the index and the error of each that does not decode, in their order, once all others
    are decoded; its place in the tensor is then undefined. Without it, raises a TranslateError that counts and names
    them. Raises one if the images do not fit into memory.
    """
    try:
        kept = dict(into or {}) or {
            name: torch.empty(
                (len(listed), planes_of(domains[name]), *size), dtype=dtype_of(domains[name]), device=device
            )
            for name, listed in examples.items()
        }
    except RuntimeError:
        raise TranslateError(
            f"the decoded images do not fit into the memory of {device}; use --cache auto, or a smaller --load-size"
        ) from None

    budget = Budget(memory, max_pixels)

    def decode(name: str, row: int) -> None:
        pixels = images.read_example(examples[name][row], domains[name], budget=budget)
        kept[name][row].copy_(planes(pixels, domains[name], size, resize))

    jobs = [(name, row) for name, listed in examples.items() for row in range(len(listed))]
    errors: dict[int, images.ImageError] = {}
    with ThreadPoolExecutor(workers or cores(), thread_name_prefix="translate-decode") as pool:
        begun = {pool.submit(decode, *job): number for number, job in enumerate(jobs)}
        try:
            for done, future in enumerate(as_completed(begun), start=1):
                try:
                    future.result()
                except images.ImageError as error:
                    errors[begun[future]] = error
                if on_progress is not None:
                    on_progress(done, len(jobs))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if errors and on_broken is None:
        raise undecodable([errors[number] for number in sorted(errors)], len(jobs))
    for number in sorted(errors):
        assert on_broken is not None
        on_broken(*jobs[number], errors[number])
    return kept


def undecodable(errors: Sequence[images.ImageError], total: int) -> TranslateError:
    """One error for all that do not decode: three are named, the rest are counted."""
    named = "; ".join(str(error).rstrip(".") for error in errors[:3])
    more = f"; and {len(errors) - 3} more" if len(errors) > 3 else ""
    return TranslateError(
        f"{len(errors)} of {total} images cannot be used: {named}{more}; "
        "remove them, or see `translate data DATA --full`"
    )
