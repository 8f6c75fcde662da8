"""The formats of exported networks: how each is written from a captured network, and opened again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from translate.embedded import EXTRA, Format
from translate.errors import TranslateError
from translate.exported import KEY
from translate.exporting.program import OUTPUT, Program
from translate.libraries import openvino_core, openvino_library, require

Compute = Callable[..., Tensor]
"""From an image, and the inputs behind it, to the output."""

MOST_ONNX = 2**31 - 2**24
"""The most bytes of weights in one ONNX file, whose format counts with 31 bits, less what the graph may need."""


@dataclass(frozen=True, slots=True)
class Writer:
    """One format: the ``suffixes`` of its files, the first of which names the network, and how it is written.

    ``needs`` imports its libraries and tells their versions; it raises ``TranslateError`` if they are not installed.
    """

    suffixes: tuple[str, ...]
    needs: Callable[[], Mapping[str, str]]
    write: Callable[[Program, Path, str, int | None], None]
    open: Callable[[Path], Compute]


def _needs_onnx() -> dict[str, str]:
    return _versions(*require(("onnx", "onnxscript", "onnxruntime"), "export", "an export to ONNX"))


def _needs_openvino() -> dict[str, str]:
    return _versions(openvino_library("an export to OpenVINO"))


def _versions(*modules: ModuleType) -> dict[str, str]:
    return {module.__name__: str(module.__version__) for module in modules}


def _write_onnx(program: Program, path: Path, facts: str, opset: int | None) -> None:
    size = sum(each.nbytes for each in program.captured.state_dict.values())
    if size > MOST_ONNX:
        raise TranslateError(f"its weights have {size:,} bytes, and one ONNX file holds at most 2 GB; choose .pt2")
    made = torch.onnx.export(
        program.captured,
        dynamo=True,
        input_names=program.names,
        output_names=[OUTPUT],
        opset_version=opset,
        # Captured already; given again for their names.
        dynamic_shapes=(dict(program.dimensions), *([tuple(map(dict, program.further))] if program.further else [])),
        verbose=False,
    )
    if made is None:
        raise TranslateError("the exporter made nothing")
    found = made.model.opset_imports.get("")
    if opset not in (None, found):
        raise TranslateError(f"the exporter writes opset {found} where {opset} is asked for; leave --opset out")
    made.model.metadata_props[KEY] = facts
    made.save(str(path), external_data=False)


def _open_onnx(path: Path) -> Compute:
    runtime = require(("onnxruntime",), "export", "an export to ONNX")[0]
    options = runtime.SessionOptions()
    # Fatal errors only; all others are raised as well.
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def compute(*given: Tensor) -> Tensor:
        fed = {name: each.numpy() for name, each in zip(names, given, strict=True)}
        return torch.from_numpy(session.run([OUTPUT], fed)[0])

    return compute


def _write_torch(program: Program, path: Path, facts: str, _: int | None) -> None:
    # Into memory first: where a disk is full, torch's own writer ends the whole process.
    content = BytesIO()
    torch.export.save(program.captured, content, extra_files={EXTRA: facts})
    with path.open("xb") as file:
        file.write(content.getbuffer())


def _open_torch(path: Path) -> Compute:
    module: Compute = torch.export.load(str(path)).module()
    return module


def _write_openvino(program: Program, path: Path, facts: str, _: int | None) -> None:
    library = openvino_library()
    model = library.convert_model(program.captured)
    # The capture's shapes are lost in the conversion.
    if len(model.inputs) != len(program.names):
        raise TranslateError(f"of its inputs {', '.join(program.names)} the model takes {len(model.inputs)}")
    model.reshape(dict(enumerate(program.shapes)))
    for place, name in zip(model.inputs, program.names, strict=True):
        place.get_tensor().set_names({name})
    model.outputs[0].get_tensor().set_names({OUTPUT})
    model.set_rt_info(facts, [KEY])
    # Weights are in float16 by default, which costs what the comparison allows.
    try:
        library.save_model(model, str(path), compress_to_fp16=False)
    except RuntimeError:
        # It says no more than that.
        raise OSError("OpenVINO could not save the model") from None


def _open_openvino(path: Path) -> Compute:
    core = openvino_core()
    compiled = core.compile_model(
        core.read_model(str(path)),
        "CPU",
        {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()},
    )
    return lambda *given: torch.from_numpy(compiled([each.numpy() for each in given])[OUTPUT])


WRITERS: Mapping[Format, Writer] = {
    "onnx": Writer((".onnx",), _needs_onnx, _write_onnx, _open_onnx),
    "torch": Writer((".pt2",), dict, _write_torch, _open_torch),
    "openvino": Writer((".xml", ".bin"), _needs_openvino, _write_openvino, _open_openvino),
}
