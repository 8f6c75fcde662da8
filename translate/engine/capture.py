"""Capture: a step that has been played is recorded as one graph of kernels, which later steps replay as a whole.

A replay launches thousands of kernels at once, with no Python between them. What it is given must lie where it lay when
it was recorded, and what changes from step to step must be on the device: batches are copied to a place of their own,
and learning rates and the progress are tensors. Whatever a method keeps in Python, a replay would not see; so a
recording is tried once beside the step as it is played, and dropped if the two differ.
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
"""Periods by which the step's number is off while it is recorded: a step that depends on its number then differs."""

SLACK = 0.25
"""The part of a step's change by which a replay may differ: kernels add up in another order each time."""

Play = Callable[[Sequence[Batch], int], None]
State = Mapping[str, Sequence[Tensor]]


class Graph(Protocol):
    """One recorded run of a function that reads and writes tensors."""

    def warm(self, play: Callable[[], None]) -> None:
        """Run it as it is, where it is going to be recorded."""
        ...

    def record(self, play: Callable[[], None]) -> None:
        """Record it, which may or may not run it. Raises ``RuntimeError`` if that is impossible."""
        ...

    def replay(self) -> None:
        """Run what was recorded, on the same memory."""
        ...


class CudaGraph:
    """A CUDA graph with memory of its own, which all graphs of one ``pool`` share since they run one at a time."""

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
            # Other threads go on loading and saving meanwhile.
            with (
                torch.cuda.device(self._device),
                torch.cuda.graph(self._graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"),
            ):
                play()
        except RuntimeError:
            # A failed recording leaves the generator in the belief that it goes on.
            generator = torch.cuda.default_generators[_index(self._device)]
            generator.graphsafe_set_state(torch.Generator(self._device).graphsafe_get_state())
            raise

    def replay(self) -> None:
        self._graph.replay()


def _index(device: torch.device) -> int:
    return torch.cuda.current_device() if device.index is None else device.index


def cuda_graphs(device: torch.device) -> Callable[[], Graph]:
    """What makes the graphs of one training, whose memory they share."""
    return partial(CudaGraph, device, torch.cuda.graph_pool_handle(), torch.cuda.Stream(device))


def capturable(optimizers: Iterable[Optimizer], device: torch.device) -> None:
    """Let optimizers keep on the device what changes from step to step: their rates, and how often they stepped."""
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

    def takes(self, batches: Sequence[Batch]) -> bool:
        """Copy batches to where the graph reads them; False if they are not like those that it was recorded with."""
        if len(batches) != len(self.batches):
            return False
        pairs = list(zip(self.batches, batches, strict=True))
        if any(_kind(given) != _kind(batch) for given, batch in pairs):
            return False
        for given, batch in pairs:
            for name, place in given.items():
                place.copy_(batch[name])
        return True


class Capture:
    """Plays steps; each of a period is recorded when it comes again, and replayed from then on.

    ``play(batches, step)`` plays one, ``seed()`` seeds its draws again, ``state()`` is all that it changes, in groups
    whose tensors are compared together, and ``counts`` are the numbers that it changes in Python, which only grow.
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
        self._plain = period

    @property
    def replays(self) -> bool:
        """Whether any step is recorded."""
        return bool(self._recorded)

    def forget(self) -> None:
        """Drop all recordings, since something has changed; the next period is played as it is."""
        self._recorded.clear()
        self._given_up = False
        self._plain = self._period

    def step(self, batches: Sequence[Batch], step: int) -> None:
        """Play one step, or replay it."""
        recorded = self._recorded.get(step % self._period)
        if recorded is not None and recorded.takes(batches):
            recorded.graph.replay()
            for name, count in recorded.counts.items():
                self._counts[name] += count
        elif self._plain > 0 or self._given_up or recorded is not None:
            self._plain -= 1
            self._play(batches, step)
        else:
            self._record(batches, step)

    def _record(self, batches: Sequence[Batch], step: int) -> None:
        """Make the step, and record it; the step counts once, whatever comes of that."""
        before, counted = _copies(self._state()), dict(self._counts)
        graph = self._graph()
        given = [{name: value.clone() for name, value in batch.items()} for batch in batches]
        try:
            graph.warm(partial(self._play, given, step))
            played, counts = _copies(self._state()), dict(self._counts)
            if _lengths(played) != _lengths(before):
                # Something was only made in this step: its next time shows what it changes.
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
            reason = f"a replay changes the {differing} otherwise than the step does"
        except RuntimeError as error:
            _restore(self._state(), before)
            self._counts.update(counted)
            self._seed()
            self._play(batches, step)
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        self._given_up = True
        self._recorded.clear()
        log.warning("the training goes on without CUDA graphs: %s", reason)


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
    """The group of tensors that a replay changes otherwise than the step did, as far as rounding cannot explain it."""
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
