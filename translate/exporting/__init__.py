"""Exporting: a trained translator as a file for other programs, compared with torch before it is put in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from translate.assignments import parse_given
from translate.common_options import Direction, Overwrite, Step
from translate.options import Option, asked_of
from translate.paths import expanded
from translate.sizes import Size

__all__ = [
    "Export",
    "ExportFormat",
    "export",
]

ExportFormat = Literal["auto", "onnx", "torch", "openvino"]


@dataclass(frozen=True, slots=True)
class Export:
    """The result of an export: the ``files`` that were written, the first of which is the network to open.

    ``difference`` is the largest difference between the file's outputs and torch's, both in [-1, 1], at the ``sizes``
    (height, width) at which they were compared.
    """

    files: tuple[Path, ...]
    format: str
    direction: str
    difference: float
    sizes: tuple[Size, ...]


def export(
    run: str | Path,
    target: str | Path,
    *,
    format: Annotated[  # noqa: A002 - the command line's word
        ExportFormat, Option("format of the file; auto: onnx for .onnx, torch for .pt2, openvino for .xml and .bin")
    ] = "auto",
    step: Step = None,
    direction: Direction = None,
    given: Annotated[
        Mapping[str, Any] | None,
        Option(
            "options of the network that the file holds, by name",
            parse=parse_given,
            assigns=(("--set", "option of the network that the file holds as NAME=VALUE; may be repeated"),),
        ),
    ] = None,
    inputs: Annotated[
        Sequence[str],
        Option(
            "input of the network that the file takes behind its image, such as label; may be repeated "
            "(default: those that must be given)",
            flag="--with",
            metavar="NAME",
        ),
    ] = (),
    opset: Annotated[
        int | None, Option("version of the ONNX operators, for older programs (default: the exporter's)", ge=18)
    ] = None,
    overwrite: Overwrite = False,
    plugins: Sequence[str] = (),
    no_plugins: Sequence[str] = (),
) -> Export:
    """Write a trained translator as an ONNX file, a program of ``torch.export`` or an OpenVINO model.

    The file takes ``image`` (N, C, H, W) float32 in [-1, 1] and answers ``translation`` (N, C', H, W) in [-1, 1], for
    any N and for any sides that divide by the network's ``size_multiple``, or for its ``fixed_size`` alone. It holds
    what a program must know to feed it (``translate.show``). Noise is not drawn: the output is the deterministic one.

    Of a network that takes more than its image, ``given`` are the options that the file holds, others have their
    defaults. ``inputs`` are those that the file takes behind ``image``, under their names: classes (N,) int64, vectors
    (N, D) float32, and images and noise (N, C, H, W) float32; those that must be given are always among them.

    Before the file takes its name it is opened and compared with torch at three sizes. Raises ``TranslateError`` if its
    outputs part, if the network cannot be exported or is no translator, or if ``target`` exists, unless ``overwrite``
    is set; nothing is written then.
    """
    asked = asked_of(export, locals())
    # Imported here, so that the options can be read without torch.
    from translate.exporting.writing import export_as_asked

    return export_as_asked(expanded(run), expanded(target), asked, plugins, no_plugins)
