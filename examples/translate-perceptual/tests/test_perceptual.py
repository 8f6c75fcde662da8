"""Contracts of the plugin, its values by hand, and a run that goes on without the file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from translate_perceptual.make import make

import translate
from translate.data import Domain
from translate.errors import TranslateError
from translate.parts import CatalogParts
from translate.plugins import discover
from translate.testing import check_plugin


def built(text: str, channels: int = 3) -> torch.nn.Module:
    domain = Domain(channels)
    return CatalogParts(discover(), source=domain, target=domain, size=(16, 16)).loss(text)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    make(tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def test_contracts(weights: Path) -> None:
    check_plugin("perceptual", examples={"perceptual": f"perceptual(weights={str(weights)!r})"})


def test_by_hand(tmp_path: Path) -> None:
    # Two channels: the means of red and of green around a place; white and red, after the ReLU, differ in direction.
    kernel = torch.zeros(2, 3, 3, 3)
    kernel[0, 0, 1, 1] = kernel[1, 1, 1, 1] = 1
    save_file(
        {"stages.0.weight": kernel, "stages.0.bias": torch.zeros(2), "linear.0": torch.tensor([3.0, 5.0])},
        tmp_path / "w.safetensors",
    )
    loss = built(f"perceptual(weights={str(tmp_path / 'w.safetensors')!r}, widths=2)")
    white = torch.ones(1, 3, 4, 4)
    red = torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    half = 0.5**0.5
    assert loss(white, red).item() == pytest.approx(3 * (half - 1) ** 2 + 5 * half**2)
    assert loss(white, white).item() == 0
    black = torch.full((1, 3, 4, 4), -1.0, requires_grad=True)
    loss(black, white).backward()
    assert bool(torch.isfinite(black.grad).all())


def test_gray_is_seen_as_colour_and_more_channels_are_refused(weights: Path) -> None:
    gray, other = torch.rand(2, 2, 1, 16, 16)
    text = f"perceptual(weights={str(weights)!r})"
    assert torch.equal(
        built(text, 1)(gray, other), built(text)(gray.expand(-1, 3, -1, -1), other.expand(-1, 3, -1, -1))
    )
    with pytest.raises(TranslateError, match="not images of 12 channels; choose l1"):
        built(text, 12)


def test_a_run_goes_on_without_the_file(weights: Path, tmp_path: Path) -> None:
    loss = f"perceptual(weights={str(weights)!r})"
    run = translate.fit(
        "regression", "demo(size=16, count=4)", output=tmp_path / "run", size=16, steps=4, batch=2,
        save_every=2, keep=9, log_every=1, generator="shallow(width=4)", distance=loss,
    )  # fmt: skip
    last = run.metrics[-1]["generator/distance"]
    run.checkpoints[-1].unlink()
    weights.unlink()
    resumed = translate.resume(run.folder)
    assert resumed.metrics[-1]["generator/distance"] == last > 0
    assert translate.load(run.folder).translate(torch.zeros(1, 3, 16, 16)).shape == (1, 3, 16, 16)
