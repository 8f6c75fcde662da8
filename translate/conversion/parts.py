"""Parts: images that are too large for one pass of the network, translated in parts from and to stored values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from translate import images
from translate.conversion.banding import OrderedRows, output_rows
from translate.errors import TranslateError
from translate.large import Algorithm, InParts
from translate.memory import ASSUMED
from translate.sizes import Size

if TYPE_CHECKING:
    from translate.conversion.batch import Decoded, Translating, Work
    from translate.conversion.plan import Task

WHOLE_BYTES = {"cpu": 4 * 2**30, "cuda": 16 * 2**30}
"""The most bytes of a network's pass over a whole image, by the kind of device, unless ``--memory`` says otherwise.

A constant, so that an image's pixels do not depend on the memory that happens to be free.
"""


TILED = (
    "images that are too large for one pass are translated in tiles, each normalized by its own statistics, so tiles "
    "may differ in brightness and colour; --statistics exact, the default, takes those of the whole image"
)


def algorithm_for(work: Work, size: Size) -> Algorithm:
    """How a network translates an image of a (height, width): a function of both and of the options alone."""
    translator = work.translator
    parts: InParts | None = getattr(translator, "in_parts", None)
    count = getattr(translator, "bytes_for", None)
    if parts is None or count is None or work.samples is not None:
        return "whole"
    limit = work.whole or WHOLE_BYTES[translator.device.type]
    if ASSUMED * size[0] * size[1] <= limit or count(size) <= limit:
        return "whole"
    if work.statistics == "tile":
        work.sizes.once("tile", lambda: TILED)
        return "tile"
    try:
        return parts.algorithm(size)
    except TranslateError:
        return "whole"


def bytes_in_parts(work: Work, algorithm: Algorithm, size: Size) -> int:
    """About how many bytes the network takes, beside the image's pixels."""
    return int(work.translator.in_parts.bytes_of(algorithm, size))  # type: ignore[attr-defined]


def rows_in_parts(work: Work, algorithm: Algorithm, size: Size) -> int:
    """About how many rows of an image are read or written at once."""
    return int(work.translator.in_parts.rows_of(algorithm, size))  # type: ignore[attr-defined]


def why_whole(work: Work, size: Size) -> str:
    """Why an image that needs too much memory is not translated in parts, to follow a semicolon; empty if it is."""
    translator = work.translator
    if work.samples is not None:
        return "; samples are drawn for whole images only, so leave out --samples to translate it in parts"
    if getattr(translator, "fixed_size", None) is not None:
        return ""
    if getattr(translator, "runtime_name", ""):
        return "; a runtime takes whole images only, so leave out --runtime to translate it in parts"
    parts = getattr(translator, "in_parts", None)
    if parts is None:
        return ""
    try:
        parts.algorithm(size)
    except TranslateError as error:
        return f"; this network cannot translate it in parts: {error}"
    return ""


def translate_in_parts(
    decoded: Decoded, work: Work, algorithm: Algorithm
) -> tuple[Tensor, Tensor, tuple[str, ...] | None]:
    """Translate an image; return its stored values (1, C, H, W), and whether all answers were finite.

    Where the output is written row by row meanwhile, there are no values but sentences about what the file leaves out.
    """
    with output_rows(decoded, work) as taking:
        picture = _StoredPicture(decoded, work.translator, None if taking is None else taking[0])
        try:
            work.translator.in_parts.translate(picture, algorithm)  # type: ignore[attr-defined]
        except images.ImageError:
            raise
        except TranslateError as error:
            raise TranslateError(f"{decoded.task.source}: {error}") from None
    written = None if taking is None else taking[1].told
    return picture.output, picture.finite, written


def not_finite(task: Task) -> images.ImageError:
    """The error of an image whose output is none."""
    return images.ImageError(
        f"{task.source}: the network's answer is not finite; try --precision float32, or train anew"
    )


class _StoredPicture:
    """An image as stored values, padded as the network needs it; its output as stored values, too.

    The output goes to ``rows``, if given, and stops at the first value that is not finite.
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
        domain = translator.source
        self._domain = domain if domain.classes else domain.at(str(pixels.dtype))  # type: ignore[arg-type]
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
