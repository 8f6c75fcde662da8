"""Trained networks run by OpenVINO."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from itertools import chain
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from translate.compute import Squares, has_few_outputs
from translate.errors import TranslateError, UnfitError
from translate.libraries import openvino_core, openvino_library, quiet
from translate.runtime import Runtime, copy_sharing_weights
from translate_runtimes.fewer import by_fewer_products
from translate_runtimes.quantized import quantized, ranges

HINTS = {"float32": "f32", "bf16": "bf16", "int8": "bf16"}
"""OpenVINO's names of the precisions; in int8, everything but convolutions is computed in bf16."""

MAX_ERROR = 0.25
"""Largest root mean square error against torch, for outputs in [-1, 1]; correct outputs are below 0.04."""

MIN_CHECKED_SIDE = 16
"""Smaller images are not checked: normalization over few positions amplifies rounding errors."""


class OpenVINO(Runtime):
    """A network run by OpenVINO on the CPU: in float32, bf16 or int8, faster than torch.

    In int8, convolutions multiply 8-bit integers. The ranges of their inputs are calibrated on some images first, see
    ``translate_runtimes.quantized``; outputs are no longer those of float32.
    """

    def __init__(self, network: nn.Module, precision: str, device: torch.device) -> None:
        super().__init__()
        if precision not in HINTS:
            raise TranslateError(f"openvino computes in {', '.join(HINTS)}, not {precision}")
        if device.type != "cpu":
            raise TranslateError("openvino runs networks on the CPU; use --device cpu, or --runtime compiled")
        self._library = openvino_library()
        self._network = _rewrite_few_outputs(network)
        self._precision = precision
        self.needs_calibration = precision == "int8"

    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Quantize convolutions to 8 bits, with the ranges found on these batches."""
        if not self.needs_calibration:
            return
        # Without any image the ranges are unknown, so calibration is still needed.
        images = iter(batches)
        if (first := next(images, None)) is not None:
            # bf16 is precise enough for ranges, and faster on CPUs that support it.
            fast = "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
            observed = copy.deepcopy(self._network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            with torch.autocast("cpu", torch.bfloat16, enabled=fast):
                found = ranges(observed, chain([first], images))
            self._network = quantized(self._network, found)
            self.needs_calibration = False

    def prepare(self, example: Tensor, *inputs: Tensor) -> Callable[..., Tensor]:
        """Export the network for the examples' shapes, compile it by OpenVINO, and check its output against torch."""
        try:
            model = exported(self._library, self._network, example, *inputs)
            matrices = by_fewer_products(self._library, model, self._precision)
        except Exception as error:
            reason = (str(error).strip().splitlines() or [""])[-1]
            raise UnfitError(f"OpenVINO cannot run this network ({reason}); leave --runtime out") from None
        compiled = openvino_core().compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": HINTS[self._precision],
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "PERFORMANCE_HINT": "LATENCY",
            },
        )

        def compute(*given: Tensor) -> Tensor:
            return torch.from_numpy(compiled([*(each.contiguous().numpy() for each in given), *matrices])[0])

        if min(example.shape[-2:]) < MIN_CHECKED_SIDE:
            return compute
        # OpenVINO computes an unusual form of normalization wrongly in int8, without an error.
        deviation = (compute(example, *inputs) - self._network(example, *inputs)).square().mean().sqrt().item()
        if not deviation < MAX_ERROR:
            raise UnfitError(
                f"OpenVINO's output is {deviation:.2g} off in {self._precision}; leave --runtime or --precision out"
            )
        return compute


def _rewrite_few_outputs(network: nn.Module) -> nn.Module:
    """A copy with its few-output convolutions replaced by ``Squares``."""
    rewritten = copy_sharing_weights(network)
    for name, module in list(rewritten.named_modules()):
        if has_few_outputs(module) and name:
            parent, _, leaf = name.rpartition(".")
            setattr(rewritten.get_submodule(parent), leaf, Squares(module))
    return rewritten


def exported(library: ModuleType, network: nn.Module, *examples: Tensor) -> Any:
    """A network as an OpenVINO model, for images and other inputs of the examples' shapes.

    Raises ``ValueError`` if it does not take all of them.
    """
    with quiet(), torch.inference_mode(False), torch.no_grad():
        model = library.convert_model(torch.export.export(network, tuple(each.clone() for each in examples)))
        if len(model.inputs) != len(examples):
            raise ValueError(f"of {len(examples)} inputs it takes {len(model.inputs)}")
        # Static shapes are lost in the export; with them OpenVINO is faster, and the sizes of maps are known.
        model.reshape({number: list(each.shape) for number, each in enumerate(examples)})
        return model
