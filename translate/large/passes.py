"""Passes: tiled passes that stop at each normalization in turn, until the statistics of all of them are the whole's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from translate.compute import peak_bytes
from translate.errors import TranslateError
from translate.large.moments import GlobalOperation, Moments, global_operation
from translate.large.tiles import Span, Tile, tiles
from translate.sizes import Size

Network = Callable[[Tensor], Tensor]
"""From an image (1, C, H, W) in [-1, 1] to an image of its size."""


class Picture(Protocol):
    """An image that is read and written in parts; its size (height, width) is one that the network takes."""

    size: Size

    def read(self, rows: slice, columns: slice, /) -> Tensor:
        """A part of the source, (1, C, h, w) in [-1, 1] on the network's device."""
        ...

    def write(self, rows: slice, columns: slice, part: Tensor, /) -> None:
        """Take a part of the output, (1, C', h, w)."""
        ...


class _StopError(Exception):
    """All that this pass measures in a tile has been measured."""


class Statistics(TorchFunctionMode):
    """Inside, operations that take moments of a map take those of the whole image's map instead.

    Those that are not known yet are measured over what is taken from each tile, unless they depend on others that are
    not known either: an unknown operation answers NaN, which spreads to all that depends on it. With ``standard``
    nothing is measured, and all answer as if the mean were 0 and the variance 1.
    """

    def __init__(self, *, standard: bool = False) -> None:
        super().__init__()
        self._known: list[Moments] = []
        self._measured: dict[int, Moments] = {}
        self._standard = standard
        self._number = 0
        self._last: int | None = None
        self._tile: Tile | None = None

    def compute(self, network: Network, part: Tensor, tile: Tile) -> Tensor | None:
        """The network's output for a tile; None if the pass was at its end before the output."""
        self._number, self._tile = 0, tile
        try:
            with self:
                return network(part)
        except _StopError:
            return None
        finally:
            if self._last is None:
                self._last = max(self._measured, default=-1)

    @property
    def measures(self) -> bool:
        """Whether this pass has measured anything."""
        return bool(self._measured)

    def settle(self) -> None:
        """End a pass: what it has measured is known from now on."""
        measured, self._measured, self._last = self._measured, {}, None
        for number, moments in sorted(measured.items()):
            while len(self._known) <= number:
                self._known.append(Moments(0))
            self._known[number] = moments

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Answer an operation by the whole's moments, or measure them."""
        operation = global_operation(getattr(func, "__name__", ""), args, kwargs or {})
        if operation is None:
            return func(*args, **(kwargs or {}))
        number, self._number = self._number, self._number + 1
        x = operation.x
        if self._standard:
            return operation.apply(x, Moments.standard(operation.groups, x.device))
        if number < len(self._known) and self._known[number].count:
            return operation.apply(x, self._known[number])
        if not bool(x[:, :, 0, 0].isnan().any()):
            self._measured.setdefault(number, Moments(operation.groups)).add(self._inner(x))
        if number == self._last:
            raise _StopError
        return _unknown(operation)

    def _inner(self, x: Tensor) -> Tensor:
        """The part of a tile's map that no other tile has."""
        assert self._tile is not None
        slices = []
        for span, outer, side in zip((self._tile.rows, self._tile.columns), self._tile.size, x.shape[-2:], strict=True):
            ends = [(each - span.start) * side for each in (span.first, span.last)]
            if any(end % outer for end in ends):
                raise TranslateError("the network's maps do not divide with the image")
            slices.append(slice(*(end // outer for end in ends)))
        return x[..., slices[0], slices[1]]


def _unknown(operation: GlobalOperation) -> Any:
    """What stands for an operation's result until its moments are known: NaN."""
    answer = operation.apply(operation.x, Moments.standard(operation.groups, operation.x.device))
    if isinstance(answer, tuple):
        return tuple(torch.full_like(each, torch.nan) for each in answer)
    return torch.full_like(answer, torch.nan)


def translate(network: Network, picture: Picture, *, inner: int, halo: Size, multiple: int) -> None:
    """Translate a picture in tiles of which ``inner`` pixels a side are taken, by the statistics of the whole."""
    statistics = Statistics()
    first, *others = tiles(picture.size, inner, halo, multiple)
    while True:
        output = statistics.compute(network, _read(picture, first), first)
        if not statistics.measures:
            # All is known, or what is left depends on maps that are not finite, and so will be the answer.
            break
        for tile in others:
            statistics.compute(network, _read(picture, tile), tile)
        statistics.settle()
    assert output is not None
    _write(picture, first, output)
    for tile in others:
        output = statistics.compute(network, _read(picture, tile), tile)
        assert output is not None
        _write(picture, tile, output)


def translate_tiles(network: Network, picture: Picture, *, inner: int, halo: Size, multiple: int) -> None:
    """Translate each tile by its own statistics: another function than the whole's, and one pass only."""
    for tile in tiles(picture.size, inner, halo, multiple):
        _write(picture, tile, network(_read(picture, tile)))


def _read(picture: Picture, tile: Tile) -> Tensor:
    return picture.read(slice(tile.rows.start, tile.rows.stop), slice(tile.columns.start, tile.columns.stop))


def _write(picture: Picture, tile: Tile, output: Tensor) -> None:
    if tuple(output.shape[-2:]) != tile.size:
        raise TranslateError("the network's output has not the size of its image")
    taken = [slice(span.first - span.start, span.last - span.start) for span in (tile.rows, tile.columns)]
    rows, columns = (slice(span.first, span.last) for span in (tile.rows, tile.columns))
    picture.write(rows, columns, output[..., taken[0], taken[1]])


def measure_halo(network: Network, channels: int, multiple: int, device: torch.device) -> Size | None:
    """How far (rows, columns) an output pixel's inputs lie from its own cell of ``multiple`` pixels, in whole cells.

    A cell of NaN in an image spreads to all outputs that depend on it, once statistics are fixed. None if they reach
    all over any image that is tried.
    """
    found = [_reach(network, channels, multiple, device, side) for side in (2, 3)]
    return None if None in found else (found[0] or 0, found[1] or 0)


def _reach(network: Network, channels: int, multiple: int, device: torch.device, along: int) -> int | None:
    across = -(-LEAST // multiple) * multiple
    cells = max(9, -(-256 // multiple) | 1)
    while True:
        side = cells * multiple
        size = (side, across) if along == 2 else (across, side)
        image = torch.zeros(1, channels, *size, device=device)
        centre = cells // 2 * multiple
        image.narrow(along, centre, multiple).fill_(torch.nan)
        everything = Tile(Span(0, size[0], 0, size[0]), Span(0, size[1], 0, size[1]))
        outputs: list[Tensor | None] = []
        held = peak_bytes(lambda: outputs.append(Statistics(standard=True).compute(network, image, everything)))  # noqa: B023
        output = outputs[-1]
        assert output is not None
        touched = output.isnan().amax((0, 1, 5 - along)).nonzero()[:, 0]
        if not len(touched):
            # Its answer depends on no pixel, or it hides what is not a number.
            return 0
        first, last = int(touched[0]), int(touched[-1])
        if first > 0 and last < side - 1:
            reach = max(centre - first, last - (centre + multiple - 1), 0)
            return -(-reach // multiple) * multiple
        if side > FARTHEST or 4 * held > MOST_BYTES:
            # Twice the pixels take four times the bytes where each pixel looks at all others.
            return None
        cells = 2 * cells - 1


FARTHEST = 4096
"""The longest image in which a network's reach is looked for."""

MOST_BYTES = 2**30
"""The most bytes that looking for it may take."""

LEAST = 16
"""The least side of the images on which a network is tried."""
