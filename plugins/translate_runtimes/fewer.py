"""Models of OpenVINO's whose wide 3x3 convolutions go by fewer products, as ``translate.compute`` computes them."""

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
    """Outputs that are computed together, and from how many channels, and numbers of a map, on that is faster."""

    tile: Tile
    channels: int
    numbers: int

    @property
    def more(self) -> float:
        """How many numbers a window has for each pixel that it serves."""
        high, wide = self.tile
        return (high + 2) * (wide + 2) / (high * wide)


WORTH: Mapping[str, Worth] = {"float32": Worth((4, 4), 128, 2**18), "bf16": Worth((2, 4), 256, 2**18)}
"""By the precision. In int8 nothing is won: sums of whole numbers of 8 bits take more than 8."""

TOGETHER, MOST = 2**22, 2**24
"""So many transformed numbers are held at a time; with more in all, moving them takes the time that is won."""


def by_fewer_products(library: ModuleType, model: Any, precision: str) -> list[NDArray[np.float32]]:
    """Change a model of one input of a known shape; the answer is what it must be given then, after its images.

    These are the matrices of the transformations, which are constant: but with matrices that it knows OpenVINO
    multiplies in float32, whatever precision it is asked for.
    """
    worth = WORTH.get(precision)
    found = [] if worth is None else [each for each in model.get_ordered_ops() if _wide(each, worth)]
    if worth is None or not found:
        return []
    interpolate, _, collect = (each.numpy() for each in transformation_matrices(worth.tile, torch.zeros(())))
    given = [library.opset13.parameter(each.shape, np.float32) for each in (interpolate, collect)]
    for each in found:
        each.output(0).replace(_fewer(library.opset13, each, worth.tile, *given).output(0))
    model.add_parameters(given)
    model.validate_nodes_and_infer_types()
    return [interpolate, collect]


def _wide(node: Any, worth: Worth) -> bool:
    """Whether a node is a 3x3 convolution of stride 1 with known weights, wide and large enough."""
    if node.get_type_name() != "Convolution" or node.input_value(1).get_node().get_type_name() != "Constant":
        return False
    if not node.output(0).get_partial_shape().is_static:
        return False
    outputs, inputs, *sides = node.input_value(1).get_shape()
    count, _, *size = node.output(0).get_shape()
    channels, asked = min(outputs, inputs), node.get_attributes()
    spots = count * int(np.prod(size))
    return (
        sides == [3, 3]
        and (list(asked["strides"]), list(asked["dilations"])) == ([1, 1], [1, 1])
        and channels >= worth.channels
        and channels * spots >= worth.numbers
        and inputs * spots * worth.more <= MOST
    )


def _fewer(operations: ModuleType, node: Any, tile: Tile, interpolate: Any, collect: Any) -> Any:
    """The nodes that compute the answer of a convolution by Winograd's algorithm."""
    asked = node.get_attributes()
    weight = torch.from_numpy(node.input_value(1).get_node().data.copy())
    known = operations.constant(transform_weights(weight, tile, torch.float32).numpy())
    count, _, height, width = node.output(0).get_shape()
    rows, columns = -(-height // tile[0]), -(-width // tile[1])
    x = operations.transpose(node.input_value(0), _whole(0, 2, 3, 1))
    before, after = list(asked["pads_begin"]), list(asked["pads_end"])
    after = [after[0] + rows * tile[0] - height, after[1] + columns * tile[1] - width]
    if any(before + after):
        x = operations.pad(x, _whole(0, *before, 0), _whole(0, *after, 0), "constant", np.float32(0))
    numbers = (tile[0] + 2) * (tile[1] + 2) * count * rows * columns * weight.shape[1]
    high = -(-rows // min(-(-numbers // TOGETHER), rows))
    bands = [
        _band(operations, x, (first, min(first + high, rows)), (interpolate, known, collect), tile, columns)
        for first in range(0, rows, high)
    ]
    answer = operations.concat(bands, 1)
    if (rows * tile[0], columns * tile[1]) != (height, width):
        answer = operations.slice(answer, _whole(0, 0), _whole(height, width), _whole(1, 1), _whole(1, 2))
    return operations.transpose(answer, _whole(0, 3, 1, 2))


def _band(
    operations: ModuleType, x: Any, between: tuple[int, int], known: tuple[Any, Any, Any], tile: Tile, columns: int
) -> Any:
    """Some rows of tiles of the answer, from the whole x (N, H, W, C)."""
    interpolate, weights, collect = known
    points, outputs, inputs = weights.get_output_shape(0)
    count, rows = x.get_output_shape(0)[0], between[1] - between[0]
    spots = count * rows * columns
    windows = []
    for i in range(tile[0] + 2):
        for j in range(tile[1] + 2):
            first = between[0] * tile[0] + i
            last = _whole(first + (rows - 1) * tile[0] + 1, j + (columns - 1) * tile[1] + 1)
            windows.append(operations.slice(x, _whole(first, j), last, _whole(*tile), _whole(1, 2)))
    flat = operations.reshape(operations.concat(windows, 0), _whole(points, spots * inputs), False)
    at_points = operations.matmul(interpolate, flat, False, False)
    given = operations.reshape(at_points, _whole(points, spots, inputs), False)
    products = operations.matmul(given, weights, False, True)
    answers = operations.matmul(
        collect, operations.reshape(products, _whole(points, spots * outputs), False), False, False
    )
    squares = operations.reshape(answers, _whole(*tile, count, rows, columns, outputs), False)
    ordered = operations.transpose(squares, _whole(2, 3, 0, 4, 1, 5))
    return operations.reshape(ordered, _whole(count, rows * tile[0], columns * tile[1], outputs), False)


def _whole(*numbers: int) -> NDArray[np.int64]:
    return np.array(numbers, np.int64)
