"""Ranks: the processes that train one run together, one device each, and their collective operations."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from translate.job import EXIT_LOST_RANK, is_distributed, rank_and_world_size
from translate.stopped import can_tell
from translate.traits import Traits

__all__ = [
    "mean_of_all",
]

log = logging.getLogger("translate")

T = TypeVar("T")


class LostRankError(SystemExit):
    """This rank has lost the others; it ends with ``EXIT_LOST_RANK``."""

    def __init__(self) -> None:
        super().__init__(EXIT_LOST_RANK)


Waiting = Callable[[], None]
"""Waits until an asynchronous operation is done."""


class ProcessGroup:
    """All ranks of a job, seen from one of them. A single process is a group of size 1 whose collectives are no-ops.

    Collective methods must be called by all ranks in the same order. A rank that loses the others ends with the exit
    code ``EXIT_LOST_RANK``. The process that started the job then reports what happened; where that is not
    ``translate``, the rank reports it.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size
        self._pending: tuple[Tensor, distributed.Work] | None = None

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which writes the log and the files."""
        return self.rank == 0

    def all_reduce_mean(self, tensors: Sequence[Tensor]) -> Waiting:
        """Start to replace tensors, of one dtype and device, by their means over all ranks; call the result to wait.

        They are sent as one flat buffer, since a network has hundreds of small ones.
        """
        if self.size == 1 or not tensors:
            return _nothing
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        work = self._guarded(lambda: distributed.all_reduce(flat, async_op=True))

        def end() -> None:
            self._guarded(work.wait)
            parts = flat.div_(self.size).split([tensor.numel() for tensor in tensors])
            torch._foreach_copy_(
                list(tensors), [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]
            )

        return end

    def mean(self, values: Tensor) -> Tensor:
        """The mean of a tensor over all ranks."""
        self.all_reduce_mean([values := values.clone()])()
        return values

    def all_gather(self, tensor: Tensor) -> list[Tensor]:
        """The tensors of all ranks, in rank order."""
        if self.size == 1:
            return [tensor]
        found = [torch.empty_like(tensor) for _ in range(self.size)]
        self._guarded(lambda: distributed.all_gather(found, tensor.contiguous()))
        return found

    def all_gather_text(self, text: str) -> list[str]:
        """The texts of all ranks, in rank order; while all are empty, as they mostly are, only lengths are sent."""
        if self.size == 1:
            return [text]
        content = text.encode()
        lengths = [int(each) for each in self.all_gather(torch.tensor([len(content)]))]
        if not any(lengths):
            return [""] * self.size
        padded = torch.zeros(max(lengths), dtype=torch.uint8)
        padded[: len(content)] = torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else padded[:0]
        return [
            bytes(each[:length].tolist()).decode()
            for each, length in zip(self.all_gather(padded), lengths, strict=True)
        ]

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Copy rank 0's values into the tensors of all ranks."""
        if self.size == 1:
            return
        for tensor in tensors:
            # gloo does not support bool.
            given = tensor.to(torch.uint8) if tensor.dtype == torch.bool else tensor.contiguous()
            self._guarded(lambda given=given: distributed.broadcast(given, 0))  # type: ignore[misc]
            tensor.copy_(given)

    def highest_delayed(self, level: int) -> int:
        """The highest level of all ranks at the call before; the result is the same on all ranks.

        Each call starts an all-reduce whose result the next call returns, so that no rank waits for the slowest.
        """
        if self.size == 1:
            return level
        result = 0
        if self._pending is not None:
            levels, work = self._pending
            self._guarded(work.wait)
            result = int(levels)
        levels = torch.tensor(level)
        operation = distributed.ReduceOp.MAX
        self._pending = levels, self._guarded(lambda: distributed.all_reduce(levels, operation, async_op=True))
        return result

    def close(self) -> None:
        """Close the connections to the other ranks."""
        if self.size > 1:
            if self._pending is not None:
                self._guarded(self._pending[1].wait)
            distributed.destroy_process_group()

    def _guarded(self, collective: Callable[[], T]) -> T:
        try:
            return collective()
        except RuntimeError as error:
            if "TRANSLATE_PARENT" not in os.environ:
                # torchrun names the process that failed, but not what to do.
                log.error(
                    "error: rank %d has lost the others; start the job again, with --resume and the run's folder",
                    self.rank,
                )
            raise LostRankError from error


def join(device: torch.device) -> ProcessGroup:
    """Join the group that torchrun or ``translate fit --devices`` describes in the environment; else a group of size 1.

    It reads RANK, LOCAL_RANK and WORLD_SIZE, and for the rendezvous MASTER_ADDR and MASTER_PORT, or the file that
    TRANSLATE_STORE names.
    """
    if not is_distributed():
        return ProcessGroup()
    rank, count = rank_and_world_size()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    store = os.environ.get("TRANSLATE_STORE")
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
        init_method=f"file://{store}" if store else "env://",
        rank=rank,
        world_size=count,
        timeout=collective_timeout(),
    )
    return ProcessGroup(rank, count)


def collective_timeout() -> timedelta:
    """How long a rank waits for the others before they count as lost.

    Our own launcher finds ranks that are dead or stopped itself, so that a job may be suspended for a day.
    """
    return timedelta(days=1) if "TRANSLATE_PARENT" in os.environ and can_tell() else timedelta(minutes=30)


def device_of_rank(asked: str) -> str:
    """The device of this rank on its machine: each rank has its own GPU, or all share the CPU."""
    gpus = asked in ("auto", "cuda") and torch.cuda.is_available()
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if gpus else asked


def share_statistics(method: nn.Module) -> None:
    """SyncBatchNorm: batch normalizations of a method take their statistics over the batches of all ranks.

    It applies to the modules that have the trait ``shared_statistics``.
    """
    for module in method.modules():
        if Traits(module).shared_statistics is not None:
            module.shared_statistics = True  # type: ignore[assignment]


def mean_of_all(values: Tensor) -> Tensor:
    """The mean of a tensor over all ranks, through which gradients flow back to all of them; of one rank, itself."""
    if not distributed.is_initialized():
        return values
    mean: Tensor = _Mean.apply(values)  # type: ignore[no-untyped-call]
    return mean


class _Mean(torch.autograd.Function):
    """The mean over all ranks; so is what flows back, since every rank's loss depends on every rank's values."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total / distributed.get_world_size()

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        return mean_of_all(gradients[0])


def _nothing() -> None:
    pass
