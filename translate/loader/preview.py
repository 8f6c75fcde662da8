"""The preview batch: the first examples of each domain, for sample grids and validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, device

from translate.data import DOMAINS, Domain, Example
from translate.images import ImageError
from translate.loader.cache import Resize, decode_all, normalize
from translate.sizes import Size


@dataclass(frozen=True, slots=True)
class Preview:
    """Some examples: ``images`` (N, C, H, W) in [-1, 1] by domain or aligned stream, and the ``examples`` of each."""

    images: Mapping[str, Tensor]
    examples: Mapping[str, Sequence[Example]]


def preview_batch(
    examples: Mapping[str, Sequence[Example]],
    domains: Mapping[str, Domain],
    *,
    count: int,
    size: Size,
    resize: Resize,
    device: device,
    memory: int | None = None,
    max_pixels: int | None = None,
    paired: bool = False,
    aligned: Mapping[str, str] | None = None,
    on_broken: Callable[[str, str], None] | None = None,
) -> Preview:
    """The first ``count`` examples of each domain, resized to ``size``, with nothing random.

    For sample grids and validation. ``aligned`` names the streams that are shown beside a domain, with that domain. A
    domain with fewer examples gives all of them. ``memory`` and ``max_pixels`` bound the decoding, as in
    ``decode_all``. ``on_broken`` gets the domain and the reason of each that does not decode; those that follow take
    their places, with all images of ``paired`` data and of aligned streams that belong to it. A domain of which none
    can be read is missing. Without ``on_broken``, raises a TranslateError.
    """
    partners = dict(aligned or {})
    listed = {name: list(examples[name]) for name in (*DOMAINS, *partners) if name in examples}

    def home(name: str) -> str:
        own = partners.get(name, name)
        return DOMAINS[0] if paired else own

    asked: dict[str, Any] = {
        "size": size, "resize": resize, "device": device, "memory": memory, "max_pixels": max_pixels,
    }  # fmt: skip
    while True:
        first = {name: each[:count] for name, each in listed.items() if each}
        broken: set[tuple[str, int]] = set()

        def note(name: str, row: int, error: ImageError) -> None:
            assert on_broken is not None
            broken.add((home(name), row))  # noqa: B023
            on_broken(name, str(error))

        kept = decode_all(first, domains, on_broken=None if on_broken is None else note, **asked)
        if not broken:
            return Preview({name: normalize(pixels, domains[name]) for name, pixels in kept.items()}, first)
        listed = {
            name: [example for row, example in enumerate(each) if (home(name), row) not in broken]
            for name, each in listed.items()
        }
