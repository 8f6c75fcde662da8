"""Reading: one door for files, their bytes, open files, Pillow's images and arrays, to planes as they are displayed.

Pillow decodes 8-bit files (palettes, ICC profiles, CMYK), OpenCV 16-bit and float ones, which Pillow would silently
reduce to 8 bits; ``.npy`` files hold any number of planes. A file's size is known from its header before anything is
decoded.
"""

from __future__ import annotations

import io
import os
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from translate.images.deep import decode_deep
from translate.images.headers import HeldFile, Opened, check_budget, check_size, open_file
from translate.images.npy import ArrayHeader
from translate.images.opening import ImageError, decoding, open_regular
from translate.images.pictures import from_pillow, indices_from_pillow
from translate.images.planes import Image, checked, depth_of_type, indices, planes
from translate.images.whole import check_whole
from translate.memory import MAX_PIXELS, Budget, budget_here

Source = str | Path | bytes | bytearray | memoryview | BinaryIO | PIL.Image.Image | NDArray[Any] | Image | HeldFile
"""What can be read: a file's path, its bytes, an open binary file, a Pillow image, an array, or a decoded image.

A ``HeldFile`` is a file that conversion holds in memory.
"""


def load(
    source: Source,
    *,
    name: str = "",
    max_pixels: int | None = None,
    channels: int | None = None,
    budget: Budget | None = None,
) -> Image:
    """Read an image as it is displayed, at its own depth; each kind of ``source`` gives the same planes.

    The orientation in EXIF is applied, palettes are expanded, CMYK becomes RGB, colours with an ICC profile are
    converted to sRGB at 8 and at 16 bits, and of an animation the first frame is taken. Arrays (H, W) or (H, W, C) are
    uint8, uint16 or float and copied as they are. A Pillow image has the depth that Pillow gave it: 8 bits for colour.
    By its header alone an image is refused that has more than ``max_pixels`` (by default the budget's, or 2**28),
    planes that cannot become ``channels``, or more to decode than the ``budget``, which is held meanwhile. Where a data
    set's function calls this, the budget is that of the command. ``name`` stands for the image in an ``ImageError``.
    """
    name = _named(source, name)
    budget = budget_here() if budget is None else budget
    if max_pixels is None:
        max_pixels = MAX_PIXELS if budget is None else budget.max_pixels
    if isinstance(source, np.ndarray):
        return Image(planes(source, name))
    if isinstance(source, Image):
        return checked(source, name)
    with decoding(name):
        if isinstance(source, PIL.Image.Image):
            check_size(name, source.height, source.width, max_pixels)
            return from_pillow(source, name)
        with _opened(source) as file, ExitStack() as stack:
            opened = _checked(source, file, name, max_pixels, channels, budget, stack)
            if opened.array is not None:
                depth_of_type(opened.array.dtype, name)
                return Image(planes(_array(file, opened.array), name))
            if opened.image is not None:
                opened.image.load()
                check_whole(opened.image, file, name)
                return from_pillow(opened.image, name, bits=opened.bits, orientation=opened.orientation)
            file.seek(0)
            return decode_deep(file.read(), opened, name)


def load_indices(
    source: Source, *, name: str = "", max_pixels: int | None = None, budget: Budget | None = None
) -> NDArray[np.uint8]:
    """Read a map of class indices (H, W) as stored: a palette is not expanded, few-bit grays are not stretched."""
    name = _named(source, name)
    budget = budget_here() if budget is None else budget
    if max_pixels is None:
        max_pixels = MAX_PIXELS if budget is None else budget.max_pixels
    if isinstance(source, np.ndarray):
        return indices(source, name)
    if isinstance(source, Image):
        raise ImageError(
            f"{name} is decoded as a picture, in which classes may have other numbers; give the file's bytes, or what "
            "images.load_indices makes of them"
        )
    with decoding(name):
        if isinstance(source, PIL.Image.Image):
            check_size(name, source.height, source.width, max_pixels)
            return indices_from_pillow(source, name)
        with _opened(source) as file, ExitStack() as stack:
            opened = _checked(source, file, name, max_pixels, None, budget, stack)
            if opened.array is not None:
                return indices(_array(file, opened.array), name)
            if opened.image is not None:
                opened.image.load()
                check_whole(opened.image, file, name)
                return indices_from_pillow(opened.image, name, bits=opened.bits, orientation=opened.orientation)
            file.seek(0)
            return indices(decode_deep(file.read(), opened, name, as_stored=True).pixels, name)


def decode(data: bytes | bytearray | memoryview, name: str, *, max_pixels: int | None = None) -> Image:
    """Decode the bytes of an image file, such as a member of an archive, to what its file would give.

    Colours, depth, orientation, transparency and limits are those of ``load``; ``name`` names the image in an
    ``ImageError``. Bytes of a map of class indices are not for this: let the data set's function return the bytes
    themselves, or use ``load_indices``.

    >>> decode(b"P5 2 1 255 " + bytes([7, 9]), "shard.tar: a.pgm").pixels[..., 0].tolist()
    [[7, 9]]
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise ImageError(f"{name} is decoded from bytes, not from a {type(data).__name__}; read its file first")
    return load(data, name=name, max_pixels=max_pixels)


def read(path: str | Path, *, max_pixels: int | None = None) -> Image:
    """Decode a file as it is displayed, at its own depth, as ``load`` does."""
    return load(path, max_pixels=max_pixels)


def read_indices(path: str | Path, *, max_pixels: int | None = None) -> NDArray[np.uint8]:
    """Read a map of class indices (H, W) from a file, as ``load_indices`` does."""
    return load_indices(path, max_pixels=max_pixels)


def _named(source: Source, name: str) -> str:
    if name or not isinstance(source, (str, os.PathLike)):
        return name or ("the array" if isinstance(source, np.ndarray) else "the image")
    return os.fspath(source)


def _opened(source: Any) -> AbstractContextManager[BinaryIO]:
    if isinstance(source, HeldFile):
        return nullcontext(source.file)
    if isinstance(source, (str, os.PathLike)):
        return open_regular(Path(source))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return io.BytesIO(source)
    if hasattr(source, "read"):
        return io.BytesIO(source.read()) if not source.seekable() or source.tell() else nullcontext(source)
    raise ImageError(
        f"an image is a path, bytes, a binary file, a Pillow image or an array, not {type(source).__name__}"
    )


def _checked(
    source: Any,
    file: BinaryIO,
    name: str,
    max_pixels: int,
    channels: int | None,
    budget: Budget | None,
    stack: ExitStack,
) -> Opened:
    """Read a file's header, refuse what may not be decoded, and hold the memory of decoding until the stack ends."""
    opened = source.opened if isinstance(source, HeldFile) else open_file(file, name)
    header = opened.header
    check_size(name, header.height, header.width, max_pixels)
    if channels is not None and header.channels not in (channels, 1, 3):
        raise ImageError(
            f"{name} has {header.channels} channel(s) where {channels} are expected; convert it or leave it out"
        )
    if budget is not None:
        check_budget(name, header, budget, max_pixels)
        stack.enter_context(budget.hold(header.decoding))
    return opened


def _array(file: BinaryIO, header: ArrayHeader) -> NDArray[Any]:
    """The values of a ``.npy`` file whose header has been read."""
    return header.array(np.frombuffer(file.read(header.nbytes), header.dtype))
