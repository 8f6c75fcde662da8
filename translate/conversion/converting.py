"""The implementation of ``convert``: load the translator, plan, and convert on one device or several."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from translate import images
from translate.conversion.batch import Translating, Work, calibration_images
from translate.conversion.fitting import Account
from translate.conversion.notices import Notices
from translate.conversion.pipeline import convert_all
from translate.conversion.plan import Task, plan, suffix_rule
from translate.conversion.resizing import check_resizing
from translate.conversion.together import convert_together, is_a_share, log_outcome
from translate.devices import keep_memory, pick_device
from translate.errors import TranslateError
from translate.memory import free_share
from translate.overview import left_out
from translate.paths import expanded
from translate.ranks import device_of_rank, is_distributed, rank_and_world_size
from translate.translator import load

log = logging.getLogger("translate")

GPU_BATCH = 8
MOST_WORKERS = 16
CALIBRATION_IMAGES = 32
"""How many images a runtime is calibrated on, if it needs calibration."""

Failed = tuple[tuple[Path, str], ...]


def convert_as_asked(
    translator: Translating | str | Path,
    source: Path,
    target: Path,
    asked: Mapping[str, Any],
    plugins: Sequence[str],
    no_plugins: Sequence[str],
) -> tuple[int, Failed, Path]:
    """Convert with the checked options of ``convert``; return (number converted, failures with reasons, target)."""
    run = expanded(translator) if isinstance(translator, (str, Path)) else None
    if run is None and asked["devices"] > 1:
        raise TranslateError("convert: a loaded translator lies on one device; give its run or file to use several")
    if isinstance(translator, (str, Path)):
        translator = _load(translator, asked, plugins, no_plugins)
    elif asked["step"] is not None:
        raise TranslateError("convert: step chooses a checkpoint of a run, and this translator is loaded already")
    elif asked["direction"] not in (None, translator.direction):
        raise TranslateError(
            f"this translator was loaded for the direction {translator.direction!r}, not {asked['direction']!r}"
        )
    check_resizing(asked)
    rule = suffix_rule(translator.source, translator.target, asked["format"])
    tasks = plan(source, target, rule, asked["format"], asked["samples"])
    try:
        tasks[0].outputs[0].parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TranslateError(f"cannot make the folder {tasks[0].outputs[0].parent}: {error.strerror}") from None
    if run is not None and asked["devices"] > 1:
        outcomes = convert_together(
            run, source, target, asked, catalog=translator.catalog, plugins=plugins, no_plugins=no_plugins
        )
    else:
        rank, ranks = rank_and_world_size()
        work = Work(
            translator, asked["at"], asked["samples"], asked["seed"], asked["quality"], asked["max_pixels"],
            (asked["memory"] or free_share()) // ranks, asked["memory"] and asked["memory"] // ranks,
            asked["statistics"], asked["long_side"], asked["scale"], Notices(silent=rank > 0),
        )  # fmt: skip
        if translator.needs_calibration:
            account = Account(work)
            translator.calibrate(calibration_images(tasks, work, CALIBRATION_IMAGES, account.fits))
        threads = asked["workers"] or max(1, min(MOST_WORKERS, os.cpu_count() or 1) // ranks)
        tasks = tasks[rank::ranks]
        outcomes = _convert_here(tasks, work, _batch_size(translator, asked), threads, rank)
    converted = 0
    failed: list[tuple[Path, str]] = []
    translator.catalog.tell("conversion_started", total=len(tasks))
    try:
        with closing(outcomes):
            for file, reason in outcomes:
                if reason is None:
                    converted += 1
                else:
                    failed.append((file, reason))
    finally:
        translator.catalog.tell("conversion_ended")
    if rank_and_world_size()[0] == 0 and not is_a_share():
        found = images.survey(source)
        for sentence in images.count_left_out(found.left_out):
            log.warning("%s: %s", source, sentence)
        # Listing the tasks has logged what cannot be entered.
        failed += left_out(found)
    return converted, tuple(failed), target


def _load(path: str | Path, asked: Mapping[str, Any], plugins: Sequence[str], no_plugins: Sequence[str]) -> Translating:
    device = device_of_rank(asked["device"]) if is_distributed() else asked["device"]
    if not asked["runtime"] and pick_device(device).type == "cpu":
        # This must precede loading, whose threads could otherwise get heaps of their own.
        keep_memory()
    return load(
        path, step=asked["step"], direction=asked["direction"], device=device, precision=asked["precision"],
        runtime=asked["runtime"], plugins=plugins, no_plugins=no_plugins,
    )  # fmt: skip


def _batch_size(translator: Translating, asked: Mapping[str, Any]) -> int:
    """The batch size; with ``samples`` it is 1, since noise is drawn for one image at a time."""
    if asked["samples"] is not None:
        return 1
    return int(asked["batch"] or (1 if translator.device.type == "cpu" else GPU_BATCH))


def _convert_here(
    tasks: Sequence[Task], work: Work, batch: int, workers: int, rank: int
) -> Generator[tuple[Path, str | None], None, None]:
    """Convert on this device; report each outcome to the parent process, if one asked for it, or to the observers."""
    with closing(convert_all(tasks, work, batch=batch, workers=workers)) as outcomes:
        for task, reason in outcomes:
            if not log_outcome(rank, task.source, reason):
                work.translator.catalog.tell("image_converted", source=task.source, error=reason)
            yield task.source, reason
