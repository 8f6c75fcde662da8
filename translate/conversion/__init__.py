"""Conversion: a translator and a folder in, a folder of translated images out."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from translate import images
from translate.conversion.batch import Translating, Work, some
from translate.conversion.pipeline import convert_all
from translate.conversion.plan import FormatName, Task, plan, suffix_rule
from translate.conversion.together import convert_together, write_down
from translate.devices import keep_memory
from translate.errors import TranslateError
from translate.ranks import device_of_rank, place, started
from translate.runtime import Precision
from translate.sizes import Size, parse_size

__all__ = ["Conversion", "FormatName", "convert", "suffix_rule"]

GPU_BATCH = 8
MOST_WORKERS = 16
SHOWN = 32
"""How many images a translator is shown that must see some first."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """What has become of a conversion: how many images were converted, and which failed, each with its reason."""

    converted: int
    failed: tuple[tuple[Path, str], ...]
    target: Path


def convert(
    translator: Translating | str | Path,
    source: str | Path,
    target: str | Path,
    *,
    direction: str | None = None,
    at: Size | int | str | None = None,
    samples: int | None = None,
    seed: int = 0,
    batch: int | None = None,
    format: FormatName = "same",  # noqa: A002 - the command line's word
    quality: int = 95,
    max_pixels: int = images.MAX_PIXELS,
    device: str = "auto",
    devices: int = 1,
    precision: Precision = "float32",
    runtime: str = "",
    workers: int = 0,
    plugins: Sequence[str] = (),
    no_plugins: Sequence[str] = (),
) -> Conversion:
    """Convert an image, or all images below a folder with the tree kept.

    An image keeps its size, bit depth and transparency; gray and colour are adapted to the translator. ``at`` resizes
    the input to that (height, width) first and writes at that size. ``format`` overrides the input's; one that cannot
    hold an answer becomes png, tiff or npy. Class maps are written as indices. ``samples`` writes that many answers an
    image, numbered from 1, each drawn from ``seed`` and the image's name. ``max_pixels`` refuses larger images by
    their header. ``batch`` is 1 on the CPU and 8 on a GPU unless given, ``workers`` one a core. ``direction``,
    ``device``, ``precision``, ``runtime`` and the plugins matter only for a translator that is still to be loaded. One
    that must see images first, as int8 does, is shown up to 32, evenly out of all that are converted. ``devices`` share
    the images between them, each in a process of its own.

    An image's answer depends on nothing but itself (in a batch larger than 1 up to rounding). A file that cannot be
    converted is named in the result and the rest goes on; a request that cannot be met raises ``TranslateError``.
    """
    at = None if at is None else parse_size(at, "at")
    for name, value, low in (
        ("samples", samples, 1),
        ("batch", batch, 1),
        ("workers", workers, 0),
        ("devices", devices, 1),
        ("quality", quality, 1),
    ):
        if value is not None and value < low:
            raise TranslateError(f"convert: {name} must be {low} or more, not {value}")
    if quality > 100:
        raise TranslateError(f"convert: quality must be 100 or less, not {quality}")
    source, target = Path(source), Path(target)
    run = Path(translator) if isinstance(translator, (str, Path)) else None
    if run is None and devices > 1:
        raise TranslateError("convert: a translator in hand lies on one device; give its run or file to use several")
    if isinstance(translator, (str, Path)):
        if started():
            device = device_of_rank(device)
        # Loading brings in everything that trains, which a translator in hand does not need.
        from translate.devices import pick_device
        from translate.translator import load

        if not runtime and pick_device(device).type == "cpu":
            # Already now: the threads that load might get heaps of their own.
            keep_memory()
        translator = load(
            translator, direction=direction, device=device, precision=precision, runtime=runtime,
            plugins=plugins, no_plugins=no_plugins,
        )  # fmt: skip
    elif direction not in (None, translator.direction):
        raise TranslateError(
            f"this translator was loaded for the direction {translator.direction!r}, not {direction!r}"
        )
    rule = suffix_rule(translator.source, translator.target, format)
    tasks = plan(source, target, rule, format, samples)
    try:
        tasks[0].outputs[0].parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TranslateError(f"cannot make the folder {tasks[0].outputs[0].parent}: {error.strerror}") from None
    if samples is not None:
        batch = 1
    elif batch is None:
        batch = 1 if translator.device.type == "cpu" else GPU_BATCH
    options = {
        "direction": direction, "at": at, "samples": samples, "seed": seed, "batch": batch, "format": format,
        "quality": quality, "max_pixels": max_pixels, "device": device, "precision": precision,
        "runtime": runtime or None, "workers": workers,
    }  # fmt: skip
    if run is not None and devices > 1:
        catalog = translator.catalog
        outcomes = convert_together(
            run, source, target, options, devices=devices, catalog=catalog, plugins=plugins, no_plugins=no_plugins
        )
    else:
        rank, ranks = place()
        work = Work(translator, at, samples, seed, quality, max_pixels)
        if translator.wants_images:
            translator.calibrate(some(tasks, work, SHOWN))
        threads = workers or max(1, min(MOST_WORKERS, os.cpu_count() or 1) // ranks)
        tasks = tasks[rank::ranks]
        outcomes = _convert_here(tasks, work, batch, threads, rank)
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
    return Conversion(converted, tuple(failed), target)


def _convert_here(
    tasks: Sequence[Task], work: Work, batch: int, workers: int, rank: int
) -> Generator[tuple[Path, str | None], None, None]:
    """Convert on this device, and tell what becomes of each image: observers, or whoever started this share."""
    with closing(convert_all(tasks, work, batch=batch, workers=workers)) as outcomes:
        for task, reason in outcomes:
            if not write_down(rank, task.source, reason):
                work.translator.catalog.tell("image_converted", source=task.source, error=reason)
            yield task.source, reason
