"""Devices by name, the available cores and memory, and settings of threads and of the allocator."""

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
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory(device: torch.device) -> int:
    """Free bytes of a GPU, or of this machine within the limit of its container."""
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
    """Make glibc keep the memory that a step frees, for the next step; other C libraries are left alone.

    By default glibc returns large blocks to the system at once and requests them again, page by page, which costs a
    small step on a CPU more time than Python does. It does nothing where ``MALLOC_TRIM_THRESHOLD_`` or
    ``MALLOC_MMAP_THRESHOLD_`` is set.
    """
    if any(name in os.environ for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    trim_threshold, mmap_threshold, most_arenas = -1, -3, -8
    mallopt(trim_threshold, 2**31 - 1)
    # Later threads share one heap: an arena of their own would return what exceeds 64 MB.
    mallopt(most_arenas, 1)
    # Not every version accepts the larger value; it then returns 0 and changes nothing.
    if not mallopt(mmap_threshold, 2**30):
        mallopt(mmap_threshold, 2**25)


@contextmanager
def one_thread() -> Iterator[None]:
    """Run the block on one thread; for operations of about 0.1 ms intra-op parallelism costs more than it saves."""
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
