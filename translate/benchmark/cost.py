"""Cost: time and peak memory of a training step, by batch, size, number of images and memory-saving options."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from translate.errors import TranslateError

SCRIPT = """
import json, resource, sys, time
import torch
from translate.machine import keep_memory
from translate.run import Config
from translate.setup import Setup

config = Config.from_values(json.loads(sys.argv[1]), "bench")
setup = Setup.make(config)
device, times = setup.engine.device, config.accumulate
cuda = device.type == "cuda"
if not cuda:
    keep_memory()
seconds = []
with setup.loader() as loader:
    for number in range(int(sys.argv[2])):
        began = time.perf_counter()
        setup.engine.step([loader.batch(number * times + each) for each in range(times)])
        if cuda:
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - began)
kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([torch.cuda.max_memory_allocated(device) if cuda else kilobytes * 1024, seconds]))
"""
"""Runs in a separate process for each variation, because a process's peak memory never falls."""

MORE = 10
"""How many times as many images the larger dataset has."""


def cost(values: Mapping[str, Any], scratch: Path, *, steps: int) -> tuple[dict[str, list[float]], dict[str, str]]:
    """The seconds of ``steps`` steps of each variation of a training, and its peak memory as text.

    On a GPU it is the memory that torch allocated; on a CPU that of the whole process, with Python and torch.
    """
    found = {name: measured({**values, **changes}, steps) for name, changes in variations(values, scratch).items()}
    seconds = {name: taken for name, (_, taken) in found.items()}
    return seconds, {name: f"{peak / 2**20:,.0f} MiB" for name, (peak, _) in found.items()}


def variations(values: Mapping[str, Any], scratch: Path) -> dict[str, Mapping[str, Any]]:
    """The trainings that are compared, by name: the options that each one changes."""
    size, batch = int(values["size"]), int(values["batch"])
    return {
        f"{size} px, batch {batch}": {},
        f"{size} px, batch {4 * batch}": {"batch": 4 * batch},
        f"{size} px, batch {batch}, --accumulate 4": {"accumulate": 4},
        f"{size} px, batch {batch}, --recompute": {"recompute": True},
        f"{size // 2} px, batch {batch}": {"size": size // 2},
        f"{size} px, batch {batch}, {MORE} times the images": {"data": str(_more(Path(values["data"]), scratch))},
    }


def measured(values: Mapping[str, Any], steps: int) -> tuple[int, list[float]]:
    """The peak memory of a training, in bytes, and the seconds of ``steps`` steps after the first."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(dict(values)), str(steps + 1)], capture_output=True, text=True
    )
    if done.returncode:
        raise TranslateError((done.stderr.strip().splitlines() or ["it printed nothing"])[-1].rpartition("Error: ")[2])
    peak, seconds = json.loads(done.stdout.splitlines()[-1])
    # The first step also allocates the optimizers' state.
    return peak, seconds[1:]


def _more(data: Path, scratch: Path) -> Path:
    """Make a dataset with ``MORE`` copies of each image."""
    target = scratch / "more"
    for path in sorted(each for each in data.rglob("*") if each.is_file()):
        place = target / path.parent.relative_to(data)
        place.mkdir(parents=True, exist_ok=True)
        for number in range(MORE):
            shutil.copyfile(path, place / f"{number}-{path.name}")
    return target
