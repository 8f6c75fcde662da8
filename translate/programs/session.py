"""An ONNX file, run by onnxruntime on the CPU as a network that takes and answers images in [-1, 1]."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from translate.errors import TranslateError
from translate.exported import LIMITS, Facts, Layout
from translate.memory import free_share
from translate.sizes import Size

TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
"""The types of images that are given to a network, by the library's names."""

MEASURED = (96, 384)
"""The least sides of the images by whose passes memory is measured."""

USUAL = (256, 256)
"""The size of images that is told of a network where nothing else is known."""

SPARE = 1.3
"""How much more an arena may hold than what is in use in it."""


def library() -> ModuleType:
    """Import onnxruntime, which is an optional dependency."""
    try:
        import onnxruntime
    except ImportError:
        raise TranslateError(
            "an .onnx file needs the package onnxruntime; install it by pip install 'image-translate[onnx]'"
        ) from None
    found: ModuleType = onnxruntime
    return found


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


class Session:
    """An opened ONNX file: arrays in, arrays out. It has one input, an image (4 dimensions)."""

    def __init__(self, path: Path, *, profile: Path | None = None) -> None:
        ort = library()
        options = ort.SessionOptions()
        # Fatal only: what goes wrong is raised, and told here in one sentence.
        options.log_severity_level = 4
        options.intra_op_num_threads = torch.get_num_threads()
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
        if len(inputs) != 1:
            names = ", ".join(f"{each.name:.40}" for each in inputs[:5])
            raise TranslateError(
                f"{path} takes {len(inputs)} inputs ({names or 'none'}), and an image is one; "
                "export the network with its image as the only input"
            )
        given = inputs[0]
        if given.type not in TYPES or len(given.shape) != 4:
            raise TranslateError(
                f"{path} takes {given.name:.40} as {given.type} of {len(given.shape)} dimensions, where an image is "
                "floats or bytes (N, C, H, W) or (N, H, W, C)"
            )
        self.path = path
        self.input: str = given.name
        self.shape: tuple[int | None, ...] = tuple(
            side if isinstance(side, int) and side > 0 else None for side in given.shape
        )
        self.dtype = TYPES[given.type]
        self.outputs: list[str] = [each.name for each in outputs if len(each.shape or ()) in (0, 4)]

    def run(self, batch: NDArray[Any], output: str) -> NDArray[Any]:
        """Compute an output for a batch; one by one if the network takes one image only."""
        if self.shape[0] == 1 and len(batch) > 1:
            return np.concatenate([self.run(batch[number : number + 1], output) for number in range(len(batch))])
        try:
            found = self._session.run([output], {self.input: batch})[0]
        except Exception as error:  # the library raises types of its own
            reason = _reason(error)
            if "arena" in reason or "alloc" in reason.lower():
                raise MemoryError(reason) from None
            raise RuntimeError(f"{self.path.name} cannot compute it: {reason}") from None
        if not isinstance(found, np.ndarray) or found.ndim != 4 or found.dtype.kind not in "fu":
            raise TranslateError(f"{self.path} answers no image under {output!r:.60}; name another output")
        return found

    def peak(self) -> int:
        """The most bytes that were in use at once so far; of a session that is profiled, which ends that."""
        file = Path(self._session.end_profiling())
        events = json.loads(file.read_text(encoding="utf-8"))
        return max((int(each.get("args", {}).get("mem_in_use_peak", 0)) for each in events), default=0)


def _reason(error: Exception) -> str:
    """What the library says, in one line and without its prefix."""
    text = " ".join(str(error).split())
    return text.rpartition("Status Message: ")[2][:300] or type(error).__name__


class Program(nn.Module):
    """A session as a network: (N, C, H, W) in [-1, 1] to the same, whatever the file's own range and layout are."""

    def __init__(self, session: Session, facts: Facts) -> None:
        super().__init__()
        self.session = session
        self.facts = facts
        self.size_multiple = facts.size_multiple
        self.fixed_size = None if facts.fixed_size is None else (facts.fixed_size[0], facts.fixed_size[1])
        self._line: tuple[float, float] | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Program:
        # The library uses all cores itself.
        raise TypeError("a session cannot be copied")

    def forward(self, image: Tensor) -> Tensor:
        """Compute the translation."""
        facts = self.facts
        given = to_range(image.cpu().float().numpy(), facts.range, facts.layout, self.session.dtype)
        answer = self.session.run(given, facts.output or self.session.outputs[0])
        whole = answer if facts.layout == "NCHW" else answer.transpose(0, 3, 1, 2)
        low, high = LIMITS[facts.output_range or facts.range]
        scaled = (whole.astype(np.float32) - np.float32(low)) * np.float32(2 / (high - low)) - np.float32(1)
        wanted = (len(image), facts.domains[1].channels, *image.shape[-2:])
        if scaled.shape != wanted:
            raise TranslateError(
                f"{self.session.path.name} answers {scaled.shape} where {wanted} is expected; its channels or its size "
                f"multiple ({facts.size_multiple}) are others than noted"
            )
        return torch.from_numpy(np.ascontiguousarray(scaled))

    @property
    def described(self) -> dict[str, Any]:
        """The arguments by which a ``Translator`` of this network tells what it translates, at which size."""
        facts = self.facts
        height, width = facts.size or facts.fixed_size or USUAL
        source, target = facts.domains
        return {
            "direction": facts.direction,
            "directions": (facts.direction,),
            "source": source,
            "target": target,
            "size": (height, width),
        }

    def bytes_for(self, size: Size) -> int:
        """About how much memory one image (height, width) takes, by two passes that are measured at the first call."""
        if self._line is None:
            self._line = self._measure()
        height, width = (side + -side % self.size_multiple for side in self.fixed_size or size)
        base, slope = self._line
        return int(SPARE * (base + slope * height * width))

    def _measure(self) -> tuple[float, float]:
        sides = [(-(-side // self.size_multiple) * self.size_multiple,) * 2 for side in MEASURED]
        if self.fixed_size is not None:
            sides = [self.fixed_size]
        peaks = []
        channels = self.facts.domains[0].channels
        for height, width in sides:
            with tempfile.TemporaryDirectory() as folder:
                session = Session(self.session.path, profile=Path(folder))
                Program(session, self.facts)(torch.zeros(1, channels, height, width))
                peaks.append((height * width, session.peak()))
        (few, low), (many, high) = peaks[0], peaks[-1]
        slope = max(high - low, 0) / (many - few) if many > few else 0.0
        return max(low - slope * few, 0.0), slope


def to_range(batch: NDArray[Any], limits: str, layout: Layout, dtype: Any) -> NDArray[Any]:
    """Images (N, C, H, W) in [-1, 1] as a file takes them."""
    low, high = LIMITS[limits]
    scaled = (batch + np.float32(1)) * np.float32((high - low) / 2) + np.float32(low)
    if dtype == np.uint8:
        scaled = scaled.round().clip(0, 255)
    ordered = scaled if layout == "NCHW" else scaled.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(ordered, dtype)


def channels_and_layout(shape: Sequence[int | None]) -> tuple[int | None, Layout | None]:
    """The channels and the layout that a shape of four dimensions tells, as far as it does.

    >>> channels_and_layout((1, 3, None, None)), channels_and_layout((None, 224, 224, 3))
    ((3, 'NCHW'), (3, 'NHWC'))
    """
    second, last = shape[1], shape[3]
    few, many = second is not None and second <= MOST_CHANNELS, last is not None and last <= MOST_CHANNELS
    if few and not many:
        return second, "NCHW"
    if many and not few:
        return last, "NHWC"
    return None, None


MOST_CHANNELS = 4
"""The most channels by which a dimension is recognized as such."""
