"""ONNX files, run by onnxruntime on the CPU."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from numpy.typing import NDArray

from translate.errors import TranslateError
from translate.libraries import require
from translate.machine import threads
from translate.memory import free_share, in_words
from translate.programs.session import Input, Session
from translate.taken import Wanted

ASKED = re.compile(r"smaller than requested bytes of (\d{1,20})")
"""What the library says of memory that it may not have."""


def library() -> ModuleType:
    """Import onnxruntime, which is an optional dependency."""
    return require(("onnxruntime",), "onnx", "an .onnx file")[0]


@cache
def _bound_memory() -> bool:
    """Let no session of this process take more than a share of what is free now; whether that can be had.

    A file of a few bytes can ask for any amount of memory, also while it is only opened.
    """
    ort = library()
    try:
        place = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
        # Extended by what is asked for, since doubled areas would count against the bound.
        bounds = ort.OrtArenaCfg({"max_mem": free_share(), "arena_extend_strategy": 1})
        ort.create_and_register_allocator(place, bounds)
    except Exception:  # another program of this process has registered one, or the library has no such function
        return False
    return True


class OnnxSession(Session):
    """An opened ONNX file."""

    def __init__(self, path: Path, *, further: Mapping[str, Wanted] | None = None, profile: Path | None = None) -> None:
        ort = library()
        options = ort.SessionOptions()
        # Fatal only: what goes wrong is raised, and told here in one sentence.
        options.log_severity_level = 4
        options.intra_op_num_threads = threads()
        if _bound_memory():
            options.add_session_config_entry("session.use_env_allocators", "1")
        if profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(profile / "profile")
        try:
            self._session = ort.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=["ConstantFolding"]
            )
        except Exception as error:  # the library raises types of its own
            raise TranslateError(f"{path} cannot be opened by onnxruntime: {_reason(error)}") from None
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        given = Input.only(path, [(each.name, each.type, each.shape) for each in inputs], further)
        self.path, self._further = path, further
        self.name, self.shape, self.dtype = given.name, given.shape, given.dtype
        # A number has no dimensions, and so has what does not tell its shape: images come first.
        ranks = {each.name: len(each.shape or ()) for each in outputs}
        self.outputs = [name for rank in (4, 0) for name in ranks if ranks[name] == rank]

    def compute(self, batch: NDArray[Any], output: str, further: Mapping[str, NDArray[Any]] | None = None) -> Any:
        """Compute an output for a batch."""
        try:
            return self._session.run([output], {self.name: batch, **(further or {})})[0]
        except Exception as error:  # the library raises types of its own
            if (asked := ASKED.search(str(error))) is not None:
                wanted = in_words(int(asked[1]))
                raise MemoryError(f"{self.path.name} asks for {wanted} of memory, and less may be used") from None
            raise RuntimeError(f"{self.path.name} cannot compute it: {_reason(error)}") from None

    def peak(self, batch: NDArray[Any], output: str, further: Mapping[str, NDArray[Any]] | None = None) -> int:
        """The most bytes in use at once while a batch is computed, weights included."""
        with tempfile.TemporaryDirectory() as folder:
            measured = OnnxSession(self.path, further=self._further, profile=Path(folder))
            measured.compute(batch, output, further)
            file = Path(measured._session.end_profiling())
            events = json.loads(file.read_text(encoding="utf-8"))
        return max((int(each.get("args", {}).get("mem_in_use_peak", 0)) for each in events), default=0)


def _reason(error: Exception) -> str:
    """What the library says, in one line and without its prefix."""
    text = " ".join(str(error).split())
    return text.rpartition("Status Message: ")[2][:300] or type(error).__name__
