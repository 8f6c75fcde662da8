"""Ranks: the processes that train one run together, each on a device of its own, and what they tell each other."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn import functional as collectives

from translate.traits import Traits

log = logging.getLogger("translate")

T = TypeVar("T")

LOST = 4
"""Exit code of a rank whose others have gone, and of a job that lost a rank."""

Waiting = Callable[[], None]
"""Ends what was begun: returns when it is done."""


class World:
    """All ranks of a job, seen from one of them; one alone is a world, too, in which nothing needs to be told.

    Collective methods must be called by all ranks in the same order. A rank whose others are gone ends with the exit
    code ``LOST``: whoever started the job says what happened, or, where that is not ``translate``, the rank itself.
    """

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank = rank
        self.count = count
        self._begun: tuple[Tensor, distributed.Work] | None = None

    @property
    def leads(self) -> bool:
        """Whether this rank speaks for all: keeps the log and writes the files."""
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> Waiting:
        """Begin to replace tensors, of one type and device, by their means over all ranks; call the answer to end it.

        They travel in one flat buffer: a network has hundreds of small ones.
        """
        if self.count == 1 or not tensors:
            return _nothing
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        work = self._told(lambda: distributed.all_reduce(flat, async_op=True))

        def end() -> None:
            self._told(work.wait)
            parts = flat.div_(self.count).split([tensor.numel() for tensor in tensors])
            torch._foreach_copy_(
                list(tensors), [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]
            )

        return end

    def mean(self, values: Tensor) -> Tensor:
        """The mean of a tensor over all ranks."""
        self.average([values := values.clone()])()
        return values

    def each(self, tensor: Tensor) -> list[Tensor]:
        """The tensors of all ranks, in their order."""
        if self.count == 1:
            return [tensor]
        found = [torch.empty_like(tensor) for _ in range(self.count)]
        self._told(lambda: distributed.all_gather(found, tensor.contiguous()))
        return found

    def follow(self, tensors: Iterable[Tensor]) -> None:
        """Take over the leading rank's values."""
        if self.count == 1:
            return
        for tensor in tensors:
            # gloo sends no truth values.
            given = tensor.to(torch.uint8) if tensor.dtype == torch.bool else tensor.contiguous()
            self._told(lambda given=given: distributed.broadcast(given, 0))  # type: ignore[misc]
            tensor.copy_(given)

    def any(self, flag: bool) -> bool:
        """Whether any rank had raised its flag when it called last; all hear the same.

        One call late, so that nobody waits for the slowest: what was begun by a call is heard by the next.
        """
        if self.count == 1:
            return flag
        heard = False
        if self._begun is not None:
            raised, work = self._begun
            self._told(work.wait)
            heard = bool(raised)
        raised = torch.tensor(int(flag))
        operation = distributed.ReduceOp.MAX
        self._begun = raised, self._told(lambda: distributed.all_reduce(raised, operation, async_op=True))
        return heard

    def leave(self) -> None:
        """End the connections to the others."""
        if self.count > 1:
            if self._begun is not None:
                self._told(self._begun[1].wait)
            distributed.destroy_process_group()

    def _told(self, collective: Callable[[], T]) -> T:
        try:
            return collective()
        except RuntimeError as error:
            if "TRANSLATE_PARENT" not in os.environ:
                # torchrun names the process that failed, and not what to do.
                log.error(
                    "error: rank %d has lost the others; start the job again, with --resume and the run's folder",
                    self.rank,
                )
            raise SystemExit(LOST) from error


def join(device: torch.device) -> World:
    """The world that the environment describes, as torchrun and ``translate fit --devices`` do; alone without.

    RANK, LOCAL_RANK, WORLD_SIZE, and how to find each other: MASTER_ADDR and MASTER_PORT, or a file that is named by
    TRANSLATE_STORE.
    """
    if not started():
        return World()
    rank, count = place()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    store = os.environ.get("TRANSLATE_STORE")
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
        init_method=f"file://{store}" if store else "env://",
        rank=rank,
        world_size=count,
    )
    return World(rank, count)


def started() -> bool:
    """Whether this process was started as one of several ranks."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def place() -> tuple[int, int]:
    """Which rank this process is, and of how many: (0, 1) alone."""
    return (int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])) if started() else (0, 1)


def announces() -> bool:
    """Whether this process tells the user how a job went: the one that started the ranks, or else the first rank."""
    return not started() or (os.environ["RANK"] == "0" and "TRANSLATE_PARENT" not in os.environ)


def orphaned() -> bool:
    """Whether the process that started this rank has gone, so that nobody waits for the job any more."""
    parent = os.environ.get("TRANSLATE_PARENT")
    return parent is not None and os.getppid() != int(parent)


def device_of_rank(asked: str) -> str:
    """The device of this rank among those of its machine: GPUs are dealt out, the CPU is everybody's."""
    gpus = asked in ("auto", "cuda") and torch.cuda.is_available()
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if gpus else asked


def share_statistics(method: nn.Module) -> None:
    """Let the batch normalizations of a method take their statistics over the batches of all ranks.

    They are the modules that have the trait ``shared_statistics``.
    """
    for module in method.modules():
        if Traits(module).shared_statistics is not None:
            module.shared_statistics = True  # type: ignore[assignment]


def mean_of_all(values: Tensor) -> Tensor:
    """The mean of a tensor over all ranks, through which gradients flow back to all of them."""
    total: Tensor = collectives.all_reduce(values)
    return total / distributed.get_world_size()


def _nothing() -> None:
    pass
