"""Whole commands: conversion of a folder against a script's loop, and how long a command takes to begin."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
import torch

from translate import checkpoint, images, translator
from translate.benchmark.timing import in_turn
from translate.compute import missing_compiler
from translate.errors import TranslateError
from translate.run import Config
from translate.setup import Setup

LOOP = """
import sys
from pathlib import Path
import numpy, torch, translate
from PIL import Image
network = translate.load(sys.argv[1], device=sys.argv[4]).network.to(memory_format=torch.contiguous_format)
for module in network.modules():
    module.__dict__.pop("forward", None)
device = next(network.parameters()).device
target = Path(sys.argv[3])
target.mkdir(parents=True, exist_ok=True)
for path in sorted(Path(sys.argv[2]).iterdir()):
    with Image.open(path) as file:
        pixels = numpy.asarray(file.convert("RGB"))
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float().div(127.5).sub(1).to(device)
    with torch.no_grad():
        answer = network(image)[0]
    pixels = answer.add(1).mul(127.5).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
    Image.fromarray(pixels).save(target / (path.stem + ".png"))
"""
"""What one writes by hand: an image at a time, float32, decoded and encoded by Pillow between two networks.

What computes the network's convolutions in place of torch is taken away.
"""

PLAIN = "a loop by hand"
HALF = 2
"""The part of the images that is converted once more, so that beginning and going on can be lines apart."""
MANY = 1000
"""Images for which a conversion is reckoned from fewer; so many are long enough to need no reckoning."""
RIVALS = {
    f"{runtime}-{precision}".lstrip("-"): (runtime, precision)
    for runtime, precisions in (
        ("", ("float32", "bf16")),
        ("compiled", ("float32", "bf16")),
        ("openvino", ("float32", "bf16", "int8")),
    )
    for precision in precisions
}
"""Ways to convert, by name: the runtime and the precision."""
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Converted:
    """What converting a folder took a rival.

    ``seconds`` are whole commands on all images, and ``few`` the same on half of them, unless there are many;
    ``apart`` is how far the answers lie from the first rival's, in decibels.
    """

    seconds: list[float]
    few: list[float]
    apart: float
    images: int

    @property
    def each(self) -> float:
        """The seconds of one further image; of many, those of one of them."""
        if not self.few:
            return median(self.seconds) / self.images
        more = self.images - self.images // HALF
        return max(median(self.seconds) - median(self.few), 0.0) / more

    def whole(self, images: int) -> float:
        """The seconds of a command on so many images, in proportion."""
        return median(self.seconds) + (images - self.images) * self.each


def available(device: torch.device) -> list[str]:
    """The ways to convert that this machine has on a device."""
    found = ["float32", "bf16"]
    if missing_compiler(device) is None:
        found += ["compiled-float32", "compiled-bf16"]
    if device.type == "cpu" and find_spec("openvino") is not None:
        found += ["openvino-float32", "openvino-bf16", "openvino-int8"]
    return found


def conversion(
    run: Path, folder: Path, out: Path, rounds: int, ways: Sequence[str], device: torch.device
) -> dict[str, Converted]:
    """Time whole commands that convert a folder of RGB images, and half of it unless they are many.

    A script comes first; then the conversion in each of the ways that are named.
    """
    paths = sorted(folder.iterdir())
    halved = len(paths) < MANY
    half = out / "half"
    half.mkdir()
    for path in paths[: len(paths) // HALF] if halved else ():
        shutil.copy(path, half)
    rivals = {PLAIN: [sys.executable, "-c", LOOP, str(run)]}
    for runtime, precision in map(RIVALS.__getitem__, ways):
        asked = [
            *(["--runtime", runtime] if runtime else []),
            *(["--precision", precision] if precision != "float32" else []),
        ]
        name = " ".join(["translate convert", *asked])
        rivals[name] = [sys.executable, "-m", "translate", "convert", "--format=png", *asked, str(run)]
    turns: dict[str, Callable[[], object]] = {}
    for name, command in rivals.items():
        # The loop's last argument, and the conversion's option.
        on = str(device) if name == PLAIN else f"--device={device}"
        turns[name] = partial(_run, [*command, str(folder), str(out / name), on])
        if halved:
            turns[f"{name}, half"] = partial(_run, [*command, str(half), str(out / f"{name}, half"), on])
    for title, turn in turns.items():
        if halved and "compiled" in title and title.endswith("half"):
            # What is compiled is kept for later commands; compiling in only one of the two would pass for images.
            turn()
    timed = in_turn(turns, rounds, CPU)
    return {
        name: Converted(timed[name], timed.get(f"{name}, half", []), _apart(out / PLAIN, out / name), len(paths))
        for name in rivals
    }


def _apart(first: Path, second: Path) -> float:
    """The peak signal to noise ratio of one folder's images against another's, in decibels."""
    errors = []
    for path in sorted(first.iterdir()):
        one, other = (images.read(place / path.name).pixels.astype(float) for place in (first, second))
        errors.append(np.square(one - other).mean())
    return float(10 * np.log10(255**2 / max(np.mean(errors), 1e-10)))


def beginning(method: str, data: Path, out: Path, size: int, rounds: int) -> dict[str, list[float]]:
    """The seconds until Python, the command's help and the first step of a training are there."""
    numbers = iter(range(10**6))

    def first_step() -> object:
        folder = out / f"run-{next(numbers)}"
        asked = ["fit", method, str(data), f"--size={size}", "--steps=1", "--log-every=1", f"-o{folder}"]
        return _until([sys.executable, "-m", "translate", *asked], "step 1/1")

    def of(*command: str) -> Callable[[], object]:
        return partial(_run, [sys.executable, *command])

    rivals = {
        "python -c pass": of("-c", "pass"),
        "translate --help": of("-m", "translate", "--help"),
        "translate fit, to its first step": first_step,
    }
    return in_turn(rivals, rounds, CPU)


def untrained(config: Config, folder: Path) -> Path:
    """What a training would keep before its first step, whose network converts as long as a trained one's."""
    setup = Setup.make(config)
    plugin = setup.catalog.offer("methods", config.method).plugin
    tensors, metadata = translator.contents(
        setup.method, name=config.method, options=config.options, parts=setup.parts, plugin=plugin
    )
    path = folder / "translator.safetensors"
    checkpoint.save(path, tensors, metadata)
    return path


def _run(command: Sequence[str]) -> object:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        raise TranslateError(f"a command of the benchmark failed with code {done.returncode}: {last}")
    return done


def _until(command: Sequence[str], beginning: str) -> object:
    """Let a command run until it prints a line with that beginning, and no longer."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        last = "nothing was said"
        for line in process.stdout:
            if line.startswith(beginning):
                process.kill()
                return line
            last = line.strip() or last
    raise TranslateError(f"a command of the benchmark ended before its first step: {last}")
