"""Activations: how many bytes a network's pass takes, counted in small passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

# The older profiler is asked directly: the newer one prints a line to the terminal whenever it starts.
_autograd: Any = torch.autograd
_profiler: Any = torch._C._profiler


def peak_bytes(compute: Callable[[], Any]) -> int:
    """The most bytes that torch's allocators hold at one time for ``compute``, which runs twice.

    The first run fills caches, such as transformed weights, and is not counted. What a library allocates by itself
    inside one operation is not counted either.
    """
    settings = _autograd.ProfilerConfig(
        _autograd.ProfilerState.CPU, False, True, False, False, False, _profiler._ExperimentalConfig()
    )
    with torch.inference_mode():
        compute()
        _autograd._enable_profiler_legacy(settings)
        try:
            result = compute()
            del result
        finally:
            threads = _autograd._disable_profiler_legacy()
    held = peak = 0
    for events in threads:
        for event in events:
            if event.kind() == "memory_alloc":
                held += event.cpu_memory_usage() + event.cuda_memory_usage()
                peak = max(peak, held)
    return peak
