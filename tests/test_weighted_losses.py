"""Losses with weights: read from their file by a fit, out of the checkpoint by a resume, and by no translator at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import translate
from translate import checkpoint
from translate.data import Domain
from translate.errors import TranslateError
from translate.initial import load_initial_weights, open_sources
from translate.method import Method
from translate.parts import CatalogParts, build_method
from translate.plugins import Catalog, discover
from translate.run import Config, Run
from translate.setup import Setup
from translate.testing import check_loss

PLUGIN = """
from pathlib import Path
from typing import Annotated
import torch
from torch import nn
from translate import hookimpl
from translate.method import Method, Needs, Update
from translate.options import Option
from translate.weights import read_weights

class Weighed(nn.Module):
    '''Distances of frozen maps.'''
    def __init__(self, parts, *, weights: Annotated[Path | None, Option("file of weights")] = None):
        super().__init__()
        self.maps = nn.Conv2d(parts.target.channels, 2, 3)
        self.drop = nn.Dropout(0.9)
        self.register_buffer("linear", torch.ones(2))
    def read(self, weights):
        read_weights(self, weights, "weighed")
    def forward(self, image, target):
        difference = (self.maps(image) - self.maps(target)).square().mean((2, 3))
        return (self.drop(difference) * self.linear).sum(1).mean()

class Careless(Weighed):
    '''Its file may raise anything.'''
    def read(self, weights):
        raise {raised}

class Forgetful(Weighed):
    '''It reads in its constructor, into a tensor of its own.'''
    def __init__(self, parts, *, weights: Annotated[Path | None, Option("file of weights")] = None):
        super().__init__(parts, weights=weights)
        self.own = torch.rand(2)

class Early(Weighed):
    '''It reads in its constructor.'''
    def __init__(self, parts, *, weights: Annotated[Path | None, Option("file of weights")] = None):
        super().__init__(parts, weights=weights)
        if weights is not None:
            read_weights(self, weights, "early")

class Mine(Method):
    '''One network and one loss.'''
    def __init__(self, parts, *, distance: Annotated[str, Option("loss", part="losses")] = "weighed",
                 hides: Annotated[bool, Option("keep the loss out of sight")] = False):
        super().__init__()
        self.network = nn.Sequential(nn.Conv2d(parts.source.channels, parts.target.channels, 3, padding=1), nn.Tanh())
        loss = parts.loss(distance)
        self.distance = (lambda image, target: loss(image, target)) if hides else loss
    @property
    def needs(self): return Needs(paired=True)
    @property
    def players(self): return {"generator": self.network}
    @property
    def translators(self): return {"forward": self.network}
    def updates(self, batch, step):
        yield Update("generator", {"far": self.distance(self.network(batch["source"]), batch["target"])})

@hookimpl
def methods(): return {"mine": Mine}

@hookimpl
def losses(): return {"weighed": Weighed, "careless": Careless, "forgetful": Forgetful, "early": Early}
"""


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    path = tmp_path / "weighing.py"
    path.write_text(PLUGIN.replace("{raised}", "KeyError('odd\\nnames')"))
    return str(path)


@pytest.fixture
def catalog(plugin: str) -> Catalog:
    return discover(extra=[plugin])


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(3)
    path = tmp_path / "weights.safetensors"
    tensors = {"maps.weight": torch.randn((2, 3, 3, 3), generator=generator), "maps.bias": torch.zeros(2)}
    save_file({**tensors, "linear": torch.tensor([0.25, 4.0]), "further": torch.zeros(1)}, path)
    return path


def parts_of(catalog: Catalog, **given: Any) -> CatalogParts:
    return CatalogParts(catalog, source=Domain(3), target=Domain(3), size=(16, 16), **given)


def mine(catalog: Catalog, distance: str, parts: CatalogParts | None = None, **options: Any) -> Any:
    return build_method(catalog, "mine", {"distance": distance, **options}, parts or parts_of(catalog))


def fit(plugin: str, weights: Path, folder: Path, steps: int = 4, **options: Any) -> Run:
    settings: dict[str, Any] = {"size": 16, "batch": 2, "log_every": 1, "save_every": 2, "keep": 9, "seed": 5}
    settings |= {"distance": f"weighed(weights={str(weights)!r})", "plugins": [plugin], **options}
    return translate.fit("mine", "demo(size=16, count=6)", output=folder, steps=steps, **settings)


def test_a_fit_reads_the_file_into_a_frozen_network_that_stays_in_evaluation(catalog: Catalog, weights: Path) -> None:
    method = mine(catalog, f"weighed(weights={str(weights)!r})").train()
    assert torch.equal(method.distance.maps.weight, load_file(weights)["maps.weight"])
    assert method.distance.linear.tolist() == [0.25, 4.0]
    assert not any(weight.requires_grad for weight in method.distance.parameters())
    # In training mode nine tenths would be dropped.
    image, target = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    difference = (method.distance.maps(image) - method.distance.maps(target)).square().mean((2, 3))
    expected = (difference * torch.tensor([0.25, 4.0])).sum(1).mean()
    assert torch.equal(method.distance(image, target), expected)
    assert method.network.training
    assert not method.distance.drop.training


def test_a_translator_needs_neither_file_nor_tensors(plugin: str, weights: Path, tmp_path: Path) -> None:
    run = fit(plugin, weights, tmp_path / "run", steps=2)
    tensors, metadata = checkpoint.load(run.translator)
    assert {name.partition("/")[0] for name in tensors} == {"forward"}
    image = torch.rand(1, 3, 16, 16)
    before = translate.load(run.folder, plugins=[plugin]).translate(image)
    weights.write_bytes(b"other")
    assert metadata["options"]["distance"] == f"weighed(weights={str(weights)!r})"
    assert torch.equal(translate.load(run.translator, plugins=[plugin]).translate(image), before)
    weights.unlink()
    run.translator.unlink()  # it is made again out of the checkpoint
    assert torch.equal(translate.load(run.folder, plugins=[plugin]).translate(image), before)


def test_a_resume_has_them_in_the_checkpoint(plugin: str, weights: Path, tmp_path: Path) -> None:
    whole, half = (fit(plugin, weights, tmp_path / name) for name in ("whole", "half"))
    saved = checkpoint.load(half.checkpoints[0])[0]
    assert torch.equal(saved["method/distance.maps.weight"], load_file(weights)["maps.weight"])
    half.checkpoints[-1].unlink()
    weights.unlink()
    resumed = translate.resume(half.folder, plugins=[plugin])
    first, second = (checkpoint.load(run.checkpoints[-1])[0] for run in (whole, resumed))
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert whole.metrics[-1]["generator/far"] == resumed.metrics[-1]["generator/far"]


def test_weights_of_another_run_do_not_replace_those_of_the_file(plugin: str, weights: Path, tmp_path: Path) -> None:
    run = fit(plugin, weights, tmp_path / "run", steps=2)
    other = tmp_path / "other.safetensors"
    save_file({name: value + 1 for name, value in load_file(weights).items()}, other)
    config = Config(
        method="mine", data="demo(size=16, count=6)", size=(16, 16), device="cpu", steps=1, plugins=(plugin,),
        options={"distance": f"weighed(weights={str(other)!r})"},
    )  # fmt: skip
    setup = Setup.make(config)
    method: Any = setup.method
    load_initial_weights(setup, open_sources([str(run.folder)]))
    assert method.distance.linear.tolist() == [1.25, 5.0]
    assert torch.equal(method.distance.maps.weight, load_file(other)["maps.weight"])
    assert torch.equal(method.network[0].weight, checkpoint.load(run.translator)[0]["forward/0.weight"])


def test_a_loss_that_the_method_does_not_hold_is_refused(catalog: Catalog) -> None:
    with pytest.raises(TranslateError, match="does not hold the loss weighed as a module"):
        mine(catalog, "weighed", hides=True)
    assert isinstance(mine(catalog, "l1", hides=True), Method)


def test_what_is_wrong_with_the_file_is_one_sentence(catalog: Catalog, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(TranslateError, match=r"no file of weights at /nowhere/at\.all"):
        mine(catalog, "weighed(weights='/nowhere/at.all')")
    save_file({"maps.weight": torch.zeros(1)}, tmp_path / "odd.safetensors")
    with pytest.raises(TranslateError, match="does not hold the weights of weighed: linear is missing"):
        mine(catalog, f"weighed(weights={str(tmp_path / 'odd.safetensors')!r})")
    with pytest.raises(TranslateError, match=r"is not read as the weights of careless.*KeyError: 'odd") as caught:
        mine(catalog, f"careless(weights={str(weights)!r})")
    assert "\n" not in str(caught.value)


def test_the_contract_of_losses(plugin: str, weights: Path) -> None:
    text = f"(weights={str(weights)!r})"
    check_loss(f"weighed{text}", plugins=[plugin])
    check_loss("weighed", plugins=[plugin])
    check_loss("ssim" if "ssim" in discover().offers("losses") else "l1")
    with pytest.raises(AssertionError, match="own is a tensor; register it as a buffer"):
        check_loss("forgetful", plugins=[plugin])
    with pytest.raises(AssertionError, match="must build it without the weights' file"):
        check_loss(f"early{text}", plugins=[plugin])
