"""Memory and time of images by size, translated in parts or as a whole, and how far the two differ.

    python -m benchmarks.large
    python -m benchmarks.large --networks resnet --megapixels 1 12 108 --algorithms strips

Networks have their published widths and random weights. Each row is measured in a fresh process that reads an image of
noise and writes a TIFF, as a conversion does; memory is the peak of the whole process, and core
seconds tell the work where a machine is busy. The difference to the whole is
that of the network's answers in float32, where the whole is translated, too (``--compare-up-to`` megapixels).
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NETWORKS = {
    "resnet": "ResNet-9, 64 channels",
    "unet": "U-Net-8, 64 channels",
    "unit": "UNIT, 64 channels",
}


def build(name: str) -> Any:
    """A translator with random weights."""
    import torch
    from torch import nn

    from translate.data import Domain
    from translate.plugins import discover
    from translate.translator import Translator
    from translate_networks.residual import ResidualDecoder, ResidualEncoder
    from translate_networks.resnet import ResNet
    from translate_networks.unet import UNet

    torch.manual_seed(0)
    network: nn.Module
    if name == "resnet":
        network = ResNet(3, 3, (256, 256))
    elif name == "unet":
        network = UNet(3, 3, (256, 256))
    else:
        encoder = ResidualEncoder(3, (256, 256), width=64, blocks=4)
        network = nn.Sequential(encoder, ResidualDecoder(encoder.latent, 3, (256, 256), width=64, blocks=4))
        network.size_multiple = encoder.size_multiple
    return Translator(
        network, catalog=discover(), direction="forward", directions=("forward",), source=Domain(3), target=Domain(3),
        size=(256, 256), device=torch.device("cpu"),
    )  # fmt: skip


class _Noise:
    """Smooth noise as a picture, made where it is read; answers are kept."""

    def __init__(self, side: int, multiple: int) -> None:
        import torch

        side += -side % multiple
        self.size = (side, side)
        small = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
        whole = torch.nn.functional.interpolate(small, self.size, mode="bilinear")
        whole += 0.2 * torch.rand(whole.shape, generator=torch.Generator().manual_seed(2))
        self.image = whole.mul_(2 / 1.2).sub_(1)
        self.output = torch.zeros(1, 3, *self.size)

    def read(self, rows: slice, columns: slice) -> Any:
        return self.image[..., rows, columns]

    def write(self, rows: slice, columns: slice, part: Any) -> None:
        self.output[..., rows, columns] = part


def convert(name: str, megapixels: float, algorithm: str, place: str) -> dict[str, Any]:
    """Convert an image file of that size by one algorithm, in this process; return seconds and peak bytes."""
    import numpy as np
    import torch

    from translate import images
    from translate.conversion.answering import translate
    from translate.conversion.batch import Answer, Work, decode, write
    from translate.conversion.parts import translate_in_parts
    from translate.conversion.plan import Task
    from translate.devices import memory_in_use

    side = round(math.sqrt(megapixels * 1e6))
    source, target = Path(place) / "in.tiff", Path(place) / f"{algorithm}.tiff"
    if not source.exists():
        rows = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
        images.write(source, images.Image(rows, None))
        return {}
    translator = build(name)
    task = Task(source, "in.tiff", (target,))
    before = memory_in_use(torch.device("cpu"))
    begun, spent = time.monotonic(), time.process_time()
    work = Work(translator, max_pixels=2**31, whole=2**62 if algorithm == "whole" else 1)
    decoded = decode(task, work)
    if algorithm == "whole":
        answer = translate([decoded], work)[0]
    else:
        stored, finite, written = translate_in_parts(decoded, work, algorithm)  # type: ignore[arg-type]
        answer = Answer(task, stored, finite, None, written=written)
    del decoded
    write(answer, work)
    seconds, cores = time.monotonic() - begun, time.process_time() - spent
    peak = memory_in_use(torch.device("cpu"))
    return {"seconds": seconds, "cores": cores, "peak": peak, "before": before, "pixels": side * side}


def compare(name: str, megapixels: float, algorithm: str) -> dict[str, Any]:
    """The difference between an algorithm and the whole, of the answers in float32."""
    import torch

    translator = build(name)
    picture = _Noise(round(math.sqrt(megapixels * 1e6)), translator.size_multiple)
    translator.in_parts.translate(picture, algorithm)
    whole = translator.translate(picture.image)
    error = (whole - picture.output).double()
    mean = float(error.square().mean())
    return {
        "db": 10 * math.log10(4 / mean) if mean else math.inf,
        "levels": float(error.abs().max()) * 127.5,
        "std": float(whole.std()),
        "threads": torch.get_num_threads(),
    }


def main(given: Sequence[str] | None = None) -> int:
    """Print a row for each network, size and algorithm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--megapixels", nargs="+", type=float, default=[1.0, 12.0])
    parser.add_argument("--algorithms", nargs="+", choices=["whole", "strips", "passes", "tile"],
                        default=["whole", "strips"])  # fmt: skip
    parser.add_argument("--compare-up-to", type=float, default=1.0, help="megapixels")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--difference", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args(given)
    if asked.one:
        name, megapixels, algorithm, place = asked.one
        print(json.dumps(convert(name, float(megapixels), algorithm, place)))
        return 0
    if asked.difference:
        name, megapixels, algorithm = asked.difference
        print(json.dumps(compare(name, float(megapixels), algorithm)))
        return 0
    print("| network | megapixels | algorithm | peak memory | seconds | core seconds | bytes a pixel | to the whole |")
    print("|---|---|---|---|---|---|---|---|")
    for name in asked.networks:
        for megapixels in asked.megapixels:
            with tempfile.TemporaryDirectory() as place:
                _run("--one", name, megapixels, "whole", place)
                for algorithm in asked.algorithms:
                    print(_row(name, megapixels, algorithm, place, asked.compare_up_to), flush=True)
    return 0


def _row(name: str, megapixels: float, algorithm: str, place: str, compare_up_to: float) -> str:
    found = _run("--one", name, megapixels, algorithm, place)
    difference = ""
    if algorithm != "whole" and megapixels <= compare_up_to:
        apart = _run("--difference", name, megapixels, algorithm)
        difference = f"{apart['db']:.0f} dB, at most {apart['levels']:.1g} levels"
    grown = (found["peak"] - found["before"]) / found["pixels"]
    return (
        f"| {NETWORKS[name]} | {megapixels:g} | {algorithm} | {found['peak'] / 2**20:,.0f} MB | "
        f"{found['seconds']:.0f} | {found['cores']:.0f} | {grown:.0f} | {difference} |"
    )


def _run(*arguments: object) -> Any:
    command = [sys.executable, "-m", "benchmarks.large", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
