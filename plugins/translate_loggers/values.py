"""Values of options and pictures, as loggers take them."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

PLANES = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
"""The planes of an image by the colour type of a PNG file; those of a palette are colours."""


def shown(value: Any) -> bool | int | float | str:
    """An option's value as a number or a text.

    >>> shown(0.5), shown(None), shown((256, 256)), shown("unet(width=8)")
    (0.5, 'none', '[256, 256]', 'unet(width=8)')
    """
    if value is None:
        return "none"
    return value if isinstance(value, (bool, int, float, str)) else json.dumps(value, default=str)


def table(values: Mapping[str, Any]) -> str:
    """Names and values as a table in Markdown.

    >>> print(table({"steps": 8, "augment": "a | b"}))
    | option | value |
    |---|---|
    | steps | 8 |
    | augment | a \\| b |
    """
    rows = [f"| {name} | {str(value).replace('|', chr(92) + '|')} |" for name, value in values.items()]
    return "\n".join(["| option | value |", "|---|---|", *rows])


def header_of_png(data: bytes) -> tuple[int, int, int]:
    """Width, height and planes of a PNG file; raises ``ValueError`` for anything else."""
    if len(data) < 33 or data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR":
        raise ValueError("the picture is no PNG file")
    width, height, _, colours = struct.unpack(">IIBB", data[16:26])
    return width, height, PLANES.get(colours, 3)
