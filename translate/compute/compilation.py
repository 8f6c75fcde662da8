"""Compilation: networks are compiled where that wins more time than it costs, which is found out on the way."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import nn

from translate.compute.compiler import keep_compiled, missing_compiler
from translate.errors import TranslateError
from translate.ranks import ProcessGroup

log = logging.getLogger("translate")

Compile = Literal["auto", "yes", "no"]

SETTLING = 6
"""Steps that are not timed: the first after a change are slower than those that follow."""

TIMED = 20
"""Steps that are timed before and after compiling."""

COST = 120.0
"""Seconds that compiling takes about, as far as nobody knows better yet."""

HOPED = 0.3
"""The part of a step's time that compiling saves at best."""

KEPT = 0.97
"""A compiled step must take less than this part of the plain one's time; else nothing was won."""


class Compilation:
    """Whether a run's networks are compiled: from the first step on, never, or if it turns out to pay.

    ``auto`` times the first steps as they are. If the rest of the run is long enough for compiling to pay at best, the
    networks are compiled and the next steps timed, and they stay compiled if those were faster. All of these are steps
    of the training, which go on with the same weights either way. ``chosen`` is ``auto`` until that is known.
    ``changed()`` is called when the networks have been compiled, or are no longer.
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
        self._passed = 0
        self._began = 0.0
        self._plain: float | None = None
        self.chosen: Compile = asked
        missing = missing_compiler(device)
        if asked == "auto" and (missing or not self._networks):
            self.chosen = "no"
        if asked == "yes":
            if missing:
                raise TranslateError(f"--compile yes needs {missing}; install it, or leave the option out")
            self._compile()

    def passed(self) -> bool:
        """A step has been made: True when that has decided what was open."""
        if self.chosen != "auto":
            return False
        self._passed += 1
        self._left -= 1
        if self._passed == SETTLING:
            self._began = self._now()
        if self._passed < SETTLING + TIMED:
            return False
        each = self._mean((self._now() - self._began) / TIMED)
        self._passed = 0
        if self._plain is None:
            self._plain = each
            if self._left * each * HOPED < 2 * COST:
                self.chosen = "no"
                return True
            self._compile()
            return False
        faster = self._plain / each
        if each < KEPT * self._plain:
            self.chosen = "yes"
            log.warning("compiled the networks: a step is %.2f times as fast", faster)
        else:
            self.chosen = "no"
            self._undo()
            log.warning("networks stay uncompiled: a step would be %.2f times as fast", faster)
        return True

    def _compile(self) -> None:
        keep_compiled()
        # The compiler looks at images' gradients, of which it warns itself.
        warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor that is not a leaf")
        for network in self._networks:
            network.forward = _compiled(network)
        self._changed()

    def _undo(self) -> None:
        for network in self._networks:
            network.__dict__.pop("forward", None)
        self._changed()

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return self._clock()

    def _mean(self, seconds: float) -> float:
        """All ranks must decide alike."""
        return self._group.mean(torch.tensor(seconds, dtype=torch.float64, device=self._device)).item()


def _compiled(network: nn.Module) -> Callable[..., Any]:
    """A network's forward, compiled; where that fails, it is told once and the plain one goes on."""
    plain = network.forward
    fast: Callable[..., Any] = torch.compile(plain, dynamic=False)
    failed = False

    def forward(*given: Any, **named: Any) -> Any:
        nonlocal failed
        if not failed:
            try:
                return fast(*given, **named)
            except torch._dynamo.exc.TorchDynamoException as error:
                failed = True
                reason = str(error).strip().splitlines()
                log.warning(
                    "%s cannot be compiled and goes on without: %s", type(network).__name__, reason[0] if reason else ""
                )
        return plain(*given, **named)

    return forward
