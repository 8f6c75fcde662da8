"""Thumbnails: small pictures of many training images, for those who watch what a training makes of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from translate import images
from translate.data import DOMAINS, Domain
from translate.loader.cache import normalize

MOST = 512
"""The most thumbnails of a domain."""

SIDE = 32
"""The longest height and width of a thumbnail."""


@torch.no_grad()
def thumbnails(
    kept: Mapping[str, Tensor], domains: Mapping[str, Domain], missing: Mapping[str, Collection[int]]
) -> dict[str, Tensor]:
    """Evenly chosen images of source and target, without the ``missing`` rows: (N, 3, h, w) uint8 on the CPU.

    ``kept`` are decoded images (n, C, H, W) as the cache has them. A larger image is averaged over areas.
    """
    found = {}
    for name in DOMAINS:
        if name not in kept:
            continue
        left_out = set(missing.get(name, ()))
        rows = [row for row in range(len(kept[name])) if row not in left_out]
        rows = rows[:: -(-len(rows) // MOST)] if rows else rows
        size = tuple(min(side, SIDE) for side in kept[name].shape[2:])
        # In parts, since images are floats while they shrink.
        parts = [
            F.interpolate(normalize(kept[name][rows[at : at + 32]], domains[name]), size=size, mode="area")
            for at in range(0, len(rows), 32)
        ]
        if parts:
            found[name] = images.to_rgb(torch.cat(parts), domains[name])
    return found
