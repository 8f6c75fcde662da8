"""Parts: images that are too large for one pass of the network, translated in parts from and to stored values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from translate import images
from translate.conversion.algorithms import parts_of
from translate.conversion.banding import OrderedRows, output_rows
from translate.conversion.batch import Decoded, not_finite, source_of
from translate.large import PartsAlgorithm
from translate.programs import ArrayTranslator

if TYPE_CHECKING:
    from translate.conversion.batch import Translating, Work


def translate_in_parts(
    decoded: Decoded, work: Work, algorithm: PartsAlgorithm
) -> tuple[Tensor, Tensor, tuple[str, ...] | None]:
    """Translate an image; return its stored values (1, C, H, W), and whether all answers were finite.

    Where the output is written row by row meanwhile, there are no values but sentences about what the file leaves out.
    """
    parts = parts_of(work)
    assert parts is not None
    assert not isinstance(work.translator, ArrayTranslator)
    with output_rows(decoded, work) as taking:
        picture = _StoredPicture(decoded, work.translator, None if taking is None else taking[0])
        parts.translate(picture, algorithm)
    return picture.output, picture.finite, None if taking is None else taking[1].told


class _StoredPicture:
    """An image as stored values, padded as the network needs it; its output as stored values, too.

    The output goes to ``rows``, if given, up to the first value that is not finite.
    """

    def __init__(self, decoded: Decoded, translator: Translating, rows: OrderedRows | None) -> None:
        pixels = decoded.pixels
        down, right = (-side % translator.size_multiple for side in pixels.shape[:2])
        if down or right:
            # Only an image of one row or column comes here unpadded.
            pixels = np.pad(np.asarray(pixels), ((0, down), (0, right), (0, 0)), mode="edge")
        self.size = (pixels.shape[0], pixels.shape[1])
        self.finite = torch.tensor(True, device=translator.device)
        self._task = decoded.task
        self._pixels = pixels
        self._translator = translator
        self._depth = decoded.depth
        self._kept = decoded.size
        self._domain = source_of(decoded, translator)
        target = translator.target
        # Rows last to be made contiguous again: files are written from (H, W, C).
        shape = (*decoded.size, 1 if target.classes else target.channels)
        self._output: NDArray[Any] | OrderedRows = np.zeros(shape, decoded.depth) if rows is None else rows

    @property
    def output(self) -> Tensor:
        """The stored output (1, C, H, W), over the array that was written; empty if it went to a file."""
        if isinstance(self._output, OrderedRows):
            return torch.empty(0)
        return torch.from_numpy(self._output).permute(2, 0, 1)[None]

    def read(self, rows: slice, columns: slice) -> Tensor:
        part = np.ascontiguousarray(self._pixels[rows, columns].transpose(2, 0, 1))[None]
        return images.normalize(torch.from_numpy(part).to(self._translator.device), self._domain)

    def write(self, rows: slice, columns: slice, part: Tensor) -> None:
        ends = min(rows.stop, self._kept[0]), min(columns.stop, self._kept[1])
        height, width = ends[0] - rows.start, ends[1] - columns.start
        if height <= 0 or width <= 0:
            return
        part = part[..., :height, :width].float()
        self.finite &= part.isfinite().all()
        if isinstance(self._output, OrderedRows) and not bool(self.finite):
            raise not_finite(self._task)
        stored = images.to_stored(part, self._translator.target, self._depth)
        self._output[rows.start : ends[0], columns.start : ends[1]] = stored[0].permute(1, 2, 0).cpu().numpy()
