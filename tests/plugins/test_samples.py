"""Samples: grids as pictures on the disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import translate_samples
from translate import images
from translate.run import Config, Run
from translate_samples.grid import GAP, HEADER, MOST, draw_grid

HERE = Path(__file__).parents[2]


def column(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.randint(0, 255, (count, 3, height, width), generator=draws, dtype=torch.uint8)


def test_a_grid_has_a_row_an_example_and_a_column_a_name(tmp_path: Path) -> None:
    run = Run(tmp_path, Config(method="pix2pix", data="photos"), step=120, steps=200)
    columns = {name: column(3, 24, 40, seed) for seed, name in enumerate(("source", "fake", "target"))}
    translate_samples.samples_drawn(run, columns)
    assert [path.name for path in run.samples.iterdir()] == ["step-00000120.png"]
    grid = images.read(run.samples / "step-00000120.png").pixels
    assert grid.shape == (HEADER + 3 * (24 + GAP), 3 * (40 + GAP) - GAP, 3)
    for number, batch in enumerate(columns.values()):
        for row in range(3):
            top, left = HEADER + GAP + row * (24 + GAP), number * (40 + GAP)
            assert (grid[top : top + 24, left : left + 40] == batch[row].permute(1, 2, 0).numpy()).all()
            assert (grid[top - GAP : top, left : left + 40] == 255).all()
    headers = [grid[:HEADER, left : left + 40] for left in (0, 42, 84)]
    assert all(header.min() < 128 for header in headers)
    assert not np.array_equal(headers[0], headers[1])


def test_columns_may_differ_in_size_and_length() -> None:
    grid = draw_grid({"small": column(1, 8, 8), "large": column(2, 32, 16)})
    assert grid.shape == (HEADER + 2 * (32 + GAP), 2 * 16 + GAP, 3)
    assert (grid[HEADER + GAP + 32 + GAP :, :16] == 255).all()


@pytest.mark.parametrize(("count", "height", "width"), [(40, 600, 100), (2, 64, 3000), (5000, 8, 8), (1, 9000, 1)])
def test_a_picture_stays_within_bounds(count: int, height: int, width: int) -> None:
    one = torch.zeros(1, 3, height, width, dtype=torch.uint8).expand(count, -1, -1, -1)
    grid = draw_grid({"source": one, "fake": one})
    assert max(grid.shape[:2]) <= MOST
    assert (grid[HEADER:] == 0).any()


def test_a_long_or_foreign_name_fits_its_column() -> None:
    grid = draw_grid({"fäke backward of something": column(1, 8, 12)})
    assert grid.shape == (HEADER + 8 + GAP, 12, 3)


def test_the_package_is_light() -> None:
    script = "import sys, translate_samples; assert not {'torch', 'numpy', 'PIL'} & set(sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE / "plugins")])}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
