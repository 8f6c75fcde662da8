"""Hardware and software of the machine that a benchmark runs on."""

from __future__ import annotations

import os
import platform
from typing import Any

import torch

from translate.machine import cpu_model


def machine(device: torch.device | None = None) -> dict[str, Any]:
    """Processor, usable cores, device, torch, its threads and Python, as JSON values."""
    gpu = device is not None and device.type == "cuda"
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "device": torch.cuda.get_device_name(device) if gpu else "cpu",
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
    }


def described(found: dict[str, Any]) -> str:
    """The result of ``machine`` as one line of text."""
    return "{cpu}, {cores} cores, {device}, torch {torch}, {threads} threads, Python {python}".format(**found)
