"""The doors inside a training under every lever: inner maps, joint moves, logged values, networks of one's own."""

from __future__ import annotations

import gc
import math
import weakref
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import doors
import pytest
import torch
from recorder import Recorder
from torch import Tensor, nn

from translate import checkpoint
from translate.compute import Compilation, missing_compiler, recompute
from translate.engine import Engine
from translate.engine.log_sums import LogSums
from translate.engine.players import MethodError
from translate.errors import TranslateError
from translate.inner_maps import inner, watch
from translate.method import Method, Update
from translate.parts import CatalogParts, build, build_method
from translate.plugins import discover
from translate.ranks import ProcessGroup
from translate.run import Run
from translate.training import fit, resume

CATALOG = discover(extra=[doors.__file__])
NETWORK = "unet(depth=2, width=4, norm=none, dropout=0)"
SMALL: dict[str, Any] = {
    "size": 16,
    "load_size": 16,
    "log_every": 1,
    "save_every": 2,
    "sample_every": 100,
    "steps": 4,
    "generator": NETWORK,
    "optimizer": ("adam(lr=0.01)",),
    "plugins": (doors.__file__,),
}


def made(seed: int = 0) -> tuple[doors.Doors, CatalogParts]:
    from translate.data import Domain

    torch.manual_seed(seed)
    parts = CatalogParts(CATALOG, source=Domain(3), target=Domain(3), size=(16, 16))
    # The catalog's class comes from the file and is another one than that of the module.
    method: Any = build_method(CATALOG, "doors", {"generator": NETWORK}, parts)
    return method, parts


def batch(index: int, count: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(index)
    return {name: torch.rand(count, 3, 16, 16, generator=generator) * 2 - 1 for name in ("source", "target")}


def engine(method: Method, **options: Any) -> Engine:
    def adam(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(weights, lr=0.01, fused=True)

    return Engine(method, dict.fromkeys(method.players, adam), steps=100, **options)


def weights(method: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in method.state_dict().items()}


def played(method: Method, steps: int = 4, **options: Any) -> tuple[dict[str, Tensor], dict[str, float]]:
    machine = engine(method, **options)
    for step in range(steps):
        machine.step([batch(step)])
    return weights(method), machine.fetch()


def apart(first: dict[str, Tensor], second: dict[str, Tensor]) -> float:
    assert first.keys() == second.keys()
    return max(float((value.float() - second[name].float()).abs().max()) for name, value in first.items())


def by_hand(method: doors.Doors, steps: int = 4) -> dict[str, Tensor]:
    """The same steps without the engine: the joint move is one backward into both players' weights."""
    adams = {name: torch.optim.Adam(module.parameters(), lr=0.01) for name, module in method.players.items()}
    for step in range(steps):
        for update in method.updates(batch(step), step):
            moving = [weight for name in update.players for weight in method.players[name].parameters()]
            loss = torch.stack(list(update.terms.values())).sum()
            for weight, gradient in zip(moving, torch.autograd.grad(loss, moving), strict=True):
                weight.grad = gradient
            for name in update.players:
                adams[name].step()
    return weights(method)


def test_the_engine_equals_a_loop_by_hand() -> None:
    trained, told = played(made()[0])
    assert apart(trained, by_hand(made()[0])) < 1e-5
    assert apart(trained, weights(made()[0])) > 1e-3
    assert set(told) == {
        "colours/mean", "generator+projector/l1", "generator+projector/near", "generator+projector/back",
        "generator+projector/largest",
    }  # fmt: skip
    assert told["generator+projector/largest"] >= told["generator+projector/near"] > 0


def test_logged_values_are_means_over_the_steps_that_have_one() -> None:
    method, _ = made()
    values = [1.0, math.nan, 4.0, math.inf]

    class Telling(Method):
        def __init__(self) -> None:
            super().__init__()
            self.one = method.colours

        players = property(lambda self: {"one": self.one})  # type: ignore[assignment]
        translators = property(lambda self: {"forward": self.one})  # type: ignore[assignment]

        def updates(self, given: Any, step: int) -> Any:
            yield Update(
                "one", {"loss": self.one(given["source"]).mean()}, log={"value": torch.tensor(values[step % 4])}
            )

    machine = engine(Telling())
    for step in range(4):
        machine.step([batch(step)])
    first = machine.tensors(), machine.metadata()
    other = engine(Telling())
    other.load({name: value.clone() for name, value in first[0].items()}, first[1])
    assert machine.fetch()["one/value"] == other.fetch()["one/value"] == 2.5
    assert machine.fetch() == {}
    # What an engine has summed gives way to what it loads, here nothing.
    other.step([batch(0)])
    other.load({name: value.clone() for name, value in machine.tensors().items()}, machine.metadata())
    assert other.fetch() == {}


@pytest.mark.parametrize(
    ("tensors", "counts", "fits"),
    [
        ({"log/a": torch.zeros(()), "logged/v": torch.zeros(2)}, {"a": 1}, True),
        ({"log/a": torch.zeros((), dtype=torch.float64)}, {"a": 1}, False),
        ({"log/a": torch.zeros(1)}, {"a": 1}, False),
        ({"log/a": torch.zeros(())}, {}, False),
        ({}, {"a": 1}, False),
        ({"logged/v": torch.zeros(())}, {}, False),
        ({"logged/v": torch.zeros(2, dtype=torch.int64)}, {}, False),
    ],
)
def test_sums_of_a_checkpoint_fit_their_counts(tensors: Any, counts: Any, fits: bool) -> None:
    with nullcontext() if fits else pytest.raises(TranslateError, match="sums for the log do not fit their counts"):
        LogSums.check(tensors, counts)


def test_the_log_leaves_the_methods_own_tensors_alone() -> None:
    """A term and a logged value may be tensors that the method goes on with."""

    class Bare(Method):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Module()
            self.one.scale = nn.Parameter(torch.tensor(3.0))
            self.register_buffer("level", torch.tensor(5.0))

        players = property(lambda self: {"one": self.one})  # type: ignore[assignment]
        translators = property(lambda self: {"forward": self.one})  # type: ignore[assignment]

        def updates(self, given: Any, step: int) -> Any:
            yield Update("one", {"loss": self.one.scale}, log={"level": self.level})

    method = Bare()
    machine = Engine(method, {"one": lambda weights: torch.optim.SGD(weights, lr=1.0)}, steps=9)
    for step in range(3):
        machine.step([batch(step)])
    assert (method.one.scale.item(), method.level.item()) == (0.0, 5.0)
    assert machine.fetch() == {"one/loss": 2.0, "one/level": 5.0}
    assert method.level.item() == 5.0


def test_recomputed_accumulated_recorded_and_averaged_it_is_the_same() -> None:
    wanted, told = played(made()[0])
    method, parts = made()
    recompute(parts.translating)
    assert any("inverse" in vars(network) for network in parts.translating)
    found, said = played(method)
    assert apart(found, wanted) == 0
    assert said == told
    recorded, _ = made()
    machine = engine(recorded, graphs=Recorder, ema=0.9)
    for step in range(4):
        machine.step([batch(step)])
    assert machine.replays
    assert apart(weights(recorded), wanted) < 1e-6
    assert machine.fetch() == pytest.approx(told, rel=1e-5)
    halves, _ = made()
    machine = engine(halves)
    for step in range(4):
        whole = batch(step)
        machine.step([{name: value[number : number + 1] for name, value in whole.items()} for number in range(2)])
    found = weights(halves)
    # The largest of two images is no mean, but it is only logged.
    assert apart(found, wanted) < 1e-4
    assert machine.fetch()["generator+projector/near"] == pytest.approx(told["generator+projector/near"], rel=1e-3)


def test_in_bf16_the_maps_are_there_and_the_losses_stay_near() -> None:
    _, told = played(made()[0])
    _, said = played(made()[0], precision="bf16")
    assert said["generator+projector/l1"] == pytest.approx(told["generator+projector/l1"], rel=0.05)


def test_a_run_goes_on_to_the_bit(tmp_path: Path) -> None:
    def trained(folder: Path, **options: Any) -> Run:
        return fit("doors", "demo(size=16, count=6)", output=folder, **{**SMALL, **options})

    def tensors(run: Run) -> dict[str, Tensor]:
        return checkpoint.load(run.checkpoints[-1])[0]

    whole = trained(tmp_path / "whole", log_every=3, ema=0.9)
    half = trained(tmp_path / "half", log_every=3, ema=0.9)
    half.checkpoints[-1].unlink()
    again = tensors(resume(half.folder, plugins=(doors.__file__,)))
    found = tensors(whole)
    assert any(name.startswith("logged/generator+projector/") for name in found)
    assert all(torch.equal(value, again[name]) for name, value in found.items())
    assert whole.metrics[-1]["generator+projector/largest"] > 0


def test_two_ranks_train_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    options = {**SMALL, "optimizer": ("sgd(lr=0.02)",)}
    alone = fit("doors", "demo(size=16, count=6)", output=tmp_path / "one", **options, batch=2)
    both = fit("doors", "demo(size=16, count=6)", output=tmp_path / "two", **options, devices=2)
    first, second = (checkpoint.load(run.checkpoints[-1])[0] for run in (alone, both))
    for name, value in first.items():
        if name.startswith("method/"):
            assert torch.allclose(value, second[name], atol=1e-5), name
    for ours, theirs in zip(alone.metrics, both.metrics, strict=True):
        assert ours["generator+projector/near"] == pytest.approx(theirs["generator+projector/near"], rel=1e-4)
        # The mean over ranks of each one's largest.
        assert theirs["generator+projector/largest"] <= ours["generator+projector/largest"] * (1 + 1e-4)


@pytest.mark.compiled
@pytest.mark.skipif(missing_compiler(torch.device("cpu")) is not None, reason="no C++ compiler")
def test_compiled_it_is_the_same() -> None:
    wanted, told = played(made()[0])
    method, parts = made()
    Compilation("yes", parts.networks, left=0, group=ProcessGroup(), device=torch.device("cpu"))
    assert "inverse" in vars(method.projector)
    found, said = played(method)
    assert apart(found, wanted) < 1e-4
    assert said == pytest.approx(told, rel=1e-3)


# --- what is refused ----------------------------------------------------------------------------------------------


class Joint(Method):
    """Two linear players; ``moves`` are its updates."""

    def __init__(self, moves: Any) -> None:
        super().__init__()
        self.one, self.two, self.moves = nn.Linear(2, 1), nn.Linear(2, 1), moves

    players = property(lambda self: {"one": self.one, "two": self.two})  # type: ignore[assignment]
    translators = property(lambda self: {"forward": self.one})  # type: ignore[assignment]

    def updates(self, given: Any, step: int) -> Any:
        x = torch.ones(1, 2)
        return self.moves(self.one(x).sum(), self.two(x).sum(), self)


def yields_inside(one: Tensor, two: Tensor, method: Joint) -> Any:
    with watch(method.one, [""]):
        method.one(torch.ones(1, 2))
        yield Update("one", {"a": one})


@pytest.mark.parametrize(
    ("moves", "message"),
    [
        (
            lambda a, b, m: iter([Update(("one", "two"), {"a": a})]),
            "no term of 'one\\+two' has a gradient path .*'two'",
        ),
        (lambda a, b, m: iter([Update(("one", "two"), {"a": a + b, "c": a.detach()})]), "one\\+two/c has no gradient"),
        (lambda a, b, m: iter([Update(("one", "one"), {"a": a})]), "'one' moves twice"),
        (lambda a, b, m: iter([(Update(("one", "two"), {"a": a + b}), Update("two", {"b": b}))]), "'two' moves twice"),
        (lambda a, b, m: iter([Update((), {"a": a})]), "names no player"),
        (lambda a, b, m: iter([Update(("one", "tow"), {"a": a})]), "did you mean two"),
        (lambda a, b, m: iter([Update("one", {"a": a}, log={"a": a})]), "one/a is a term and logged as well"),
        (lambda a, b, m: iter([Update("one", {"a": a}, log={"b": 0.5})]), "logged one/b must be a scalar tensor"),
        (yields_inside, "yields inside a `with` that changes what layers note"),
        (lambda a, b, m: None, "Joint.updates gave a NoneType; write `yield`"),
        (lambda a, b, m: Update("one", {"a": a}), "Joint.updates gave a Update"),
        (lambda a, b, m: iter([None, Update("one", {"a": a})]), "Joint has a `yield` without an Update"),
        (lambda a, b, m: iter([()]), "yielded an empty tuple"),
        (lambda a, b, m: iter([Update(3, {"a": a})]), "an update of 3; name one player"),  # type: ignore[arg-type]
        (lambda a, b, m: iter([Update({"one", "two"}, {"a": a + b})]), "name one player, or several as a tuple"),  # type: ignore[arg-type]
        (lambda a, b, m: iter([Update((["one"], "two"), {"a": a + b})]), "name one player"),  # type: ignore[arg-type]
        (lambda a, b, m: iter([Update("one", [a])]), "terms of an update of 'one' must be tensors by name, not a list"),  # type: ignore[arg-type]
        (
            lambda a, b, m: iter([Update("one", {"a": a}, log=None)]),
            "log of an update of 'one' must be tensors by name",
        ),  # type: ignore[arg-type]
        (lambda a, b, m: iter([Update("one", {"a\nb": a})]), "'a.nb' cannot be a name in the terms"),
        (lambda a, b, m: iter([Update("one", {"a": a}, log={"\x1b": a})]), "cannot be a name in the log"),
        (lambda a, b, m: iter([Update("one", {"a": a}, log={"b" * 201: a})]), "cannot be a name in the log"),
        (lambda a, b, m: iter([Update("one", {1: a})]), "1 cannot be a name in the terms"),  # type: ignore[dict-item]
        (lambda a, b, m: iter([Update("one", {"a": a * 1j})]), "one/a is complex64 on cpu; it must be a real number"),
        (lambda a, b, m: iter([Update("one", {"a": a}, log={"b": a.to("meta")})]), "logged one/b is float32 on meta"),
        (
            lambda a, b, m: iter([Update("one", {"a": a}), Update("one", {"b": m.one.weight.sum()}, log={"a": b})]),
            "one/a is a term of one update and logged by another",
        ),
        (
            lambda a, b, m: iter([Update("one", {"a": a}, log={"b": b}), Update("one", {"b": m.one.weight.sum()})]),
            "one/b is a term of one update and logged by another",
        ),
    ],
)
def test_rules(moves: Any, message: str) -> None:
    with pytest.raises(MethodError, match=message):
        engine(Joint(moves)).step([batch(0)])


def test_a_bare_yield_is_never_the_end_of_a_step() -> None:
    """Also when the first period, which is checked, is over."""

    def moves(a: Tensor, b: Tensor, method: Joint) -> Any:
        if method.progress > 0:
            yield
        yield Update("one", {"a": a})

    machine = engine(Joint(moves))
    machine.step([batch(0)])
    with pytest.raises(MethodError, match="Joint has a `yield` without an Update"):
        machine.step([batch(1)])


def test_a_list_of_updates_is_made_in_autocast() -> None:
    """A method may return what it would yield, and its code runs as a generator's does."""
    seen: list[bool] = []

    def moves(a: Tensor, b: Tensor, method: Joint) -> Any:
        seen.append(torch.is_autocast_enabled("cpu"))
        return [Update("one", {"a": a})]

    engine(Joint(moves), precision="bf16").step([batch(0)])
    engine(Joint(moves), precision="bf16").step([batch(0), batch(1)])
    assert seen
    assert all(seen)


def test_a_weight_that_two_joint_players_share_gets_its_gradient_once() -> None:
    def joint(a: Tensor, b: Tensor, method: Joint) -> Any:
        yield Update(("one", "two"), {"a": a})

    def tied(moves: Any) -> tuple[Joint, Engine]:
        method = Joint(moves)
        method.two.weight = method.one.weight
        with torch.no_grad():
            method.one.weight.zero_()
        return method, Engine(method, dict.fromkeys(method.players, lambda w: torch.optim.SGD(w, lr=1.0)), steps=9)

    both, machine = tied(lambda a, b, m: iter([Update(("one", "two"), {"a": a + b})]))
    machine.step([batch(0)])
    # d(a + b)/dw = x + x, once; a tuple of two updates would add the gradients of each update.
    assert both.one.weight.tolist() == [[-2.0, -2.0]]
    apart_, machine = tied(lambda a, b, m: iter([(Update("one", {"a": a + b}), Update("two", {"b": a + b}))]))
    machine.step([batch(0)])
    assert apart_.one.weight.tolist() == [[-4.0, -4.0]]


def test_layers_that_are_not_there_are_named() -> None:
    network = build(CATALOG, "generators", NETWORK, inputs=3, outputs=3, size=(16, 16))
    image = torch.zeros(1, 3, 16, 16)
    with pytest.raises(TranslateError, match=r"UNet has no layer 'encoder.7'; did you mean encoder"):
        inner(network, image, ["encoder.7"])
    with pytest.raises(TranslateError, match="is a list of modules and never called"):
        inner(network, image, ["encoder"])
    with pytest.raises(TranslateError, match="name at least one"):
        inner(network, image, [])
    with pytest.raises(TranslateError, match=r"'decoder.1' of UNet was not called"), watch(network, ["decoder.1"]):
        network.encoder[0](image)
    with watch(network, [""]):
        network(image)
        with pytest.raises(TranslateError, match="watched already"), watch(network, [""]):
            pass

    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    with pytest.raises(TranslateError, match="answered a tuple"):
        inner(nn.Sequential(Pair()), image, ["0"])
    with watch(network, ["encoder.0"]) as maps:
        network(image)
        with pytest.raises(TranslateError, match="maps of UNet are there when its `with` ends"):
            maps["encoder.0"]
    with pytest.raises(TranslateError, match=r"no map of UNet was asked for as 'encoder.1'; did you mean encoder.0"):
        maps["encoder.1"]
    for layers in ("encoder.0", 3):
        with pytest.raises(TranslateError, match=r"by a network and a list of its layers' names, not by a UNet and"):
            inner(network, image, layers)  # type: ignore[arg-type]
    with pytest.raises(TranslateError, match="not by a dict and"):
        inner({}, image, [""])  # type: ignore[arg-type]
    with pytest.raises(TranslateError, match="watched pass of UNet got its input by name"), watch(network, [""]):
        network(image=image)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_a_pass_goes_only_as_far_as_the_last_layer_and_nobody_keeps_its_maps() -> None:
    network = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(3)))
    called: list[int] = []
    for number, layer in enumerate(network):
        layer.register_forward_hook(lambda *_, number=number: called.append(number))
    maps = inner(network, torch.zeros(1, 3, 4, 4), ["1", "0", "1"])
    assert called == [0, 1]
    assert list(maps) == ["1", "0"]
    kept = [weakref.ref(each) for each in maps.values()]
    with watch(network, ["1", "0", "1"]) as watched:
        network(torch.zeros(1, 3, 4, 4))
    assert list(watched) == ["1", "0"]
    assert called == [0, 1, 0, 1, 2]
    kept += [weakref.ref(each) for each in watched.values()]
    del maps, watched
    gc.collect()
    assert not any(each() is not None for each in kept)
    with pytest.raises(TranslateError, match="'apart' of ModuleDict is a list of modules and never called"):
        inner(nn.ModuleDict({"apart": nn.ModuleDict()}), torch.zeros(1, 3, 4, 4), ["apart"])


def test_a_layer_that_is_replaced_is_found_and_one_that_is_gone_is_named() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 1))
    assert inner(network, torch.zeros(1, 3, 4, 4), ["0"])["0"].shape == (1, 2, 4, 4)
    network[0] = nn.Conv2d(3, 5, 1)
    assert inner(network, torch.zeros(1, 3, 4, 4), ["0"])["0"].shape == (1, 5, 4, 4)
    with pytest.raises(RuntimeError), watch(network, ["1"]):
        network(torch.zeros(1, 3, 4, 4))
    assert not any(module._forward_hooks for module in network.modules())
    network[1] = nn.Conv2d(5, 2, 1)
    with watch(network, ["1"]) as maps:
        network(torch.zeros(1, 3, 4, 4))
    assert maps["1"].shape == (1, 2, 4, 4)
    del network[1]
    with pytest.raises(TranslateError, match="has no layer '1'"):
        inner(network, torch.zeros(1, 3, 4, 4), ["1"])


@pytest.mark.compiled
@pytest.mark.skipif(missing_compiler(torch.device("cpu")) is not None, reason="no C++ compiler")
def test_compiled_inner_maps_are_checked_and_hold_no_network() -> None:
    class Twofold(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x + 1

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.pair, self.unused = nn.Conv2d(3, 3, 1), Twofold(), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            both = self.pair(self.first(x))
            result: Tensor = both[0] + both[1]
            return result

    network = Odd()
    Compilation("yes", [network], left=0, group=ProcessGroup(), device=torch.device("cpu"))
    image = torch.zeros(1, 3, 4, 4)
    assert list(inner(network, image, ["first", ""])) == ["first", ""]
    with pytest.raises(TranslateError, match="'unused' of Odd was not called"):
        inner(network, image, ["unused"])
    with pytest.raises(TranslateError, match="'pair' of Odd answered a tuple"):
        inner(network, image, ["pair"])
    gone = weakref.ref(network)
    del network
    torch._dynamo.reset()
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("name", ["unet", "resnet", "global_local", "small_unet", "small_resnet", "shallow"])
def test_every_generator_names_layers_that_are_called_once_from_input_to_output(name: str) -> None:
    network = build(CATALOG, "generators", name, inputs=3, outputs=3, size=(64, 64))
    called: list[str] = []
    for layer in network.feature_layers:
        module = network.get_submodule(layer)
        if layer:
            module.register_forward_hook(lambda *_, layer=layer: called.append(layer))
    maps = inner(network, torch.zeros(1, 3, 64, 64), network.feature_layers)
    assert len(maps) >= 3
    assert called == [layer for layer in network.feature_layers if layer]
    assert list(maps) == list(network.feature_layers)


def test_kinds_that_plugins_open_are_listed_and_described() -> None:
    from translate.cli.parts import describe_part

    assert "colours" in CATALOG.kinds
    assert any("one of the colours of" in line for line in describe_part(CATALOG, "mean"))
    with pytest.raises(TranslateError, match="there is no colour 'maen'; did you mean mean"):
        CATALOG.offer("colours", "maen")
    with pytest.raises(TranslateError, match="there are no parts of the kind 'generator'; did you mean generators"):
        CATALOG.offer("generator", "unet")


def test_own_takes_networks_once() -> None:
    _, parts = made()
    count = len(parts.networks)
    network = nn.Linear(1, 1)
    assert parts.own(network) is parts.own(network)
    assert len(parts.networks) == count + 1
    with pytest.raises(TranslateError, match="parts.own takes a network, not a dict"):
        parts.own({})  # type: ignore[type-var]
