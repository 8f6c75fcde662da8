"""The implementation of ``sample --interpolate`` and ``--traverse``: pictures of strips."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from translate import images, outputs
from translate.description import check_given
from translate.errors import TranslateError
from translate.given import is_float
from translate.sampling.codes import Codes, Place, interpolate, load_codes, traverse, values_of
from translate.saved import Sampler
from translate.terminal import printable

GAP = 2
"""White pixels between two images."""

STEPS, RANGE = 8, 3.0
"""Images of a strip, and how far an axis goes, if nobody says so."""

log = logging.getLogger("translate")


def strips_as_asked(
    network: Codes | Sampler | str | Path,
    target: Path,
    asked: Mapping[str, Any],
    plugins: Sequence[str],
    no_plugins: Sequence[str],
) -> list[Path]:
    """Write the picture that the checked options of ``sample`` ask for, and return its path."""
    _refuse(asked)
    ends, axes = asked["interpolate"], asked["traverse"]
    file = target if target.suffix.lower() == ".png" else target / f"{'traversal' if axes else 'interpolation'}.png"
    if not asked["overwrite"]:
        outputs.refuse_existing(file)
    named: list[str] = list(ends) if ends else [asked["around"]] if asked["around"] else ["0"]
    for each in named:
        if is_float(each) and not _is_number(each) and not Path(each).exists():
            raise TranslateError(f"sample: samples are numbered from 0, and {each} is none; give a number or a file")
    numbered = [_is_number(each) for each in named]
    if len(set(numbered)) > 1:
        raise TranslateError(f"sample: {' and '.join(named)} are a number and a file; give two of one kind")
    if isinstance(network, (str, Path)):
        codes = load_codes(
            network, numbered=numbered[0], direction=asked["direction"], step=asked["step"], device=asked["device"],
            plugins=plugins, no_plugins=no_plugins,
        )  # fmt: skip
        check_given(network, asked["step"], codes.direction, asked["given"] or {})
    else:
        codes = Codes.of_sampler(network) if isinstance(network, Sampler) else network
    places: list[Place] = [int(each) if codes.is_sampler and _is_number(each) else each for each in named]
    steps = asked["steps"] or STEPS
    shared = {"steps": steps, "seed": asked["seed"], "given": asked["given"] or {}}
    if ends:
        around = asked["around"]
        made = interpolate(codes, places[0], places[1], around=around, **shared)[None]
        how = "on a sphere" if codes.is_sampler else "on a straight line"
        told = [f"from {named[0]} to {named[1]}: {steps} codes of {codes.direction} {how}"]
    else:
        limit = asked["range"] or RANGE
        around = places[0] if asked["around"] or codes.is_sampler else None
        made = traverse(codes, axes, around=around, range=limit, **shared)
        values = " ".join(f"{value:.3g}" for value in values_of(steps, limit))
        told = [f"row {row}: axis {axis} of the code of {named[0]} is {values}" for row, axis in enumerate(axes)]
    picture = strip(images.to_rgb(made.flatten(0, 1), codes.target).unflatten(0, made.shape[:2]))
    outputs.make_folder(file.parent)
    images.write(file, images.Image(picture, None))
    for line in told:
        log.warning("%s", printable(line))
    return [file]


def strip(rows: Tensor) -> NDArray[np.uint8]:
    """Lay images (rows, columns, 3, H, W) uint8 out as one picture (H', W', 3) with white between them."""
    count, columns, _, height, width = rows.shape
    sheet = np.full((count * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for row in range(count):
        for column in range(columns):
            top, left = row * (height + GAP), column * (width + GAP)
            sheet[top : top + height, left : left + width] = rows[row, column].permute(1, 2, 0).cpu().numpy()
    return sheet


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 16


def _refuse(asked: Mapping[str, Any]) -> None:
    if asked["interpolate"] is not None and asked["traverse"] is not None:
        raise TranslateError("sample: --interpolate and --traverse are two pictures; ask for one at a time")
    which = "--interpolate" if asked["interpolate"] is not None else "--traverse"
    if asked["count"] is not None:
        raise TranslateError(f"sample: {which} makes strips of --steps images; leave out --count")
    if asked["format"] not in ("png", "same"):
        raise TranslateError(f"sample: {which} writes a PNG file; leave out --format")
    if which == "--interpolate" and asked["range"] is not None:
        raise TranslateError("sample: --range is for --traverse; leave it out")
