"""Runs' folders for tests of reports: made in a moment, without training."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from translate import images
from translate.run import Config, Run

LAYOUT = {"columns": ["source", "fake", "target"], "width": 16, "height": 16, "rows": 2, "top": 18, "gap": 2}


def make(folder: Path, *, rows: int = 6, grids: Iterable[int] = (0, 10, 20), **options: Any) -> Run:
    """A run of 60 steps that was stopped after ``rows`` rows, one each ten steps, with sample grids of some steps."""
    run = Run.create(folder, Config("pix2pix", "photos", **options), steps=60, metadata={"device": "cpu"})
    log(folder, *(row(each * 10) for each in range(1, rows + 1)))
    run.samples.mkdir()
    for step in grids:
        grid(run, step)
    return run


def row(step: int, **more: Any) -> dict[str, Any]:
    """A row as a training writes it."""
    return {
        "step": step, "epoch": step / 10, "seconds": step * 2.0, "learning_rate/generator": 2e-4,
        "learning_rate/discriminator": 2e-4, "discriminator/adversarial": 0.5, "generator/adversarial": 1 + step / 100,
        "generator/l1": 100 / step, "images_per_second": 4.0, "memory": 2**29, **more,
    }  # fmt: skip


def log(folder: Path, *rows: dict[str, Any]) -> None:
    """Append rows to a run's log."""
    with (folder / "metrics.jsonl").open("a") as file:
        for each in rows:
            file.write(json.dumps(each) + "\n")


def grid(run: Run, step: int, **layout: Any) -> Path:
    """Write a sample grid, whose cells tell their column by colour and the step by brightness."""
    found = {**LAYOUT, **layout}
    pixels = np.full((18 + 2 * 18, 3 * 18 - 2, 3), 255, np.uint8)
    for column in range(3):
        for line in range(2):
            cell = pixels[18 + line * 18 : 34 + line * 18, column * 18 : column * 18 + 16]
            cell[...] = 0
            cell[..., column] = 100 + step
    path = run.samples / f"step-{step:08d}.png"
    texts = ((b"tEXt", b"translate-grid\0" + json.dumps(found).encode()),)
    images.write(path, images.Image(pixels), metadata=images.Metadata(texts=texts))
    return path
