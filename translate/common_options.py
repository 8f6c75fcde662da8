"""Options that several commands have, each declared once: its type, its help and its bounds."""

from __future__ import annotations

from typing import Annotated, Literal

from translate.options import Option
from translate.sizes import Size, parse_size

Precision = Literal["float32", "bf16", "int8"]
"""The arithmetic in which a trained network may answer; torch alone has the first two."""

At = Annotated[
    Size | None,
    Option("resize images to this size first, 256 or HEIGHTxWIDTH", parse=parse_size, metavar="SIZE"),
]
Device = Annotated[str, Option("auto, cpu, cuda, cuda:1 ...")]
Direction = Annotated[
    str | None, Option("what of the run, where it keeps several: forward, backward, sample ... (default: the first)")
]
Layout = Annotated[
    str | None,
    Option('how the folder is laid out, where it is not clear, such as "folders(source=a)"', part="datasets"),
]
NoiseSeed = Annotated[int, Option("of the noise that the network draws")]
