"""What ``torch.compile`` needs: a compiler, if the machine has one, and a folder that caches compiled code."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import torch

VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


def keep_compiled() -> None:
    """Cache compiled code on disk for later runs, or for this process alone where the user has no folder for caches.

    That is a container without HOME, or one whose home is read-only. Raises ``OSError`` if there is no temporary folder
    either.
    """
    if VARIABLE in os.environ:
        return
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(home) / "translate" / "compiled"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, RuntimeError):
        # A name that others know beforehand would let them put code there.
        folder = Path(tempfile.mkdtemp(prefix="translate-compiled-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ[VARIABLE] = str(folder)


def missing_compiler(device: torch.device) -> str | None:
    """What compiling for a device needs and this machine lacks; None if nothing is missing."""
    if device.type == "cuda":
        return None if torch.utils._triton.has_triton() else "Triton"
    compilers = [os.environ["CXX"]] if "CXX" in os.environ else ["g++", "clang++"]
    return None if any(shutil.which(each) for each in compilers) else "a C++ compiler"
