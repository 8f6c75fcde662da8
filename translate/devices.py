"""Devices: which one a name means, how many cores and how much memory there is, and how threads share them."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from translate.errors import TranslateError


def pick_device(name: str) -> torch.device:
    """The device of that name; ``auto`` takes the GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise TranslateError(f"there is no device {name!r} here; use --device auto, cpu, cuda or cuda:1") from None
    return device


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory(device: torch.device) -> int:
    """Bytes that are free: of a GPU, or of this machine within what its container allows."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    lines = _lines("/proc/meminfo")
    if "MemAvailable:" not in lines:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2 if hasattr(os, "sysconf") else 2**32
    free = lines["MemAvailable:"] * 1024
    limit = next(iter(_lines("/sys/fs/cgroup/memory.max")), "max")
    if limit.isdigit():
        free = min(free, max(0, int(limit) - _lines("/sys/fs/cgroup/memory.stat").get("anon", 0)))
    return free


def keep_memory() -> None:
    """Let this process keep the memory that is freed in a step, for the next one, where the C library is glibc.

    Else glibc gives large blocks back to the system at once and asks for them again, page by page, which costs a small
    step on a CPU more time than Python does. Who has set ``MALLOC_TRIM_THRESHOLD_`` or ``MALLOC_MMAP_THRESHOLD_`` has
    decided already.
    """
    if any(name in os.environ for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    trim_threshold, mmap_threshold, most_arenas = -1, -3, -8
    mallopt(trim_threshold, 2**31 - 1)
    # Threads that are yet to begin share one heap: one of their own would give back what reaches beyond 64 MB.
    mallopt(most_arenas, 1)
    # Not every version takes the larger one; it then answers 0 and changes nothing.
    if not mallopt(mmap_threshold, 2**30):
        mallopt(mmap_threshold, 2**25)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let this thread compute alone inside: sharing out an operation of a tenth of a millisecond costs more than it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _lines(path: str) -> dict[str, int]:
    """The first word of each line of a kernel file, with the number that follows it."""
    try:
        words = [line.split() for line in Path(path).read_text(encoding="ascii").splitlines()]
    except OSError:
        return {}
    return {line[0]: int(line[1]) if len(line) > 1 and line[1].isdigit() else 0 for line in words if line}
