"""Previews: small pictures that a browser shows, kept beside the records while images are converted."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from translate import atomic
from translate.gallery.records import Shown
from translate.images import Image, as_channels, beside, encode, reduced

LONGEST = 1024
"""The longer side of a preview, in pixels."""

THUMBNAIL = 160
"""The longer side of each half of a thumbnail."""

QUALITY = 88
GAP = 4

BROWSER = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp"))
"""The suffixes of outputs that every browser shows."""


def keep_previews(
    folder: Path, name: str, before: Image | None, after: Sequence[Image], outputs: Sequence[Path | None]
) -> Shown:
    """Write the previews of an image below ``folder`` and say where they are.

    ``outputs`` are the files that hold the pixels of ``after``, None where none does. One that a browser shows and that
    is no larger than a preview gets none, since a page shows the file itself. The names of previews are hashes of
    ``name``, in 256 folders.
    """
    base = _base(name)
    shown = [reduced(each, LONGEST) for each in after]
    pictures = [*([] if before is None else [reduced(before, LONGEST)]), *shown[:1]]
    if not pictures:
        return Shown()
    (folder / base).parent.mkdir(exist_ok=True)
    kept = tuple(
        None if _is_shown(output, each) else _keep(folder, f"{base}-{number}", small)
        for number, (each, small, output) in enumerate(zip(after, shown, outputs, strict=True), 1)
    )
    return Shown(
        _keep(folder, f"{base}-t", _thumbnail(pictures)),
        None if before is None else _keep(folder, f"{base}-0", pictures[0]),
        kept,
        (after[0].pixels.shape[1], after[0].pixels.shape[0]) if after else None,
        any(each.alpha is not None for each in (*pictures, *after)),
    )


def remove_previews(folder: Path, name: str, shown: Shown, *, but: Shown | None = None) -> None:
    """Remove the previews of an image that were written below ``folder``, but those of ``but``; nothing else."""
    kept = set() if but is None else set(_files(but))
    for file in _files(shown):
        # What a line names that is no preview of this image is not of this gallery's making.
        if file not in kept and file.startswith(f"{_base(name)}-") and not (folder / file).parent.is_symlink():
            with contextlib.suppress(OSError):
                (folder / file).unlink()


def _files(shown: Shown) -> list[str]:
    return [each for each in (shown.thumbnail, shown.before, *shown.after) if each is not None]


def _base(name: str) -> str:
    place = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{place[:2]}/{place[2:]}"


def _is_shown(output: Path | None, image: Image) -> bool:
    return output is not None and output.suffix.lower() in BROWSER and max(image.pixels.shape[:2]) <= LONGEST


def _thumbnail(pictures: Sequence[Image]) -> Image:
    small = [reduced(_rgb(each), THUMBNAIL) for each in pictures]
    return beside(small, GAP, white=255) if len(small) > 1 else small[0]


def _rgb(image: Image) -> Image:
    return Image(as_channels(image.pixels, 3, "a preview"), image.alpha)


def _keep(folder: Path, name: str, image: Image) -> str:
    if image.alpha is not None and bool(np.all(image.alpha == 255)):
        image = Image(image.pixels)
    suffix = ".jpg" if image.alpha is None else ".webp"
    data = encode(image, suffix, quality=QUALITY, name=name)
    atomic.write(folder / f"{name}{suffix}", data, content=False, folder=False)
    return f"{name}{suffix}"
