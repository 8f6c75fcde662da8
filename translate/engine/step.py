"""The step: takes a method's updates, back-propagates each into its player, and steps that player's optimizer."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from translate.engine.accumulation import Accumulation, close
from translate.engine.capture import Capture, Graph, capturable
from translate.engine.ema import EMA
from translate.engine.log_sums import LogSums
from translate.engine.players import MethodError, Player, names_of, players_of, weights_of
from translate.engine.rules import begin, check_moves
from translate.engine.state import compare, optimizer_numbers, optimizer_state, optimizer_tensors, under
from translate.errors import NotFiniteError, TranslateError
from translate.inner_maps import open_watches
from translate.method import Batch, Method, Update
from translate.pool import ImagePool
from translate.precision import to_float32
from translate.ranks import ProcessGroup, Waiting
from translate.seeds import seed_step

Schedule = Callable[[int, int], float]
"""Maps (step, steps) to the factor on the learning rate at that step."""

_END: Any = object()
"""That a method has no further update; a bare ``yield`` gives None, which is none."""


class Engine:
    """Trains a method, step by step. ``step_count`` is the number of steps done.

    A step never waits for the device: terms are summed there, and ``fetch`` reads them at log intervals.
    """

    def __init__(
        self,
        method: Method,
        optimizers: Mapping[str, Callable[[list[nn.Parameter]], Optimizer]],
        *,
        steps: int,
        schedule: Schedule | None = None,
        clip_norm: float | None = None,
        ema: float = 0.0,
        precision: str = "float32",
        seed: int = 0,
        group: ProcessGroup | None = None,
        device: torch.device | None = None,
        graphs: Callable[[], Graph] | None = None,
    ) -> None:
        self.method = method
        self.steps = steps
        self.step_count = 0
        self.rate_scale = 1.0
        """A factor on all learning rates, beside that of the schedule."""
        self.in_step = False
        """Whether a step has begun and not ended, as after an error within it: some players may have moved already."""
        self.schedule = schedule or (lambda _step, _steps: 1.0)
        self.clip_norm = clip_norm
        self.precision = precision
        self.seed = seed
        self.group = group or ProcessGroup()
        self.device = device or torch.device("cpu")
        self.players = players_of(method, optimizers)
        self._ema = EMA(method.translators, ema)
        self._sums = LogSums(self.device)
        self._checked_until = method.period
        self._accumulation = Accumulation(
            method,
            self.players,
            resume=self._resume,
            check=self._check,
            push=self._push,
            step=self._move_all,
            seed=self._seed,
        )
        self._pooled = [
            f"{name}.{buffer}"
            for name, module in method.named_modules()
            if isinstance(module, ImagePool)
            for buffer in module.state_dict()
        ]
        if graphs is None:
            self._capture = None
            return
        capturable((player.optimizer for player in self.players.values()), self.device)
        self._capture = Capture(
            graphs,
            period=method.period,
            play=self._play_all,
            seed=self._seed,
            state=self._changed_tensors,
            counts=self._sums.counts,
        )

    # --- the hot path -----------------------------------------------------------------------------------------------

    def step(self, batches: Sequence[Batch]) -> None:
        """Play one step on one batch, or on several whose gradients are averaged for each move."""
        self.in_step = True
        self._seed()
        factor = self.rate_factor(self.step_count, self.steps, self.schedule) * self.rate_scale
        for player in self.players.values():
            for group, rate in zip(player.optimizer.param_groups, player.rates, strict=True):
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rate * factor)
                else:
                    group["lr"] = rate * factor
        done = self.step_count / max(self.steps, 1)
        self.method.progress.fill_(done)
        stage = sum(done >= start for start in self.method.stages)
        if stage != self.method.stage:
            # A new stage begins, whose first period is checked, too.
            self.method.stage = stage
            self._checked_until = self.method.period
            self.forget_graphs()
        # A step on several batches seeds its draws on the way, which cannot be recorded.
        play = self._play_all if self._capture is None or len(batches) > 1 else self._capture.step
        play(batches, self.step_count)
        self.step_count += 1
        self._checked_until -= 1
        self._ema.update(self.step_count)
        self.in_step = False

    def rate_factor(self, step: int, steps: int, schedule: Schedule) -> float:
        """The factor that a schedule puts on the learning rates at ``step`` of a training of ``steps``."""
        return schedule(*_since_restart(step, steps, self.method.restarts))

    def _seed(self, number: int = 0) -> None:
        seed_step(self.seed, self.step_count, self.group.rank, number)

    def _play_all(self, batches: Sequence[Batch], step: int) -> None:
        for player in self.players.values():
            self._drop_gradients(player)
        if len(batches) > 1:
            self._accumulation.play(batches, step)
            return
        updates = begin(self.method, batches[0], step)
        while (moves := self._resume(updates)) is not None:
            self._check(moves)
            for wait in self._push(moves, 1, True):
                wait()
            self._move_all(names_of(moves))

    def _push(self, moves: tuple[Update, ...], scale: float, last: bool) -> list[Waiting]:
        """Add the gradients of each move to its player's; with the last batch, start their all-reduce."""
        together = frozenset(names_of(moves))
        for name in together:
            self._drop_gradients(self.players[name])
        reducing: list[Waiting] = []
        for number, move in enumerate(moves, start=1):
            weights = weights_of([self.players[name] for name in move.players], together)
            loss = self._loss(move, scale)
            torch.autograd.backward(loss, inputs=weights, retain_graph=number < len(moves))
            if last and self.group.size > 1:
                # The all-reduce overlaps with the next player's backward pass.
                reducing.append(self.group.all_reduce_mean([w.grad for w in weights if w.grad is not None]))
        return reducing

    def _resume(self, updates: Iterator[Update | tuple[Update, ...]]) -> tuple[Update, ...] | None:
        """Run the method to its next yield, in autocast, which is left again before any optimizer steps."""
        kind = self.device.type
        # Whatever the method does to the grad mode, also before it raises, ends here.
        with torch.set_grad_enabled(True), torch.autocast(kind, torch.bfloat16, self.precision == "bf16"):
            before, watches = _autocast_state(kind), open_watches()
            item = next(updates, _END)
            what = "autocast" if _autocast_state(kind) != before else None
            if open_watches() != watches:
                what = "what layers note"
            if not torch.is_grad_enabled() or torch.is_inference_mode_enabled():
                what = what or "the grad mode"
            if what is not None:
                # The method leaves its `with` now, and not whenever it is collected, after this one is left.
                close(updates)
        if what is not None:
            raise MethodError(
                f"{type(self.method).__name__} yields inside a `with` that changes {what}; leave it before the yield"
            )
        if item is _END:
            return None
        if item is None:
            raise MethodError(
                f"{type(self.method).__name__} has a `yield` without an Update; add what moves, or leave it out"
            )
        return item if isinstance(item, tuple) else (item,)

    def _loss(self, move: Update, scale: float) -> Tensor:
        """Sum a move's terms, and add each to its sum for the log."""
        loss: Tensor | None = None
        for name, term in move.terms.items():
            term = to_float32(term)
            loss = term if loss is None else loss + term
            self._sums.add_term(f"{move.label}/{name}", term)
        for name, value in move.log.items():
            self._sums.add_value(f"{move.label}/{name}", value)
        assert loss is not None
        return loss if scale == 1 else loss * scale

    def _move_all(self, names: tuple[str, ...]) -> None:
        """Step the optimizers of the players that move together."""
        for player in map(self.players.__getitem__, names):
            if self.clip_norm is not None:
                nn.utils.clip_grad_norm_(player.moving(frozenset(names)), self.clip_norm)
            player.optimizer.step()
            for project in player.projections:
                project()
            player.moved = True

    @staticmethod
    def _drop_gradients(player: Player) -> None:
        """Drop the gradients of a finished move, just before the next backward pass, which reuses their memory."""
        if player.moved:
            player.optimizer.zero_grad(set_to_none=True)
            player.moved = False

    # --- the rules of the game --------------------------------------------------------------------------------------

    def _check(self, moves: tuple[Update, ...]) -> None:
        """Check the updates of the first period; later periods repeat them."""
        if self._checked_until <= 0:
            return
        check_moves(type(self.method).__name__, self.players, moves)

    # --- recorded steps ---------------------------------------------------------------------------------------------

    @property
    def replays(self) -> bool:
        """Whether steps are replayed from recorded graphs."""
        return self._capture is not None and self._capture.replays

    def forget_graphs(self) -> None:
        """Drop recorded graphs, because what a step does has changed."""
        if self._capture is not None:
            self._capture.forget()

    def _changed_tensors(self) -> dict[str, list[Tensor]]:
        """All tensors that a step changes, by role and player."""
        groups: dict[str, list[Tensor]] = {"terms": self._sums.changed(), "buffers": list(self.method.buffers())}
        moved: set[Tensor] = set()
        for name, player in self.players.items():
            weights: list[Tensor] = [*player.own, *player.shared]
            groups[f"weights of {name}"] = weights
            moved.update(weights)
            for state in player.optimizer.state.values():
                for key, value in state.items():
                    if isinstance(value, Tensor):
                        groups.setdefault(f"optimizer's {key} of {name}", []).append(value)
        groups["other weights"] = [weight for weight in self.method.parameters() if weight not in moved]
        return groups

    # --- at log intervals -------------------------------------------------------------------------------------------

    def fetch(self) -> dict[str, float]:
        """The mean of each term and of each logged value since the last call, over all ranks.

        Raises ``NotFiniteError`` if a term or a weight is not finite.
        """
        terms, values = self._sums.take(self.group)
        bad = [name for name, value in terms.items() if value != value or value in (float("inf"), -float("inf"))]
        if bad:
            raise NotFiniteError(f"{bad[0]} is not a finite number at step {self.step_count}")
        self.refuse_not_finite()
        return terms | values

    def refuse_not_finite(self) -> None:
        """Raise ``NotFiniteError`` if a weight is not finite."""
        if broken := self._broken_players():
            raise NotFiniteError(f"a weight of {broken[0]} is not a finite number at step {self.step_count}")

    @torch.no_grad()
    def _broken_players(self) -> list[str]:
        broken = []
        for name, player in self.players.items():
            norms = torch._foreach_norm([*player.own, *player.shared])
            if not bool(torch.isfinite(torch.stack(norms)).all()):
                broken.append(name)
        return broken

    @torch.no_grad()
    def gradient_norms(self) -> dict[str, float]:
        """The norm of the gradient of each player's last move, as its optimizer had it; waits for the device.

        A player that did not move in the last step is left out.
        """
        norms = {}
        for name, player in self.players.items():
            found = [weight.grad for weight in (*player.own, *player.shared) if weight.grad is not None]
            if player.moved and found:
                norms[name] = torch.stack(torch._foreach_norm(found)).norm()
        return dict(zip(norms, torch.stack([*norms.values()]).tolist(), strict=True)) if norms else {}

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the moving averages, if there are any, into the translators inside the block."""
        with self._ema.swapped():
            yield

    # --- state ------------------------------------------------------------------------------------------------------

    def tensors(self, *, together: bool = True) -> dict[str, Tensor]:
        """Everything that the next step depends on, by name: networks, pools, optimizers and averages.

        All ranks must call it: their weights are the same, but each has its own image pools. Without ``together`` a
        rank that has lost the others gives what it has alone.
        """
        found = {f"method/{name}": value for name, value in self.method.state_dict().items()}
        for name in self._pooled if together else ():
            for rank, value in enumerate(self.group.all_gather(found[f"method/{name}"])):
                found[_name_on_rank(rank, name)] = value
        found.update(_prefixed("optimizer", optimizer_tensors(self.players.values())))
        found.update(_prefixed("ema", self._ema.tensors()))
        found.update(self._sums.tensors(self.group if together else None))
        return found

    def metadata(self) -> dict[str, Any]:
        """The part of the state that is not tensors, as JSON values."""
        return {
            "step": self.step_count,
            "optimizer_numbers": optimizer_numbers(self.players.values()),
            "log_counts": self._sums.metadata(),
        }

    def load(
        self,
        tensors: Mapping[str, Tensor],
        metadata: Mapping[str, Any],
        *,
        anew: Collection[str] = (),
        fresh_averages: bool = False,
    ) -> None:
        """Load a state from ``tensors`` and ``metadata``; everything is checked before anything is copied.

        The optimizers of the players in ``anew`` keep no state, and ``fresh_averages`` start from the loaded weights.
        """
        of_method = under(tensors, "method/")
        for name in self._pooled:
            # A rank that did not exist before starts with the first rank's pools.
            of_method[name] = tensors.get(_name_on_rank(self.group.rank, name), of_method.get(name, torch.empty(0)))
        optimizer_state_tensors = under(tensors, "optimizer/")
        averages = {} if fresh_averages else under(tensors, "ema/")
        compare(of_method, self.method.state_dict(), "the method")
        if not fresh_averages:
            self._ema.check(averages)
        numbers = metadata.get("optimizer_numbers", {})
        for name in (*optimizer_state_tensors, *numbers):
            if name.partition("/")[0] not in self.players:
                raise TranslateError(f"the checkpoint's optimizer state {name!r:.100} belongs to no player")
        # Later stages have their players wait; without stages each moves once in a period.
        has_moved = not self.method.stages and int(metadata["step"]) >= self.method.period
        states = {
            name: optimizer_state(player, optimizer_state_tensors, numbers, has_moved=has_moved)
            for name, player in self.players.items()
            if name not in anew
        }
        LogSums.check(tensors, metadata["log_counts"])
        known = ("method/", "optimizer/", "ema/", "log/", "logged/", "rank-")
        for name in tensors:
            if not name.startswith(known):
                raise TranslateError(f"the checkpoint's tensor {name!r:.100} has no place in a training")
        self.method.load_state_dict(of_method)
        for name, state in states.items():
            self.players[name].optimizer.load_state_dict(state)
        if fresh_averages:
            self._ema.restart()
        else:
            self._ema.load(averages)
        self._sums.load(tensors, metadata["log_counts"])
        self.step_count = int(metadata["step"])
        self.forget_graphs()

    def restart_averages(self) -> None:
        """Let the averages start from the weights as they are now."""
        self._ema.restart()


def _autocast_state(kind: str) -> tuple[bool, torch.dtype, int]:
    """Whether autocast is on, its dtype, and how many blocks of it are entered: its cache is dropped with the last."""
    torch.autocast_increment_nesting()
    return torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind), torch.autocast_decrement_nesting()


def _since_restart(step: int, steps: int, restarts: Sequence[float]) -> tuple[int, int]:
    """The step counted from the start of its schedule, and the number of this schedule's steps.

    >>> [_since_restart(step, 10, (0.25, 0.6)) for step in (0, 2, 3, 5, 6, 9)]
    [(0, 3), (2, 3), (0, 3), (2, 3), (0, 4), (3, 4)]
    """
    if not restarts:
        return step, steps
    # A schedule begins at the first step with this share of the training done, by the same division as stages.
    firsts = [0, *(bisect_left(range(steps), share, key=lambda n: n / steps) for share in restarts), steps]
    which = bisect_right(firsts, step, hi=len(firsts) - 1) - 1
    return step - firsts[which], firsts[which + 1] - firsts[which]


def _name_on_rank(rank: int, name: str) -> str:
    """A checkpoint's name for a tensor that differs between ranks; the first rank's is the method's."""
    return f"rank-{rank}/{name}" if rank else f"method/{name}"


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": value for name, value in tensors.items()}
