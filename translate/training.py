"""Training: ``fit`` and ``resume``, the training loop, its log, sample grids and checkpoints."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from translate import atomic, checkpoint, images, outputs
from translate.background import Background
from translate.compute import Compilation
from translate.data import Domain
from translate.devices import keep_memory, memory_in_use
from translate.errors import NotFiniteError, TranslateError
from translate.launching import resume_together, train_together
from translate.loader import Loader, preview_batch
from translate.lock import locked, refuse_lost
from translate.method import role_of
from translate.paths import expanded, quoted
from translate.ranks import is_distributed, parent_died, rank_and_world_size
from translate.run import Config, Run, Scalars, free_folder
from translate.saving import (
    check_environment,
    last_good,
    load_initial_weights,
    save,
    translator_of,
    translator_step,
)
from translate.seeds import noise_of
from translate.setup import Setup
from translate.signals import EXIT_BASE, Asked, caught
from translate.trust import check_run

__all__ = [
    "fit",
    "resume",
]

SHOWN = 4
"""Rows of a sample grid."""

DRAWN = 8
"""Columns of a sample grid for a sampler."""

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
    message, it raises ``SystemExit`` 130. Errors that the user can fix raise ``TranslateError``.
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
        init=config.init and config.init.resolve(),
    )
    folder = output or free_folder(Path("runs"), f"{config.method}-{_file_name(config.data)}")
    if rank_and_world_size()[0] == 0:
        Run.refuse_taken(folder)
        _refuse_within_data(config, folder)
    if config.devices > 1 and not is_distributed():
        return train_together(config, folder, no_plugins)
    setup = Setup.make(config, no_plugins)
    if config.init is not None:
        load_initial_weights(setup, config.init)
    # The folder is made last, so that an error in the data or the options leaves no empty folder behind.
    with setup.loader() as loader, ExitStack() as held:
        shown = _preview(setup)
        if setup.group.is_main:
            held.enter_context(locked(_made(folder)))
            run = Run.create(folder, setup.config, steps=setup.steps, metadata=setup.metadata)
        else:
            run = Run(folder, setup.config, steps=setup.steps)
        return _train(setup, run, loader, shown)


def resume(
    run: str | Path, *, steps: int | None = None, no_plugins: Sequence[str] = (), plugins: Sequence[str] = ()
) -> Run:
    """Resume a run from its last readable checkpoint, exactly as if it had never stopped.

    With another number of ``steps``, the learning-rate schedule is recomputed from there on, with a warning.
    """
    opened = Run.open(Path(run))
    if not plugins:
        check_run(opened.folder, opened.config.plugins, opened.origin)
    if opened.config.devices > 1 and not is_distributed():
        return resume_together(opened, steps, no_plugins, plugins)
    with ExitStack() as held:
        if rank_and_world_size()[0] == 0:
            held.enter_context(locked(opened.folder))
            for folder in (opened.folder, opened.folder / "checkpoints", opened.samples):
                atomic.sweep(folder, untagged=True)
        return _resume(opened, steps, no_plugins, plugins)


def _resume(opened: Run, steps: int | None, no_plugins: Sequence[str], plugins: Sequence[str]) -> Run:
    """Resume a run whose lock is held."""
    found = last_good(opened)
    if plugins:
        opened.config = replace(opened.config, plugins=tuple(_absolute(plugin) for plugin in plugins))
    if steps is not None and steps != opened.steps:
        log.warning(
            "%s was to take %d steps and now takes %d: the learning-rate schedule is recomputed for the rest",
            opened.folder, opened.steps, steps,
        )  # fmt: skip
        opened.config = replace(opened.config, steps=steps, epochs=None)
    setup = Setup.make(opened.config, no_plugins, resources=None if found is None else found[1].get("resources", {}))
    if found is None:
        if opened.config.init is not None:
            load_initial_weights(setup, opened.config.init)
    else:
        tensors, metadata = found
        check_environment(opened, metadata, setup)
        setup.engine.load(tensors, metadata["engine"])
    opened.config, opened.steps = setup.config, setup.steps
    opened.step = setup.engine.step_count
    if opened.step > opened.steps:
        raise TranslateError(f"{opened.folder} has done {opened.step} steps already; give more --steps than that")
    with setup.loader() as loader:
        shown = _preview(setup)
        if setup.group.is_main:
            opened.forget_after(opened.step)
            opened.write_config(setup.metadata)
            if found is not None and translator_step(opened) < opened.step:
                # It was killed between the two files, or one of them was lost or harmed since.
                checkpoint.save(opened.translator, *translator_of(setup, opened))
        return _train(setup, opened, loader, shown)


def plan(config: Config, *, no_plugins: Sequence[str] = ()) -> list[str]:
    """A dry run: make one step without writing anything, and describe the training as lines of text."""
    cache: Any = "stream" if config.cache == "auto" else config.cache
    setup = Setup.make(replace(config, cache=cache, cache_folder=None), no_plugins)
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
    lines.append(
        f"training: {setup.steps:,} steps of {config.batch * config.accumulate} at {config.size[0]}x{config.size[1]}"
    )
    lines.append(f"  device {setup.engine.device}, {setup.config.precision}, {setup.config.memory_format}")
    lines.append("first step: " + "  ".join(f"{name} {value:.4g}" for name, value in terms.items()))
    return lines


def _train(setup: Setup, run: Run, loader: Loader, shown: Mapping[str, Tensor]) -> Run:
    """Run the training loop; the main rank writes the log, the samples and the checkpoints."""
    config, engine, group = setup.config, setup.engine, setup.group
    if engine.device.type == "cpu":
        keep_memory()
    steps, stopped = run.steps, False
    sample_every = config.sample_every or max(1, steps // 10)
    save_every = config.save_every or max(1, steps // 10)
    reason = "failed"
    with caught() as received:
        setup.tell("run_started", run=run)
        try:
            with Background() as background:
                if run.step == 0 and group.is_main:
                    _draw_samples(setup, run, shown, background)
                compilation = Compilation(
                    config.compile,
                    setup.parts.networks,
                    left=steps - run.step,
                    group=group,
                    device=engine.device,
                    changed=engine.forget_graphs,
                )
                passed = logged = time.monotonic()
                logged_step = run.step
                while run.step < steps and not stopped:
                    first = engine.step_count * config.accumulate
                    engine.step([loader.batch(first + number) for number in range(config.accumulate)])
                    run.step = engine.step_count
                    if compilation.passed():
                        run.config = setup.config = replace(config, compile=compilation.chosen)
                        if group.is_main:
                            run.write_config(setup.metadata)
                    now, last = time.monotonic(), run.step == steps
                    asked = group.highest_delayed(Asked.END if parent_died() else received.take())
                    stopped = asked == Asked.END
                    if run.step % config.log_every == 0 or last:
                        scalars = _scalars(setup, run, seconds=now - logged, done=run.step - logged_step)
                        logged, logged_step = now, run.step
                        if group.is_main:
                            run.record(scalars)
                        setup.tell("step_ended", run=run, scalars=scalars)
                    if now - passed > 0.1:
                        passed = now
                        setup.tell("step_passed", run=run)
                    if (run.step % sample_every == 0 or last) and group.is_main:
                        _draw_samples(setup, run, shown, background)
                    if run.step % save_every == 0 or last or asked:
                        save(setup, run, background)
            reason = "interrupted" if run.step < steps else "finished"
            group.close()
        except NotFiniteError as error:
            good = (
                f"the last good checkpoint is {run.checkpoints[-1]}"
                if run.checkpoints
                else "no checkpoint was due before"
            )
            raise NotFiniteError(f"{error}; {good}; try a lower learning rate or --clip-norm 1") from None
        finally:
            setup.tell("run_ended", run=run, reason=reason)
    if reason == "interrupted":
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
    return Scalars(
        step=run.step,
        terms=terms,
        images_per_second=setup.config.batch * setup.config.accumulate * setup.group.size / each,
        seconds_left=each * (run.steps - run.step),
        memory=memory_in_use(device),
    )


# --- samples ----------------------------------------------------------------------------------------------------------


def _preview(setup: Setup) -> dict[str, Tensor]:
    """The examples of the sample grids: the first of the validation split, or of the training split if it is empty."""
    splits = setup.dataset.splits
    held_out = {name: examples for name, examples in splits.get("val", {}).items() if examples}
    return preview_batch(
        held_out or splits["train"],
        setup.dataset.domains,
        count=SHOWN,
        size=setup.config.size,
        resize=setup.config.resize,
        device=setup.engine.device,
        memory=setup.config.memory,
        max_pixels=setup.config.max_pixels,
    )


@torch.no_grad()
def _draw_samples(setup: Setup, run: Run, shown: Mapping[str, Tensor], background: Background) -> None:
    refuse_lost(run.folder)
    columns: dict[str, Tensor] = {}
    domains = {name: setup.dataset.domains[name] for name in shown}

    def column(name: str, batch: Tensor, domain: Domain) -> None:
        columns[name] = images.to_rgb(batch, domain)

    # A compilation for a few images of another batch size would not pay.
    with setup.engine.averaged(), torch.compiler.set_stance("force_eager"):
        for direction, network in setup.method.translators.items():
            if role_of(direction) == "sampler":
                network.eval()
                for number in range(DRAWN):
                    noise = noise_of(network, range(number * SHOWN, (number + 1) * SHOWN), seed=0)
                    column(
                        f"{direction} {number + 1}", network(noise.to(setup.engine.device)).float(), setup.parts.target
                    )
                network.train()
            if role_of(direction) != "translator":
                continue
            inputs, outputs = ("target", "source") if direction == "backward" else ("source", "target")
            if inputs not in shown:
                continue
            network.eval()
            with torch.autocast(
                setup.engine.device.type, dtype=torch.bfloat16, enabled=setup.config.precision == "bf16"
            ):
                fakes = torch.cat([network(image[None]) for image in shown[inputs]]).float()
            network.train()
            column(inputs, shown[inputs], domains[inputs])
            column(
                "fake" if direction == "forward" else f"fake {direction}",
                fakes,
                setup.dataset.domains.get(outputs, domains[inputs]),
            )
            if outputs in shown:
                column(outputs, shown[outputs], domains[outputs])
    if columns:
        background.begin(partial(setup.tell, "samples_drawn", run=copy(run), images=columns))


def _made(folder: Path) -> Path:
    """The folder of a new run, made where it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TranslateError(f"cannot make the run's folder {folder}: {error.strerror}") from None
    return folder


def _refuse_within_data(config: Config, folder: Path) -> None:
    """Refuse to put a run, or a cache of decoded images, into the folder of the data."""
    data = Path(config.data).expanduser()
    if data.is_dir():
        outputs.refuse_within(folder, [data], "a run's sample pictures")
        if config.cache_folder is not None:
            outputs.refuse_within(config.cache_folder, [data], "decoded images")


def _absolute(path: str) -> str:
    return str(expanded(path).resolve()) if expanded(path).exists() else path


def _file_name(data: str) -> str:
    name = Path(data).name.partition("(")[0]
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name).strip("-") or "data"
