"""Trained networks run by OpenVINO."""

from __future__ import annotations

import copy
import logging
import sys
import warnings
from collections.abc import Callable, Iterable
from functools import cache
from itertools import chain
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from translate.compute import Squares, has_few_outputs
from translate.errors import TranslateError, UnfitError
from translate.runtime import Runtime, copy_sharing_weights
from translate_runtimes.fewer import by_fewer_products
from translate_runtimes.quantized import quantized, ranges

HINTS = {"float32": "f32", "bf16": "bf16", "int8": "bf16"}
"""What OpenVINO calls the precisions; in int8, what is no convolution is computed in bf16."""

OFF = 0.25
"""How far, in the mean square's root, an answer in [-1, 1] may lie from torch's; well-computed ones lie below 0.04."""

TOLD = 16
"""Sides from which on that is a fair question: a normalization over a handful of positions makes any rounding large."""


class OpenVINO(Runtime):
    """A network run by OpenVINO on the CPU: in float32, bf16 or int8, faster than torch.

    In int8 convolutions multiply whole numbers of 8 bits. How large the numbers are that come to each of them is found
    out from some images first, see ``translate_runtimes.quantized``; the answers are no longer those of float32.
    """

    def __init__(self, network: nn.Module, precision: str, device: torch.device) -> None:
        super().__init__()
        if precision not in HINTS:
            raise TranslateError(f"openvino computes in {', '.join(HINTS)}, not {precision}")
        if device.type != "cpu":
            raise TranslateError("openvino runs networks on the CPU; use --device cpu, or --runtime compiled")
        self._library = library()
        self._network = _by_squares(network)
        self._precision = precision
        self.needs_calibration = precision == "int8"

    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Bring convolutions to 8 bits, with the ranges that these batches have."""
        if not self.needs_calibration:
            return
        # Of no image nothing is known: then it still wants some.
        images = iter(batches)
        if (first := next(images, None)) is not None:
            # A range need not be known to more digits than bf16 has, where that is faster.
            fast = "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
            looking = copy.deepcopy(self._network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            with torch.autocast("cpu", torch.bfloat16, enabled=fast):
                found = ranges(looking, chain([first], images))
            self._network = quantized(self._network, found)
            self.needs_calibration = False

    def prepare(self, example: Tensor) -> Callable[[Tensor], Tensor]:
        """Export the network for the example's shape and let OpenVINO compile that."""
        try:
            model = exported(self._library, self._network, example)
            more = by_fewer_products(self._library, model, self._precision)
        except Exception as error:
            reason = (str(error).strip().splitlines() or [""])[-1]
            raise UnfitError(f"OpenVINO cannot run this network ({reason}); leave --runtime out") from None
        compiled = core().compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": HINTS[self._precision],
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "PERFORMANCE_HINT": "LATENCY",
            },
        )

        def answer(batch: Tensor) -> Tensor:
            return torch.from_numpy(compiled([batch.contiguous().numpy(), *more])[0])

        if min(example.shape[-2:]) < TOLD:
            return answer
        # OpenVINO has been seen to compute an odd form of normalization wrongly in int8, without a word.
        off = (answer(example) - self._network(example)).square().mean().sqrt().item()
        if not off < OFF:
            raise UnfitError(
                f"OpenVINO answers this network {off:.2g} off in {self._precision}; leave --runtime or --precision out"
            )
        return answer


def _by_squares(network: nn.Module) -> nn.Module:
    """A copy whose convolutions to few channels go by squares."""
    answer = copy_sharing_weights(network)
    for name, module in list(answer.named_modules()):
        if has_few_outputs(module) and name:
            parent, _, leaf = name.rpartition(".")
            setattr(answer.get_submodule(parent), leaf, Squares(module))
    return answer


def exported(library: ModuleType, network: nn.Module, example: Tensor) -> Any:
    """A network as a model of OpenVINO's, for images of the example's shape."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    try:
        with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = library.convert_model(torch.export.export(network, (example.clone(),)))
            # The sizes that torch knew are lost on the way; with them OpenVINO is faster, and maps can be measured.
            model.reshape(list(example.shape))
            return model
    finally:
        # Where it fails, OpenVINO sets up the logging of the whole process to its own liking.
        root.setLevel(level)
        root.handlers[:] = handlers


@cache
def core() -> Any:
    """The one core of this process, which lives as long as it does.

    Each core gives the main thread a stack for signals and takes it back when it goes; of two that go in the order in
    which they came, the second leaves a stack behind that is gone, and the next signal ends the process.
    """
    return library().Core()


def library() -> ModuleType:
    """OpenVINO itself, which is optional."""
    # OpenVINO would report its use to its maker by this package; where it finds none, it reports nothing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import openvino
    except ImportError:
        raise TranslateError(
            "the runtime openvino needs a package of that name; install it by pip install 'image-translate[openvino]'"
        ) from None
    found: ModuleType = openvino
    return found
