"""Steps on several batches: the weights of one large batch, the draws of each, and the memory of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from test_engine import Game, engine, make, sgd, weights
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from translate.adversary import Adversary
from translate.compute import recompute
from translate.data import Domain
from translate.engine.step import Engine, MethodError
from translate.method import Batch, Method, Update
from translate.parts import CatalogParts, build_method
from translate.plugins import discover
from translate.pool import ImagePool

JUDGE = "patch(width=4, receptive_field=16, norm=instance)"
PLAIN: dict[str, dict[str, Any]] = {
    "pix2pix": {
        "generator": "unet(depth=2, width=4, norm=instance, dropout=0)",
        "discriminator": JUDGE,
    },
    "cyclegan": {"generator": "resnet(width=4, blocks=1)", "discriminator": JUDGE, "pool": 0},
    # All locations of each layer, so that none are drawn.
    "cut": {"generator": "resnet(width=4, blocks=1)", "discriminator": JUDGE, "patches": 1024, "features": 8},
    "unit": {"encoder": "residual(width=4)", "decoder": "residual(width=4)", "discriminator": JUDGE},
    "pix2pixhd": {
        "generator": "global_local(width=4, halvings=1, blocks=1, enhancer_blocks=1)", "enhance": 0.4, "joint": 0.7,
        "discriminator": "multiscale(width=4, scales=2, receptive_field=16)",
    },
}  # fmt: skip


def built(name: str, **options: Any) -> Method:
    torch.manual_seed(3)
    catalog = discover()
    parts = CatalogParts(catalog, source=Domain(3), target=Domain(3), size=(32, 32))
    return build_method(catalog, name, {**PLAIN[name], **options}, parts).double().train()


def images(count: int, size: int = 32, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    draw = (count, 3, size, size)
    return {name: torch.rand(draw, generator=generator).double() * 2 - 1 for name in ("source", "target")}


def split(whole: Batch, parts: int) -> list[dict[str, Tensor]]:
    return [
        dict(zip(whole, each, strict=True))
        for each in zip(*(value.chunk(parts) for value in whole.values()), strict=True)
    ]


def off(first: Method, second: Method) -> float:
    """The largest difference of weights, relative to the largest weight."""
    one, other = weights(first), weights(second)
    return float((one - other).abs().max() / other.abs().max())


def twice(game: Game, data: Batch, step: int) -> Iterator[Any]:
    """The discriminator moves, then both together, then the discriminator again; what was judged first weighs later."""
    fake = game.generator(data["source"])
    early = game.judge(data, fake).detach()
    yield Update("discriminator", {"d": F.softplus(game.judge(data, fake.detach())).mean()})
    judged = (early * game.judge(data, game.generator(data["source"]))).mean()
    yield Update("generator", {"g": -judged}), Update("discriminator", {"d": judged})
    real = F.softplus(-game.judge(data, data["target"]))
    yield Update("discriminator", {"d": F.softplus(game.judge(data, fake.detach())).mean() + real.mean()})


def game_of(moves: Any = None) -> Game:
    game = make(moves).double()
    for module in game.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return game


def check_equal(made: Callable[[], Method], given: Callable[[int], dict[str, Tensor]], parts: int, steps: int) -> None:
    """Train one method on parts of the batches and another on whole ones; they end at the same weights."""
    first, second = made(), made()
    accumulating, whole = engine(first, sgd), engine(second, sgd)
    before = weights(first)
    for step in range(steps):
        accumulating.step(split(given(step), parts))
        whole.step([given(step)])
    assert off(first, second) < 1e-10
    assert not torch.allclose(before, weights(first))


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("name", [*PLAIN, "twice"])
def test_weights_are_those_of_one_large_batch(name: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # What is drawn for a large batch is not drawn for its parts.
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    monkeypatch.setattr(torch, "randn", torch.zeros)
    first, second = (game_of(twice) if name == "twice" else built(name) for _ in range(2))
    accumulating, whole = (engine(method, sgd, steps=3, clip_norm=1.0) for method in (first, second))
    before = weights(first)
    for step in range(3):
        given = images(count, seed=step)
        accumulating.step(split(given, count))
        whole.step([given])
        assert off(first, second) < 1e-10
    assert not torch.allclose(before, weights(first))
    assert accumulating.fetch() == pytest.approx(whole.fetch(), rel=1e-9)


def test_what_is_recomputed_is_so_in_each_pass() -> None:
    methods = [built("cyclegan"), built("cyclegan")]
    recompute(methods[-1].translators.values())
    check_equal(methods.pop, lambda step: images(2, seed=step), parts=2, steps=2)


def test_simultaneous_moves_of_players_that_share_weights() -> None:
    class Sharing(Game):
        def __init__(self) -> None:
            super().__init__()
            self.discriminator = nn.Sequential(self.generator[0], nn.Conv2d(8, 1, 3))

        def updates(self, batch: Batch, step: int) -> Iterator[Any]:
            for _ in range(2):
                yield Update("generator", {"g": self.generator(batch["source"]).square().mean()})
                both = self.generator(batch["source"]).abs().mean(), self.discriminator(batch["source"]).square().mean()
                yield Update("generator", {"g": both[0]}), Update("discriminator", {"d": both[1]})

    def made() -> Method:
        torch.manual_seed(1)
        method = Sharing().double()
        method.generator[2].p = 0.0  # type: ignore[assignment]
        return method

    check_equal(made, lambda step: images(4, 8, step), parts=2, steps=3)


def test_a_projection_is_replayed_with_its_move() -> None:
    """It reaches all weights of its player, those that are fixed as well."""

    class Clamp:
        def project(self, discriminator: nn.Module) -> None:
            with torch.no_grad():
                for weight in discriminator.parameters():
                    weight.mul_(0.9).clamp_(-0.05, 0.05)

    def made() -> Game:
        game = game_of(twice)
        game.discriminator[0].weight.requires_grad_(False)  # type: ignore[union-attr]
        game.adversary = Adversary(game.discriminator, loss=None, regularizers={"clamp": Clamp()})  # type: ignore[arg-type]
        return game

    check_equal(made, lambda step: images(4, 8, step), parts=4, steps=2)


def test_a_step_ends_after_its_last_yield_once_and_is_not_tried_again() -> None:
    """The number of moves is learned for each step of a period; what follows the last yield runs once a step."""
    begun: list[int] = []
    gone_on: list[int] = []
    ended: list[int] = []

    def alternating(game: Game, data: Batch, step: int) -> Iterator[Update]:
        begun.append(step)
        yield Update("discriminator", {"d": game.judge(data, data["target"]).square().mean()})
        gone_on.append(step)
        if step % 2:
            yield Update("generator", {"g": game.generator(data["source"]).square().mean()})
        ended.append(step)

    game = make(alternating, period=2).double()
    machine = engine(game, sgd)
    for step in range(4):
        machine.step(split(images(3, 8, step), 3))
    assert ended == [0, 1, 2, 3]
    assert [begun.count(step) for step in range(4)] == [3, 6, 3, 6]
    # In vain after the first move of step 1 alone, when nobody knew yet that a second one comes.
    assert [gone_on.count(step) for step in range(4)] == [1, 4, 1, 3]
    assert machine.fetch().keys() == {"discriminator/d", "generator/g"}


def test_terms_are_counted_once_a_batch() -> None:
    def numbered(game: Game, data: Batch, step: int) -> Iterator[Update]:
        for factor in (1, 10):
            yield Update("generator", {f"n{factor}": game.generator[0].bias.sum() * 0 + factor * data["source"].mean()})

    machine = engine(make(numbered).double())
    given = images(4, 8)
    machine.step(split(given, 4))
    mean = float(given["source"].mean())
    assert machine.fetch() == pytest.approx({"generator/n1": mean, "generator/n10": 10 * mean})
    assert machine.metadata()["log_counts"] == {}


class Pooled(Game):
    """Remembers fakes in the first move, and asks the pool before the second one, too."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.pool = ImagePool(size, (3, 8, 8)).double()
        self.later = ImagePool(size, (3, 8, 8)).double()

    def updates(self, batch: Batch, step: int) -> Iterator[Update]:
        fake = self.generator(batch["source"])
        yield Update("discriminator", {"d": self.judge(batch, self.pool(batch["source"])).square().mean()})
        yield Update("generator", {"g": self.judge(batch, fake).square().mean()})
        seen = self.later(batch["target"])
        yield Update("discriminator", {"d": self.judge(batch, seen).square().mean()})


def test_pools_hold_each_image_once() -> None:
    torch.manual_seed(0)
    method = Pooled(8).double()
    machine = engine(method, sgd)
    whole = {name: [] for name in ("source", "target")}  # type: dict[str, list[Tensor]]
    for step in range(2):
        given = images(3, 8, step)
        machine.step(split(given, 3))
        for name, value in given.items():
            whole[name].append(value)
    for pool, name in ((method.pool, "source"), (method.later, "target")):
        assert int(pool.count) == 6
        assert torch.equal(pool.images[:6], torch.cat(whole[name]))
        assert not pool.images[6:].any()


def test_each_batch_has_draws_of_its_own_and_each_replay_the_same() -> None:
    drawn: list[tuple[int, int, float]] = []

    def drawing(game: Game, data: Batch, step: int) -> Iterator[Update]:
        number = int(data["number"])
        drawn.append((number, 0, float(torch.rand(()))))
        yield Update("discriminator", {"d": game.judge(data, data["target"]).square().mean()})
        drawn.append((number, 1, float(torch.rand(()))))
        yield Update("generator", {"g": game.generator(data["source"]).square().mean()})

    def played(count: int) -> dict[tuple[int, int], set[float]]:
        drawn.clear()
        given = split(images(count, 8), count)
        machine = engine(make(drawing).double(), seed=5)
        machine.step([{**data, "number": torch.tensor(number)} for number, data in enumerate(given)])
        found: dict[tuple[int, int], set[float]] = {}
        for number, place, value in drawn:
            found.setdefault((number, place), set()).add(value)
        return found

    one, four = played(1), played(4)
    assert len(four) == 8
    assert all(len(values) == 1 for values in four.values())
    assert len(set.union(*four.values())) == 8
    # The first of several batches draws as a single one does.
    assert one == {key: values for key, values in four.items() if key[0] == 0}


@pytest.mark.parametrize("options", [{}, {"precision": "bf16"}, {"ema": 0.9}], ids=lambda options: "-".join(options))
def test_a_resumed_run_goes_on_to_the_bit(options: dict[str, Any]) -> None:
    """With dropout and spectral normalization, whose vectors change with each pass."""

    def made() -> tuple[Method, Engine]:
        game = make()
        spectral_norm(game.discriminator[0])  # type: ignore[arg-type]
        return game, engine(game, seed=7, **options)

    def given(step: int) -> list[dict[str, Tensor]]:
        return [{name: value.float() for name, value in part.items()} for part in split(images(6, 16, step), 3)]

    _, straight = made()
    _, before = made()
    _, after = made()
    for step in range(5):
        straight.step(given(step))
    for step in range(2):
        before.step(given(step))
    after.load({name: value.clone() for name, value in before.tensors().items()}, before.metadata())
    for step in range(2, 5):
        after.step(given(step))
    found = after.tensors()
    for name, value in straight.tensors().items():
        assert torch.equal(value, found[name]), name
    assert straight.fetch() == after.fetch()


def held(method: Method, given: list[dict[str, Tensor]]) -> int:
    """The most bytes that graphs held at a time in the second step."""
    now = most = 0

    class Saved:
        def __init__(self, tensor: Tensor) -> None:
            nonlocal now, most
            # Without its graph, which would hold this in turn.
            self.tensor = tensor.detach()
            now += tensor.nbytes
            most = max(most, now)

        def __del__(self) -> None:
            nonlocal now
            now -= self.tensor.nbytes

    machine = engine(method, sgd)
    machine.step(given)
    most = 0
    with torch.autograd.graph.saved_tensors_hooks(Saved, lambda saved: saved.tensor):
        machine.step(given)
    assert now == 0
    return most


@pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])
def test_the_memory_of_one_batch(name: str) -> None:
    one = held(built(name), [images(1)])
    assert one > 100_000
    assert held(built(name), split(images(4), 4)) < 1.2 * one


@pytest.mark.parametrize("moves", ["fewer", "others", "replayed", "none"])
def test_batches_whose_moves_differ_are_refused(moves: str) -> None:
    seen = 0

    def differing(game: Game, data: Batch, step: int) -> Iterator[Update]:
        nonlocal seen
        seen += 1
        odd = seen == {"fewer": 4, "others": 2, "replayed": 3, "none": 2}[moves]
        if odd and moves == "none":
            return
        player = "discriminator" if odd and moves in ("others", "replayed") else "generator"
        yield Update(player, {"a": game.judge(data, game.generator(data["source"])).square().mean()})
        if odd and moves == "fewer":
            return
        yield Update("discriminator", {"d": game.judge(data, data["target"]).square().mean()})

    game = make(differing).double()
    before = game.state_dict()
    told = {
        "fewer": "Game yields nothing as update 2 of batch 2 of a step, where it yielded discriminator before",
        "others": "Game yields discriminator as update 1 of batch 2 of a step, where it yielded generator before",
        "replayed": "Game yields discriminator as update 1 of a batch played again, where it yielded generator before",
        "none": "Game yields nothing as update 1 of batch 2 of a step",
    }
    machine = engine(game, sgd)
    with pytest.raises(MethodError, match=told[moves]):
        machine.step(split(images(2, 8), 2))
    assert before.keys() == game.state_dict().keys()


def test_an_error_on_the_way_leaves_the_weights_of_now() -> None:
    """Not those of an earlier move, which a replay has brought back."""
    seen: list[Tensor] = []

    def failing(game: Game, data: Batch, step: int) -> Iterator[Update]:
        seen.append(weights(game.discriminator))
        if len(seen) == 4:
            raise RuntimeError("out of memory")
        yield Update("discriminator", {"d": game.judge(data, data["target"]).square().mean()})
        seen.append(weights(game.discriminator))
        yield Update("generator", {"g": game.generator(data["source"]).square().mean()})

    game = make(failing).double()
    before = weights(game.discriminator)
    machine = engine(game, sgd)
    with pytest.raises(RuntimeError, match="out of memory"):
        machine.step(split(images(1, 8), 1) * 2)
    assert torch.equal(seen[0], before)
    assert not torch.equal(weights(game.discriminator), before)


def test_a_step_without_moves() -> None:
    def idle(game: Game, data: Batch, step: int) -> Iterator[Update]:
        if step % 2:
            yield Update("generator", {"g": game.generator(data["source"]).square().mean()})

    game = make(idle, period=2).double()
    machine = engine(game, sgd)
    before = weights(game)
    machine.step(split(images(2, 8), 2))
    assert torch.equal(weights(game), before)
    machine.step(split(images(2, 8), 2))
    assert not torch.equal(weights(game), before)
