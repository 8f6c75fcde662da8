"""The machine: its cores, its processor and its memory, and how the C library keeps what is freed; without torch."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from pathlib import Path
from typing import Any


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_model() -> str:
    """The processor's name, from /proc/cpuinfo where it exists."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def threads() -> int:
    """The number of threads that a computation takes: what ``OMP_NUM_THREADS`` says, otherwise one a core."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and 0 < int(asked) < 10**4 else cores()


def free_main_memory() -> int:
    """Free bytes of this machine, within the limit of its container."""
    lines = _lines("/proc/meminfo")
    if "MemAvailable:" not in lines:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2 if hasattr(os, "sysconf") else 2**32
    free = lines["MemAvailable:"] * 1024
    limit = next(iter(_lines("/sys/fs/cgroup/memory.max")), "max")
    if limit.isdigit():
        free = min(free, max(0, int(limit) - _lines("/sys/fs/cgroup/memory.stat").get("anon", 0)))
    return free


def peak_memory() -> int:
    """The most bytes that this process has held, 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return _peak_of_windows()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # The unit is not the same everywhere: bytes on macOS, KiB on Linux and the BSDs.
    return peak if sys.platform == "darwin" else peak * 1024


class _Counters(ctypes.Structure):
    """PROCESS_MEMORY_COUNTERS of the Windows API."""

    _fields_ = (
        ("cb", ctypes.c_uint32),
        ("PageFaultCount", ctypes.c_uint32),
        *((name, ctypes.c_size_t) for name in ("PeakWorkingSetSize", "WorkingSetSize")),
        *((f"quota{number}", ctypes.c_size_t) for number in range(4)),
        *((name, ctypes.c_size_t) for name in ("PagefileUsage", "PeakPagefileUsage")),
    )


def _peak_of_windows() -> int:
    try:
        kernel: Any = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined,unused-ignore]
        kernel.GetCurrentProcess.restype = ctypes.c_void_p
        read = kernel.K32GetProcessMemoryInfo
        read.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32]
        counters = _Counters(cb=ctypes.sizeof(_Counters))
        known = read(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.cb)
    except (AttributeError, OSError):
        return 0
    return int(counters.PeakWorkingSetSize) if known else 0


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
    except (OSError, AttributeError, TypeError):
        # Windows has no handle of the program itself, and raises TypeError.
        return
    trim_threshold, mmap_threshold, most_arenas = -1, -3, -8
    mallopt(trim_threshold, 2**31 - 1)
    # Later threads share one heap: an arena of their own would return what exceeds 64 MB.
    mallopt(most_arenas, 1)
    # Not every version accepts the larger value; it then returns 0 and changes nothing.
    if not mallopt(mmap_threshold, 2**30):
        mallopt(mmap_threshold, 2**25)


def _lines(path: str) -> dict[str, int]:
    """The first word of each line of a kernel file, with the number that follows it."""
    try:
        words = [line.split() for line in Path(path).read_text(encoding="ascii").splitlines()]
    except OSError:
        return {}
    return {line[0]: int(line[1]) if len(line) > 1 and line[1].isdigit() else 0 for line in words if line}
