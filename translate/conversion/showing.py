"""Showing: what a gallery and outputs side by side need of an input, and what they make of it and its outputs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from translate import images
from translate.conversion.plan import Task
from translate.data import Depth, Domain
from translate.errors import TranslateError
from translate.gallery import PREVIEW, Gallery
from translate.images import Image
from translate.sizes import Size

GAP = 8
"""The columns between an input and its outputs that lie side by side."""


def target_side_by_side(source: Domain, target: Domain) -> Domain:
    """The domain of files that hold an input and its outputs: the target's, with colours where one side has them.

    Class maps on either side are shown in colours. Raises ``TranslateError`` where the sides have numbers of planes
    that cannot lie in one image.

    >>> target_side_by_side(Domain(3), Domain(12, classes=12)).channels
    3
    """
    left, right = (3 if side.classes else side.channels - (side.alpha == "plane") for side in (source, target))
    if left != right and not {left, right} <= {1, 3}:
        raise TranslateError(
            f"inputs of {left} channels and outputs of {right} cannot lie side by side; leave out --side-by-side"
        )
    if target.classes:
        return Domain(3)
    return replace(target, channels=max(left, right) + (target.alpha == "plane"))


@dataclass(frozen=True, slots=True)
class Showing:
    """What is made of inputs beside the outputs: files of both (``side_by_side``), records of a gallery, or both."""

    source: Domain
    target: Domain
    side_by_side: bool = False
    gallery: Gallery | None = None

    def input(self, image: Image, size: Size | None) -> Image:
        """The input (indices as its one plane) as it is shown: class maps in colours, of a ``size`` if given.

        For files it keeps its size and depth; for a gallery alone it is a preview of 8 bits.
        """
        if self.source.classes:
            image = images.displayed(image, self.source)
        if size is not None:
            alpha = None if image.alpha is None else images.resize(image.alpha[..., None], size)[..., 0]
            image = Image(images.resize(image.pixels, size), alpha)
        return image if self.side_by_side else images.reduced(self._preview(image), PREVIEW)

    def files(self, shown: Image, outputs: Sequence[Image], suffix: str, name: str) -> Sequence[Image]:
        """What the files of an image hold: its outputs, or one image of the input and all outputs beside each other.

        That has the outputs' height and depth. ``suffix`` is that of the file, and ``name`` stands for it in errors.
        """
        if not self.side_by_side:
            return outputs
        target = Domain(3) if self.target.classes else self.target
        if self.target.classes:
            outputs = [images.displayed(output, self.target) for output in outputs]
        depth, own = _depth(outputs[0]), _depth(shown)
        source = Domain(3) if self.source.classes else self.source
        limits = target.at(depth).limits
        pixels = images.in_limits(shown.pixels, source.at(own).limits, depth, limits)
        alpha = None if shown.alpha is None else images.as_depth(shown.alpha[..., None], depth)[..., 0]
        strip = images.beside([Image(pixels, alpha), *outputs], GAP, white=limits[1], name=name)
        if strip.alpha is not None and all(map(_is_opaque, (shown, *outputs))):
            strip = Image(strip.pixels)
        if strip.alpha is not None and suffix.lower() in (".tif", ".tiff"):  # which hold no gray with alpha
            strip = Image(images.as_channels(strip.pixels, 3, name), strip.alpha)
        return [strip]

    def record(self, task: Task, shown: Image, outputs: Sequence[Image], *, seconds: float | None = None) -> None:
        """Add what became of an image to the gallery, if there is one."""
        if self.gallery is None:
            return
        self.gallery.add(
            task.name,
            source=task.source,
            before=self._preview(shown) if self.side_by_side else shown,
            after=[images.displayed(output, self.target) for output in outputs],
            outputs=task.outputs,
            as_stored=not self.side_by_side and not self.target.classes and _depth(outputs[0]) == "uint8",
            seconds=seconds,
        )

    def parts(self, strip: Image, count: int) -> Sequence[Image]:
        """The input and the ``count`` outputs in an image of all beside each other, as they are displayed."""
        shown = images.displayed(strip, target_side_by_side(self.source, self.target))
        width = (shown.pixels.shape[1] - count * GAP) // (count + 1)
        alpha = shown.alpha
        columns = [slice(number * (width + GAP), number * (width + GAP) + width) for number in range(count + 1)]
        return [Image(shown.pixels[:, each], None if alpha is None else alpha[:, each]) for each in columns]

    def _preview(self, image: Image) -> Image:
        return image if self.source.classes else images.displayed(image, self.source)


def showing_for(source: Domain, target: Domain, root: Path, asked: Mapping[str, Any]) -> Showing | None:
    """What the options ``gallery`` and ``side_by_side`` ask for, with outputs below ``root``; None if neither does.

    A dry run makes no gallery there: its ``forecast`` has one in a temporary folder.
    """
    if not (asked["gallery"] or asked["side_by_side"]):
        return None
    if asked["gallery"] and asked["dry_run"]:
        Gallery.refuse(root)
    gallery = Gallery(root) if asked["gallery"] and not asked["dry_run"] else None
    return Showing(source, target, asked["side_by_side"], gallery)


@contextmanager
def finishing(showing: Showing | None) -> Iterator[None]:
    """Make the gallery's page when the block ends, however it does, if there is a gallery."""
    if showing is None or showing.gallery is None:
        yield
        return
    try:
        yield
    except BaseException:
        with suppress(OSError, TranslateError):
            showing.gallery.write()
        raise
    else:
        showing.gallery.write()
    finally:
        showing.gallery.close()


def record_failures(showing: Showing | None, source: Path, failed: Iterable[tuple[Path, str]]) -> None:
    """Add what could not be converted to the gallery, if there is one: files below ``source``, with reasons."""
    if showing is None or showing.gallery is None:
        return
    for file, reason in failed:
        place = Path(os.path.abspath(file))  # noqa: PTH100 - links keep their names
        name = place.relative_to(source) if place.is_relative_to(source) else Path(file.name)
        showing.gallery.add(name.as_posix(), source=file, reason=reason)


def _depth(image: Image) -> Depth:
    depth: Depth = str(image.pixels.dtype)  # type: ignore[assignment]
    return depth


def _is_opaque(image: Image) -> bool:
    if image.alpha is None:
        return True
    return bool((image.alpha >= (1 if image.alpha.dtype.kind == "f" else np.iinfo(image.alpha.dtype).max)).all())
