"""Sample grids of a training: which columns observers are told, and of which images they are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import translate
from translate import images
from translate.data import Domain
from translate.plugins import Catalog
from translate.sample_grids import DRAWN, SHOWN
from translate.saved import load_sampler
from translate.seeds import noise_of

PLUGIN = """
import torch
from torch import nn
from translate import hookimpl
from translate.method import Method, Update

class Maker(nn.Module):
    noise = (5,)
    def __init__(self, parts):
        super().__init__()
        self.shape = (parts.target.channels, *parts.size)
        self.linear = nn.Linear(5, parts.target.channels * parts.size[0] * parts.size[1])
    def forward(self, noise):
        assert not self.training
        return torch.tanh(self.linear(noise)).unflatten(1, self.shape)

class Fixed(nn.Conv2d):
    def forward(self, image):
        assert not self.training
        return torch.tanh(super().forward(image))

class Grids(Method):
    def __init__(self, parts):
        super().__init__()
        self.there = Fixed(parts.source.channels, parts.target.channels, 1)
        self.back = Fixed(parts.target.channels, parts.source.channels, 1)
        self.maker = Maker(parts)
        self.moved = nn.Parameter(torch.zeros(()))
    @property
    def players(self):
        return {"all": self}
    @property
    def translators(self):
        return {"forward": self.there, "backward": self.back, "sample": self.maker}
    def updates(self, batch, step):
        assert self.there.training and self.back.training and self.maker.training
        yield Update("all", {"l": self.moved.square() + self.moved})

@hookimpl
def methods(): return {"grids": Grids}
"""


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """A plugin, data of gray sources and coloured targets, and their arrays."""
    folder = tmp_path_factory.mktemp("grids")
    (folder / "grids_method.py").write_text(PLUGIN)
    draws = np.random.default_rng(0)
    arrays = {
        "source": draws.integers(0, 256, (6, 16, 16, 1), dtype=np.uint8),
        "target": draws.integers(0, 256, (6, 16, 16, 3), dtype=np.uint8),
    }
    np.savez(folder / "data.npz", **arrays)
    return folder / "grids_method.py", folder / "data.npz", arrays


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def tell(_catalog: Catalog, event: str, **arguments: Any) -> None:
        if event == "samples_drawn":
            found.append(arguments)

    monkeypatch.setattr(Catalog, "tell", tell)
    return found


def close(found: Tensor, wanted: Tensor) -> bool:
    """Whether two grids of 8-bit values are the same but for rounding."""
    return found.shape == wanted.shape and bool((found.int() - wanted.int()).abs().max() <= 1)


def test_every_network_is_shown_with_what_it_was_given(
    given: tuple[Path, Path, dict[str, Any]], told: list[dict[str, Any]], tmp_path: Path
) -> None:
    plugin, data, arrays = given
    run = translate.fit(
        "grids", data, output=tmp_path / "run", plugins=[str(plugin)], size=16, load_size=16, steps=2, sample_every=1,
    )  # fmt: skip
    assert [event["run"].step for event in told] == [0, 1, 2]
    assert all(event["run"].folder == run.folder for event in told)
    columns = told[-1]["images"]
    made = [f"sample {number}" for number in range(1, DRAWN + 1)]
    assert list(columns) == ["source", "fake", "target", "fake backward", *made]
    gray, coloured = Domain(1), Domain(3)
    source, target = (
        torch.from_numpy(arrays[name][:SHOWN].transpose(0, 3, 1, 2).astype(np.float32)) / 127.5 - 1
        for name in ("source", "target")
    )
    assert close(columns["source"], images.to_rgb(source, gray))
    assert close(columns["target"], images.to_rgb(target, coloured))
    networks = {
        name: translate.load(run.folder, direction=name, plugins=[str(plugin)]) for name in ("forward", "backward")
    }
    assert close(columns["fake"], images.to_rgb(networks["forward"].translate(source), coloured))
    assert close(columns["fake backward"], images.to_rgb(networks["backward"].translate(target), gray))
    maker = load_sampler(run.folder, plugins=[str(plugin)])
    for number in range(DRAWN):
        noise = noise_of(maker.network, range(number * SHOWN, (number + 1) * SHOWN), seed=0)
        with torch.no_grad():
            assert close(columns[f"sample {number + 1}"], images.to_rgb(maker.network(noise), coloured))
