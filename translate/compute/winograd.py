"""Winograd's minimal filtering: 3x3 convolutions by fewer products (Lavin & Gray 2016, arXiv:1509.09308).

A tile of m x m outputs of a 3x3 convolution needs 9 m^2 products; interpolated from (m + 2)^2 points it needs one for
each point. That leaves one matrix product for each point and two transformations, which are matrix products as well.
The mathematics is the same, but rounding differs: sums of inputs and of weights are rounded before they are multiplied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product as pairs
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from translate.compute.matrices import product, products

Tile = tuple[int, int]
"""Rows and columns of the outputs that are computed together."""

POINTS: Mapping[int, tuple[float, ...]] = {2: (0, 1, -1), 4: (0, 0.625, -0.625, 1.5, -1.5)}
"""The points at which polynomials are evaluated, besides infinity, for 2 and 4 outputs in a row.

For 4, the usual points (0, 1, -1, 2, -2) lose twice as many bits, since their powers differ more.
"""

LARGEST = 2**22
"""At most this many transformed numbers are held at a time (16 MiB in float32); large images are split."""


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, tile: Tile, dtype: torch.dtype) -> Tensor:
    """Convolve padded images (N, C, H, W) with (K, C, 3, 3) to (N, K, H - 2, W - 2) of ``dtype``.

    ``dtype`` is that of the products; weights are transformed in their own. H - 2 and W - 2 are multiples of the tile.
    It can be differentiated any number of times, and is fast for the first derivative. The output is channels_last.

    >>> x, weight = torch.arange(16.0).view(1, 1, 4, 4), torch.ones(1, 1, 3, 3)
    >>> convolve(x, weight, None, (2, 2), torch.float32)[0, 0]
    tensor([[45., 54.],
            [81., 90.]])
    """
    output: Tensor = _Convolution.apply(x.to(dtype), weight, bias, tile)  # type: ignore[no-untyped-call]
    return output


def transform_weights(weight: Tensor, tile: Tile, dtype: torch.dtype) -> Tensor:
    """Transform weights (K, C, 3, 3) to (points, K, C) in ``dtype``."""
    outputs, inputs = weight.shape[:2]
    evaluate = transformation_matrices(tile, weight)[1]
    rows = product(evaluate, weight.permute(2, 3, 0, 1).reshape(9, -1))
    return rows.to(dtype).view(-1, outputs, inputs)


def convolve_transformed(x: Tensor, weight: Tensor, bias: Tensor | None, tile: Tile) -> Tensor:
    """Convolve (N, C, H, W) with transformed weights (points, K, C) of x's dtype; not differentiable."""
    interpolate, _, collect = transformation_matrices(tile, x)
    count, _, height, width = x.shape
    outputs = weight.shape[1]
    output = x.new_empty(count, (height - 2) // tile[0], tile[0], (width - 2) // tile[1], tile[1], outputs)
    for part in _parts(x, tile):
        given = product(interpolate, _windows(x, tile)[:, :, *part].reshape(len(weight), -1))
        multiplied = products(given.view(len(weight), -1, weight.shape[2]), weight.transpose(1, 2))
        found = product(collect, multiplied.view(len(weight), -1))
        if bias is not None:
            found.view(-1, outputs).add_(bias)
        whole = _squares(output)[:, :, *part]
        whole.copy_(found.view(whole.shape))
    return output.view(count, height - 2, width - 2, outputs).permute(0, 3, 1, 2)


def convolution_gradients(
    x: Tensor, weight: Tensor, gradient: Tensor, tile: Tile, needed: tuple[bool, ...]
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of x and of the weights, each where ``needed``, from that of the output, which has x's dtype."""
    interpolate, _, collect = transformation_matrices(tile, x)
    outputs, inputs = weight.shape[:2]
    points = len(interpolate)
    at_points = transform_weights(weight, tile, x.dtype) if needed[0] else None
    for_points: Tensor | None = None
    count, _, height, width = x.shape
    rows, columns = (height - 2) // tile[0], (width - 2) // tile[1]
    # One more tile than there are, since the last window reaches two pixels into it.
    image = x.new_zeros(count, rows + 1, tile[0], columns + 1, tile[1], inputs) if needed[0] else None
    squares = _squares(gradient.permute(0, 2, 3, 1).reshape(count, rows, tile[0], columns, tile[1], outputs))
    for part in _parts(x, tile):
        gradients = product(collect.T, squares[:, :, *part].reshape(collect.shape[0], -1)).view(points, -1, outputs)
        if at_points is not None and image is not None:
            windows = product(interpolate.T, products(gradients, at_points).view(points, -1))
            _add_windows(image, windows, tile, part)
        if needed[1]:
            given = product(interpolate, _windows(x, tile)[:, :, *part].reshape(points, -1))
            found = products(gradients.transpose(1, 2), given.view(points, -1, inputs)).to(weight.dtype)
            for_points = found if for_points is None else for_points + found
    for_x = for_weight = None
    if image is not None:
        whole = image.view(count, (rows + 1) * tile[0], (columns + 1) * tile[1], inputs)
        for_x = whole[:, :height, :width].permute(0, 3, 1, 2)
    if for_points is not None:
        back = product(transformation_matrices(tile, weight)[1].T, for_points.view(points, -1))
        for_weight = back.view(3, 3, outputs, inputs).permute(2, 3, 0, 1)
    return for_x, for_weight


def transformation_matrices(tile: Tile, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The matrices that take a tile's flattened windows and weights to the points, and products back to outputs.

    With p points their shapes are (p, p), (p, 9) and (m m', p); they have the dtype and device of ``like``.

    >>> [tuple(each.shape) for each in transformation_matrices((2, 4), torch.zeros(()))]
    [(24, 24), (24, 9), (8, 24)]
    """
    # Made for each call, which costs microseconds: a cached tensor made in inference mode would be useless outside it.
    return tuple(torch.from_numpy(each).to(like) for each in _SQUARED[tile])  # type: ignore[return-value]


class _Convolution(torch.autograd.Function):
    """``convolve`` with its gradients, which are the same products with the matrices transposed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, tile: Tile) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.tile, ctx.has_bias = tile, bias is not None
        with torch.autocast(x.device.type, enabled=False):
            return convolve_transformed(x, transform_weights(weight, tile, x.dtype), bias, tile)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        # Only differentiable operations, none in place on a saved tensor, so double backward works.
        x, weight = ctx.saved_tensors
        with torch.autocast(x.device.type, enabled=False):
            for_x, for_weight = convolution_gradients(x, weight, gradient.to(x.dtype), ctx.tile, ctx.needs_input_grad)
            return for_x, for_weight, gradient.sum((0, 2, 3)) if ctx.has_bias else None, None


def _add_windows(image: Tensor, windows: Tensor, tile: Tile, part: tuple[slice, slice]) -> None:
    """Add windows, which overlap by two pixels, to the tiles of an image (N, rows, m, columns, m', C)."""
    images, rows = part
    columns = image.shape[3] - 1
    shape = (tile[0] + 2, tile[1] + 2, images.stop - images.start, rows.stop - rows.start, columns, image.shape[-1])
    pieces = windows.view(shape).permute(2, 3, 0, 4, 1, 5)
    below = slice(rows.start + 1, rows.stop + 1)
    for (down, high, from_row), (right, wide, from_column) in pairs(
        ((rows, tile[0], 0), (below, 2, tile[0])),
        ((slice(columns), tile[1], 0), (slice(1, None), 2, tile[1])),
    ):
        image[images, down, :high, right, :wide] += pieces[
            :, :, from_row : from_row + high, :, from_column : from_column + wide
        ]


def _windows(x: Tensor, tile: Tile) -> Tensor:
    """A view of the overlapping windows of (N, C, H, W): (m + 2, m' + 2, N, rows, columns, C)."""
    pixels = x.permute(0, 2, 3, 1)
    return pixels.unfold(1, tile[0] + 2, tile[0]).unfold(2, tile[1] + 2, tile[1]).permute(4, 5, 0, 1, 2, 3)


def _squares(tiles: Tensor) -> Tensor:
    """A view of (N, rows, m, columns, m', K) as (m, m', N, rows, columns, K)."""
    return tiles.permute(2, 4, 0, 1, 3, 5)


def _parts(x: Tensor, tile: Tile) -> Iterator[tuple[slice, slice]]:
    """Slices of images and tile rows to transform together: several small images, or some rows of a large one."""
    count, channels, height, width = x.shape
    rows = (height - 2) // tile[0]
    numbers_per_row = (tile[0] + 2) * (tile[1] + 2) * ((width - 2) // tile[1]) * channels
    together = max(LARGEST // (numbers_per_row * rows), 1)
    high = rows if together > 1 else min(max(LARGEST // numbers_per_row, 1), rows)
    for first, top in pairs(range(0, count, together), range(0, rows, high)):
        yield slice(first, min(first + together, count)), slice(top, min(top + high, rows))


def _row_matrices(outputs: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The paper's matrices B^T, G and A^T for a row of ``outputs`` outputs.

    Each row of B^T has the coefficients of the product of (x - point) over all other points, by whose value at the
    row's own point G is divided; the last row takes all points, for infinity.
    """
    points = np.array(POINTS[outputs])
    size = outputs + 2
    windows = np.zeros((size, size))
    weights, collecting = np.zeros((size, 3)), np.zeros((outputs, size))
    for number, point in enumerate(points):
        others = np.delete(points, number)
        windows[number, : size - 1] = np.polynomial.polynomial.polyfromroots(others)
        weights[number] = point ** np.arange(3) / np.prod(point - others)
        collecting[:, number] = point ** np.arange(outputs)
    windows[-1] = np.polynomial.polynomial.polyfromroots(points)
    weights[-1, -1] = collecting[-1, -1] = 1
    return windows, weights, collecting


_ROWS = {outputs: _row_matrices(outputs) for outputs in POINTS}
# Made at import, since a compiler does not trace into caches; they are a few thousand numbers.
_SQUARED = {
    (high, wide): tuple(np.kron(down, right) for down, right in zip(_ROWS[high], _ROWS[wide], strict=True))
    for high, wide in pairs(POINTS, POINTS)
}
