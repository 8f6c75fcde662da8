"""Models of OpenVINO, .xml with the weights beside, run on the CPU in float32."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from translate.errors import TranslateError
from translate.libraries import openvino_core, openvino_library, quiet
from translate.machine import threads
from translate.programs.session import Input, Session
from translate.taken import Wanted


class OpenVINOSession(Session):
    """An opened model of OpenVINO."""

    def __init__(self, path: Path, *, further: Mapping[str, Wanted] | None = None) -> None:
        openvino_library("an .xml model")
        core = openvino_core()
        try:
            with quiet():
                self._model = core.read_model(str(path))
                self._compiled = core.compile_model(
                    self._model,
                    "CPU",
                    {
                        "INFERENCE_PRECISION_HINT": "f32",
                        "INFERENCE_NUM_THREADS": threads(),
                        "PERFORMANCE_HINT": "LATENCY",
                    },
                )
        except Exception as error:  # the library raises types of its own
            raise TranslateError(f"{path} cannot be opened by OpenVINO: {_reason(error)}") from None
        inputs = [
            (_name(each, number), str(each.get_element_type().get_type_name()), _shape(each))
            for number, each in enumerate(self._model.inputs)
        ]
        given = Input.only(path, inputs, further)
        self.path = path
        self._inputs = {name: number for number, (name, _, _) in enumerate(inputs)}
        self._image = given.name
        beside = path.with_suffix(".bin")
        self.weights = (beside,) if beside.is_file() else ()
        self.shape, self.dtype = given.shape, given.dtype
        self._allowed: set[tuple[tuple[int, tuple[int, ...]], ...]] = set()
        self._places = {
            _name(each, number): number
            for number, each in enumerate(self._model.outputs)
            if each.get_partial_shape().rank.is_dynamic or len(each.get_partial_shape()) == 4
        }
        # Images come before what does not tell its shape.
        shapes = {name: self._model.outputs[place].get_partial_shape() for name, place in self._places.items()}
        self.outputs = sorted(shapes, key=lambda name: bool(shapes[name].rank.is_dynamic))

    def compute(self, batch: NDArray[Any], output: str, further: Mapping[str, NDArray[Any]] | None = None) -> Any:
        """Compute an output for a batch."""
        fed = {self._inputs[name]: each for name, each in {self._image: batch, **(further or {})}.items()}
        try:
            self._check({number: each.shape for number, each in fed.items()})
            return self._compiled(fed)[self._places[output]].copy()
        except Exception as error:  # the library raises types of its own
            raise RuntimeError(f"{self.path.name} cannot compute it: {_reason(error)}") from None

    def _check(self, shapes: Mapping[int, tuple[int, ...]]) -> None:
        """Raise what the library says of shapes that its operations do not allow.

        When it computes it does not look: a map that is too small for its padding is then read beyond its end.
        """
        key = tuple(sorted(shapes.items()))
        if key not in self._allowed:
            self._reshaped(shapes)
            self._allowed.add(key)

    def _reshaped(self, shapes: Mapping[int, tuple[int, ...]]) -> Any:
        """A copy of the model for inputs of the given shapes, by their numbers."""
        model = self._model.clone()
        model.reshape({model.inputs[number]: list(shape) for number, shape in shapes.items()})
        return model

    def peak(self, batch: NDArray[Any], output: str, further: Mapping[str, NDArray[Any]] | None = None) -> int:
        """The most bytes of maps that live at once, and the weights."""
        fed = {self._image: batch, **(further or {})}
        model = self._reshaped({self._inputs[name]: each.shape for name, each in fed.items()})
        nodes = model.get_ordered_ops()
        last: dict[str, int] = {}
        for place, node in enumerate(nodes):
            for number in range(node.get_input_size()):
                last[node.input_value(number).get_node().get_friendly_name()] = place
        alive: dict[str, int] = {}
        most = kept = 0
        for place, node in enumerate(nodes):
            size = sum(_bytes(node.output(number)) for number in range(node.get_output_size()))
            if node.get_type_name() == "Constant":
                kept += size
                continue
            alive[node.get_friendly_name()] = size
            most = max(most, sum(alive.values()))
            alive = {name: held for name, held in alive.items() if last.get(name, -1) > place}
        return most + kept


def _name(port: Any, number: int) -> str:
    """The name of an input or output; some have none."""
    names = sorted(port.get_names())
    return names[0] if names else str(number)


def _shape(port: Any) -> list[int | None]:
    shape = port.get_partial_shape()
    return [] if shape.rank.is_dynamic else [side.get_length() if side.is_static else None for side in shape]


def _bytes(port: Any) -> int:
    shape = port.get_partial_shape()
    return math.prod(port.get_shape()) * int(port.get_element_type().size) if shape.is_static else 0


def _reason(error: Exception) -> str:
    """What the library says last, in one line."""
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300].rstrip(".")
