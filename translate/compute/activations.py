"""Activations: how many bytes a network's pass takes, counted in small passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

WORKSPACE = 1.3
"""What libraries allocate by themselves in a pass, as a factor of what torch allocates, from above."""

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


@dataclass(frozen=True, slots=True)
class PassBytes:
    """About how many bytes a network's pass over one image takes, from counted passes over a small and a larger one.

    Each is (pixels, bytes). A part of the bytes does not grow with the image, such as weights in another order.
    """

    small: tuple[int, int]
    large: tuple[int, int]

    @classmethod
    def count(cls, compute: Callable[[int, int], Any], *sizes: tuple[int, int]) -> PassBytes:
        """Count passes over images of these sizes (height, width), the smallest first; ``compute`` runs one."""
        found = [(height * width, peak_bytes(lambda: compute(height, width))) for height, width in sizes]  # noqa: B023
        return cls(found[0], found[-1])

    def at(self, pixels: int) -> int:
        """The bytes for an image of so many pixels, from above."""
        (few, least), (many, most) = self.small, self.large
        slope = max(0.0, (most - least) / (many - few)) if many > few else most / many
        line = max(0.0, least - slope * few) + slope * pixels
        # Beyond the larger image no part is taken to be fixed: algorithms change with the size.
        return int(WORKSPACE * (max(line, most / many * pixels) if pixels > many else line))
