"""Options that several commands share: the type, help and bounds of each, declared once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from translate.assignments import parse_given
from translate.options import Option
from translate.sizes import Size, parse_size

Precision = Literal["float32", "bf16", "int8"]
"""The arithmetic of inference; without a runtime, torch supports only the first two."""

At = Annotated[
    Size | None,
    Option("resize images to this size first, 256 or HEIGHTxWIDTH", parse=parse_size, metavar="SIZE"),
]
Device = Annotated[str, Option("auto, cpu, cuda, cuda:1 ...")]
Direction = Annotated[
    str | None,
    Option("which network of the run to use, if it has several: forward, backward, sample ... (default: the first)"),
]
Layout = Annotated[
    str | None,
    Option('layout of the folder, if it is ambiguous, such as "folders(source=a)"', part="datasets"),
]
Step = Annotated[
    int | None, Option("take the weights of this checkpoint of the run, by its step (default: the last weights)", ge=1)
]
Given = Annotated[
    Mapping[str, Any] | None,
    Option(
        "what the network takes beside its image, by name",
        parse=parse_given,
        assigns=(
            ("--set", "option of the network as NAME=VALUE, such as passes=4; may be repeated"),
            ("--with", "input of the network as NAME=VALUE, such as label=night or mask=FOLDER/; may be repeated"),
        ),
    ),
]
Overwrite = Annotated[bool, Option("replace files that exist")]
NoiseSeed = Annotated[int, Option("seed of the network's noise")]
