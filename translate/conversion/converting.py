"""The implementation of ``convert``: load the translator, plan, and convert on one device or several."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from translate import atomic, images, outputs
from translate.conversion.batch import AnyTranslator, Work
from translate.conversion.calibration import Calibration, calibrate, calibration_for
from translate.conversion.forecast import Forecast, forecast
from translate.conversion.identity import identity_of
from translate.conversion.inputs import Inputs, gather
from translate.conversion.kept_previews import not_shown, show_kept
from translate.conversion.manifest import Ledger, Making, unwritable
from translate.conversion.on_ray import convert_on_ray
from translate.conversion.pipeline import convert_all
from translate.conversion.piping import Piped, from_standard_input, is_standard, to_standard_output
from translate.conversion.plan import Task, plan_single, suffix_rule
from translate.conversion.report import Report
from translate.conversion.resizing import check_resizing
from translate.conversion.showing import finishing, record_failures, showing_for, target_side_by_side
from translate.conversion.size_warnings import SizeWarnings
from translate.conversion.standing import Standing, refuse_foreign, refuse_twins, refuse_within, stand
from translate.conversion.stored_plan import Naming, planned
from translate.conversion.together import convert_together, is_a_share, log_outcome
from translate.errors import TranslateError
from translate.job import is_distributed, rank_and_world_size
from translate.machine import keep_memory
from translate.memory import free_share
from translate.overview import left_out
from translate.paths import expanded
from translate.plugins import discover
from translate.programs import ArrayTranslator, is_program, open_program
from translate.terminal import printable

log = logging.getLogger("translate")

GPU_BATCH = 8
MOST_WORKERS = 16
BEGUN = 16
"""How many images are said to be begun at a time."""

SHAPING = (
    "at", "long_side", "scale", "samples", "seed", "quality", "metadata", "gps", "frames", "side_by_side", "statistics",
    "precision", "runtime", "range", "layout",
)  # fmt: skip
"""The options that the bytes of outputs depend on, beside their names."""

Failed = tuple[tuple[Path, str], ...]


def convert_as_asked(
    translator: AnyTranslator | str | Path,
    sources: Sequence[Path],
    target: Path,
    asked: Mapping[str, Any],
    plugins: Sequence[str],
    no_plugins: Sequence[str],
    piped: Piped | None = None,
) -> tuple[int, Failed, Path, int, Forecast | None]:
    """Convert with the checked options of ``convert``; ``piped`` are files that stand for standard input and output.

    Returns (number converted, failures with reasons, target, number kept, forecast of a dry run).
    """
    if any(map(is_standard, (*sources, target))):
        return _convert_piped(translator, sources, target, asked, plugins, no_plugins)
    run = expanded(translator) if isinstance(translator, (str, Path)) else None
    on_ray = asked["engine"] == "ray"
    if run is None and (asked["devices"] > 1 or on_ray):
        raise TranslateError("convert: a loaded translator lies on one device; give its run or file to use several")
    if asked["devices"] > 1 and Path("@-") in sources:
        raise TranslateError("convert: several devices cannot share a list from standard input; write it to a file")
    check_resizing(asked)
    piped = piped or Piped()
    report = Report(asked["report"], overwrite=asked["overwrite"], piped=piped)
    if isinstance(translator, (str, Path)):
        translator = _load(translator, asked, plugins, no_plugins)
    elif asked["range"] or asked["layout"]:
        raise TranslateError("convert: range and layout are for an .onnx file, and this translator is loaded already")
    elif asked["step"] is not None:
        raise TranslateError("convert: step chooses a checkpoint of a run, and this translator is loaded already")
    elif asked["direction"] not in (None, translator.direction):
        raise TranslateError(
            f"this translator was loaded for the direction {translator.direction!r}, not {asked['direction']!r}"
        )
    inputs = gather(sources)
    all_tasks, listed = _plan(inputs, target, translator, asked)
    rank, ranks = rank_and_world_size()
    together = run is not None and asked["devices"] > 1 and not on_ray
    here = listed if together else listed[rank::ranks]
    shown_in = target if target.is_dir() or not inputs.single else target.parent
    silent = rank > 0 or is_a_share()
    shares = max(ranks, asked["devices"] if on_ray else 1)
    work = _work(translator, asked, shown_in, shares=shares, silent=silent)
    # Processes that share the memory are given the images by the one that began them.
    share = replace(work, memory=(work.memory or 0) // asked["devices"]) if together else work
    calibration = calibration_for(
        all_tasks, None if inputs.single else target, share, store=not asked["dry_run"], share=is_a_share(),
        silent=silent,
    )  # fmt: skip
    options = {name: asked[name] for name in SHAPING if name in asked} | calibration.options
    # One image has no manifest, and hashing weights may take longer than translating it.
    unnamed = inputs.single and asked["report"] is None
    making = Making("" if unnamed else identity_of(translator), options)
    if inputs.single:
        standing = Standing(todo=list(here))
    else:
        standing = stand(here, target, making, verify=asked["verify"], again=asked["again"])
    threads = asked["workers"] or max(1, min(MOST_WORKERS, os.cpu_count() or 1) // shares)
    batch = _batch_size(translator, asked)
    if asked["dry_run"]:
        calibrate(calibration, work)
        return 0, (), target, len(standing.kept), forecast(inputs, standing, target, work, batch=batch, workers=threads)
    first = rank == 0 and not is_a_share()
    unshown = [] if is_a_share() else not_shown(standing.kept, work)
    if first:
        _tell(standing, len(unshown))
    tasks = standing.todo
    failed: list[tuple[Path, str]] = list(inputs.missing)
    converted = 0
    with ExitStack() as stack:
        report.begin(making, target)
        if run is not None and together:
            outcomes = convert_together(
                run, sources, target, asked, catalog=translator.catalog, plugins=plugins, no_plugins=no_plugins,
                work=work,
            )  # fmt: skip
        elif run is not None and on_ray and not inputs.single:
            _sweep(tasks)
            place = shown_in.absolute()
            prepare = partial(prepare_actor, run.absolute(), asked, place, calibration, plugins, no_plugins)
            outcomes = convert_on_ray(
                tasks, prepare, target, making, work, count=asked["devices"], batch=batch, workers=threads,
                catalog=translator.catalog,
            )  # fmt: skip
        else:
            if tasks:
                calibrate(calibration, work)
            if not inputs.single and tasks:
                _sweep(tasks)
                work = replace(work, ledger=stack.enter_context(Ledger(target, making)))
            outcomes = _convert_here(tasks, work, batch, threads, rank, alone=len(listed) == 1, piped=piped)
        stack.enter_context(finishing(work.showing))
        translator.catalog.tell("conversion_started", total=len(tasks))
        try:
            with closing(outcomes):
                for file, reason in outcomes:
                    if reason is None:
                        converted += 1
                    else:
                        failed.append((file, reason))
                        record_failures(work.showing, inputs.root, failed[-1:])
            show_kept(unshown, work, threads)
            if first and work.showing is not None and work.showing.gallery is not None:
                work.showing.gallery.sweep({task.name for task in all_tasks})
        finally:
            translator.catalog.tell("conversion_ended")
            found = left_out(images.Found((), inputs.left_out, inputs.closed))
            if first:
                record_failures(work.showing, inputs.root, found)
                report.end(listed, standing.kept, failed + found, converted, work)
    if inputs.single and converted:
        atomic.flush_folder(listed[0].outputs[0].parent)
    if first:
        for sentence in work.notices.summary():
            log.warning("%s", printable(sentence))
        for sentence in images.count_left_out(inputs.left_out):
            log.warning("%s: %s", inputs.root, sentence)
        for reason in (*(each for _, each in inputs.missing), *(f"{path}: {each}" for path, each in inputs.closed)):
            log.warning("left out: %s", printable(reason))
        failed += found
    return converted, tuple(failed), target, len(standing.kept), None


def _convert_piped(
    translator: AnyTranslator | str | Path,
    sources: Sequence[Path],
    target: Path,
    asked: Mapping[str, Any],
    plugins: Sequence[str],
    no_plugins: Sequence[str],
) -> tuple[int, Failed, Path, int, Forecast | None]:
    """Convert one image from standard input, or to standard output, or both."""
    if len(sources) != 1 or not (is_standard(sources[0]) or gather(sources).single):
        raise TranslateError("convert: - stands for one image; name one input and one output")
    several = asked["devices"] > 1 or asked["engine"] == "ray"
    if asked["dry_run"] or several or (is_standard(target) and (asked["samples"] or 1) > 1):
        raise TranslateError(
            "convert: - takes one image and gives one; leave out --dry-run, --devices, --engine and --samples"
        )
    if asked["gallery"] and is_standard(target):
        raise TranslateError("convert: a gallery lies with its outputs, and - writes none; name a folder")
    with ExitStack() as stack:
        source = stack.enter_context(from_standard_input()) if is_standard(sources[0]) else sources[0]
        if isinstance(translator, (str, Path)):
            translator = _load(translator, asked, plugins, no_plugins)
            asked = {**asked, "step": None, "direction": None, "range": "", "layout": ""}
        options, file, send = asked, target, None
        if is_standard(target):
            rule = suffix_rule(translator.source, translator.target, asked["format"])
            file, send = stack.enter_context(to_standard_output(rule(source.suffix)))
            options = {**asked, "samples": None, "suffix": ""}
        piped = Piped(source if is_standard(sources[0]) else None, file if is_standard(target) else None)
        with piped.errors():
            converted, failed, _, kept, _ = convert_as_asked(
                translator, [source], file, options, plugins, no_plugins, piped
            )
        if converted and send is not None:
            send()
        return converted, tuple((piped.path(path), reason) for path, reason in failed), target, kept, None


def _plan(
    inputs: Inputs, target: Path, translator: AnyTranslator, asked: Mapping[str, Any]
) -> tuple[list[Task], list[Task]]:
    """All images of the plan, and those of this shard; refuse what must not be written."""
    strips = asked["side_by_side"]
    written = target_side_by_side(translator.source, translator.target) if strips else translator.target
    rule = suffix_rule(translator.source, written, asked["format"])
    samples = None if strips else asked["samples"]
    if inputs.single:
        if asked["shard"] is not None:
            raise TranslateError("convert: one image has no shards; leave out --shard, or name a folder")
        task = plan_single(inputs.files[0][1], target, rule, asked["format"], samples, asked["suffix"])
        if not asked["overwrite"]:
            outputs.refuse_existing(*task.outputs)
        if not asked["dry_run"]:
            _make_folder(task.outputs[0].parent)
        return [task], [task]
    if target.exists() and not target.is_dir():
        what = f"{inputs.folders[0]} is a folder" if inputs.folders else "there are several images"
        raise TranslateError(f"{target} is a file, but {what}; name a folder for the outputs")
    naming = Naming(rule, samples, asked["suffix"])
    names = [name for name, _ in inputs.files]
    # Before anything is stored, these must not be refused.
    unstored = planned(target, inputs.root, names, naming, store=False)
    files = dict(inputs.files)
    tasks = _tasks(unstored.outputs, files, target)
    if not is_a_share():
        refuse_twins(tasks)
        refuse_within(tasks, target, inputs.folders)
        if not asked["overwrite"]:
            root = os.path.realpath(inputs.root)
            refuse_foreign(tasks, target, moved_from=unstored.root if unstored.root != root else None)
    plan = unstored
    if not asked["dry_run"]:
        _make_folder(target)
        plan = planned(target, inputs.root, names, naming)
        tasks = _tasks(plan.outputs, files, target)
    # Of the stored plan, which another shard may have made of another listing.
    numbers = {name: number for number, name in enumerate(plan.outputs)}
    if asked["shard"] is None:
        return tasks, tasks
    shard, shards = asked["shard"]
    return tasks, [task for task in tasks if numbers[task.name] % shards == shard - 1]


def _work(translator: AnyTranslator, asked: Mapping[str, Any], shown_in: Path, *, shares: int, silent: bool) -> Work:
    """What holds for every image, of one of several processes that share the memory."""
    showing = None if asked["dry_run"] else showing_for(translator.source, translator.target, shown_in, asked)
    return Work(
        translator, asked["at"], asked["samples"], asked["seed"], asked["quality"], asked["max_pixels"],
        (asked["memory"] or free_share()) // shares, asked["metadata"], asked["gps"], asked["frames"],
        whole=asked["memory"] and asked["memory"] // shares, statistics=asked["statistics"],
        long_side=asked["long_side"], scale=asked["scale"], sizes=SizeWarnings(silent=silent), showing=showing,
    )  # fmt: skip


def prepare_actor(
    run: Path,
    asked: Mapping[str, Any],
    shown_in: Path,
    calibration: Calibration,
    plugins: Sequence[str],
    no_plugins: Sequence[str],
) -> Work:
    """Load the translator in a process of its own, and prepare it as the others are."""
    translator = _load(run, asked, plugins, no_plugins)
    work = _work(translator, asked, shown_in, shares=asked["devices"], silent=True)
    calibrate(calibration, work)
    return work


def _tasks(planned_outputs: Mapping[str, tuple[str, ...]], files: Mapping[str, Path], target: Path) -> list[Task]:
    return [
        Task(files[name], name, tuple(target / path for path in paths))
        for name, paths in planned_outputs.items()
        if name in files
    ]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TranslateError(f"cannot make the folder {folder}: {error.strerror}; choose another place") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise unwritable(folder, PermissionError(13, "permission denied"))


def _sweep(tasks: Sequence[Task]) -> None:
    """Remove the unfinished files that killed conversions have left."""
    for folder in dict.fromkeys(output.parent for task in tasks for output in task.outputs):
        atomic.sweep(folder)


def _tell(standing: Standing, unshown: int) -> None:
    """Say what is kept, why other images are done anew, and how many a gallery still lacks."""
    if standing.kept:
        log.warning("%s converted already and kept; --again converts anew", _images_are(len(standing.kept)))
    for reason, count in standing.again.most_common():
        log.warning("%s converted anew: %s", _images_are(count), _why[reason])
    if unshown:
        log.warning("%s read for the gallery, which does not show what was converted before", _images_are(unshown))


def _images_are(count: int) -> str:
    return "1 image is" if count == 1 else f"{count} images are"


_why = {
    "other options": "their outputs were made with other options",
    "another calibration": "their outputs were calibrated on other images",
    "another translator": "their outputs were made by another translator",
    "another name": "their outputs have other names now",
    "a changed file": "their files have changed since",
    "an output that is gone or changed": "their outputs are gone or have changed",
}


def _load(
    path: str | Path, asked: Mapping[str, Any], plugins: Sequence[str], no_plugins: Sequence[str]
) -> AnyTranslator:
    if is_program(path):
        catalog = discover(extra=plugins, blocked=no_plugins)
        others = {name: asked[name] for name in ("step", "runtime", "precision")}
        program = open_program(
            expanded(path), direction=asked["direction"], device=asked["device"], others=others, limits=asked["range"],
            layout=asked["layout"],
        )  # fmt: skip
        return ArrayTranslator(program, catalog)
    # Imported here: what follows needs torch.
    from translate.devices import pick_device
    from translate.ranks import device_of_rank
    from translate.translator import load

    device = device_of_rank(asked["device"]) if is_distributed() else asked["device"]
    if not asked["runtime"] and pick_device(device).type == "cpu":
        # This must precede loading, whose threads could otherwise get heaps of their own.
        keep_memory()
    return load(
        path, step=asked["step"], direction=asked["direction"], device=device, precision=asked["precision"],
        runtime=asked["runtime"], plugins=plugins, no_plugins=no_plugins, range=asked["range"], layout=asked["layout"],
    )  # fmt: skip


def _batch_size(translator: AnyTranslator, asked: Mapping[str, Any]) -> int:
    """The batch size; with ``samples`` it is 1, since noise is drawn for one image at a time."""
    if asked["samples"] is not None:
        return 1
    return int(asked["batch"] or (1 if translator.device.type == "cpu" else GPU_BATCH))


def _begun(tasks: Sequence[Task], ledger: Ledger | None) -> Iterator[Task]:
    """The tasks, each told to the ledger before its turn comes."""
    if ledger is None:
        yield from tasks
        return
    waiting = iter(tasks)
    while group := list(islice(waiting, BEGUN)):
        ledger.begin(path for task in group for path in task.outputs)
        yield from group


def _convert_here(
    tasks: Sequence[Task], work: Work, batch: int, workers: int, rank: int, *, alone: bool, piped: Piped
) -> Generator[tuple[Path, str | None], None, None]:
    """Convert on this device; report each outcome to the parent process, if one asked for it, or to the observers."""
    begun = _begun(tasks, work.ledger)
    with closing(convert_all(begun, work, batch=batch, workers=workers, alone=alone)) as found:
        for task, reason in found:
            if reason is not None and work.ledger is not None:
                work.ledger.fail(task.outputs)
            if not log_outcome(rank, task.source, reason, work):
                slowest = work.stages.bottleneck(workers)
                reason = None if reason is None else piped.sentence(reason)
                source = piped.path(task.source)
                work.translator.catalog.tell("image_converted", source=source, error=reason, bottleneck=slowest)
            yield task.source, reason
