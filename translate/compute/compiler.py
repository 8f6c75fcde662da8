"""What ``torch.compile`` needs: a compiler, if the machine has one, and a folder that caches compiled code."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch


def keep_compiled() -> None:
    """Cache compiled code on disk for later runs."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(cache) / "translate" / "compiled"))


def missing_compiler(device: torch.device) -> str | None:
    """What compiling for a device needs and this machine lacks; None if nothing is missing."""
    if device.type == "cuda":
        return None if torch.utils._triton.has_triton() else "Triton"
    compilers = [os.environ["CXX"]] if "CXX" in os.environ else ["g++", "clang++"]
    return None if any(shutil.which(each) for each in compilers) else "a C++ compiler"
