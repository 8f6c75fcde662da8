"""CUDA graphs: a step is captured once as one graph of kernels, which later steps replay as a whole.

A replay launches thousands of kernels at once, with no Python between them. Its inputs must lie at the addresses of the
recording, and what changes from step to step must be on the device: batches are copied to static buffers, and learning
rates and the progress are tensors. A replay does not see what a method keeps in Python; so each recording is compared
once with the step run eagerly, and dropped if the two differ.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer

from translate.method import Batch

log = logging.getLogger("translate")

FAR = 1000
"""Offset, in periods, added to the step number while recording: the comparison then catches a method that uses it."""

SLACK = 0.25
"""Fraction of a step's change by which a replay may differ, since kernels sum in another order each time."""

Play = Callable[[Sequence[Batch], int], None]
State = Mapping[str, Sequence[Tensor]]


class Graph(Protocol):
    """One recorded run of a function that reads and writes tensors."""

    def warm(self, play: Callable[[], None]) -> None:
        """Run ``play`` without recording, on the stream that will record it."""
        ...

    def record(self, play: Callable[[], None]) -> None:
        """Record ``play``, which may or may not run it. Raises ``RuntimeError`` if that is impossible."""
        ...

    def replay(self) -> None:
        """Run the recording, on the same memory."""
        ...


class CudaGraph:
    """A CUDA graph; all graphs of one memory ``pool`` share its memory, since they run one at a time."""

    def __init__(self, device: torch.device, pool: Any, stream: torch.cuda.Stream) -> None:
        self._device, self._pool, self._stream = device, pool, stream
        self._graph = torch.cuda.CUDAGraph()

    def warm(self, play: Callable[[], None]) -> None:
        with torch.cuda.device(self._device):
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                play()
            torch.cuda.current_stream().wait_stream(self._stream)

    def record(self, play: Callable[[], None]) -> None:
        try:
            # Restricted to this thread, since others go on loading and saving meanwhile.
            with (
                torch.cuda.device(self._device),
                torch.cuda.graph(self._graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"),
            ):
                play()
        except RuntimeError:
            # A failed recording leaves the generator in its capturing state; reset it.
            generator = torch.cuda.default_generators[_index(self._device)]
            generator.graphsafe_set_state(torch.Generator(self._device).graphsafe_get_state())
            raise

    def replay(self) -> None:
        self._graph.replay()


def _index(device: torch.device) -> int:
    return torch.cuda.current_device() if device.index is None else device.index


def cuda_graphs(device: torch.device) -> Callable[[], Graph]:
    """A factory of the graphs of one training, which share memory."""
    return partial(CudaGraph, device, torch.cuda.graph_pool_handle(), torch.cuda.Stream(device))


def capturable(optimizers: Iterable[Optimizer], device: torch.device) -> None:
    """Move to the device what optimizers change from step to step: learning rates and step counts."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(float(group["lr"]), device=device)
            if "capturable" in group and device.type == "cuda":
                group["capturable"] = True


@dataclass(frozen=True, slots=True)
class _Recorded:
    graph: Graph
    batches: Sequence[Batch]
    counts: Mapping[str, int]

    def copy_inputs(self, batches: Sequence[Batch]) -> bool:
        """Copy batches to the graph's inputs; False if number, shapes or dtypes are not those of the recording."""
        if len(batches) != len(self.batches):
            return False
        pairs = list(zip(self.batches, batches, strict=True))
        if any(_kind(given) != _kind(batch) for given, batch in pairs):
            return False
        for given, batch in pairs:
            for name, static in given.items():
                static.copy_(batch[name])
        return True


class Capture:
    """Plays steps; each step of a period is recorded the second time it comes, and replayed from then on.

    ``play(batches, step)`` plays one step, ``seed()`` seeds its random draws again, ``state()`` has all tensors that it
    changes, in groups that are compared as a whole, and ``counts`` are the Python numbers that it changes, which only
    grow.
    """

    def __init__(
        self,
        graph: Callable[[], Graph],
        *,
        period: int,
        play: Play,
        seed: Callable[[], None],
        state: Callable[[], State],
        counts: dict[str, int],
    ) -> None:
        self._graph, self._period = graph, period
        self._play, self._seed, self._state, self._counts = play, seed, state, counts
        self._recorded: dict[int, _Recorded] = {}
        self._given_up = False
        self._eager_left = period

    @property
    def replays(self) -> bool:
        """Whether any step is recorded."""
        return bool(self._recorded)

    def forget(self) -> None:
        """Drop all recordings because something has changed; the next period runs eagerly."""
        self._recorded.clear()
        self._given_up = False
        self._eager_left = self._period

    def step(self, batches: Sequence[Batch], step: int) -> None:
        """Play one step, or replay it."""
        recorded = self._recorded.get(step % self._period)
        if recorded is not None and recorded.copy_inputs(batches):
            recorded.graph.replay()
            for name, count in recorded.counts.items():
                self._counts[name] += count
        elif self._eager_left > 0 or self._given_up or recorded is not None:
            self._eager_left -= 1
            self._play(batches, step)
        else:
            self._record(batches, step)

    def _record(self, batches: Sequence[Batch], step: int) -> None:
        """Play the step and record it; its changes apply once, whether or not recording succeeds."""
        before, counted = _copies(self._state()), dict(self._counts)
        graph = self._graph()
        given = [{name: value.clone() for name, value in batch.items()} for batch in batches]
        try:
            graph.warm(partial(self._play, given, step))
            played, counts = _copies(self._state()), dict(self._counts)
            if _lengths(played) != _lengths(before):
                # The step created tensors, such as optimizer states; it is recorded the next time, when they exist.
                return
            _restore(self._state(), before)
            graph.record(partial(self._play, given, step + FAR * self._period))
            _restore(self._state(), before)
            self._seed()
            graph.replay()
            self._counts.update(counts)
            differing = _difference(before, played, self._state())
            if differing is None:
                more = {name: count - counted.get(name, 0) for name, count in counts.items()}
                self._recorded[step % self._period] = _Recorded(graph, given, more)
                return
            _restore(self._state(), played)
            reason = f"a replay changes the {differing} differently from the step"
        except RuntimeError as error:
            _restore(self._state(), before)
            self._counts.update(counted)
            self._seed()
            self._play(batches, step)
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        self._given_up = True
        self._recorded.clear()
        log.warning("the training continues without CUDA graphs: %s", reason)


def _kind(batch: Batch) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (value.shape, value.dtype) for name, value in batch.items()}


def _lengths(state: State) -> dict[str, int]:
    return {name: len(group) for name, group in state.items()}


def _copies(state: State) -> State:
    return {name: [value.detach().clone() for value in group] for name, group in state.items()}


@torch.no_grad()
def _restore(state: State, saved: State) -> None:
    for name, group in saved.items():
        for value, old in zip(state[name], group, strict=True):
            value.copy_(old)


@torch.no_grad()
def _difference(before: State, played: State, replayed: State) -> str | None:
    """The first group of tensors where replay and step differ by more than rounding explains; None if they agree."""
    for name, group in played.items():
        moved = error = size = 0.0
        for old, wanted, found in zip(before[name], group, replayed[name], strict=True):
            if not wanted.is_floating_point():
                if not torch.equal(wanted, found):
                    return name
                continue
            moved += (wanted - old).double().square().sum().item()
            error += (wanted - found).double().square().sum().item()
            size += wanted.double().square().sum().item()
        if not error <= SLACK**2 * moved + 1e-12 * size:
            return name
    return None
