"""Training: ``fit`` and ``resume``, the training loop, its log, sample grids and checkpoints."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from translate import atomic, changes, checkpoint, outputs
from translate.background import Background
from translate.best import Best
from translate.changed_data import DataCheck, after_broken, refuse_missing
from translate.compute import Compilation
from translate.devices import memory_in_use
from translate.emergency import Emergency
from translate.errors import NotFiniteError, StoppedError, TranslateError
from translate.initial import Init, load_initial_weights, open_sources
from translate.intervals import interval_of, is_due, norms_are_due
from translate.job import is_distributed, parent_died, rank_and_world_size
from translate.launching import resume_together, train_together
from translate.loader import BrokenImagesError, Loader, thumbnails
from translate.lock import locked
from translate.loggers import Loggers
from translate.machine import keep_memory
from translate.opening import opening_line
from translate.ordered import OrderedLog
from translate.outputs import file_name_of, free_folder
from translate.overview import is_there
from translate.paths import expanded, quoted
from translate.plugins import discover
from translate.progress import Progress
from translate.ranks import LostRankError
from translate.resuming import as_flags, check_asked, compare, config_with
from translate.rollback import go_back
from translate.run import Config, Run, Scalars
from translate.sample_grids import SampleGrids
from translate.saving import (
    check_environment,
    is_translator_current,
    last_good,
    save,
    translator_of,
)
from translate.setup import Setup
from translate.signals import EXIT_BASE, Asked, caught
from translate.time_budget import fix_steps
from translate.trust import check_run
from translate.validation import Validation, Verdict

__all__ = [
    "fit",
    "resume",
]

log = logging.getLogger("translate")


def fit(
    method: str,
    data: str | Path,
    *,
    output: str | Path | None = None,
    plugins: Sequence[str] = (),
    no_plugins: Sequence[str] = (),
    **options: Any,
) -> Run:
    """Train a method on data and return the finished run.

    ``options`` are the fields of ``translate.run.Config`` (``steps``, ``batch``, ``size``, ``seed`` ...) and the
    method's own. ``output`` is the run's folder, ``runs/METHOD-DATA`` by default. Ctrl-C saves a checkpoint and raises
    ``KeyboardInterrupt``, whose message says how to resume; with several ``devices``, whose processes print that
    message, it raises ``SystemExit`` 130. Errors that the user can fix raise ``TranslateError``; ``StoppedError`` if
    broken images end the training, which is saved.
    """
    config = Config.from_values({"method": method, "data": str(data), "plugins": tuple(plugins), **options})
    return train(config, output=None if output is None else expanded(output), no_plugins=no_plugins)


def directions_of(run: Run) -> list[str]:
    """The directions of the networks that a run has trained, such as ``forward`` or ``sample``."""
    return list(checkpoint.load(run.translator)[1]["directions"])


def train(config: Config, *, output: Path | None = None, no_plugins: Sequence[str] = ()) -> Run:
    """Train from a config; see ``fit``."""
    # Absolute paths, so that the run can be resumed from any folder.
    config = replace(
        config,
        data=_absolute(config.data),
        plugins=tuple(_absolute(plugin) for plugin in config.plugins),
        albumentations=config.albumentations and config.albumentations.resolve(),
        cache_folder=config.cache_folder and config.cache_folder.resolve(),
        init=tuple(Init.parse(each).absolute for each in config.init),
    )
    folder = output or free_folder(Path("runs"), f"{config.method}-{file_name_of(config.data)}")
    if rank_and_world_size()[0] == 0:
        Run.refuse_taken(folder)
        _refuse_within_data(config, folder)
    if config.devices > 1 and not is_distributed():
        Loggers.check(config.log, config.plugins, no_plugins)
        return train_together(config, folder, no_plugins)
    sources = open_sources(config.init)
    setup = Setup.make(config, no_plugins)
    load_initial_weights(setup, sources)
    del sources
    # The folder is made last, so that an error in the data or the options leaves no empty folder behind.
    with setup.loader() as loader, ExitStack() as held:
        grids, validation = SampleGrids(setup), Validation(setup, folder)
        if setup.group.is_main:
            held.enter_context(locked(_made(folder)))
            run = Run.create(folder, setup.config, steps=setup.steps, metadata=setup.metadata)
            setup.listing.write(folder)
        else:
            run = Run(folder, setup.config, steps=setup.steps)
        run.best = Best.restored(setup.config.keep_best)
        return _train(setup, run, loader, grids, validation, config.minutes)


def resume(
    run: str | Path,
    *,
    steps: int | None = None,
    data: str | Path | None = None,
    changed_data: bool = False,
    no_plugins: Sequence[str] = (),
    plugins: Sequence[str] = (),
    **settings: Any,
) -> Run:
    """Resume a run from its last readable checkpoint, exactly as if it had never stopped.

    With another number of ``steps`` or other ``settings``, the fields of ``translate.run.Config`` that do not say what
    the networks are (``optimizer``, ``schedule``, ``batch``, ``save_every`` ...), it goes on with these. Each
    difference is told, and recorded in the run's ``changes.json``. ``data`` is where data lies now that has moved. Data
    that lost or gained images is refused, or used if ``changed_data`` is set; images that were left out are then tried
    again. Raises ``StoppedError`` if broken images end the training.
    """
    opened = Run.open(Path(run))
    if not plugins:
        check_run(opened.folder, opened.config.plugins, opened.origin)
    if steps is not None:
        settings["steps"] = steps
    unknown = settings.keys() - Config.parameters().keys()
    catalog = discover(extra=plugins or opened.config.plugins, blocked=no_plugins) if unknown else None
    asked = check_asked(opened, settings, catalog)
    devices = asked.get("devices", opened.config.devices)
    place = None if data is None else _absolute(str(data))
    if devices > 1 and not is_distributed():
        Loggers.check(asked.get("log", opened.config.log), plugins or opened.config.plugins, no_plugins)
        flags = [*(["--data", place] if place else []), *(["--changed-data"] if changed_data else []), *as_flags(asked)]
        return resume_together(opened, devices, flags, no_plugins, plugins)
    with ExitStack() as held:
        if rank_and_world_size()[0] == 0:
            held.enter_context(locked(opened.folder))
            for folder in (opened.folder, opened.folder / "checkpoints", opened.samples):
                atomic.sweep(folder, untagged=True)
        refuse_missing(opened, place)
        check = DataCheck(opened, data=place, accept=changed_data)
        return _resume(opened, asked, no_plugins, plugins, check)


def _resume(
    opened: Run, asked: Mapping[str, Any], no_plugins: Sequence[str], plugins: Sequence[str], check: DataCheck
) -> Run:
    """Resume a run whose lock is held."""
    found = last_good(opened.folder)
    if plugins:
        opened.config = replace(opened.config, plugins=tuple(_absolute(plugin) for plugin in plugins))
    _ = opened.changes  # a damaged record is told before anything is built
    if found is not None:
        _refuse_fewer(opened, found[1]["engine"]["step"], asked.get("steps"))
    wanted = config_with(opened, asked)
    resources = None if found is None else found[1].get("resources", {})
    setup = Setup.make(wanted, no_plugins, resources, on_data=check)
    _refuse_within_data(setup.config, opened.folder)
    if found is None:
        opened.best = Best.restored(setup.config.keep_best)
        load_initial_weights(setup, open_sources(opened.config.init))
        resumption = compare(opened, opened.config, setup, {}, None)
    else:
        tensors, metadata = found
        check_environment(opened, metadata, setup)
        resumption = compare(opened, opened.config, setup, tensors, metadata["engine"])
        setup.engine.load(tensors, metadata["engine"], anew=resumption.anew, fresh_averages=resumption.fresh_averages)
        opened.progress = Progress(metadata.get("progress"))
        opened.best = resumption.best(setup.config, metadata.get("best"))
        if not check.accept:
            setup.left_out.restore(metadata.get("left_out", {}))
    before = {} if found is None else found[1].get("left_out", {})
    _refuse_fewer(opened, setup.engine.step_count, setup.steps)
    if setup.group.is_main:
        if setup.steps != opened.steps:
            log.warning(
                "%s was to take %d steps and now takes %d: the learning-rate schedule is recomputed over all of them",
                opened.folder, opened.steps, setup.steps,
            )  # fmt: skip
        for line in (*resumption.changes, *resumption.lines):
            log.warning("resume: %s", line)
    opened.config, opened.steps = setup.config, setup.steps
    opened.step = setup.engine.step_count
    if opened.rollbacks and "optimizer" in asked:
        resumption = resumption.without_rollbacks(opened)
    setup.engine.rate_scale = opened.rate_scale
    with setup.loader() as loader:
        grids, validation = SampleGrids(setup), Validation(setup, opened.folder)
        if setup.group.is_main:
            check.record(opened.step, sum(map(len, before.values())) if check.accept else 0)
            if found is not None and not check.accept and setup.left_out.names != before:
                log.warning("%s goes on without images that it has seen: it is no longer exact", opened.folder)
            validation.tell_later(opened)
            opened.forget_after(opened.step)
            for each in changes.rewind(opened.folder, opened.step):
                log.warning("the checkpoints after an earlier change are lost: %s", each)
            resumption.record(opened.folder)
            opened.write_config(setup.metadata)
            if found is not None and not is_translator_current(setup, opened):
                # It was killed between the two files, one of them was lost or harmed since, or has another licence.
                checkpoint.save(opened.translator, *translator_of(setup, opened))
        return _train(setup, opened, loader, grids, validation, asked.get("minutes", setup.config.minutes))


def _refuse_fewer(run: Run, done: int, steps: int | None) -> None:
    """Refuse to train for fewer steps than are done."""
    if steps is not None and done > steps:
        raise TranslateError(f"{run.folder} has done {done} steps already; give more --steps than that")


def plan(config: Config, *, no_plugins: Sequence[str] = ()) -> list[str]:
    """A dry run: make one step without writing anything, and describe the training as lines of text."""
    cache: Any = "stream" if config.cache == "auto" else config.cache
    setup = Setup.make(replace(config, cache=cache, cache_folder=None), no_plugins)
    Validation(setup, Path(setup.config.method))
    with setup.loader() as loader:
        setup.engine.step([loader.batch(number) for number in range(config.accumulate)])
        terms = setup.engine.fetch()
    dataset = setup.dataset
    lines = [f"data: {dataset.name}, {dataset.layout}, {'paired' if dataset.paired else 'unpaired'}"]
    for split, domains in dataset.splits.items():
        lines.append(f"  {split}: " + ", ".join(f"{len(examples)} {name}" for name, examples in domains.items()))
    lines.append(f"method: {config.method}")
    for name, module in setup.method.players.items():
        lines.append(f"  {name}: {sum(weight.numel() for weight in module.parameters()):,} weights")
    length = f"{setup.steps:,} steps" if config.minutes is None else f"{config.minutes:g} minutes, in steps"
    lines.append(f"training: {length} of {config.batch * config.accumulate} at {config.size[0]}x{config.size[1]}")
    lines.append(f"  device {setup.engine.device}, {setup.config.precision}, {setup.config.memory_format}")
    lines.append("first step: " + "  ".join(f"{name} {value:.4g}" for name, value in terms.items()))
    return lines


def _train(
    setup: Setup, run: Run, loader: Loader, grids: SampleGrids, validation: Validation, minutes: float | None
) -> Run:
    """Run the training loop; the main rank writes the log, the samples and the checkpoints."""
    if setup.engine.device.type == "cpu":
        keep_memory()
    if minutes is not None:
        fix_steps(setup, run, loader, minutes)
    config, engine, group = setup.config, setup.engine, setup.group
    steps, stopped, asked, saved, ended = run.steps, False, int(Asked.NOTHING), run.step, False
    broken: BrokenImagesError | None = None
    sample_every, save_every = interval_of(config.sample_every, steps), interval_of(config.save_every, steps)
    images = setup.images_per_step
    reason = "failed"
    with caught() as received:
        compilation = Compilation(
            config.compile,
            setup.parts.networks,
            left=steps - run.step,
            group=group,
            device=engine.device,
            changed=engine.forget_graphs,
        )
        if group.is_main:
            log.warning("%s", opening_line(setup, run, compilation.chosen))
        watched = config.guard and group.is_main
        rows = setup.left_out.by_home
        examples = thumbnails(loader.decoded, setup.dataset.domains, rows) if watched else {}
        setup.tell("run_started", run=run, examples=examples)
        try:
            with ExitStack() as held:
                background = held.enter_context(Background())
                ordered = OrderedLog(setup, run, background)
                safe = held.enter_context(Emergency(setup, run, background, received, ordered).watched())
                if run.step == 0 and group.is_main:
                    grids.draw(run, background)
                passed = logged = time.monotonic()
                logged_step = run.step
                run.progress.begin(setup.epoch_length, run.step * images)
                while run.step < steps and not stopped and not ended:
                    first = engine.step_count * config.accumulate
                    try:
                        batches = [loader.batch(first + number) for number in range(config.accumulate)]
                    except BrokenImagesError as error:
                        broken = error
                        if saved < run.step:
                            save(setup, run, background, safe.beside_the_steps)
                        break
                    engine.step(batches)
                    run.step = engine.step_count
                    run.progress.count(images)
                    if compilation.passed():
                        run.config = setup.config = replace(config, compile=compilation.chosen)
                        if group.is_main:
                            with safe.beside_the_steps():
                                run.write_config(setup.metadata)
                    now, last = time.monotonic(), run.step == steps
                    own = Asked.END if parent_died() else received.take()
                    asked = group.highest_delayed(Asked.FAIL if safe.failed else own)
                    stopped = asked >= Asked.END
                    noted, valid_due = run.step % config.log_every == 0 or last, validation.is_due(run.step, steps)
                    samples_due, save_due = is_due(run.step, sample_every) or last, is_due(run.step, save_every) or last
                    try:
                        if noted:
                            scalars = _scalars(setup, run, seconds=now - logged, done=run.step - logged_step)
                        elif save_due or valid_due or asked:
                            engine.refuse_not_finite()
                    except NotFiniteError as error:
                        go_back(error, setup, run, background, ordered, safe.beside_the_steps)
                        saved = logged_step = run.step
                        logged = time.monotonic()
                        continue
                    if noted:
                        logged, logged_step = now, run.step
                        if group.is_main:
                            with safe.beside_the_steps():
                                run.record(scalars)
                        ordered.add(scalars)
                    else:
                        ordered.flush()
                    if now - passed > 0.1:
                        passed = now
                        setup.tell("step_passed", run=run)
                    if samples_due or save_due or valid_due or asked:
                        with compilation.paused():
                            with safe.beside_the_steps():
                                ordered.catch_up()
                                if samples_due and group.is_main:
                                    grids.draw(run, background)
                            verdict = validation.run(run, safe.beside_the_steps) if valid_due else Verdict()
                            ended = verdict.ends
                            if regular := bool(save_due or asked or ended):
                                saved = run.step
                            if regular or verdict.is_best:
                                beside = safe.beside_the_steps
                                save(setup, run, background, beside, regular=regular, best=verdict.is_best)
                            if compilation.is_timing:
                                with safe.beside_the_steps():
                                    background.finish()
            reason = "failed" if broken else "finished" if ended or run.step == steps else "interrupted"
            group.close()
        finally:
            setup.tell("run_ended", run=run, reason=reason)
    if broken is not None:
        if not group.is_main:
            raise SystemExit(StoppedError.exit_code)
        raise StoppedError(after_broken(run, broken))
    if reason == "interrupted":
        if asked == Asked.FAIL:
            raise LostRankError
        number = received.ending or signal.SIGTERM
        if not group.is_main:
            raise SystemExit(EXIT_BASE + number)
        again = f"translate fit --resume {quoted(run.folder)}"
        sentence = f"interrupted at step {run.step} of {steps} and saved; go on with `{again}`"
        if number != signal.SIGINT:
            log.warning(sentence)
            raise SystemExit(EXIT_BASE + number)
        raise KeyboardInterrupt(sentence)
    return run


def _scalars(setup: Setup, run: Run, *, seconds: float, done: int) -> Scalars:
    terms = setup.engine.fetch()
    each = seconds / max(done, 1)
    device = setup.engine.device
    norms = setup.config.guard and (norms_are_due(run.step, setup.config.log_every) or run.step == run.steps)
    return Scalars(
        step=run.step,
        terms=terms,
        images_per_second=setup.images_per_step / each,
        seconds_left=each * (run.steps - run.step),
        memory=memory_in_use(device),
        epoch=run.progress.epoch,
        seconds=run.progress.seconds,
        learning_rates={
            name: rate for player in setup.engine.players.values() for name, rate in player.learning_rates.items()
        },
        gradient_norms=setup.engine.gradient_norms() if norms else {},
        balances=setup.take_balances() if setup.config.guard else {},
    )


def _made(folder: Path) -> Path:
    """The folder of a new run, made where it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TranslateError(f"cannot make the run's folder {folder}: {error.strerror}") from None
    return folder


def _refuse_within_data(config: Config, folder: Path) -> None:
    """Refuse to put a run, or a cache of decoded images, into the folder of the data."""
    data = expanded(config.data)
    if is_there(data) and data.is_dir():
        outputs.refuse_within(folder, [data], "a run's sample pictures")
        if config.cache_folder is not None:
            outputs.refuse_within(config.cache_folder, [data], "decoded images")


def _absolute(path: str) -> str:
    return str(expanded(path).resolve()) if is_there(expanded(path)) else path
