"""Benchmarks of whole commands: converting a folder, against a hand-written script, and start-up times."""

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
"""The baseline script: one image at a time in float32, decoded and encoded by Pillow between forward passes.

It removes the replaced convolution algorithms, so that torch computes all convolutions.
"""

PLAIN = "a loop by hand"
HALF = 2
"""A share of 1 / ``HALF`` of the images is converted in a second run, to separate start-up from time per image."""
MANY = 1000
"""The number of images to which results of fewer are extrapolated; from this many on, there is no second run."""
RIVALS = {
    f"{runtime}-{precision}".lstrip("-"): (runtime, precision)
    for runtime, precisions in (
        ("", ("float32", "bf16")),
        ("compiled", ("float32", "bf16")),
        ("openvino", ("float32", "bf16", "int8")),
    )
    for precision in precisions
}
"""Ways of conversion by name: the runtime and the precision."""
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Converted:
    """The measured conversion of a folder by one rival.

    ``seconds`` are times of whole commands on all ``images``; ``few`` are times on half of them, empty from ``MANY``
    images on. ``apart`` is the PSNR of the outputs against the first rival's, in decibels.
    """

    seconds: list[float]
    few: list[float]
    apart: float
    images: int

    @property
    def each(self) -> float:
        """Seconds per further image, without start-up; from ``MANY`` images on, the mean with start-up."""
        if not self.few:
            return median(self.seconds) / self.images
        further = self.images - self.images // HALF
        return max(median(self.seconds) - median(self.few), 0.0) / further

    def whole(self, images: int) -> float:
        """The seconds of a command on ``images`` images, extrapolated linearly."""
        return median(self.seconds) + (images - self.images) * self.each


def available(device: torch.device) -> list[str]:
    """The ways of conversion that this machine supports on a device."""
    found = ["float32", "bf16"]
    if missing_compiler(device) is None:
        found += ["compiled-float32", "compiled-bf16"]
    if device.type == "cpu" and find_spec("openvino") is not None:
        found += ["openvino-float32", "openvino-bf16", "openvino-int8"]
    return found


def conversion(
    run: Path, folder: Path, out: Path, rounds: int, ways: Sequence[str], device: torch.device
) -> dict[str, Converted]:
    """Time whole commands that convert a folder of RGB images and, below ``MANY`` images, half of it.

    The first rival is the hand-written script; then follows ``translate convert`` in each of ``ways``.
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
        # The script takes the device as its last argument, the command as an option.
        device_argument = str(device) if name == PLAIN else f"--device={device}"
        turns[name] = partial(_run, [*command, str(folder), str(out / name), device_argument])
        if halved:
            turns[f"{name}, half"] = partial(_run, [*command, str(half), str(out / f"{name}, half"), device_argument])
    for title, turn in turns.items():
        if halved and "compiled" in title and title.endswith("half"):
            # Compiled code is cached for later commands. Without this warm-up, compilation in only one of the two runs
            # would count as time for images.
            turn()
    timed = in_turn(turns, rounds, CPU)
    return {
        name: Converted(timed[name], timed.get(f"{name}, half", []), _psnr(out / PLAIN, out / name), len(paths))
        for name in rivals
    }


def _psnr(first: Path, second: Path) -> float:
    """The PSNR between two folders' images, over all pixels, in decibels."""
    errors = []
    for path in sorted(first.iterdir()):
        one, other = (images.read(place / path.name).pixels.astype(float) for place in (first, second))
        errors.append(np.square(one - other).mean())
    return float(10 * np.log10(255**2 / max(np.mean(errors), 1e-10)))


def beginning(method: str, data: Path, out: Path, size: int, rounds: int) -> dict[str, list[float]]:
    """Start-up times in seconds: of Python, of the command's help, and of a training until its first step."""
    numbers = iter(range(10**6))

    def first_step() -> object:
        folder = out / f"run-{next(numbers)}"
        asked = ["fit", method, str(data), f"--size={size}", "--steps=1", "--log-every=1", f"-o{folder}"]
        return _until([sys.executable, "-m", "translate", *asked], "step 1/1")

    def python(*command: str) -> Callable[[], object]:
        return partial(_run, [sys.executable, *command])

    rivals = {
        "python -c pass": python("-c", "pass"),
        "translate --help": python("-m", "translate", "--help"),
        "translate fit, to its first step": first_step,
    }
    return in_turn(rivals, rounds, CPU)


def untrained(config: Config, folder: Path) -> Path:
    """Write the ``translator.safetensors`` of an untrained method, which converts as fast as a trained one."""
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
        last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        raise TranslateError(f"a command of the benchmark failed with code {done.returncode}: {last}")
    return done


def _until(command: Sequence[str], beginning: str) -> object:
    """Run a command until it prints a line that starts with ``beginning``, then kill it."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        last = "it printed nothing"
        for line in process.stdout:
            if line.startswith(beginning):
                process.kill()
                return line
            last = line.strip() or last
    raise TranslateError(f"a command of the benchmark ended before its first step: {last}")
