"""Parts: images that are too large for one pass of the network, translated in parts from and to stored values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from translate import images
from translate.conversion.algorithms import parts_of
from translate.conversion.banding import OrderedRows, output_rows
from translate.conversion.batch import Decoded, image_seed, not_finite, source_of
from translate.given import Packed, Planes, drawn_latent, drawn_noise, normalized, stacked
from translate.large import PartsAlgorithm
from translate.programs import ArrayTranslator

if TYPE_CHECKING:
    from translate.conversion.batch import Work


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
        picture = _StoredPicture(decoded, work, None if taking is None else taking[0])
        if isinstance(parts.network, Packed):
            parts.translate(picture, algorithm, partial(_hold, parts.network, decoded, work))
        else:
            parts.translate(picture, algorithm)
    return picture.output, picture.finite, None if taking is None else taking[1].told


def _hold(network: Packed, decoded: Decoded, work: Work) -> None:
    """Give the network what it takes of this image beside what is as large as the image."""
    assert not isinstance(work.translator, ArrayTranslator)
    taken, device = work.given.taken, work.translator.device
    seed = image_seed(work.seed, decoded.task.name)
    drawn = {
        wanted.name: drawn_latent(seed, number, 0, wanted)[None].to(device)
        for number, wanted in enumerate(taken.noise)
        if wanted.kind == "latent"
    }
    network.hold(drawn | stacked([decoded.given], taken, device))


Read = Callable[[slice, slice], Tensor]
"""A part (1, C, h, w) of something as large as the image."""


def _beside(decoded: Decoded, work: Work) -> list[Read]:
    """What the network takes of the image's size, in its order."""
    taken = getattr(work.translator, "taken", None)
    if taken is None:
        return []
    found: list[Read] = []
    drawn = [wanted.name for wanted in taken.noise]
    for name, wanted in taken.inputs.items():
        value = decoded.given.get(name)
        if isinstance(value, Planes) and wanted.kind in ("aligned", "noise"):
            found.append(partial(_part_of, value))
        elif wanted.kind == "noise":
            seed, planes = image_seed(work.seed, decoded.task.name), wanted.domain.channels
            found.append(partial(_noise_of, seed, drawn.index(name), planes))
    return found


def _part_of(planes: Planes, rows: slice, columns: slice) -> Tensor:
    return normalized(replace(planes, pixels=planes.pixels[rows, columns]), torch.device("cpu"))


def _noise_of(seed: int, number: int, planes: int, rows: slice, columns: slice) -> Tensor:
    return drawn_noise(seed, number, 0, planes, range(rows.start, rows.stop), range(columns.start, columns.stop))[None]


class _StoredPicture:
    """An image as stored values, padded as the network needs it; its output as stored values, too.

    What the network takes of the image's size follows the image's own planes, as ``Packed`` says.

    The output goes to ``rows``, if given, up to the first value that is not finite.
    """

    def __init__(self, decoded: Decoded, work: Work, rows: OrderedRows | None) -> None:
        translator = work.translator
        assert not isinstance(translator, ArrayTranslator)
        self._beside = _beside(decoded, work)
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
        self._known = decoded.known
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
        device = self._translator.device
        part = np.ascontiguousarray(self._pixels[rows, columns].transpose(2, 0, 1))[None]
        own = images.normalize(torch.from_numpy(part).to(device), self._domain)
        return torch.cat([own, *(read(rows, columns).to(device) for read in self._beside)], 1) if self._beside else own

    def write(self, rows: slice, columns: slice, part: Tensor) -> None:
        ends = min(rows.stop, self._kept[0]), min(columns.stop, self._kept[1])
        height, width = ends[0] - rows.start, ends[1] - columns.start
        if height <= 0 or width <= 0:
            return
        part = part[..., :height, :width].float()
        self.finite &= part.isfinite().all()
        if isinstance(self._output, OrderedRows) and not bool(self.finite):
            raise not_finite(self._task, self._translator)
        stored = images.to_stored(part, self._translator.target, self._depth)
        inside = slice(rows.start, ends[0]), slice(columns.start, ends[1])
        made = stored[0].permute(1, 2, 0).cpu().numpy()
        self._output[inside] = made if self._known is None else self._known.put_back(made, *inside)
