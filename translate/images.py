"""Images: files to pixels and back, and stored values to what networks see, [-1, 1].

The only door to files' bit depth and colour: ``read`` and ``write`` for files, ``normalize`` and ``denormalize`` for
tensors, on whatever device they are. Nothing here keeps a state, so everything may be called from many threads.
"""

from __future__ import annotations

import colorsys
import contextlib
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from translate.data import Depth, Domain, Example
from translate.encoding import WRITABLE, encode
from translate.formats import Image, indices, planes, read, read_indices
from translate.headers import MAX_PIXELS, Header, ImageError, probe

__all__ = [
    "MAX_PIXELS",
    "READABLE",
    "WRITABLE",
    "Header",
    "Image",
    "ImageError",
    "as_channels",
    "as_depth",
    "colours",
    "denormalize",
    "find",
    "indices",
    "normalize",
    "planes",
    "probe",
    "read",
    "read_example",
    "read_indices",
    "resize",
    "to_rgb",
    "write",
]

Size = tuple[int, int]

READABLE = frozenset((*WRITABLE, ".gif", ".ppm", ".pgm", ".pbm", ".pnm"))
"""The suffixes of files that ``find`` lists."""

_largest: dict[Depth, int] = {"uint8": 255, "uint16": 65535}


# --- files ----------------------------------------------------------------------------------------------------------


def find(root: Path) -> list[Path]:
    """List the image files below a folder, sorted, hidden ones left out; for a file, that file."""
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise ImageError(f"there is no file or folder {root}; check its name")
    found: list[str] = []
    visited: set[str] = set()
    waiting = [str(root)]
    while waiting:
        folder = waiting.pop()
        place = os.path.realpath(folder)
        if place in visited:  # a link that leads back up
            continue
        visited.add(place)
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir():
                        waiting.append(entry.path)
                    elif os.path.splitext(entry.name)[1].lower() in READABLE:  # noqa: PTH122  (100,000 files a second)
                        found.append(entry.path)
        except OSError as error:
            raise ImageError(f"cannot list {folder}: {error.strerror}; check its permissions") from None
    return [Path(path) for path in sorted(found)]


def write(path: Path, image: Image, *, quality: int = 95) -> None:
    """Write an image in the format of the path's suffix, as ``translate.encoding.encode`` says.

    It is written beside, under a hidden name, flushed to the disk and renamed: whatever happens, the file is the old
    one or the new one, whole.
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        data = encode(image, path.suffix, quality=quality, name=str(path))
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except ImageError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise ImageError(f"cannot write {path}: {reason}; check the folder, its permissions and the disk") from None
    except MemoryError:
        raise ImageError(f"cannot write {path}: it needs more memory than there is; make it smaller") from None
    except (ValueError, cv2.error) as error:
        reason = " ".join(str(error).split())[:120].rstrip(".")
        raise ImageError(f"cannot write {path}: it cannot be encoded ({reason}); choose another format") from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


# --- pixels ---------------------------------------------------------------------------------------------------------


def resize(pixels: NDArray[Any], size: Size, *, nearest: bool = False) -> NDArray[Any]:
    """Resize (H, W, C) to a (height, width): the mean over the area when it shrinks, bicubic when it grows.

    Floats stay within the range of the image. ``nearest`` takes the value at each centre, for class indices.

    >>> resize(np.array([[[0], [9]]], np.uint8), (1, 4), nearest=True)[0, :, 0].tolist()
    [0, 0, 9, 9]
    """
    height, width, channels = pixels.shape
    if (height, width) == tuple(size):
        return pixels
    if nearest:
        rows = (np.arange(size[0]) * 2 + 1) * height // (2 * size[0])
        columns = (np.arange(size[1]) * 2 + 1) * width // (2 * size[1])
        return np.ascontiguousarray(pixels[rows[:, None], columns[None, :]])
    if channels > 4:  # OpenCV's bicubic filter takes at most four planes
        groups = [resize(pixels[..., first : first + 4], size) for first in range(0, channels, 4)]
        return np.concatenate(groups, axis=2)
    resized = np.ascontiguousarray(pixels)
    smaller = (min(height, size[0]), min(width, size[1]))
    if smaller != (height, width):
        resized = cv2.resize(resized, smaller[::-1], interpolation=cv2.INTER_AREA)
    if smaller != tuple(size):
        resized = cv2.resize(resized, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    if pixels.dtype == np.float32:
        resized = np.clip(resized, pixels.min(), pixels.max())
    return resized.reshape(size[0], size[1], channels)


def as_channels(pixels: NDArray[Any], channels: int, name: str) -> NDArray[Any]:
    """Bring (H, W, C) to a number of planes: gray is repeated to RGB, RGB becomes luma (Rec. 601); else an error."""
    stored = pixels.shape[2]
    if stored == channels:
        return pixels
    if stored == 1 and channels == 3:
        return np.repeat(pixels, 3, axis=2)
    if stored == 3 and channels == 1:
        luma = pixels.astype(np.float32) @ np.array([[0.299], [0.587], [0.114]], np.float32)
        return luma if pixels.dtype == np.float32 else np.rint(luma).astype(pixels.dtype)
    raise ImageError(f"{name} has {stored} channel(s) where {channels} are expected; convert it or leave it out")


def as_depth(pixels: NDArray[Any], depth: Depth, low: float = 0.0, high: float = 1.0) -> NDArray[Any]:
    """Bring pixels to a depth; floats from ``low`` to ``high`` correspond to an integer's full range.

    >>> as_depth(np.array([[[0, 128, 255]]], np.uint8), "uint16").tolist()
    [[[0, 32896, 65535]]]
    """
    if pixels.dtype == np.dtype(depth):
        return pixels
    share: NDArray[Any] = pixels.astype(np.float32)
    share = (share - low) / (high - low) if pixels.dtype == np.float32 else share / np.iinfo(pixels.dtype).max
    if depth == "float32":
        return np.asarray(share * (high - low) + low, dtype=np.float32)
    return np.rint(np.clip(share, 0, 1) * _largest[depth]).astype(depth)


def read_example(example: Example, domain: Domain) -> NDArray[Any]:
    """Read an example's pixels (H, W, C) with the domain's depth and planes; class maps as (H, W, 1) uint8 indices."""
    pixels = example.pixels
    if domain.classes:
        stored = read_indices(pixels) if isinstance(pixels, Path) else indices(_made(pixels), example.name)
        largest = int(stored.max(initial=0))
        if largest >= domain.classes:
            where = pixels if isinstance(pixels, Path) else example.name
            raise ImageError(
                f"{where} holds the class index {largest}, but there are {domain.classes} classes; "
                f"mend it or say classes={largest + 1}"
            )
        return _region(stored[..., None], example)
    image = read(pixels).pixels if isinstance(pixels, Path) else planes(_made(pixels), example.name)
    image = as_channels(
        _region(image, example), domain.channels, str(pixels) if isinstance(pixels, Path) else example.name
    )
    return as_depth(image, domain.depth, domain.low, domain.high)


def _made(pixels: Any) -> NDArray[Any]:
    return np.asarray(pixels() if callable(pixels) else pixels)


def _region(pixels: NDArray[Any], example: Example) -> NDArray[Any]:
    if example.region == "whole":
        return pixels
    half = pixels.shape[1] // 2
    if half == 0:
        raise ImageError(f"{example.name} is one pixel wide and has no {example.region} half; remove it")
    # Of an odd width the middle column belongs to neither half.
    return np.ascontiguousarray(pixels[:, :half] if example.region == "left" else pixels[:, -half:])


# --- tensors --------------------------------------------------------------------------------------------------------


def normalize(stored: Tensor, domain: Domain) -> Tensor:
    """Bring images as stored (N, C, H, W) to float32 in [-1, 1], on their device.

    Integers: v / 127.5 - 1, or v / 32767.5 - 1 for 16 bits. Floats: ``low`` becomes -1 and ``high`` 1. Class indices
    (N, 1, H, W): one plane a class, 1 where the class is and -1 elsewhere, or the palette's colours.
    """
    if domain.one_hot:
        classes = torch.arange(domain.classes, device=stored.device).view(1, -1, 1, 1)
        return (stored.long() == classes).float().mul_(2).sub_(1)
    if domain.palette:
        table = torch.tensor(domain.palette, dtype=torch.float32, device=stored.device) / 127.5 - 1
        return table[stored[:, 0].long()].permute(0, 3, 1, 2).contiguous()
    if domain.depth == "float32":
        return (stored.float() - domain.low).mul_(2 / (domain.high - domain.low)).sub_(1)
    return stored.float().div_(_largest[domain.depth] / 2).sub_(1)


def denormalize(images: Tensor, depth: Depth, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Bring images in [-1, 1] to stored values, rounded and clamped, on their device; the inverse of ``normalize``.

    >>> denormalize(torch.tensor([-1.0, 0.0, 1.0, 1.5]), "uint8").tolist()
    [0, 128, 255, 255]
    """
    share = images.float().add(1)
    if depth == "float32":
        return share.mul_((high - low) / 2).add_(low).clamp_(low, high)
    largest = _largest[depth]
    return share.mul_(largest / 2).round_().clamp_(0, largest).to(torch.uint8 if depth == "uint8" else torch.uint16)


def to_stored(images: Tensor, domain: Domain, depth: Depth) -> Tensor:
    """Bring a network's answers (N, C, H, W) in [-1, 1] to what a file of their domain stores, on their device.

    Class maps become indices (N, 1, H, W): the largest plane, or the palette's nearest colour. Other images are
    ``denormalize``d to ``depth``.
    """
    if domain.one_hot:
        return images.argmax(1, keepdim=True).to(torch.uint8)
    if not domain.palette:
        return denormalize(images, depth, domain.low, domain.high)
    palette = torch.tensor(domain.palette, dtype=images.dtype, device=images.device) / 127.5 - 1
    best = torch.full_like(images[:, :1], torch.inf)
    index = torch.zeros_like(best, dtype=torch.uint8)
    for number, colour in enumerate(palette):
        distance = (images - colour[:, None, None]).square().sum(1, keepdim=True)
        index = torch.where(distance < best, number, index)
        best = torch.minimum(distance, best)
    return index.to(torch.uint8)


def to_rgb(images: Tensor, domain: Domain) -> Tensor:
    """Bring images (N, C, H, W) in [-1, 1] to something to look at: (N, 3, H, W) uint8 on the CPU.

    One-hot planes become distinct colours, gray is repeated, two planes are red and green, of more the first three
    count.
    """
    images = images.detach()
    if domain.one_hot:
        table = torch.tensor(colours(domain.classes), dtype=torch.uint8)
        return table[images.argmax(1).cpu()].permute(0, 3, 1, 2).contiguous()
    shown = denormalize(images[:, :3], "uint8").cpu()
    if shown.shape[1] == 1:
        return shown.repeat(1, 3, 1, 1)
    if shown.shape[1] == 2:
        return torch.cat([shown, torch.zeros_like(shown[:, :1])], 1)
    return shown


def colours(count: int) -> tuple[tuple[int, int, int], ...]:
    """Distinct colours for classes: hues a golden angle apart, the lightness alternating.

    >>> len(set(colours(64)))
    64
    """
    chosen = []
    for index in range(count):
        red, green, blue = colorsys.hls_to_rgb((index * 0.618034) % 1, (0.5, 0.68, 0.34)[index % 3], 0.72)
        chosen.append((round(255 * red), round(255 * green), round(255 * blue)))
    return tuple(chosen)
