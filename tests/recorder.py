"""What stands in for a CUDA graph where there is no GPU: the operations of a run, replayed on the same memory.

As in a CUDA graph no Python runs in a replay: numbers are those of the recorded run, tensors lie where they lay, and
draws go on from the generator. As there, an operation whose answer the host must see or has made cannot be recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

FORBIDDEN = ("_local_scalar_dense", "nonzero", "masked_select", "lift_fresh", "equal")


class _Listening(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[Any, Any, Any, list[Any]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.__name__.partition(".")[0] in FORBIDDEN:
            raise RuntimeError(f"operation not permitted when stream is capturing: {func.__name__}")
        answer = func(*args, **kwargs)
        self.heard.append((func, args, kwargs, pytree.tree_leaves(answer)))
        return answer


class Recorder:
    """One recorded run."""

    def warm(self, play: Callable[[], None]) -> None:
        play()

    def record(self, play: Callable[[], None]) -> None:
        listening = _Listening()
        with listening:
            play()
        self._heard = listening.heard

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, answers in self._heard:
            for old, new in zip(answers, pytree.tree_leaves(func(*args, **kwargs)), strict=True):
                if isinstance(old, Tensor) and not (old.data_ptr() == new.data_ptr() and old.stride() == new.stride()):
                    old.copy_(new)
