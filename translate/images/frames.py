"""Frames: all frames of an animation and all pages of a TIFF file, one after the other, and files of several written.

Frames are read as they are displayed, each on what is left of those before it.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL.Image

from translate import atomic
from translate.images.animation import Apng, Avif, FrameWriter, Pages, Webp
from translate.images.directories import start_of
from translate.images.embedding import Embedded, embed
from translate.images.files import writing
from translate.images.formats import load, load_indices
from translate.images.headers import Header, check_size, open_file, orientation_of
from translate.images.opening import ImageError, decoding, open_regular
from translate.images.pictures import from_pillow
from translate.images.planes import Image
from translate.images.scanning import Metadata, tiff_metadata
from translate.images.tiff import LARGEST, read_page, single_page

HOLDS = {"frames": (".png", ".webp", ".avif", ".tif", ".tiff"), "pages": (".tif", ".tiff")}
"""The suffixes of files that can hold the frames of an animation, and the pages of a document."""

STILL = "pictures of animations for programs that show none are not kept"

_MOST_PAGES = 100_000


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame or page: its pixels, how many milliseconds it is shown, and a page's own metadata."""

    image: Image
    duration: float = 0.0
    metadata: Metadata | None = None


@dataclass(frozen=True, slots=True)
class Frames:
    """What a file of several frames or pages holds, known before any is kept.

    ``kind`` is ``frames`` or ``pages``. ``loop`` is how often an animation is shown, 0 without end. ``alpha`` says
    whether any frame of an animation is transparent anywhere. ``values`` counts the values of all. ``order`` is a
    TIFF's byte order, ``big`` a BigTIFF, and ``offsets`` are those of its pages. ``told`` are sentences about what is
    left out.
    """

    path: Path
    kind: str
    count: int
    values: int
    loop: int = 0
    alpha: bool = False
    order: str = "<"
    big: bool = False
    offsets: tuple[int, ...] = ()
    told: tuple[str, ...] = ()

    def read(
        self,
        *,
        max_pixels: int,
        indices: bool = False,
        check: Callable[[int, Header], None] | None = None,
    ) -> Iterator[Frame]:
        """Decode the frames one after the other; with ``indices`` pages are maps of class indices, as one plane.

        ``check`` sees the number and the header of each page before it is decoded, and may raise. Raises
        ``ImageError`` that names the frame or page.
        """
        if self.kind == "frames":
            for image, duration in _animated(self.path, max_pixels):
                yield Frame(_with_alpha(image, self.alpha), duration)
            return
        with open_regular(self.path) as file:
            for number, offset in enumerate(self.offsets, 1):
                name = f"{self.path}, page {number}"
                with decoding(name):
                    data = single_page(file, read_page(file, self.order, self.big, offset), self.big, max_pixels, name)
                    if check is not None:
                        check(number, open_file(io.BytesIO(data), name).header)
                    if indices:
                        image = Image(load_indices(data, name=name, max_pixels=max_pixels)[..., None])
                    else:
                        image = load(data, name=name, max_pixels=max_pixels)
                    del data
                    metadata = tiff_metadata(file, self.order, self.big, offset)
                yield Frame(image, 0.0, metadata)


def survey_frames(path: Path, *, max_pixels: int) -> Frames:
    """Find out what a file of several frames or pages holds; an animation is decoded once, frame by frame.

    Raises ``ImageError`` if a frame cannot be decoded, or is larger than ``max_pixels``.
    """
    with decoding(path), open_regular(path) as file:
        start = start_of(file.read(16))
        if start is not None:
            return _survey_pages(path, file, start)
    count = values = 0
    loop, alpha = 1, False
    told: tuple[str, ...] = ()
    for image, _ in _animated(path, max_pixels):
        count += 1
        values += image.pixels.size
        alpha = alpha or (image.alpha is not None and bool(image.alpha.min() < 255))
    with decoding(path), open_regular(path) as file:
        opened = open_file(file, str(path)).image
        if opened is not None:
            # A GIF that says nothing is shown once; the others say it always.
            loop = int(opened.info.get("loop", 1 if opened.format == "GIF" else 0))
            told = (STILL,) if opened.info.get("default_image") else ()
    return Frames(path, "frames", count, values, loop, alpha, told=told)


def _survey_pages(path: Path, file: BinaryIO, start: tuple[str, bool, int]) -> Frames:
    order, big, offset = start
    offsets: list[int] = []
    seen: set[int] = set()
    values = left_out = 0
    while offset and offset not in seen and len(seen) < _MOST_PAGES:
        seen.add(offset)
        page = read_page(file, order, big, offset)
        if not page.tags:
            raise ImageError(
                f"{path}, page {len(seen)} lies outside of the file; restore the file, or give --frames first"
            )
        if page.number(254) & 5:
            left_out += 1
        else:
            offsets.append(offset)
            values += page.number(256) * page.number(257) * page.number(277, 1)
        offset = page.following
    told = ["smaller forms and masks of a TIFF's pages are not kept"] if left_out else []
    if offset:
        told.append("pages that lead back to earlier ones are converted once")
    return Frames(path, "pages", len(offsets), values, order=order, big=big, offsets=tuple(offsets), told=tuple(told))


def _animated(path: Path, max_pixels: int) -> Iterator[tuple[Image, float]]:
    """The frames of an animation as they are displayed, and how many milliseconds each is shown."""
    with open_regular(path) as file:
        with decoding(path):
            opened = open_file(file, str(path))
            check_size(str(path), opened.header.height, opened.header.width, max_pixels)
            image = opened.image
            assert isinstance(image, PIL.Image.Image)
            turn = orientation_of(image)
            count = int(getattr(image, "n_frames", 1))
        first = 1 if image.info.get("default_image") else 0  # a PNG's picture for those who show no animation
        for number in range(first, count):
            name = f"{path}, frame {number + 1 - first}"
            with decoding(name):
                image.seek(number)
                image.load()
                duration = image.info.get("duration", 0)
                shown = from_pillow(image.copy(), name, orientation=turn)
            yield shown, float(duration) if isinstance(duration, (int, float)) and duration > 0 else 0.0


def _with_alpha(image: Image, alpha: bool) -> Image:
    """A frame with or without alpha, as all frames of its file."""
    if not alpha:
        return Image(image.pixels)
    return image if image.alpha is not None else Image(image.pixels, np.full(image.pixels.shape[:2], 255, np.uint8))


class FramesFile:
    """A file of several frames while it is written; what of the metadata was left out is in ``told``."""

    def __init__(self, writer: FrameWriter, path: Path, metadata: Metadata | None, order: str) -> None:
        self._writer, self._path, self._metadata, self._order = writer, path, metadata, order
        self.told: dict[str, None] = {}

    def append(self, frame: Frame) -> None:
        """Append a frame; a page's own metadata come before those of the file."""
        metadata = frame.metadata or self._metadata
        embedded, told = embed(metadata, frame.image, self._path.suffix) if metadata is not None else (Embedded(), ())
        self.told |= dict.fromkeys(told)
        if embedded.directory is not None and embedded.directory.order != self._order:
            self.told["EXIF data in another byte order than their TIFF file's are left out"] = None
        self._writer.append(frame.image, frame.duration, embedded)


@contextmanager
def writing_frames(
    path: Path, frames: Frames, *, quality: int = 95, metadata: Metadata | None = None
) -> Iterator[FramesFile]:
    """Write a file of several frames, one by one, atomically as ``translate.images.write`` does; with the block's end
    it is whole.

    PNG and WebP hold an animation, AVIF too, and TIFF both kinds, an animation without its durations.
    """
    suffix = path.suffix.lower()
    order = frames.order
    if metadata is not None and (directory := metadata.exif) is not None and frames.kind == "frames":
        order = directory.order
    with writing(path), ExitStack() as stack:
        temporary = stack.enter_context(atomic.replacing(path, folder=False))
        file = stack.enter_context(temporary.open("x+b"))
        writer: FrameWriter
        if suffix == ".png":
            writer = Apng(file, frames.count, frames.loop)
        elif suffix == ".webp":
            writer = Webp(file, frames.loop, quality)
        elif suffix == ".avif":
            # On the outputs' disk, which has room for them, as a folder for temporary files may lie in memory.
            waiting = stack.enter_context(tempfile.TemporaryFile(dir=path.parent, prefix=".", suffix=".part"))
            writer = Avif(file, waiting, quality)
        else:
            # Outputs may hold floats and alpha where inputs hold bytes.
            writer = Pages(file, frames.count, order=order, big=frames.values * 16 > LARGEST)
        opened = FramesFile(writer, path, metadata, order)
        if frames.kind == "frames" and suffix in (".tif", ".tiff"):
            opened.told[f"durations of frames are not kept: {suffix} files hold none"] = None
        if suffix == ".avif" and frames.loop != 0:
            opened.told["how often an animation is shown is not kept: .avif files written here hold none"] = None
        yield opened
        writer.close()
