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

from translate import atomic, images
from translate.conversion.batch import AnyTranslator, Work
from translate.conversion.calibration import calibrate, calibration_for
from translate.conversion.forecast import Forecast, forecast
from translate.conversion.identity import identity_of
from translate.conversion.kept_previews import not_shown, show_kept
from translate.conversion.loading import batch_size, load_asked, prepare_actor, work_for
from translate.conversion.manifest import Ledger, Making
from translate.conversion.on_ray import convert_on_ray
from translate.conversion.pipeline import convert_all
from translate.conversion.piping import Piped, from_standard_input, is_standard, to_standard_output
from translate.conversion.plan import Task, suffix_rule
from translate.conversion.planning import plan_conversion
from translate.conversion.report import Report
from translate.conversion.resizing import check_resizing
from translate.conversion.showing import finishing, record_failures
from translate.conversion.standing import Standing, stand
from translate.conversion.together import convert_together, is_a_share, log_outcome
from translate.errors import TranslateError
from translate.inputs import gather
from translate.job import rank_and_world_size
from translate.overview import left_out
from translate.paths import expanded
from translate.terminal import printable

log = logging.getLogger("translate")

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
    behind_pipes = piped is not None
    piped = piped or Piped()
    report = Report(asked["report"], target, overwrite=asked["overwrite"], piped=piped)
    if isinstance(translator, (str, Path)):
        translator = load_asked(translator, asked, plugins, no_plugins)
    elif not behind_pipes:
        _check_loaded(translator, asked)
    inputs = gather(sources)
    all_tasks, listed = plan_conversion(inputs, target, translator, asked)
    rank, ranks = rank_and_world_size()
    together = run is not None and asked["devices"] > 1 and not on_ray
    here = listed if together else listed[rank::ranks]
    shown_in = target if target.is_dir() or not inputs.single else target.parent
    silent = rank > 0 or is_a_share()
    shares = max(ranks, asked["devices"] if on_ray else 1)
    work = work_for(translator, asked, shown_in, shares=shares, silent=silent)
    # Processes that share the memory are given the images by the one that began them.
    share = replace(work, memory=(work.memory or 0) // asked["devices"]) if together else work
    calibration = calibration_for(
        all_tasks, None if inputs.single else target, share, store=not asked["dry_run"], share=is_a_share(),
        silent=silent,
    )  # fmt: skip
    options = {name: asked[name] for name in SHAPING if name in asked} | calibration.options
    if work.given:
        options["given"] = work.given.making
    if asked["statistics"] == "tile" and asked["memory"] is not None:
        # Which images are translated in tiles, of other pixels, depends on it.
        options["memory"] = asked["memory"]
    # One image has no manifest, and hashing weights may take longer than translating it.
    unnamed = inputs.single and asked["report"] is None
    making = Making("" if unnamed else identity_of(translator), options)
    if inputs.single:
        standing = Standing(todo=list(here))
    else:
        partners = work.given.files_of
        standing = stand(here, target, making, verify=asked["verify"], again=asked["again"], partners=partners)
    threads = asked["workers"] or max(1, min(MOST_WORKERS, os.cpu_count() or 1) // shares)
    batch = batch_size(translator, asked)
    if asked["dry_run"]:
        if asked["report"] is not None:
            log.warning("a dry run writes nothing, so no report either; its result says what would be done")
        calibrate(calibration, work)
        foretold = forecast(inputs, standing, target, work, batch=batch, workers=threads, gallery=asked["gallery"])
        return 0, (), target, len(standing.kept), foretold
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
            given = {**(asked["given"] or {}), **work.given.paths}
            prepare = partial(
                prepare_actor, run.absolute(), {**asked, "given": given}, place, calibration, plugins, no_plugins
            )
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
        translator.catalog.tell("conversion_started", total=len(tasks), verb="convert")
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
        for sentence in inputs.links:
            log.warning("%s", printable(sentence))
        for reason in (*(each for _, each in inputs.missing), *(f"{path}: {each}" for path, each in inputs.closed)):
            log.warning("left out: %s", printable(reason))
        failed += found
    if inputs.single and not target.is_dir() and len(listed[0].outputs) == 1:
        # With a suffix it has another name than it was asked for.
        target = listed[0].outputs[0]
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
            translator = load_asked(translator, asked, plugins, no_plugins)
        else:
            _check_loaded(translator, asked)
        options, file, send = asked, target, None
        made = None
        if is_standard(target):
            rule = suffix_rule(translator.source, translator.target, asked["format"])
            file, send = stack.enter_context(to_standard_output(rule(source.suffix)))
            options = {**asked, "suffix": ""}
            # One sample has a number, as the first of several.
            numbered = asked["samples"] is not None and not asked["side_by_side"]
            made = file.with_stem(f"{file.stem}-1") if numbered else file
        piped = Piped(source if is_standard(sources[0]) else None, made)
        with piped.errors():
            converted, failed, _, kept, _ = convert_as_asked(
                translator, [source], file, options, plugins, no_plugins, piped
            )
        if converted and send is not None and made is not None:
            made.rename(file)
            send()
        return converted, tuple((piped.path(path), reason) for path, reason in failed), target, kept, None


def _check_loaded(translator: AnyTranslator, asked: Mapping[str, Any]) -> None:
    """Refuse options that say how a translator is loaded for one that is loaded already."""
    if asked["range"] or asked["layout"]:
        raise TranslateError("convert: range and layout are for an .onnx file, and this translator is loaded already")
    if asked["step"] is not None:
        raise TranslateError("convert: step chooses a checkpoint of a run, and this translator is loaded already")
    if asked["direction"] not in (None, translator.direction):
        raise TranslateError(
            f"this translator was loaded for the direction {translator.direction!r}, not {asked['direction']!r}"
        )


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
    "a changed partner": "files that they are given beside have changed since",
    "another name": "their outputs have other names now",
    "a changed file": "their files have changed since",
    "an output that is gone or changed": "their outputs are gone or have changed",
}


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
