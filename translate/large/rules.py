"""Rules: which rows of its inputs an operation needs for some rows of its output, by its torch function's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Rows = tuple[int, int]
"""Rows of a map, from the first to behind the last."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Which rows of its input an operation needs, and how it is computed on them.

    ``needs(first, last)`` are input rows for the output rows first to last, before they are clipped to the input. A
    strip begins at an input row that ``down`` divides, and its output at that row * ``up`` / ``down``; but a padding
    adds ``pads`` rows at the image's upper and lower border only. ``heavy`` operations are not for computing anew.
    """

    needs: Callable[[int, int], Rows]
    up: int = 1
    down: int = 1
    heavy: bool = True
    pads: tuple[int, int] | None = None

    def input_rows(self, rows: Rows, height: int) -> Rows:
        """The input rows to compute output rows from, of an input of that height."""
        first, last = self.needs(*rows)
        first = min(max(0, first), height - 1) // self.down * self.down
        return first, min(height, max(last, first + 1))


POINTWISE = frozenset(
    {
        *("add", "sub", "mul", "div", "true_divide", "neg", "abs", "square", "sqrt", "rsqrt", "exp", "log", "pow"),
        *("__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__", "__rtruediv__"),
        *("__rdiv__", "__neg__", "__pow__", "sin", "cos", "erf", "lerp", "addcmul", "addcdiv", "where"),
        *("relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "softplus", "sigmoid", "logsigmoid", "tanh"),
        *("hardtanh", "hardswish", "hardsigmoid", "relu6", "prelu", "clamp", "clamp_min", "clamp_max", "maximum"),
        *("minimum", "to", "float", "double", "half", "bfloat16", "contiguous", "clone", "detach", "type_as"),
    }
)
"""Operations whose output row depends on the same row of each input."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of an operation: its arguments by name, and the heights of its input and its output."""

    given: Mapping[str, Any]
    height: int
    made: int

    def number(self, name: str, default: Any) -> int:
        """An argument along the rows: a number, or the first of a pair."""
        value = self.given.get(name)
        value = default if value is None else value
        return int(value[0]) if isinstance(value, (tuple, list)) else int(value)


SAME = Rule(lambda first, last: (first, last), heavy=False)
"""The rule of operations whose output row depends on the same row of each input."""


def rule_of(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], height: int, made: int) -> Rule | None:
    """The rule of a torch function with these arguments and heights; None if it is not known."""
    if name in POINTWISE:
        return SAME
    found = _RULES.get(name)
    if found is None or len(args) > len(found[0]) or not kwargs.keys() <= set(found[0]):
        return None
    try:
        return found[1](Call({**dict(zip(found[0], args, strict=False)), **kwargs}, height, made))
    except (TypeError, ValueError, KeyError):
        return None


def _window(kernel: int, stride: int, padding: int, dilation: int = 1) -> Rule:
    def needs(first: int, last: int) -> Rows:
        return first * stride - padding, (last - 1) * stride - padding + (kernel - 1) * dilation + 1

    return Rule(needs, 1, stride)


def _conv2d(call: Call) -> Rule | None:
    kernel, dilation = int(call.given["weight"].shape[2]), call.number("dilation", 1)
    padding = call.given.get("padding")
    if isinstance(padding, str):
        both = 0 if padding == "valid" else (kernel - 1) * dilation
        return None if both % 2 else _window(kernel, call.number("stride", 1), both // 2, dilation)
    return _window(kernel, call.number("stride", 1), call.number("padding", 0), dilation)


def _conv_transpose2d(call: Call) -> Rule:
    step, pad = call.number("stride", 1), call.number("padding", 0)
    reach = (int(call.given["weight"].shape[2]) - 1) * call.number("dilation", 1)

    def needs(first: int, last: int) -> Rows:
        # One row more than is needed, so that the strip's output reaches far enough.
        return (first + pad - reach) // step, (last - 1 + pad) // step + 2

    return Rule(needs, step, 1)


def _pool(call: Call) -> Rule | None:
    if call.given.get("ceil_mode") or call.given.get("return_indices"):
        return None
    kernel = call.number("kernel_size", None)
    return _window(kernel, call.number("stride", kernel), call.number("padding", 0), call.number("dilation", 1))


def _pad(call: Call) -> Rule | None:
    pad = call.given["pad"]
    if call.given.get("mode", "constant") == "circular" or len(pad) not in (2, 4) or min(pad) < 0:
        return None
    top, bottom = (int(pad[2]), int(pad[3])) if len(pad) == 4 else (0, 0)

    def needs(first: int, last: int) -> Rows:
        start, stop = first - top, last - top
        # What lies beyond a border mirrors rows on its inside.
        return (
            min(start, call.height - bottom - 1) if stop > call.height else start,
            max(stop, top + 1) if start < 0 else stop,
        )

    return Rule(needs, heavy=False, pads=(top, bottom))


def _unshuffle(call: Call) -> Rule:
    factor = call.number("downscale_factor", None)
    return Rule(lambda first, last: (first * factor, last * factor), 1, factor, heavy=False)


def _enlarged(factor: int) -> Rule:
    return Rule(lambda first, last: (first // factor, -(-last // factor)), factor, 1, heavy=False)


def _interpolate(call: Call) -> Rule | None:
    factor, rest = divmod(call.made, call.height)
    by_factor = call.given.get("scale_factor") is not None and call.number("scale_factor", None) == factor
    return _enlarged(factor) if call.given.get("mode", "nearest") == "nearest" and by_factor and not rest else None


def _getitem(call: Call) -> Rule | None:
    index = call.given["index"]
    parts = index if isinstance(index, tuple) else (index,)
    # All rows of all columns: only channels may be chosen.
    whole = all(isinstance(each, slice) for each in parts)
    others = (each for number, each in enumerate(parts) if number != 1)
    return SAME if whole and all(each == slice(None) for each in others) else None


def _along_channels(call: Call) -> Rule | None:
    return SAME if call.given.get("dim", 0) in (1, -3) else None


def _dropout(call: Call) -> Rule | None:
    return None if call.given.get("training", True) else SAME


_RULES: Mapping[str, tuple[tuple[str, ...], Callable[[Call], Rule | None]]] = {
    "conv2d": (("input", "weight", "bias", "stride", "padding", "dilation", "groups"), _conv2d),
    "conv_transpose2d": (
        ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation"),
        _conv_transpose2d,
    ),
    "avg_pool2d": (
        ("input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
        _pool,
    ),
    "max_pool2d": (
        ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
        _pool,
    ),
    "pad": (("input", "pad", "mode", "value"), _pad),
    "pixel_unshuffle": (("input", "downscale_factor"), _unshuffle),
    "pixel_shuffle": (("input", "upscale_factor"), lambda call: _enlarged(call.number("upscale_factor", None))),
    "interpolate": (
        ("input", "size", "scale_factor", "mode", "align_corners", "recompute_scale_factor", "antialias"),
        _interpolate,
    ),
    "__getitem__": (("input", "index"), _getitem),
    "chunk": (("input", "chunks", "dim"), _along_channels),
    "split": (("input", "split_size_or_sections", "dim"), _along_channels),
    "cat": (("tensors", "dim"), _along_channels),
    "concat": (("tensors", "dim"), _along_channels),
    "dropout": (("input", "p", "training", "inplace"), _dropout),
    "dropout2d": (("input", "p", "training", "inplace"), _dropout),
}
"""The names of the parameters of each function, in order, and its rule."""
