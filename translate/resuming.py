"""Resuming with other settings: which a run may take, what follows from them, and what is told and recorded.

A run may take another value of every option that does not say what its networks are: of all options of ``Config`` but
those with a reason in ``Option.fixed``. The options of its method are never changed.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from translate import changes
from translate.asked_optimizers import player_of, refuse_double
from translate.best import Best
from translate.changes import Change
from translate.engine import takes_state
from translate.errors import TranslateError
from translate.options import check_options, options_of, parse_call
from translate.parts import build
from translate.paths import quoted
from translate.plugins import Catalog
from translate.run import Config, Run
from translate.setup import Setup, optimizer_texts

LENGTHS = ("steps", "epochs", "minutes")
"""Options that say how long a training is."""

log = logging.getLogger("translate")

ALGORITHMS = ("memory_format", "convolutions")
"""Options that choose a way of computing, not a result; another device chooses its own."""


def check_asked(run: Run, settings: Mapping[str, Any], catalog: Catalog | None = None) -> dict[str, Any]:
    """The settings that a resumed run is to take, checked; raises ``TranslateError`` for one that it must keep.

    The ``catalog`` knows the options of the run's method.
    """
    parameters = Config.parameters()
    for name in settings:
        if name in parameters and (reason := parameters[name].option.fixed):
            raise TranslateError(_kept(run, name, reason))
        if name not in parameters and name in method_options(run, catalog):
            raise TranslateError(_kept(run, name, f"the method {run.config.method} was built with it"))
        if name in ("method", "options"):
            raise TranslateError(_kept(run, name, "its networks have learned from it"))
    checked = check_options(settings, parameters, "resume")
    found = {name: value for name, value in checked.items() if value is not None or name not in LENGTHS}
    if "minutes" in found and len(found.keys() & set(LENGTHS)) > 1:
        raise TranslateError("a training has one length; give --minutes, or --steps or --epochs")
    return found


def method_options(run: Run, catalog: Catalog | None) -> list[str]:
    """The options of a run's method: those that the catalog knows, or at least those that the run was given."""
    offers = {} if catalog is None else catalog.offers("methods")
    known = offers[run.config.method].option_names if run.config.method in offers else []
    return [*known, *run.config.options]


def _kept(run: Run, name: str, reason: str) -> str:
    given = f"--{name.replace('_', '-')}"
    method, data = quoted(run.config.method), quoted(run.config.data)
    change = {
        "method": f"METHOD {data}",
        "init": f"{method} {data}",
        "options": f"{method} {data}",
    }.get(name, f"{method} {data} {given} ...")
    return (
        f"a resumed run keeps its {name.replace('_', ' ')}, since {reason}; to go on with another, start a new run "
        f"from its weights: `translate fit {change} --init {quoted(run.folder)}`"
    )


def as_flags(settings: Mapping[str, Any]) -> list[str]:
    """Settings as words of the command line, which reads the same values from them.

    >>> as_flags({"steps": 3, "flip": False, "augment": (), "clip_norm": None, "load_size": (48, 64)})
    ['--steps', '3', '--no-flip', '--augment', 'none', '--clip-norm', 'none', '--load-size', '48x64']
    """
    words: list[str] = []
    for name, value in settings.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, tuple) and value and all(isinstance(side, int) for side in value):
            words += [f"--{flag}", "x".join(map(str, value))]
        else:
            for each in (value or (None,)) if isinstance(value, tuple) else (value,):
                words += [f"--{flag}", "none" if each is None else str(each)]
    return words


def config_with(run: Run, settings: Mapping[str, Any]) -> Config:
    """A run's config with other settings; its length stays as it is unless that is among them."""
    if not settings:
        return run.config
    values = dict(settings)
    for path in ("albumentations", "cache_folder"):
        # Absolute, so that the run can be resumed from any folder.
        if isinstance(values.get(path), Path):
            values[path] = values[path].resolve()
    if "steps" in values:
        values.update(epochs=None, minutes=None)
    elif "epochs" in values:
        values.update(steps=None, minutes=None)
    elif run.config.minutes is None or "minutes" in values:
        # Another batch size, say, would give other epochs; how many steps minutes are is measured later.
        values.update(steps=run.steps, epochs=None, minutes=None)
    if "optimizer" in values:
        refuse_double(values["optimizer"])
        values["optimizer"] = _merged(run.config.optimizer, values["optimizer"])
    if values.get("device", run.config.device) != run.config.device:
        values = dict.fromkeys(ALGORITHMS, "auto") | values
    return replace(run.config, **values)


def _merged(before: Sequence[str], asked: Sequence[str]) -> tuple[str, ...]:
    """The optimizers that are asked for; where only those of some players are, the others keep theirs.

    >>> _merged(["adam(lr=1e-4)", "critic=sgd"], ["critic=adam"])
    ('adam(lr=1e-4)', 'critic=adam')
    >>> _merged(["adam(lr=1e-4)", "critic=sgd"], ["rmsprop"])
    ('rmsprop',)
    """
    players = [player_of(text) for text in asked]
    if None in players:
        return tuple(asked)
    return (*(text for text in before if player_of(text) not in players), *asked)


@dataclass(frozen=True, slots=True)
class Resumption:
    """What a run goes on with otherwise: ``changes`` and what follows from them, as ``lines``.

    ``anew`` names the players whose optimizer begins without a state; ``fresh_averages`` says that moving averages
    begin, or end, here.
    """

    changes: tuple[Change, ...] = ()
    lines: tuple[str, ...] = ()
    anew: frozenset[str] = frozenset()
    fresh_averages: bool = False

    def best(self, config: Config, facts: Mapping[str, Any] | None) -> Best | None:
        """The best checkpoint so far out of a checkpoint's ``facts``; it counts no more if scores are others now."""
        others = {"validate", "validate_limit"} & {each.what for each in self.changes}
        return Best.restored(config.keep_best, None if others else facts)

    def without_rollbacks(self, run: Run) -> Resumption:
        """The same where the user gives other learning rates, which count as they are; forgets the run's rollbacks."""
        change = Change(run.step, changes.RATE_FACTOR, run.rate_scale, 1.0)
        log.warning("resume: %s", change)
        run.rollbacks = 0
        return replace(self, changes=(*self.changes, change))

    def record(self, folder: Path) -> None:
        """Write the changes into the run's folder."""
        for each in self.changes:
            changes.record(folder, each.step, each.what, each.before, each.after)


def compare(
    run: Run, config: Config, setup: Setup, tensors: Mapping[str, Any], metadata: Mapping[str, Any] | None
) -> Resumption:
    """Compare a run as it was, with its own ``config``, with what it goes on with, which ``setup`` was made of.

    ``tensors`` and ``metadata`` are those of the checkpoint that it goes on from; None if there is none.
    """
    step = 0 if metadata is None else int(metadata["step"])
    found: list[Change] = []
    lines: list[str] = []
    before, after = config.to_json(), setup.config.to_json()
    for name in Config.parameters():
        if name not in (*LENGTHS, "optimizer") and before[name] != after[name]:
            found.append(Change(step, name, before[name], after[name]))
    anew: set[str] = set()
    changed: set[str] = set()
    others: set[str] = set()
    if config.optimizer != setup.config.optimizer:
        optimizers, changed, others = _optimizer_changes(config, setup)
        found.extend(Change(step, *each) for each in optimizers)
    if setup.steps != run.steps:
        found.append(Change(step, "steps", run.steps, setup.steps))
    if metadata is not None:
        anew = others | {
            name for name in changed - others if not takes_state(setup.engine.players[name], tensors, metadata)
        }
        if anew:
            lines.append(
                f"the optimizer's state of {', '.join(sorted(anew))} does not fit the new optimizer, which starts anew"
            )
    fresh = bool(config.ema) != bool(setup.config.ema)
    if fresh and setup.config.ema:
        lines.append(f"the moving averages start from the weights of step {step}")
    if not found:
        return Resumption()
    stages = [sum(step / length >= start for start in setup.method.stages) for length in (run.steps, setup.steps)]
    if stages[0] != stages[1]:
        lines.append(f"step {step} of {setup.steps} is in stage {stages[1] + 1}, of {run.steps} in {stages[0] + 1}")
    lines += _rate_lines(config, setup, run.steps, step)
    return Resumption(tuple(found), tuple(lines), frozenset(anew), fresh)


def _optimizer_changes(config: Config, setup: Setup) -> tuple[list[tuple[str, Any, Any]], set[str], set[str]]:
    """What of the players' optimizers has changed, the players concerned, and those with another optimizer."""
    old, new = optimizer_texts(config, setup.method), optimizer_texts(setup.config, setup.method)
    players: dict[tuple[str, str, str], list[str]] = {}
    values: dict[tuple[str, str, str], tuple[Any, Any]] = {}
    others: set[str] = set()
    for player in new:
        pairs: dict[str, tuple[Any, Any]] = {}
        earlier, later = parse_call(old[player]), parse_call(new[player])
        if earlier.name != later.name:
            pairs["optimizer"] = (str(earlier), str(later))
            others.add(player)
        else:
            declared = options_of(setup.catalog.offer("optimizers", later.name).load())
            defaults = {name: each.default for name, each in declared.items()}
            two = defaults | check_options(later.options, declared, later.name)
            try:
                one = defaults | check_options(earlier.options, declared, earlier.name)
            except TranslateError:
                # Its plugin has other options since; what was asked is all that can be told.
                one = defaults | dict(earlier.options)
            for name in two:
                if one[name] != two[name]:
                    pairs["learning rate" if name == "lr" else name] = (one[name], two[name])
        for what, pair in pairs.items():
            key = (what, repr(pair[0]), repr(pair[1]))
            players.setdefault(key, []).append(player)
            values[key] = pair
    found = [(f"{key[0]}{_of(names, new)}", *values[key]) for key, names in players.items()]
    return found, {name for names in players.values() for name in names}, others


def _of(names: Sequence[str], players: Collection[str]) -> str:
    """Whose something is, where it is not that of all players."""
    return "" if len(names) == len(players) else f" of {', '.join(names)}"


def _rate_lines(config: Config, setup: Setup, steps: int, step: int) -> list[str]:
    """What the learning rates do at the step from which a run goes on, if that has changed."""
    engine = setup.engine
    try:
        old = build(setup.catalog, "schedules", config.schedule)
        before = engine.rate_factor(step, steps, old)
        rates = {name: _rate(setup.catalog, text) for name, text in optimizer_texts(config, setup.method).items()}
    except TranslateError:
        # What it was trained with is not here any more.
        return []
    after = engine.rate_factor(step, setup.steps, engine.schedule)
    lines: dict[str, list[str]] = {}
    for name, player in engine.players.items():
        one, two = rates[name], player.rates[0]
        if one is not None and (one * before, steps) != (two * after, setup.steps):
            text = f"is {two * after:.6g} at step {step}, where it was to be {one * before:.6g}"
            lines.setdefault(text, []).append(name)
    schedule = f"the schedule {setup.config.schedule} counts {setup.steps} steps from the first one on"
    return [f"the learning rate{_of(names, engine.players)} {text}; {schedule}" for text, names in lines.items()]


def _rate(catalog: Catalog, text: str) -> float | None:
    """The full learning rate of an optimizer that a text names; None if it takes none but a network's weights."""
    try:
        optimizer = build(catalog, "optimizers", text, parameters=[nn.Parameter(torch.zeros(1))])
        return float(optimizer.param_groups[0]["lr"])
    except Exception:  # an optimizer of a plugin
        return None
