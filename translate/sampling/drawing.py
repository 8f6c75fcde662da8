"""The implementation of ``sample``: generate images in batches and write each to a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from translate import images, outputs
from translate.conversion import suffix_rule
from translate.description import check_given
from translate.errors import TranslateError
from translate.saved import BATCH, Sampler, load_sampler, loaded

DEFAULT = 64
"""The number of images, if nobody says how many."""


def sample_as_asked(
    sampler: Sampler | str | Path,
    folder: Path,
    asked: Mapping[str, Any],
    plugins: Sequence[str],
    no_plugins: Sequence[str],
) -> list[Path]:
    """Write images with the checked options of ``sample``, and return their paths."""
    for name in ("steps", "range", "around", "direction"):
        if asked[name] is not None:
            raise TranslateError(
                f"sample: --{name} is for --interpolate and --traverse; add one of them, or leave it out"
            )
    values = asked["given"] or {}
    if isinstance(sampler, (str, Path)):
        check_given(sampler, asked["step"], "sample", values)
    how = {name: asked[name] for name in ("step", "device")}
    sampler = loaded(sampler, load_sampler, how, plugins, no_plugins)
    given = sampler.read_given(values)
    count, domain = asked["count"] or given.count or DEFAULT, sampler.domain
    given.numbered([count - 1])
    suffix = suffix_rule(domain, domain, asked["format"])(".png")
    paths = [folder / f"{index:06d}{suffix}" for index in range(count)]
    if not asked["overwrite"]:
        outputs.refuse_existing(*paths)
    outputs.make_folder(folder)
    written: list[Path] = []
    tell = sampler.catalog.tell
    tell("conversion_started", total=count, verb="sample")
    try:
        for start in range(0, count, BATCH):
            indices = range(start, min(start + BATCH, count))
            depth = "uint8" if domain.classes else domain.depth
            drawn = (
                images.to_stored(sampler.draw(indices, asked["seed"], given=given), domain, depth)
                .permute(0, 2, 3, 1)
                .cpu()
                .numpy()
            )
            for index, pixels in zip(indices, drawn, strict=True):
                path = paths[index]
                images.write(path, images.Image(pixels, None))
                tell("image_converted", source=path, error=None, bottleneck="")
                written.append(path)
    finally:
        tell("conversion_ended")
    return written
