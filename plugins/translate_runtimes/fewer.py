"""Winograd's algorithm for wide 3x3 convolutions in OpenVINO models, as in ``translate.compute``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from translate.compute import Tile, transform_weights, transformation_matrices


@dataclass(frozen=True, slots=True)
class Worth:
    """Output tile of Winograd's algorithm, and the least channels and map values from which it is faster."""

    tile: Tile
    channels: int
    numbers: int

    @property
    def expansion(self) -> float:
        """Values of a window per output pixel."""
        high, wide = self.tile
        return (high + 2) * (wide + 2) / (high * wide)


WORTH: Mapping[str, Worth] = {"float32": Worth((4, 4), 128, 2**18), "bf16": Worth((2, 4), 256, 2**18)}
"""By precision. int8 is not included, because sums of 8-bit integers take more than 8 bits."""

TOGETHER, MOST_VALUES = 2**22, 2**24
"""Transformed values computed at a time; above the second number, memory traffic costs more than is saved."""


def by_fewer_products(library: ModuleType, model: Any, precision: str) -> list[NDArray[np.float32]]:
    """Rewrite a model with one input of static shape; return the arrays that become further inputs of the model.

    These are the constant transformation matrices. They are inputs because OpenVINO computes products with constant
    matrices in float32, whatever precision is requested.
    """
    worth = WORTH.get(precision)
    found = [] if worth is None else [each for each in model.get_ordered_ops() if _wide(each, worth)]
    if worth is None or not found:
        return []
    interpolate, _, collect = (each.numpy() for each in transformation_matrices(worth.tile, torch.zeros(())))
    inputs = [library.opset13.parameter(each.shape, np.float32) for each in (interpolate, collect)]
    for each in found:
        each.output(0).replace(_fewer(library.opset13, each, worth.tile, *inputs).output(0))
    model.add_parameters(inputs)
    model.validate_nodes_and_infer_types()
    return [interpolate, collect]


def _wide(node: Any, worth: Worth) -> bool:
    """Whether a node is a 3x3 convolution of stride 1 with constant weights, wide and large enough."""
    if node.get_type_name() != "Convolution" or node.input_value(1).get_node().get_type_name() != "Constant":
        return False
    if not node.output(0).get_partial_shape().is_static:
        return False
    outputs, inputs, *sides = node.input_value(1).get_shape()
    count, _, *size = node.output(0).get_shape()
    channels, attributes = min(outputs, inputs), node.get_attributes()
    positions = count * int(np.prod(size))
    return (
        sides == [3, 3]
        and (list(attributes["strides"]), list(attributes["dilations"])) == ([1, 1], [1, 1])
        and channels >= worth.channels
        and channels * positions >= worth.numbers
        and inputs * positions * worth.expansion <= MOST_VALUES
    )


def _fewer(operations: ModuleType, node: Any, tile: Tile, interpolate: Any, collect: Any) -> Any:
    """The nodes that compute a convolution's output by Winograd's algorithm."""
    attributes = node.get_attributes()
    weight = torch.from_numpy(node.input_value(1).get_node().data.copy())
    transformed = operations.constant(transform_weights(weight, tile, torch.float32).numpy())
    count, _, height, width = node.output(0).get_shape()
    rows, columns = -(-height // tile[0]), -(-width // tile[1])
    x = operations.transpose(node.input_value(0), _int64(0, 2, 3, 1))
    before, after = list(attributes["pads_begin"]), list(attributes["pads_end"])
    after = [after[0] + rows * tile[0] - height, after[1] + columns * tile[1] - width]
    if any(before + after):
        x = operations.pad(x, _int64(0, *before, 0), _int64(0, *after, 0), "constant", np.float32(0))
    numbers = (tile[0] + 2) * (tile[1] + 2) * count * rows * columns * weight.shape[1]
    band_rows = -(-rows // min(-(-numbers // TOGETHER), rows))
    bands = [
        _band(operations, x, (first, min(first + band_rows, rows)), (interpolate, transformed, collect), tile, columns)
        for first in range(0, rows, band_rows)
    ]
    output = operations.concat(bands, 1)
    if (rows * tile[0], columns * tile[1]) != (height, width):
        output = operations.slice(output, _int64(0, 0), _int64(height, width), _int64(1, 1), _int64(1, 2))
    return operations.transpose(output, _int64(0, 3, 1, 2))


def _band(
    operations: ModuleType, x: Any, between: tuple[int, int], matrices: tuple[Any, Any, Any], tile: Tile, columns: int
) -> Any:
    """Some rows of tiles of the output, from the whole input x (N, H, W, C)."""
    interpolate, weights, collect = matrices
    points, outputs, inputs = weights.get_output_shape(0)
    count, rows = x.get_output_shape(0)[0], between[1] - between[0]
    positions = count * rows * columns
    windows = []
    for i in range(tile[0] + 2):
        for j in range(tile[1] + 2):
            first = between[0] * tile[0] + i
            last = _int64(first + (rows - 1) * tile[0] + 1, j + (columns - 1) * tile[1] + 1)
            windows.append(operations.slice(x, _int64(first, j), last, _int64(*tile), _int64(1, 2)))
    flat = operations.reshape(operations.concat(windows, 0), _int64(points, positions * inputs), False)
    at_points = operations.matmul(interpolate, flat, False, False)
    points_first = operations.reshape(at_points, _int64(points, positions, inputs), False)
    products = operations.matmul(points_first, weights, False, True)
    tiles = operations.matmul(
        collect, operations.reshape(products, _int64(points, positions * outputs), False), False, False
    )
    squares = operations.reshape(tiles, _int64(*tile, count, rows, columns, outputs), False)
    ordered = operations.transpose(squares, _int64(2, 3, 0, 4, 1, 5))
    return operations.reshape(ordered, _int64(count, rows * tile[0], columns * tile[1], outputs), False)


def _int64(*numbers: int) -> NDArray[np.int64]:
    return np.array(numbers, np.int64)
