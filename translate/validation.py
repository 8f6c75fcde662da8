"""Validation: metrics of a training on its held-out split, by copies of its networks, so that it disturbs nothing."""

from __future__ import annotations

import itertools
import logging
import random
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from translate import checkpoint, metrics_file
from translate.best import VALIDATED, Better, as_json, best_translator
from translate.errors import TranslateError, nearest
from translate.evaluation import Asked, Measurement, Scores, is_error
from translate.intervals import interval_of
from translate.isolation import shown
from translate.lists import split_list
from translate.lock import refuse_lost
from translate.parts import SavedMethod, rebuild_for
from translate.run import Config, Run
from translate.saving import translator_of
from translate.setup import Setup

log = logging.getLogger("translate")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from a validation, the same on all ranks: ``is_best`` of this training so far, and ``ends`` it."""

    is_best: bool = False
    ends: bool = False


class Validation:
    """Validates a training: its translators at their averages, if there are any, by the protocol of ``evaluate``.

    The networks of the training are never called. Their weights are copied into networks of the validation's own, built
    as an evaluation builds them from the run's translator, on the main rank; other ranks wait. Torch's, numpy's and
    Python's generators have the same state afterwards.

    Raises ``TranslateError`` for options that do not fit each other, for data without a held-out split, and for a
    metric that fits no network or not the data: each metric has then seen one batch.
    """

    def __init__(self, setup: Setup, folder: Path) -> None:
        self._setup = setup
        config = setup.config
        self._metrics = metrics_of(config.validate)
        _refuse_unfit(config)
        self._measured: dict[str, tuple[Measurement, list[str]]] = {}
        self._better: dict[str, Better] = {}
        if not self._metrics or not setup.group.is_main:
            return
        split = setup.dataset.splits.get(VALIDATED, {})
        if not any(split.values()):
            raise TranslateError(
                f"--validate needs held-out images, and {setup.dataset.name} has none in the split {VALIDATED!r}; add "
                "some, or leave out --validate"
            )
        with untouched_draws(setup.engine.device):
            self._build(Run(folder, config))
        kept = config.keep_best
        if kept is not None and kept not in self._better:
            raise TranslateError(
                f"--keep-best {kept:.100} is no score of the validation by which to choose; "
                + nearest(kept, self._better)
            )

    def _build(self, run: Run) -> None:
        setup = self._setup
        tensors, facts = translator_of(setup, run)
        method = rebuild_for(run.translator, setup.catalog, facts, tensors)
        self._saved = SavedMethod(run.translator, setup.catalog, tensors, facts, method)
        reasons: dict[str, str] = {}
        for direction in method.translators:
            measurement = Measurement(self._asked(direction), str(setup.engine.device))
            found, unfit = measurement.fitting(self._metrics)
            reasons = {**unfit, **reasons}
            if not found:
                continue
            for text, metric in found.items():
                better: Mapping[str, Better] = getattr(metric, "better", {})
                for name, which in better.items():
                    self._better[self._name_of(name, text, direction, self._better)] = which
            self._measured[direction] = measurement, list(found)
        fits = {text for _, texts in self._measured.values() for text in texts}
        for text in self._metrics:
            if text not in fits:
                raise TranslateError(f"--validate: {text} {reasons[text]}")

    def _asked(self, direction: str) -> Asked:
        config = self._setup.config
        return Asked(
            self._saved, direction, self._setup.dataset, VALIDATED, config.validate_limit, config.size, batch=32,
            samples=8, seed=0, memory=config.memory, max_pixels=config.max_pixels,
        )  # fmt: skip

    def tell_later(self, run: Run) -> None:
        """Tell of a best translator of a later step than that from which a run goes on."""
        if run.best is None or not self._setup.group.is_main:
            return
        path = best_translator(run.folder, run.best.name)
        try:
            step = checkpoint.load(path)[1].get("step") or 0
        except checkpoint.CheckpointError:
            return
        if step > run.step:
            log.warning(
                "%s is of step %d, after step %d, from which the run goes on; it stays until a better one is measured",
                path, step, run.step,
            )  # fmt: skip

    def is_due(self, step: int, steps: int) -> bool:
        """Whether the networks are validated after ``step`` of ``steps`` steps."""
        every = interval_of(self._setup.config.validate_every, steps)
        return bool(self._metrics) and (step % every == 0 or step == steps)

    def run(self, run: Run, beside: Callable[[], AbstractContextManager[None]]) -> Verdict:
        """Validate the networks as they are, note the scores, and say what follows; all ranks must call this.

        The main rank works within ``beside``. A validation that fails is told, and the training goes on.
        """
        setup, verdict = self._setup, Verdict()
        if setup.group.is_main:
            with beside():
                scores = self._scores(run.step)
                if scores:
                    verdict = self._note(run, scores)
        flags = torch.tensor([verdict.is_best, verdict.ends], dtype=torch.uint8)
        setup.group.broadcast([flags])
        is_best, ends = (bool(each) for each in flags.tolist())
        return Verdict(is_best, ends)

    def _scores(self, step: int) -> dict[str, float]:
        """The scores by name, without those of metrics that fail, which is told."""
        found: dict[str, float] = {}
        failed: dict[str, dict[str, None]] = {}
        with untouched_draws(self._setup.engine.device):
            self._copy_weights()
            for direction, (measurement, texts) in self._measured.items():
                for scores in _measured(measurement, texts, failed):
                    for name, value in scores.values.items():
                        found[self._name_of(name, scores.metrics[name], direction, found)] = value
        for reason, metrics in failed.items():
            log.warning(
                "the validation of step %d by %s failed, and the training goes on: %s",
                step, ", ".join(metrics), reason,
            )  # fmt: skip
        return found

    def _name_of(self, name: str, text: str, direction: str, taken: Container[str]) -> str:
        """The name of a score of a metric: its own for the first direction that the metric fits, whether or not that
        was measured; for others it stands behind the direction.
        """
        earlier = itertools.takewhile(lambda each: each != direction, self._measured)
        is_further = any(text in self._measured[each][1] for each in earlier)
        return f"{direction}/{name}" if is_further or name in taken else name

    @torch.no_grad()
    def _copy_weights(self) -> None:
        """Give the validation's networks the weights of the training's, or their averages."""
        setup = self._setup
        with setup.engine.averaged():
            for direction, module in self._saved.method.translators.items():
                state = setup.method.translators[direction].state_dict()
                module.load_state_dict({name: value.contiguous() for name, value in state.items()})

    def _note(self, run: Run, scores: Mapping[str, float]) -> Verdict:
        """Write the scores into the log, and compare them with those before."""
        refuse_lost(run.folder)
        row = {"step": run.step, "epoch": round(run.progress.epoch, 6), "seconds": round(run.progress.seconds, 3)}
        start = metrics_file.VALIDATION
        metrics_file.append(run.folder, row | {f"{start}{name}": as_json(value) for name, value in scores.items()})
        patience, best, is_best, ends = self._setup.config.patience, run.best, False, False
        if best is not None and best.name in scores:
            run.best = best.with_value(scores[best.name], run.step, self._better[best.name])
            is_best = run.best.step == run.step and run.best.waited == 0
            ends = patience is not None and run.best.waited >= patience
        self._setup.tell("validation_ended", run=run, scores=scores, is_best=is_best)
        if ends and run.best is not None:
            name, value = run.best.name, run.best.value
            log.warning(
                "the training ends at step %d of %d: %d validations have %s",
                run.step, run.steps, run.best.waited,
                f"given no number as {name}" if value is None
                else f"not found a better {name} than {value:.5g}, of step {run.best.step}",
            )  # fmt: skip
        return Verdict(is_best, ends)


def _measured(measurement: Measurement, texts: Sequence[str], failed: dict[str, dict[str, None]]) -> Iterator[Scores]:
    """The scores by some metrics; where one fails, those of each that does not, and ``failed`` gets the others."""
    try:
        yield measurement.scores(texts)
    except Exception as error:
        # A metric of a plugin, or an image that has vanished, must not end a training.
        if len(texts) > 1:
            for text in texts:
                yield from _measured(measurement, [text], failed)
            return
        reason = str(error) if isinstance(error, TranslateError) else shown(f"{type(error).__name__}: {error}")
        failed.setdefault(reason, {})[texts[0]] = None


def scores_of(run: Run) -> list[str]:
    """What the validation of a run has found, as lines: the last scores, and the best if it was kept."""
    lines, config, start = [], run.config, metrics_file.VALIDATION
    rows = run.metrics if config.validate else []
    validated = [row for row in rows if any(name.startswith(start) for name in row)]
    for row in validated[-1:]:
        scores = {name.removeprefix(start): value for name, value in row.items() if name.startswith(start)}
        every = ", ".join(_score_text(name, value) for name, value in scores.items() if not is_error(name, scores))
        lines.append(f"last:     {every} on {VALIDATED}, step {row['step']}")
    if config.keep_best is not None:
        path = best_translator(run.folder, config.keep_best)
        if not path.exists():
            lines.append(f"best:     none, since no validation has given a number as {config.keep_best}")
        with suppress(checkpoint.CheckpointError):
            facts = checkpoint.load(path)[1]
            score = _score_text(config.keep_best, facts["chosen"]["value"])
            lines.append(f"best:     {score} on {VALIDATED}, by which it was chosen, step {facts['step']}: {path}")
    return lines


def _score_text(name: str, value: float | str) -> str:
    return f"{name} {float(value):.5g}"


def metrics_of(texts: Sequence[str]) -> list[str]:
    """The metrics that texts name, several in one text with commas between them.

    >>> metrics_of(["psnr, ssim", "kid(extractor=small, scaled=yes)"])
    ['psnr', 'ssim', 'kid(extractor=small, scaled=yes)']
    """
    return list(dict.fromkeys(each for text in texts for each in split_list(text) if each))


def _refuse_unfit(config: Config) -> None:
    """Raise ``TranslateError`` for options of the validation that mean nothing without another one."""
    needed = {
        "validate": ("validate_every", "validate_limit", "keep_best"),
        "keep_best": ("patience",),
    }
    for name, options in needed.items():
        for option in options:
            if getattr(config, option) is not None and not getattr(config, name):
                flag, other = (f"--{each.replace('_', '-')}" for each in (option, name))
                raise TranslateError(f"{flag} needs {other}, such as {other} psnr; add it, or leave out {flag}")


@contextmanager
def untouched_draws(device: torch.device) -> Iterator[None]:
    """Whatever is drawn inside, Python's, numpy's and torch's generators have the same state afterwards."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)
