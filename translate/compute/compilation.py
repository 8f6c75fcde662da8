"""Compilation of networks by ``torch.compile``, kept only where timing shows that it pays."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FunctionType, MethodType
from typing import Any, Literal

import torch
from torch import nn

from translate.compute.compiler import VARIABLE, keep_compiled, missing_compiler
from translate.errors import TranslateError
from translate.ranks import ProcessGroup
from translate.traits import Traits

log = logging.getLogger("translate")

Compile = Literal["auto", "yes", "no"]

SETTLING = 6
"""Warm-up steps, which are not timed: the first steps after a change are slower than later ones."""

TIMED = 20
"""Steps that are timed before compiling, and again after it."""

COST = 120.0
"""Estimate of the seconds that compiling takes."""

HOPED = 0.3
"""The largest fraction of a step's time that compiling is expected to save."""

KEPT = 0.97
"""Networks stay compiled only if a step takes less than this fraction of the uncompiled step's time."""


class Compilation:
    """Decides whether a run's networks are compiled: ``yes`` from the first step on, ``no``, or ``auto`` if it pays.

    ``auto`` times the first steps uncompiled. If the rest of the run is long enough for compiling to pay at best, it
    compiles the networks, times the next steps, and keeps the faster of the two. All of these are training steps, on
    the same weights either way. ``chosen`` is ``auto`` until the decision is made. ``changed()`` is called whenever
    the networks have been compiled or restored.
    """

    def __init__(
        self,
        asked: Compile,
        networks: Sequence[nn.Module],
        *,
        left: int,
        group: ProcessGroup,
        device: torch.device,
        changed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._networks = list(networks)
        self._left, self._group, self._device, self._clock = left, group, device, clock
        self._changed = changed
        self._counted = 0
        self._began = 0.0
        self._uncompiled: float | None = None
        self.chosen: Compile = asked
        if asked == "no":
            return
        missing = missing_compiler(device)
        if asked == "auto" and (missing or not self._networks):
            self.chosen = "no"
        if asked == "yes":
            if missing:
                raise TranslateError(f"--compile yes needs {missing}; install it, or leave the option out")
            try:
                self._compile()
            except OSError as error:
                raise TranslateError(
                    f"--compile yes needs a folder for compiled code ({error}); name one with {VARIABLE}, "
                    "or leave the option out"
                ) from None

    def passed(self) -> bool:
        """Count a finished step; True if it has decided whether to compile."""
        if self.chosen != "auto":
            return False
        self._counted += 1
        self._left -= 1
        if self._counted == SETTLING:
            self._began = self._now()
        if self._counted < SETTLING + TIMED:
            return False
        seconds = self._mean((self._now() - self._began) / TIMED)
        self._counted = 0
        if self._uncompiled is None:
            self._uncompiled = seconds
            if self._left * seconds * HOPED < 2 * COST:
                self.chosen = "no"
                return True
            try:
                self._compile()
            except Exception as error:
                self._undo()
                self.chosen = "no"
                log.warning("networks stay uncompiled: %s", _first_line(error))
                return True
            return False
        speedup = self._uncompiled / seconds
        if seconds < KEPT * self._uncompiled:
            self.chosen = "yes"
            log.warning("compiled the networks: a step is %.2f times as fast", speedup)
        else:
            self.chosen = "no"
            self._undo()
            log.warning("networks stay uncompiled: a step would be %.2f times as fast", speedup)
        return True

    @property
    def is_timing(self) -> bool:
        """Whether steps are being timed, so that nothing else should run beside them."""
        return self.chosen == "auto"

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the time inside the block, which all ranks enter together."""
        if not self.is_timing:
            yield
            return
        start = self._now()
        yield
        # Those that have nothing to do wait for those that have.
        self._mean(0.0)
        self._began += self._now() - start

    def _compile(self) -> None:
        keep_compiled()
        # The compiler itself reads images' gradients, which triggers this warning.
        warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor that is not a leaf")
        # Hooks that somebody registers later, such as those of inner maps, must be called by compiled networks, too.
        torch._dynamo.config.skip_nnmodule_hook_guards = False
        # Moves from one pass walk its graph several times, and code that has given its buffers away refuses that.
        if hasattr(torch._functorch.config, "donated_buffer"):
            torch._functorch.config.donated_buffer = False
        for network in self._networks:
            for name in ("forward", *Traits(network).passes):
                setattr(network, name, Compiled(network, getattr(network, name)))
        self._changed()

    def _undo(self) -> None:
        for network in self._networks:
            for name in ("forward", *Traits(network).passes):
                network.__dict__.pop(name, None)
        self._changed()

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return self._clock()

    def _mean(self, seconds: float) -> float:
        """The mean over all ranks, so that all decide alike."""
        return self._group.mean(torch.tensor(seconds, dtype=torch.float64, device=self._device)).item()


class Compiled:
    """A compiled function of a network; if compiling or the compiled code fails, it warns once and goes on without.

    What is wrong with the network or its input itself fails again without, and is raised then.
    """

    def __init__(self, network: nn.Module, uncompiled: Callable[..., Any]) -> None:
        self.uncompiled = uncompiled
        self._network = network
        self._compiled: Callable[..., Any] = torch.compile(_in_own_code(uncompiled), dynamic=False)
        self.others: dict[Any, Compiled] = {}
        """Other compiled functions of the network, by what asked for them."""
        self._failed = False
        self._seen: set[Any] = set()

    def __deepcopy__(self, memo: dict[int, Any]) -> Compiled:
        # Who copies a network drops what has replaced its methods, which is bound to the original.
        return self

    @property
    def compiling(self) -> Compiled:
        """Itself: tells that a function is compiled, and compiles others of the same network (``more``)."""
        return self

    def more(self, function: Callable[..., Any]) -> Compiled:
        """Another function of the same network, compiled."""
        return Compiled(self._network, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._failed:
            return self.uncompiled(*args, **kwargs)
        shapes = tuple((each.shape, each.requires_grad) for each in args if isinstance(each, torch.Tensor))
        state = torch.is_grad_enabled(), self._network.training, shapes
        try:
            if state in self._seen:
                return self._compiled(*args, **kwargs)
            with _backward_at_once():
                answer = self._compiled(*args, **kwargs)
            self._seen.add(state)
            return answer
        except Exception as error:
            answer = self.uncompiled(*args, **kwargs)
            self._failed = True
            name = type(self._network).__name__
            log.warning("%s cannot be compiled and goes on without: %s", name, _first_line(error))
            return answer


def _in_own_code(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose code is no other network's.

    The compiler keeps a limited number of versions of each code. A method has that of its class, but a wrapper, such as
    that of activation checkpointing, would be one code for all networks, of which the last stay uncompiled.
    """
    if isinstance(function, MethodType):
        return function

    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return FunctionType(call.__code__.replace(), globals(), closure=call.__closure__)


def _backward_at_once() -> AbstractContextManager[Any]:
    """Compile a backward pass together with its forward pass: later an error would end the step.

    Entering it takes 0.4 ms, which is why calls like earlier ones go without.
    """
    config: Any = getattr(torch._functorch, "config", None)
    name = "force_non_lazy_backward_lowering"
    return config.patch(name, True) if hasattr(config, name) else nullcontext()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
