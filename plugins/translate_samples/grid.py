"""Grid: one row per example, one column per kind of image, with the columns' names on top."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from translate import images

GAP = 2
HEADER = 16
MOST = 4096
"""Longest side of a grid in pixels; cells shrink to fit, and rows that still do not fit are left out."""
PAPER, INK = 255, 60


LAYOUT = b"translate-grid"
"""The text of a grid's PNG file by which a report finds its cells."""


def write_grid(path: Path, columns: Mapping[str, Tensor]) -> None:
    """Write columns of images (N, 3, H, W) uint8 on the CPU as one picture; the folder is created if it is missing.

    The file says how it is laid out, as JSON: ``columns``, the ``width`` and ``height`` of a cell, ``rows``, the rows
    of pixels on ``top`` and the ``gap`` after each cell and below the titles.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _, height, width, rows = _measure(columns)
    layout = {
        "columns": list(columns), "width": width, "height": height, "rows": rows, "top": HEADER + GAP, "gap": GAP
    }  # fmt: skip
    texts = ((b"tEXt", LAYOUT + b"\0" + json.dumps(layout).encode()),)
    images.write(path, images.Image(draw_grid(columns), None), metadata=images.Metadata(texts=texts))


def draw_grid(columns: Mapping[str, Tensor]) -> NDArray[np.uint8]:
    """Lay columns of images (N, 3, H, W) uint8 out as one picture (H', W', 3); a shorter column ends in blank cells.

    >>> import torch
    >>> draw_grid({"source": torch.zeros(2, 3, 32, 48), "fake": torch.zeros(2, 3, 32, 48)}).shape
    (84, 98, 3)
    """
    scale, cell_height, cell_width, rows = _measure(columns)
    sheet = Image.new(
        "RGB",
        (len(columns) * (cell_width + GAP) - GAP, HEADER + rows * (cell_height + GAP)),
        (PAPER, PAPER, PAPER),
    )
    for number, (name, column) in enumerate(columns.items()):
        left = number * (cell_width + GAP)
        sheet.paste(_title(name, cell_width), (left, 0))
        for row, pixels in enumerate(column[:rows].permute(0, 2, 3, 1).numpy()):
            sheet.paste(_cell(pixels, scale), (left, HEADER + GAP + row * (cell_height + GAP)))
    grid: NDArray[np.uint8] = np.asarray(sheet)
    return grid


def _measure(columns: Mapping[str, Tensor]) -> tuple[float, int, int, int]:
    """The scale of the cells, their height and width, and how many rows fit."""
    rows, height, width = (max(column.shape[axis] for column in columns.values()) for axis in (0, 2, 3))
    scale = min(
        1.0,
        ((MOST + GAP) / len(columns) - GAP) / width,
        ((MOST - HEADER) / rows - GAP) / height,
    )
    cell_height, cell_width = max(1, int(height * scale)), max(1, int(width * scale))
    return scale, cell_height, cell_width, min(rows, (MOST - HEADER) // (cell_height + GAP))


def _cell(pixels: NDArray[Any], scale: float) -> Image.Image:
    cell = Image.fromarray(np.ascontiguousarray(pixels, dtype=np.uint8))
    if scale == 1.0:
        return cell
    size = max(1, int(cell.width * scale)), max(1, int(cell.height * scale))
    return cell.resize(size, Image.Resampling.BOX)


def _title(name: str, width: int) -> Image.Image:
    """A column's name, centred if it fits, otherwise cut off."""
    title = Image.new("RGB", (width, HEADER), (PAPER, PAPER, PAPER))
    draw = ImageDraw.Draw(title)
    # Pillow's built-in font may have Latin letters only.
    text, font = name.encode("ascii", "replace").decode(), ImageFont.load_default()
    length = draw.textlength(text, font=font)
    draw.text((max(0, (width - length) // 2), 3), text, fill=(INK, INK, INK), font=font)
    return title
