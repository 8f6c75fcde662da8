"""Devices of torch by name, their memory, and the number of its threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from translate.errors import TranslateError
from translate.machine import free_main_memory, peak_memory

KINDS = ("cpu", "cuda")
"""The kinds of device that are supported; docs/performance.md says why Apple's GPU is none of them."""


def pick_device(name: str) -> torch.device:
    """The device of that name; ``auto`` takes the GPU where there is one that is supported."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind = name.partition(":")[0]
    if kind == "mps":
        raise TranslateError("Apple's GPU (mps) has no float64 and is not supported; use --device cpu")
    try:
        device = torch.device(name)
        if device.type not in KINDS:
            raise TranslateError(f"devices of the kind {kind!r} are not supported; use --device auto, cpu or cuda")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise TranslateError(f"there is no device {name!r} here; use --device auto, cpu, cuda or cuda:1") from None
    return device


def free_memory(device: torch.device) -> int:
    """Free bytes of a GPU, or of this machine within the limit of its container."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_main_memory()


def memory_in_use(device: torch.device) -> int:
    """Bytes that torch has allocated on a GPU; on a CPU the peak of the process, 0 where the system does not tell."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else peak_memory()


@contextmanager
def one_thread() -> Iterator[None]:
    """Run the block on one thread; for operations of about 0.1 ms intra-op parallelism costs more than it saves."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
