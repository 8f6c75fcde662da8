"""Image sizes: parsed from text, and rounded to the multiples that a network takes."""

from __future__ import annotations

from typing import Any

from translate.errors import TranslateError

__all__ = [
    "Size",
    "fitting_sizes",
    "parse_size",
]

Size = tuple[int, int]
"""Height and width."""

MOST_SIDE = 2**16
"""The longest side of an image to train on."""


def parse_size(value: Any, where: str = "size") -> Size:
    """Read ``256``, ``"256"``, ``"256x512"`` (height x width) or a pair.

    >>> parse_size("256x512"), parse_size(64)
    ((256, 512), (64, 64))
    """
    try:
        if isinstance(value, (tuple, list)):
            sides = [int(side) for side in value]
        else:
            sides = [int(side) for side in str(value).lower().split("x")]
        height, width = sides * 2 if len(sides) == 1 else sides
        if min(height, width) < 1 or max(height, width) > MOST_SIDE:
            raise ValueError(value)
    except (ValueError, TypeError, OverflowError):
        raise TranslateError(
            f"{where}: a size is 256 or HEIGHTxWIDTH, with sides of 1 to {MOST_SIDE}, not {value!r:.80}"
        ) from None
    return height, width


def fitting_sizes(size: Size, multiple: int) -> str:
    """The nearest smaller and larger sizes whose sides divide by ``multiple``, ready to end a sentence.

    >>> fitting_sizes((30, 32), 4)
    '28x32 or 32x32'
    """
    smaller = tuple(max(side // multiple, 1) * multiple for side in size)
    larger = tuple(-(-side // multiple) * multiple for side in size)
    return " or ".join(f"{height}x{width}" for height, width in sorted({smaller, larger}))
