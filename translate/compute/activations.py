"""Activations: how many bytes a network's pass takes, counted in small passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd.profiler import profile


def peak_bytes(compute: Callable[[], Any]) -> int:
    """The most bytes that torch's allocators hold at one time for ``compute``, which runs twice.

    The first run fills caches, such as transformed weights, and is not counted. What a library allocates by itself
    inside one operation is not counted either.
    """
    with torch.inference_mode():
        compute()
        with profile(profile_memory=True, use_device="cuda" if torch.cuda.is_available() else None) as recorded:
            result = compute()
            del result
    results = recorded.kineto_results
    assert results is not None
    events = [event for event in results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak
