"""Programs: networks that come as a whole file, of ONNX or OpenVINO, and are run by another library than torch.

A folder is converted by an ``ArrayTranslator`` without torch, which only ``ProgramNetwork`` needs; it is imported on
first use.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from translate.errors import TranslateError
from translate.programs.array_translator import ArrayTranslator, stacked
from translate.programs.facts import noted, open_program
from translate.programs.program import Program
from translate.tensor_header import OTHERS

if TYPE_CHECKING:
    from translate.programs.network import ProgramNetwork

__all__ = [
    "ArrayTranslator",
    "Program",
    "ProgramNetwork",
    "is_program",
    "noted",
    "open_program",
    "refuse_other",
    "stacked",
]

SUFFIXES = (".onnx", ".xml")
"""The suffixes of files that hold a program."""


def refuse_other(path: str | Path) -> None:
    """Raise ``TranslateError`` for a file of another kind than is used here, by its suffix."""
    suffix = Path(path).suffix.lower()
    for suffixes, what in OTHERS.items():
        if suffix in suffixes:
            raise TranslateError(f"{path} {what}")


def is_program(path: str | Path) -> bool:
    """Whether a path is named as a program is."""
    return Path(path).suffix.lower() in SUFFIXES


def __getattr__(name: str) -> Any:
    if name != "ProgramNetwork":
        raise AttributeError(f"module 'translate.programs' has no attribute {name!r}")
    from translate.programs.network import ProgramNetwork

    return ProgramNetwork
