"""Whole commands: conversion of a folder against a script's loop, and how long a command takes to begin."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from translate import checkpoint, translator
from translate.benchmark.timing import in_turn
from translate.errors import TranslateError
from translate.run import Config
from translate.setup import Setup

LOOP = """
import sys
from pathlib import Path
import numpy, torch, translate
from PIL import Image
network = translate.load(sys.argv[1]).network
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
"""What one writes by hand: an image at a time, float32, decoded and encoded by Pillow between two networks."""

PLAIN = "a loop by hand"
CPU = torch.device("cpu")


def conversion(run: Path, images: Path, out: Path, rounds: int) -> dict[str, list[float]]:
    """The seconds of whole commands that convert a folder of RGB images: a script, ours, and ours in bf16."""
    convert = [sys.executable, "-m", "translate", "convert", str(run), str(images)]
    rivals = {
        PLAIN: [sys.executable, "-c", LOOP, str(run), str(images), str(out / "by-hand")],
        "translate convert": [*convert, str(out / "float32"), "--format", "png"],
        "translate convert --precision bf16": [*convert, str(out / "bf16"), "--format", "png", "--precision", "bf16"],
    }
    turns: dict[str, Callable[[], object]] = {name: partial(_run, command) for name, command in rivals.items()}
    return in_turn(turns, rounds, CPU)


def beginning(method: str, data: Path, out: Path, size: int, rounds: int) -> dict[str, list[float]]:
    """The seconds until Python, the command's help and the first step of a training are there."""
    numbers = iter(range(10**6))

    def first_step() -> object:
        folder = out / f"run-{next(numbers)}"
        asked = ["fit", method, str(data), f"--size={size}", "--steps=1", f"-o{folder}"]
        return _run([sys.executable, "-m", "translate", *asked])

    def of(*command: str) -> Callable[[], object]:
        return partial(_run, [sys.executable, *command])

    rivals = {
        "python -c pass": of("-c", "pass"),
        "translate --help": of("-m", "translate", "--help"),
        "translate fit --steps 1": first_step,
    }
    return in_turn(rivals, rounds, CPU)


def untrained(config: Config, folder: Path) -> Path:
    """What a training would keep before its first step, whose network converts as long as a trained one's."""
    setup = Setup.make(config)
    plugin = setup.catalog.offer("methods", config.method).plugin
    tensors, facts = translator.contents(
        setup.method, name=config.method, options=config.options, parts=setup.parts, plugin=plugin
    )
    path = folder / "translator.safetensors"
    checkpoint.save(path, tensors, facts)
    return path


def _run(command: Sequence[str]) -> object:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        raise TranslateError(f"a command of the benchmark failed with code {done.returncode}: {last}")
    return done
