"""Trained networks compiled by torch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from translate.compute import keep_compiled, missing_compiler
from translate.errors import TranslateError, UnfitError
from translate.runtime import MOST_SIZES, Runtime


class Compiled(Runtime):
    """A network compiled by torch for each size, with frozen weights (constant folding and prepacking).

    Compiling takes about half a minute per size, less with cached code of another run. On a GPU the whole network is
    one CUDA graph. At most 8 sizes are compiled; images of further sizes are computed without compilation.
    """

    def __init__(self, network: nn.Module, precision: str, device: torch.device) -> None:
        super().__init__()
        if precision not in ("float32", "bf16"):
            raise TranslateError(f"compiled computes in float32 or bf16, not {precision}; use --runtime openvino")
        if missing := missing_compiler(device):
            raise TranslateError(f"the runtime compiled needs {missing}; install it, or leave --runtime out")
        self._network = network
        self._sizes_left = MOST_SIZES
        self._bf16 = precision == "bf16"
        self._options: dict[str, Any] = {"freezing": True, "triton.cudagraphs": device.type == "cuda"}
        keep_compiled()

    def prepare(self, example: Tensor, *inputs: Tensor) -> Callable[..., Tensor]:
        """Compile a copy for the shapes of the examples; freezing drops the copy's parameters."""
        compiled: Callable[..., Tensor] = self._network
        if self._sizes_left:
            self._sizes_left -= 1
            compiled = torch.compile(copy.deepcopy(self._network), dynamic=False, options=self._options)
        device = example.device.type

        def compute(batch: Tensor, *inputs: Tensor) -> Tensor:
            with torch.inference_mode(), torch.autocast(device, dtype=torch.bfloat16, enabled=self._bf16):
                return compiled(batch, *inputs).clone()

        try:
            compute(example, *inputs)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = (str(error).strip().splitlines() or [""])[0]
            raise UnfitError(f"this network cannot be compiled ({reason}); leave --runtime out") from None
        return compute
