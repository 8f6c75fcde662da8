"""Losses with weights: read from a file by a fit, from the checkpoint by a resume, by no translator; every lever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from recorder import Recorder
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import translate
from translate import checkpoint
from translate.compute import Compilation, missing_compiler, recompute
from translate.data import Domain
from translate.engine import Engine
from translate.errors import TranslateError
from translate.initial import load_initial_weights, open_sources
from translate.method import Method
from translate.parts import CatalogParts, build_method
from translate.plugins import Catalog, discover
from translate.ranks import ProcessGroup
from translate.run import Config, Run
from translate.setup import Setup
from translate.testing import check_loss
from translate.weights import let_read, tensors_of

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
        self.maps = parts.own(nn.Conv2d(parts.target.channels, 2, 3))
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
    options = {"ema": 0.9, "accumulate": 2}
    whole, half = (fit(plugin, weights, tmp_path / name, **options) for name in ("whole", "half"))
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


def test_who_is_asked_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Reader(nn.Module):
        def read(self, weights: Path) -> None:
            if weights != tmp_path / "w.pth":
                raise TranslateError("words of its own")
            tensors_of(weights)

    monkeypatch.setenv("HOME", str(tmp_path))
    for none in (None, "none"):
        let_read(Reader(), none, "reader")
        let_read(nn.Linear(1, 1), none, "linear")
    with pytest.raises(
        TranslateError, match=r"its Linear has no method read\(weights\), so that any.pth would not be read"
    ):
        let_read(nn.Linear(1, 1), "any.pth", "linear")
    with pytest.raises(TranslateError, match="^words of its own$"):
        let_read(Reader(), "other.pth", "reader")
    torch.save({"a": torch.zeros(1)}, tmp_path / "w.pth")
    let_read(Reader(), "~/w.pth", "reader")

    def refuse(path: Path, *_: Any) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(TranslateError, match=r"cannot read the weights at .*w\.pth: Permission denied; check its perm"):
        let_read(Reader(), "~/w.pth", "reader")


def test_the_contract_of_losses(plugin: str, weights: Path) -> None:
    text = f"(weights={str(weights)!r})"
    check_loss(f"weighed{text}", plugins=[plugin])
    check_loss("weighed", plugins=[plugin])
    check_loss("ssim" if "ssim" in discover().offers("losses") else "l1")
    with pytest.raises(AssertionError, match="own is a tensor; register it as a buffer"):
        check_loss("forgetful", plugins=[plugin])
    with pytest.raises(AssertionError, match="must build it without the weights' file"):
        check_loss(f"early{text}", plugins=[plugin])


# --- levers ---------------------------------------------------------------------------------------------------------


def batch(index: int, count: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(index)
    return {name: torch.rand(count, 3, 16, 16, generator=generator) * 2 - 1 for name in ("source", "target")}


def started(catalog: Catalog, weights: Path, **options: Any) -> tuple[Any, CatalogParts, Engine]:
    torch.manual_seed(1)
    parts = parts_of(catalog)
    method = mine(catalog, f"weighed(weights={str(weights)!r})", parts).train()
    optimizers = {"generator": lambda w: torch.optim.Adam(w, lr=0.01, fused=True)}
    return method, parts, Engine(method, optimizers, steps=9, **options)


def played(method: Any, machine: Engine) -> tuple[dict[str, Tensor], dict[str, float]]:
    for step in range(3):
        machine.step([batch(step)])
    return dict(method.network.state_dict()), machine.fetch()


def apart(first: dict[str, Tensor], second: dict[str, Tensor]) -> float:
    assert first.keys() == second.keys()
    return max(float((value - second[name]).abs().max()) for name, value in first.items())


def test_a_step_is_that_of_a_loop_by_hand_and_leaves_the_loss_alone(catalog: Catalog, weights: Path) -> None:
    method, _, machine = started(catalog, weights, ema=0.5)
    found, told = played(method, machine)
    other, _, _ = started(catalog, weights)
    kernel, bias, linear = (load_file(weights)[name] for name in ("maps.weight", "maps.bias", "linear"))
    adam = torch.optim.Adam(other.network.parameters(), lr=0.01)
    losses = []
    for step in range(3):
        given = batch(step)
        one, two = (
            torch.nn.functional.conv2d(image, kernel, bias)
            for image in (other.network(given["source"]), given["target"])
        )
        loss = ((one - two).square().mean((2, 3)) * linear).sum(1).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert apart(found, dict(other.network.state_dict())) < 1e-5
    assert told["generator/far"] == pytest.approx(sum(losses) / 3, rel=1e-5)
    assert torch.equal(method.distance.maps.weight, kernel)
    assert torch.equal(method.distance.linear, linear)
    assert all(weight.grad is None for weight in method.distance.parameters())
    # Neither optimizer nor averages know of it.
    assert {name for name in machine.tensors() if "distance" in name} == {
        "method/distance.maps.weight", "method/distance.maps.bias", "method/distance.linear",
    }  # fmt: skip


def test_recomputed_recorded_accumulated_and_in_bf16_it_is_the_same(catalog: Catalog, weights: Path) -> None:
    method, _, machine = started(catalog, weights)
    wanted, told = played(method, machine)
    method, parts, machine = started(catalog, weights)
    assert method.distance.maps in parts.translating
    recompute([method.network, *parts.translating])
    found, said = played(method, machine)
    assert (apart(found, wanted), said) == (0, told)
    method, _, machine = started(catalog, weights, graphs=Recorder, ema=0.9)
    found, said = played(method, machine)
    assert machine.replays
    assert apart(found, wanted) < 1e-6
    assert said == pytest.approx(told, rel=1e-5)
    assert method.distance.linear.tolist() == [0.25, 4.0]
    method, _, machine = started(catalog, weights)
    for step in range(3):
        machine.step([{name: value[each : each + 1] for name, value in batch(step).items()} for each in range(2)])
    assert apart(dict(method.network.state_dict()), wanted) < 1e-5
    assert machine.fetch() == pytest.approx(told, rel=1e-5)
    method, _, machine = started(catalog, weights, precision="bf16")
    found, said = played(method, machine)
    assert said == pytest.approx(told, rel=0.03)
    assert said != told
    assert method.distance.linear.dtype == torch.float32


def test_two_ranks_train_as_one(plugin: str, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    options: dict[str, Any] = {"optimizer": ("sgd(lr=0.02)",), "steps": 2}
    alone = fit(plugin, weights, tmp_path / "one", **options)
    both = fit(plugin, weights, tmp_path / "two", batch=1, devices=2, **options)
    first, second = (checkpoint.load(run.checkpoints[-1])[0] for run in (alone, both))
    assert first.keys() == second.keys()
    for name, value in first.items():
        if name.startswith("method/"):
            assert torch.allclose(value, second[name], atol=1e-6), name
    assert torch.equal(second["method/distance.maps.weight"], load_file(weights)["maps.weight"])
    for ours, theirs in zip(alone.metrics, both.metrics, strict=True):
        assert ours["generator/far"] == pytest.approx(theirs["generator/far"], rel=1e-5)


@pytest.mark.compiled
@pytest.mark.skipif(missing_compiler(torch.device("cpu")) is not None, reason="no C++ compiler")
def test_compiled_it_is_the_same(catalog: Catalog, weights: Path) -> None:
    method, _, machine = started(catalog, weights)
    wanted, told = played(method, machine)
    method, parts, machine = started(catalog, weights)
    Compilation("yes", parts.networks, left=0, group=ProcessGroup(), device=torch.device("cpu"))
    assert "forward" in vars(method.distance.maps)
    found, said = played(method, machine)
    assert apart(found, wanted) < 1e-4
    assert said == pytest.approx(told, rel=1e-4)
    assert not method.distance.maps.forward._failed
    assert method.distance.linear.tolist() == [0.25, 4.0]
