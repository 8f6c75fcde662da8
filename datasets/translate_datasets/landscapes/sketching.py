"""Sketching: a composed landscape as a pencil drawing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from translate_datasets.exact import Draws
from translate_datasets.landscapes.canvas import Canvas
from translate_datasets.landscapes.materials import CODE
from translate_datasets.landscapes.painting import FINE

_bare = np.array([CODE["sky"], CODE["cloud"], CODE["sun"], CODE["moon"]])


def sketch(canvas: Canvas, draws: Draws) -> NDArray[np.uint8]:
    """Outlines, inner lines and hatching (side / FINE, side / FINE, 1), dark on white paper, by an unsteady hand."""
    side = canvas.side
    outline = _borders(canvas.material, 0)
    inner = _borders(canvas.tone, 24) & ~outline & ~np.isin(canvas.material, _bare)
    down, across = np.arange(side)[:, None], np.arange(side)[None]
    dark = (canvas.tone < 70) & ~np.isin(canvas.material, _bare)
    hatching = dark & ((down + across) % max(6, side // 24) < max(1, side // 128))
    ink = outline * np.float32(0.95)
    ink = np.maximum(ink, inner * np.float32(0.5))
    ink = np.maximum(ink, hatching * np.float32(0.34))
    # The hand shakes by a pixel, and presses now more and now less.
    shake = max(1.0, side / 180)
    rows = down + (draws.grain(side, 14, 14) * np.float32(shake)).astype(np.int64)
    columns = across + (draws.grain(side, 14, 14) * np.float32(shake)).astype(np.int64)
    ink = ink[np.clip(rows, 0, side - 1), np.clip(columns, 0, side - 1)]
    ink = ink * (np.float32(0.86) + draws.grain(side, 20, 20) * np.float32(0.2))
    strongest = np.maximum(
        np.maximum(ink[::FINE, ::FINE], ink[1::FINE, ::FINE]), np.maximum(ink[::FINE, 1::FINE], ink[1::FINE, 1::FINE])
    )
    paper = np.float32(250) - strongest * np.float32(220)
    return np.asarray(np.rint(np.clip(paper, 0, 255)), np.uint8)[..., None]


def _borders(plane: NDArray[np.uint8], least: int) -> NDArray[np.bool_]:
    """Where a plane differs from its neighbour to the right or below by more than ``least``."""
    values = plane.astype(np.int16)
    found = np.zeros(plane.shape, np.bool_)
    found[:, :-1] |= np.abs(values[:, 1:] - values[:, :-1]) > least
    found[:-1] |= np.abs(values[1:] - values[:-1]) > least
    return found
