"""A picture of test images: label map, photo and what each rival makes of it, a column each."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.quality.rivals import Pairs
from benchmarks.quality.scores import Photos
from translate.data import Domain
from translate.errors import TranslateError
from translate.images import Image, to_rgb, write

GAP, CAPTION, LINE = 4, 36, 14


def picture(
    path: Path,
    test: Pairs,
    source: Domain,
    columns: Mapping[str, Photos],
    rows: Sequence[int],
    *,
    refused: Path,
    first: str = "label map",
) -> None:
    """Write one PNG; a path inside the folder ``refused`` is an error, since the photos are not free to pass on.

    ``first`` says what the sources are.
    """
    if path.resolve().is_relative_to(refused.resolve()):
        raise TranslateError(
            f"{path} lies in the repository, and these photos may not be passed on; give a path outside of it"
        )
    labels = to_rgb(test.sources, source).permute(0, 2, 3, 1).numpy()
    shown: dict[str, Photos] = {first: labels, "photo": test.photos, **columns}
    height, width = test.photos.shape[1:3]
    sheet = np.full((CAPTION + len(rows) * (height + GAP), len(shown) * (width + GAP) - GAP, 3), 255, np.uint8)
    for column, (name, photos) in enumerate(shown.items()):
        left = column * (width + GAP)
        for number, words in enumerate(textwrap.wrap(name, max(width // 8, 4))[:2], start=1):
            cv2.putText(sheet, words, (left, number * LINE), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1, cv2.LINE_AA)
        for line, row in enumerate(rows):
            top = CAPTION + line * (height + GAP)
            sheet[top : top + height, left : left + width] = photos[row]
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, Image(sheet, None))
