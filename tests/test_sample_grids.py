"""Sample grids of a training: which columns observers are told, and of which images they are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import taking
import torch
from torch import Tensor

import translate
from translate import images
from translate.data import Domain
from translate.plugins import Catalog
from translate.sample_grids import CLASSES, DRAWN, SHOWN
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


def test_networks_get_what_the_data_has_of_the_shown_rows(
    told: list[dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plugins = [taking.PLUGIN]
    run = translate.fit(
        "taking", "beside", output=tmp_path / "run", plugins=plugins, size=16, load_size=16, steps=1, sample_every=1
    )
    columns, labels = told[-1]["images"], taking.OF_DATA
    assert list(columns) == [
        "source", "mask", "reference", *(f"fake {each}" for each in labels), "fake by reference", "target",
        *(f"sample {each}" for each in labels),
    ]  # fmt: skip
    rgb, translator = Domain(3), translate.load(run.folder, plugins=plugins, device="cpu")
    assert close(columns["mask"], images.to_rgb(taking.data(2)[:SHOWN], Domain(1)))
    assert close(columns["reference"], images.to_rgb(taking.data(1)[[1, 2, 3, 0]], rgb))
    text = torch.tensor([[0, 1], [1, 2], [2, 3], [3, 4.0]])
    own: dict[str, Any] = {"mask": taking.data(2)[:SHOWN], "text": text}
    for number, label in enumerate(labels):
        wanted = translator.translate(taking.data(0)[:SHOWN], given={**own, "label": number})
        assert close(columns[f"fake {label}"], images.to_rgb(wanted, rgb))
    # The reference's own class goes with it.
    by = {**own, "reference": taking.data(1)[[1, 2, 3, 0]], "label": [1, 2, 0, 0]}
    assert close(
        columns["fake by reference"], images.to_rgb(translator.translate(taking.data(0)[:SHOWN], given=by), rgb)
    )
    maker = load_sampler(run.folder, plugins=plugins)
    drawn = maker.draw(range(SHOWN), given={"label": "dusk", "text": text})
    assert close(columns["sample dusk"], images.to_rgb(drawn, rgb))
    assert "sample grids" not in caplog.text


@pytest.mark.parametrize("without", ["mask", "label", "text"])
def test_what_the_data_lacks_is_left_away(told: list[dict[str, Any]], tmp_path: Path, without: str) -> None:
    plugins = [taking.PLUGIN]
    translate.fit(
        "taking", f"beside({without}=no)", output=tmp_path / "run", plugins=plugins, size=16, load_size=16, steps=1,
    )  # fmt: skip
    columns = told[-1]["images"]
    assert ("mask" in columns) == (without != "mask")
    assert ("fake day" in columns) == ("sample day" in columns) == (without != "label")
    assert ("fake" in columns) == ("sample 8" in columns) == (without == "label")


NEEDING = """
from typing import Annotated
import torch
from torch import nn
from translate import hookimpl
from translate.method import Method, Update
from translate.taken import Input
from translate.options import Option

class Needs(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

class Masked(Needs):
    def forward(self, image, *, mask: Annotated[torch.Tensor, Input("aligned", of="mask")]):
        return image * self.scale

class Powered(Needs):
    def forward(self, image, *, power: Annotated[int, Option("of it")]):
        return image * self.scale

class Failing(Needs):
    def forward(self, image, *, mask: Annotated[torch.Tensor | None, Input("aligned", of="mask")] = None):
        return image * mask

class Classed(Needs):
    def forward(self, image, *, label: Annotated[torch.Tensor, Input("class", of="target")]):
        return image * self.scale

class Needing(Method):
    def __init__(self, parts, *, kind: Annotated[str, Option("of network")] = "Masked"):
        super().__init__()
        self.network = globals()[kind]()
    players = property(lambda self: {"network": self.network})
    translators = property(lambda self: {"forward": self.network})
    def updates(self, batch, step):
        assert self.network.training
        yield Update("network", {"scale": self.network.scale.square()})

@hookimpl
def methods(): return {"needing": Needing}
"""


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("Masked", "it needs mask, an image as large as its image of the mask, gray"),
        ("Powered", "it needs the option power, which has no default"),
        ("Failing", "TypeError: unsupported operand"),
        ("Classed", "it needs label, a class of the target"),
    ],
)
def test_a_network_that_needs_more_ends_no_training_and_is_told_once(
    told: list[dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, reason: str
) -> None:
    (tmp_path / "needing.py").write_text(NEEDING)
    run = translate.fit(
        "needing", "beside(mask=no, label=no)", output=tmp_path / "run", size=16, load_size=16, steps=3,
        plugins=[str(tmp_path / "needing.py"), taking.PLUGIN], options={"kind": kind}, sample_every=1,
    )  # fmt: skip
    assert run.step == 3
    assert not told
    assert caplog.text.count(f"the sample grids leave out forward: {reason}") == 1


def test_many_classes_are_cut_and_told(
    told: list[dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"c{number:02d}" for number in range(40)]
    translate.fit(
        "taking",
        "beside(classes=40)",
        output=tmp_path / "run",
        plugins=[taking.PLUGIN],
        size=16,
        load_size=16,
        steps=1,
    )
    columns = told[-1]["images"]
    assert [each for each in columns if each.startswith("sample")] == [f"sample {each}" for each in names[:CLASSES]]
    assert caplog.text.count(f"the sample grids show {CLASSES} of the 40 classes that forward takes") == 1
