"""Loading: the translator that a conversion was asked for, and what holds for each image that it translates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from translate.conversion.batch import AnyTranslator, Work
from translate.conversion.calibration import Calibration, calibrate
from translate.conversion.partners import given_for
from translate.conversion.showing import showing_for
from translate.conversion.size_warnings import SizeWarnings
from translate.description import check_given
from translate.job import is_distributed
from translate.machine import keep_memory
from translate.memory import free_share
from translate.paths import expanded
from translate.plugins import discover
from translate.programs import ArrayTranslator, is_program, open_program

GPU_BATCH = 8


def load_asked(
    path: str | Path, asked: Mapping[str, Any], plugins: Sequence[str], no_plugins: Sequence[str]
) -> AnyTranslator:
    """Load the translator of a path; one that is a program needs no torch.

    What is given to it is held against the file's header first, where that tells what the network takes.
    """
    if is_program(path):
        catalog = discover(extra=plugins, blocked=no_plugins)
        others = {name: asked[name] for name in ("step", "runtime", "precision")}
        program = open_program(
            expanded(path), direction=asked["direction"], device=asked["device"], others=others, limits=asked["range"],
            layout=asked["layout"],
        )  # fmt: skip
        return ArrayTranslator(program, catalog)
    check_given(path, asked["step"], asked["direction"], asked.get("given") or {})
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


def work_for(translator: AnyTranslator, asked: Mapping[str, Any], shown_in: Path, *, shares: int, silent: bool) -> Work:
    """What holds for every image, of one of several processes that share the memory."""
    showing = showing_for(translator.source, translator.target, shown_in, asked)
    return Work(
        translator, asked["at"], asked["samples"], asked["seed"], asked["quality"], asked["max_pixels"],
        (asked["memory"] or free_share()) // shares, asked["metadata"], asked["gps"], asked["frames"],
        whole=asked["memory"] and asked["memory"] // shares, statistics=asked["statistics"],
        long_side=asked["long_side"], scale=asked["scale"], sizes=SizeWarnings(silent=silent), showing=showing,
        given=given_for(translator, asked),
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
    translator = load_asked(run, asked, plugins, no_plugins)
    work = work_for(translator, asked, shown_in, shares=asked["devices"], silent=True)
    calibrate(calibration, work)
    return work


def batch_size(translator: AnyTranslator, asked: Mapping[str, Any]) -> int:
    """The batch size; with ``samples`` it is 1 for networks that draw their noise themselves, for one image a pass."""
    taken = getattr(translator, "taken", None)
    if asked["samples"] is not None and not (taken is not None and taken.noise):
        return 1
    return int(asked["batch"] or (1 if translator.device.type == "cpu" else GPU_BATCH))
