"""Pictures of pages: sheets of images that commands have written, in columns with titles, in a grid, or in strips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.gallery.pages import Picture
from translate import images
from translate.errors import TranslateError
from translate.images import Image
from translate_datasets.landscapes import CLASSES
from translate_samples.grid import draw_grid

LARGEST = 150_000
"""Bytes of the largest picture of a page."""

_gap = 2
_width = 780
"""Pixels across: images are enlarged by whole numbers as far as they fit."""


def draw(picture: Picture, folder: Path, out: Path) -> None:
    """Lay a picture out of the files in ``folder``, and write it to ``out``, as a WebP file that is small enough."""
    if picture.columns:
        sheet = draw_grid(_columns(picture, folder))
    elif picture.grid:
        files = _files(folder / picture.grid)[: picture.rows * picture.blocks]
        cells = [_rgb(path) for path in files]
        cells = [_enlarged(each, _width // (picture.blocks * cells[0].shape[1])) for each in cells]
        rows = [cells[at : at + picture.blocks] for at in range(0, len(cells), picture.blocks)]
        sheet = _stacked([_beside(row) for row in rows])
    else:
        strips = [_rgb(folder / each) for each in picture.strips]
        sheet = _stacked([_enlarged(each, _width // each.shape[1]) for each in strips])
    for quality in (92, 85, 75, 60):
        found = images.encode(Image(sheet), ".webp", quality=quality)
        if len(found) <= LARGEST:
            break
    else:
        raise TranslateError(f"{out} would have more than {LARGEST:,} bytes; ask for fewer rows")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(found)


def _columns(picture: Picture, folder: Path) -> dict[str, torch.Tensor]:
    """The columns of a picture, the examples dealt out to its blocks."""
    first = next(iter(picture.columns.values()))
    names = [path.name for path in _files(folder / first)]
    count = picture.rows * picture.blocks
    chosen = names[:: picture.every or max(1, len(names) // count)][:count]
    columns: dict[str, torch.Tensor] = {}
    for block in range(picture.blocks):
        mine = chosen[block :: picture.blocks]
        for title, place in picture.columns.items():
            shown = [_rgb(_file(folder, place, name), as_map=title in picture.maps) for name in mine]
            shown = [
                _enlarged(each, _width // (len(picture.columns) * picture.blocks * each.shape[1])) for each in shown
            ]
            # Titles of further blocks are the same to the eye.
            columns[title + " " * block] = torch.from_numpy(np.stack(shown)).permute(0, 3, 1, 2)
    return columns


def _file(folder: Path, place: str, name: str) -> Path:
    """A file of a column: of the same name in a folder, or by a pattern with the name's stem, such as out/*-2.png."""
    return folder / place.replace("*", Path(name).stem) if "*" in place else folder / place / name


def _files(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.glob("[!.]*.png"))
    if not found:
        raise TranslateError(f"{folder} has no images for a picture; run the page's commands first")
    return found


def _rgb(path: Path, *, as_map: bool = False) -> NDArray[np.uint8]:
    pixels = images.read(path).pixels
    if as_map:
        return np.asarray(np.array(list(CLASSES.values()), np.uint8)[pixels[..., 0]])
    return np.asarray(images.as_channels(pixels, 3, str(path)), np.uint8)


def _enlarged(cell: NDArray[np.uint8], times: int) -> NDArray[np.uint8]:
    return images.resize(cell, (cell.shape[0] * max(1, times), cell.shape[1] * max(1, times)))


def _beside(cells: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return np.concatenate([np.pad(each, ((0, 0), (0, _gap), (0, 0)), constant_values=255) for each in cells], axis=1)


def _stacked(rows: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, _gap), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    return np.concatenate(padded, axis=0)
