"""Sampling: a sampler and a number in, a folder of images made out of noise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from translate import images
from translate.conversion import FormatName, suffix_rule
from translate.errors import TranslateError
from translate.saved import BATCH, Sampler, load_sampler


def sample(
    sampler: Sampler | str | Path,
    target: str | Path,
    *,
    count: int = 64,
    seed: int = 0,
    format: FormatName = "png",  # noqa: A002 - the command line's word
    device: str = "auto",
    plugins: Sequence[str] = (),
    no_plugins: Sequence[str] = (),
) -> list[Path]:
    """Write ``count`` images made out of noise into a folder, ``000000.png`` and so on, and name them.

    Image i depends on ``seed`` and i alone, so a larger count goes on where a smaller one has stopped. A format that
    cannot hold the images is refused. ``device`` and the plugins matter only for a sampler that is still to be loaded.
    """
    if count < 1:
        raise TranslateError(f"sample: the number of images must be 1 or more, not {count}")
    if isinstance(sampler, (str, Path)):
        sampler = load_sampler(sampler, device=device, plugins=plugins, no_plugins=no_plugins)
    folder, domain = Path(target), sampler.domain
    suffix = suffix_rule(domain, domain, format)(".png")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TranslateError(f"cannot make the folder {folder}: {error.strerror}") from None
    written: list[Path] = []
    tell = sampler.catalog.tell
    tell("conversion_started", total=count)
    try:
        for start in range(0, count, BATCH):
            indices = range(start, min(start + BATCH, count))
            depth = "uint8" if domain.classes else domain.depth
            drawn = images.to_stored(sampler.draw(indices, seed), domain, depth).permute(0, 2, 3, 1).cpu().numpy()
            for index, pixels in zip(indices, drawn, strict=True):
                path = folder / f"{index:06d}{suffix}"
                images.write(path, images.Image(pixels, None))
                tell("image_converted", source=path, error=None)
                written.append(path)
    finally:
        tell("conversion_ended")
    return written
