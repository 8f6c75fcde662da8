"""The engine against hand-written loops, and every rule of the game."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from recorder import Recorder
from torch import Tensor, nn
from torch.nn import functional as F

from translate.adversary import Adversary
from translate.engine.rules import check_moves
from translate.engine.step import Engine, MethodError
from translate.errors import NotFiniteError, TranslateError
from translate.method import Batch, Method, Update
from translate.seeds import seed_step


def conv(inputs: int = 3, outputs: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, 8, 3, padding=1), nn.LeakyReLU(0.2), nn.Dropout(0.5), nn.Conv2d(8, outputs, 3, padding=1)
    )


class Game(Method):
    """A small conditional GAN; ``moves`` replaces its updates."""

    def __init__(self, moves: Any = None, period: int = 1) -> None:
        super().__init__()
        self.generator = conv()
        self.discriminator = conv(6, 1)
        self.moves = moves
        self.pattern = period

    @property
    def period(self) -> int:
        return self.pattern

    @property
    def players(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator}

    @property
    def translators(self) -> dict[str, nn.Module]:
        return {"forward": self.generator}

    def judge(self, batch: Batch, image: Tensor) -> Tensor:
        logits: Tensor = self.discriminator(torch.cat([batch["source"], image], dim=1))
        return logits

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        if self.moves is not None:
            yield from self.moves(self, batch, step)
            return
        fake = self.generator(batch["source"])
        real, false = self.judge(batch, batch["target"]), self.judge(batch, fake.detach())
        yield Update("discriminator", {"real": F.softplus(-real).mean(), "fake": F.softplus(false).mean()})
        yield Update(
            "generator",
            {
                "adversarial": F.softplus(-self.judge(batch, fake)).mean(),
                "l1": 100.0 * F.l1_loss(fake, batch["target"]),
            },
        )


def adam(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=2e-4, betas=(0.5, 0.999))


def sgd(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1)


def engine(method: Method, optimizer: Any = adam, **options: Any) -> Engine:
    options.setdefault("steps", 100)
    return Engine(method, dict.fromkeys(method.players, optimizer), **options)


def batch(index: int, count: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1000 + index)
    return {name: torch.rand(count, 3, 16, 16, generator=generator) * 2 - 1 for name in ("source", "target")}


def weights(module: nn.Module) -> Tensor:
    return torch.cat([weight.detach().reshape(-1).clone() for weight in module.parameters()])


def make(moves: Any = None, period: int = 1) -> Game:
    torch.manual_seed(3)
    return Game(moves, period)


def test_equals_hand_written_loop_with_frozen_players() -> None:
    ours, theirs = make(), make()
    machine = engine(ours, seed=7)
    optimizers = {name: adam(list(module.parameters())) for name, module in theirs.players.items()}
    for step in range(10):
        machine.step([batch(step)])
        seed_step(7, step)
        data = batch(step)
        fake = theirs.generator(data["source"])
        for weight in theirs.discriminator.parameters():
            weight.requires_grad_(True)
        optimizers["discriminator"].zero_grad()
        real, false = theirs.judge(data, data["target"]), theirs.judge(data, fake.detach())
        (F.softplus(-real).mean() + F.softplus(false).mean()).backward()
        optimizers["discriminator"].step()
        for weight in theirs.discriminator.parameters():
            weight.requires_grad_(False)
        optimizers["generator"].zero_grad()
        judged = theirs.judge(data, fake)
        (F.softplus(-judged).mean() + 100.0 * F.l1_loss(fake, data["target"])).backward()
        optimizers["generator"].step()
    for name, value in ours.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name


def test_forgotten_detach_does_not_leak() -> None:
    def leaky(game: Game, data: Batch, step: int) -> Iterator[Update]:
        fake = game.generator(data["source"])
        yield Update("discriminator", {"fake": F.softplus(game.judge(data, fake)).mean()})

    game = make(leaky)
    before = weights(game.generator)
    engine(game).step([batch(0)])
    assert torch.equal(before, weights(game.generator))
    assert all(weight.grad is None for weight in game.generator.parameters())


def test_simultaneous_updates_take_all_gradients_first() -> None:
    def together(game: Game, data: Batch, step: int) -> Iterator[Any]:
        fake = game.generator(data["source"])
        judged = game.judge(data, fake).mean()
        yield Update("generator", {"a": judged}), Update("discriminator", {"b": -judged})

    ours, theirs = make(together), make()
    machine = engine(ours, sgd)
    machine.step([batch(0)])
    seed_step(0, 0)
    judged = theirs.judge(batch(0), theirs.generator(batch(0)["source"])).mean()
    names = [*theirs.generator.parameters(), *theirs.discriminator.parameters()]
    gradients = torch.autograd.grad(judged, names)
    with torch.no_grad():
        for index, (weight, gradient) in enumerate(zip(names, gradients, strict=True)):
            sign = 1 if index < len(list(theirs.generator.parameters())) else -1
            weight -= 0.1 * sign * gradient
    torch.testing.assert_close(weights(ours), weights(theirs))


def test_one_after_another_on_one_graph_is_what_torch_refuses() -> None:
    def sequential(game: Game, data: Batch, step: int) -> Iterator[Update]:
        judged = game.judge(data, game.generator(data["source"])).mean()
        yield Update("generator", {"a": judged})
        yield Update("discriminator", {"b": -judged})

    with pytest.raises(RuntimeError, match=r"second time|inplace"):
        engine(make(sequential)).step([batch(0)])


def test_period_with_several_discriminator_updates_on_fresh_batches() -> None:
    seen: list[tuple[int, float]] = []

    def critic(game: Game, data: Batch, step: int) -> Iterator[Update]:
        seen.append((step, float(data["source"].sum())))
        fake = game.generator(data["source"])
        yield Update("discriminator", {"d": F.softplus(game.judge(data, fake.detach())).mean()})
        if (step + 1) % 3 == 0:
            yield Update("generator", {"g": F.softplus(-game.judge(data, fake)).mean()})

    game = make(critic, period=3)
    machine = engine(game)
    moved = []
    for step in range(6):
        before = weights(game.generator)
        machine.step([batch(step)])
        moved.append(not torch.equal(before, weights(game.generator)))
    assert moved == [False, False, True, False, False, True]
    assert len({total for _, total in seen}) == 6
    terms = machine.fetch()
    assert terms.keys() == {"discriminator/d", "generator/g"}


def test_autocast_is_left_before_each_optimizer_step() -> None:
    """Held across a step, autocast's bf16 cache serves the old weights: the update would be invisible."""
    outputs: list[Tensor] = []

    def watching(game: Game, data: Batch, step: int) -> Iterator[Update]:
        assert torch.is_autocast_enabled("cpu")
        linear = game.discriminator[0]
        outputs.append(linear(torch.cat([data["source"], data["target"]], 1)).detach().float())
        yield Update(
            "discriminator", {"d": game.judge(data, data["target"]).float().pow(2).mean() + linear.weight.pow(2).sum()}
        )
        outputs.append(linear(torch.cat([data["source"], data["target"]], 1)).detach().float())

    stepped: list[bool] = []

    class Watched(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            stepped.append(torch.is_autocast_enabled("cpu"))
            return super().step(closure)

    engine(make(watching), lambda p: Watched(p, lr=0.1), precision="bf16").step([batch(0)])
    assert stepped == [False]
    assert outputs[0].dtype == torch.float32
    assert (outputs[0] - outputs[1]).abs().max() > 1e-3


def test_double_backward_penalty() -> None:
    def penalized(game: Game, data: Batch, step: int) -> Iterator[Update]:
        image = data["target"].requires_grad_()
        (slope,) = torch.autograd.grad(game.judge(data, image).sum(), image, create_graph=True)
        yield Update("discriminator", {"penalty": slope.square().sum((1, 2, 3)).mean()})

    ours, theirs = make(penalized), make()
    engine(ours, sgd).step([batch(0)])
    seed_step(0, 0)
    image = batch(0)["target"].requires_grad_()
    (slope,) = torch.autograd.grad(theirs.judge(batch(0), image).sum(), image, create_graph=True)
    optimizer = sgd(list(theirs.discriminator.parameters()))
    slope.square().sum((1, 2, 3)).mean().backward()
    optimizer.step()
    assert torch.equal(weights(ours.discriminator), weights(theirs.discriminator))


def test_a_term_without_a_path_is_refused() -> None:
    def detached(game: Game, data: Batch, step: int) -> Iterator[Update]:
        fake = game.generator(data["source"])
        yield Update(
            "generator", {"l1": F.l1_loss(fake, data["target"]), "lost": F.mse_loss(fake.detach(), data["target"])}
        )

    with pytest.raises(MethodError, match="generator/lost has no gradient path"):
        engine(make(detached)).step([batch(0)])

    def foreign(game: Game, data: Batch, step: int) -> Iterator[Update]:
        yield Update("discriminator", {"d": game.generator(data["source"]).mean()})

    with pytest.raises(MethodError, match="belong to another player"):
        engine(make(foreign)).step([batch(0)])


@pytest.mark.parametrize(
    ("moves", "message"),
    [
        (lambda g, d, s: iter([Update("generatr", {"a": g.generator(d["source"]).mean()})]), "did you mean generator"),
        (lambda g, d, s: iter([Update("generator", {"a": g.generator(d["source"])})]), "must be a scalar"),
        (lambda g, d, s: iter([Update("generator", {})]), "no terms"),
        (lambda g, d, s: iter([("generator",)]), "instead of an Update"),
        (lambda g, d, s: iter([(Update("generator", {}), Update("generator", {}))]), "moves twice"),
    ],
)
def test_rules(moves: Any, message: str) -> None:
    with pytest.raises(MethodError, match=message):
        engine(make(moves)).step([batch(0)])


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_every_step_of_the_first_period_is_checked(wrong: int) -> None:
    def moves(game: Game, data: Batch, step: int) -> Iterator[Update]:
        image = game.generator(data["source"])
        yield Update("generator", {"l": image if step == wrong else image.mean()})

    machine = engine(make(moves, period=3))
    for step in range(wrong):
        machine.step([batch(step)])
    with pytest.raises(MethodError, match="the term generator/l must be a scalar tensor"):
        machine.step([batch(wrong)])


def test_later_periods_repeat_the_first_and_are_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[int] = []
    check = check_moves

    def noted(*given: Any) -> None:
        checked.append(machine.step_count)
        check(*given)

    monkeypatch.setattr("translate.engine.step.check_moves", noted)
    machine = engine(make(period=2))
    for step in range(5):
        machine.step([batch(step)])
    assert checked == [0, 0, 1, 1]


def test_an_engine_without_a_seed_has_the_seed_0() -> None:
    one, two, other = engine(make()), engine(make(), seed=0), engine(make(), seed=1)
    for machine in (one, two, other):
        machine.step([batch(0)])
    assert torch.equal(weights(one.method), weights(two.method))
    assert not torch.equal(weights(one.method), weights(other.method))


def modes() -> tuple[object, ...]:
    """How torch computes in this thread."""
    return (
        torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu"),
        torch.get_autocast_dtype("cpu"),
    )  # fmt: skip


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize(
    ("context", "what"),
    [
        (torch.no_grad, "the grad mode"),
        (torch.inference_mode, "the grad mode"),
        (lambda: torch.autocast("cpu", dtype=torch.bfloat16), "autocast"),
        (lambda: torch.autocast("cpu", dtype=torch.float16), "autocast"),
        (lambda: torch.autocast("cpu", enabled=False), "autocast"),
    ],
    ids=["no_grad", "inference_mode", "bf16", "fp16", "off"],
)
def test_yield_inside_a_changed_mode_is_refused(context: Any, what: str, precision: str, count: int) -> None:
    """Also the run's own autocast: held across a step, its cache would give the outputs of the old weights."""

    def inside(game: Game, data: Batch, step: int) -> Iterator[Update]:
        loss = game.generator(data["source"]).mean()
        with context():
            yield Update("generator", {"a": loss})

    before = modes()
    with pytest.raises(MethodError, match=f"yields inside a `with` that changes {what}; leave it before the yield"):
        engine(make(inside), precision=precision).step([batch(0)] * count)
    assert modes() == before


def test_a_method_that_raises_leaves_no_mode_changed() -> None:
    def failing(game: Game, data: Batch, step: int) -> Iterator[Update]:
        torch.set_grad_enabled(False)
        raise ValueError("the method's own")
        yield

    before = modes()
    with pytest.raises(ValueError, match="own"):
        engine(make(failing)).step([batch(0)])
    assert modes() == before


def test_accumulation_equals_the_mean_over_one_large_batch() -> None:
    def one(game: Game, data: Batch, step: int) -> Iterator[Update]:
        yield Update("generator", {"l1": game.generator[0](data["source"]).square().mean()})

    small, large = make(one), make(one)
    accumulating, whole = engine(small, sgd), engine(large, sgd)
    parts = [batch(0), batch(1)]
    accumulating.step(parts)
    whole.step([{name: torch.cat([part[name] for part in parts]) for name in parts[0]}])
    torch.testing.assert_close(weights(small), weights(large))
    assert accumulating.fetch() == pytest.approx(whole.fetch(), rel=1e-5)


class Tied(Method):
    """Two players that share their middle."""

    def __init__(self, moves: Any) -> None:
        super().__init__()
        self.shared = nn.Linear(4, 4)
        self.first = nn.Sequential(nn.Linear(4, 4), self.shared)
        self.second = nn.Sequential(nn.Linear(4, 4), self.shared)
        self.moves = moves

    @property
    def players(self) -> dict[str, nn.Module]:
        return {"first": self.first, "second": self.second}

    @property
    def translators(self) -> dict[str, nn.Module]:
        return {"forward": self.first, "backward": self.second}

    def updates(self, batch: Batch, step: int) -> Iterator[Any]:
        one = Update("first", {"a": self.first(batch["source"]).square().mean()})
        two = Update("second", {"b": self.second(batch["source"]).square().mean()})
        yield from self.moves(one, two)


def test_tied_parts_move_only_together_and_are_stepped_once() -> None:
    data = {"source": torch.ones(2, 4)}
    torch.manual_seed(0)
    alone = Tied(lambda one, two: [one])
    before = weights(alone.shared), weights(alone.first[0])
    engine(alone, sgd).step([data])
    assert torch.equal(before[0], weights(alone.shared))
    assert not torch.equal(before[1], weights(alone.first[0]))

    torch.manual_seed(0)
    both = Tied(lambda one, two: [(one, two)])
    loss = both.first(data["source"]).square().mean() + both.second(data["source"]).square().mean()
    expected = both.shared.weight.detach() - 0.1 * torch.autograd.grad(loss, both.shared.weight)[0]
    engine(both, sgd).step([data])
    torch.testing.assert_close(both.shared.weight.detach(), expected)


def test_averages_of_tied_translators_swap_back_exactly() -> None:
    torch.manual_seed(0)
    method = Tied(lambda one, two: [(one, two)])
    machine = engine(method, sgd, ema=0.9)
    for _ in range(3):
        machine.step([{"source": torch.ones(2, 4)}])
    before = {name: value.clone() for name, value in method.state_dict().items()}
    with machine.averaged():
        assert not torch.equal(before["shared.weight"], method.shared.weight)
    for name, value in method.state_dict().items():
        assert torch.equal(before[name], value)


def test_ema_follows_its_formula() -> None:
    game = make()
    machine = engine(game, ema=0.5)
    average = weights(game.generator)
    for step in range(12):
        machine.step([batch(step)])
        decay = min(0.5, (1 + step + 1) / (10 + step + 1))
        average = decay * average + (1 - decay) * weights(game.generator)
    with machine.averaged():
        torch.testing.assert_close(weights(game.generator), average)


def test_schedule_sets_each_players_own_rate() -> None:
    game = make()
    machine = Engine(
        game,
        {"generator": lambda p: torch.optim.SGD(p, lr=0.1), "discriminator": lambda p: torch.optim.SGD(p, lr=0.4)},
        steps=10,
        schedule=lambda step, steps: 1 - step / steps,
    )
    for step in range(6):
        machine.step([batch(step)])
    assert machine.players["generator"].optimizer.param_groups[0]["lr"] == pytest.approx(0.05)
    assert machine.players["discriminator"].optimizer.param_groups[0]["lr"] == pytest.approx(0.2)
    assert float(game.progress) == pytest.approx(0.5)


def test_clipping_bounds_the_gradient() -> None:
    game = make()
    machine = engine(game, lambda p: torch.optim.SGD(p, lr=1.0), clip_norm=0.01)
    before = weights(game.generator)
    machine.step([batch(0)])
    assert (weights(game.generator) - before).norm() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_noticed_at_the_log(value: float) -> None:
    def broken(game: Game, data: Batch, step: int) -> Iterator[Update]:
        yield Update(
            "generator",
            {"l1": F.l1_loss(game.generator(data["source"]), data["target"]) * (value if step == 1 else 1.0)},
        )

    machine = engine(make(broken))
    machine.step([batch(0)])
    machine.fetch()
    for step in range(1, 4):
        machine.step([batch(step)])
    with pytest.raises(NotFiniteError, match="generator/l1 is not a finite number at step 4"):
        machine.fetch()


def test_a_gradient_that_is_not_finite_is_noticed_though_the_loss_is() -> None:
    def root(game: Game, data: Batch, step: int) -> Iterator[Update]:
        # The square root has an infinite slope at 0: 0 * inf is no number in the backward pass.
        yield Update("generator", {"l1": (game.generator(data["source"]) * 0).sqrt().mean()})

    machine = engine(make(root))
    machine.step([batch(0)])
    with pytest.raises(NotFiniteError, match="a weight of generator"):
        machine.fetch()


def test_terms_are_means_since_the_last_fetch() -> None:
    def numbered(game: Game, data: Batch, step: int) -> Iterator[Update]:
        yield Update("generator", {"n": game.generator[0].bias.sum() * 0 + float(step)})

    machine = engine(make(numbered))
    for step in range(4):
        machine.step([batch(step)])
    assert machine.fetch() == {"generator/n": 1.5}
    assert machine.fetch() == {}


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_state_goes_on_to_the_bit(ema: float) -> None:
    whole, first, second = make(), make(), make()
    straight = engine(whole, ema=ema)
    for step in range(7):
        straight.step([batch(step)])
    before = engine(first, ema=ema)
    for step in range(3):
        before.step([batch(step)])
    after = engine(second, ema=ema)
    after.load({name: value.clone() for name, value in before.tensors().items()}, before.metadata())
    for step in range(3, 7):
        after.step([batch(step)])
    wanted, got = straight.tensors(), after.tensors()
    assert wanted.keys() == got.keys()
    for name, value in wanted.items():
        assert torch.equal(value, got[name]), name
    assert straight.fetch() == after.fetch()


def test_facts_stay_what_they_were_while_training_goes_on() -> None:
    """A thread writes them down later."""
    machine = engine(make())
    machine.step([batch(0)])
    metadata = machine.metadata()
    before = copy.deepcopy(metadata)
    machine.step([batch(1)])
    assert metadata == before


def test_a_players_optimizer_state_may_not_be_missing_after_a_step_even_of_one_weight() -> None:
    def moves(game: Game, data: Batch, _step: int) -> Iterator[tuple[Update, ...]]:
        image = game.generator(data["source"])
        judged = game.discriminator(torch.cat([image.detach(), image.detach()], dim=1))
        yield Update("generator", {"l": image.mean()}), Update("discriminator", {"l": judged.mean()})

    game = make(moves)
    game.discriminator = nn.Conv2d(6, 1, 1, bias=False)  # type: ignore[assignment]
    machine = engine(game)
    machine.step([batch(0)])
    metadata = machine.metadata()
    tensors = {name: value for name, value in machine.tensors().items() if "optimizer/discriminator" not in name}
    with pytest.raises(TranslateError, match="checkpoint's optimizer of discriminator is missing, though"):
        machine.load(tensors, {**metadata, "optimizer_numbers": {}})
    plain = engine(game, sgd)
    plain.step([batch(0)])
    plain.load(plain.tensors(), plain.metadata())  # plain SGD keeps none


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    machine = engine(make())
    machine.step([batch(0)])
    tensors, metadata = dict(machine.tensors()), machine.metadata()
    before = weights(machine.method)
    for name, wrong in (
        ("method/generator.0.weight", torch.zeros(1)),
        ("optimizer/generator/0/exp_avg", torch.zeros(5)),
    ):
        with pytest.raises(TranslateError, match="where"):
            machine.load({**tensors, name: wrong}, metadata)
        assert torch.equal(before, weights(machine.method))
    with pytest.raises(TranslateError, match="no place"):
        machine.load({**tensors, "method/more": torch.zeros(1)}, metadata)
    del tensors["method/generator.0.bias"]
    with pytest.raises(TranslateError, match="lacks the tensor"):
        machine.load(tensors, metadata)


def test_draws_depend_on_seed_step_and_rank_alone() -> None:
    def draw(*key: int) -> Tensor:
        seed_step(*key)
        return torch.rand(4)

    assert torch.equal(draw(1, 2), draw(1, 2))
    drawn = {tuple(draw(seed, step, rank).tolist()) for seed in range(3) for step in range(3) for rank in range(3)}
    assert len(drawn) == 27


def test_steps_are_replayed_where_graphs_are_given_and_the_batch_is_one() -> None:
    for count, replays in ((1, True), (2, False)):
        machine = engine(make(), lambda weights: torch.optim.Adam(weights, fused=True), graphs=Recorder)
        for step in range(3):
            machine.step([batch(step + number) for number in range(count)])
        assert machine.replays is replays
    machine = engine(make())
    machine.step([batch(0)])
    assert machine.replays is False


def test_a_step_reads_nothing_back_from_the_device() -> None:
    """No tensor becomes a Python number inside a step: ``item``, ``tolist``, ``bool`` and friends are not called."""
    machine = engine(make(), lambda p: torch.optim.Adam(p, fused=True), ema=0.9, clip_norm=1.0)
    machine.step([batch(0)])
    called: list[str] = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = getattr(func, "__name__", str(func))
            if name in {"item", "tolist", "numpy", "__bool__", "__float__", "__int__", "nonzero", "cpu"}:
                called.append(name)
            return func(*args, **(kwargs or {}))

    with Watch():
        machine.step([batch(1)])
    assert called == []


def test_a_player_all_of_whose_weights_are_anothers_is_refused() -> None:
    class Twice(Game):
        @property
        def players(self) -> dict[str, nn.Module]:
            return {"one": self.generator, "two": self.generator[0], "three": self.discriminator}

    with pytest.raises(MethodError, match="all weights of the player 'two' belong to players before it"):
        engine(Twice())


def test_a_weight_that_a_move_does_not_reach_stays_where_it_is() -> None:
    """Its optimizer has a momentum from the steps that did reach it, and must not go on with that alone."""

    def by_turns(game: Game, data: Batch, step: int) -> Iterator[Update]:
        layers = game.generator if step % 2 == 0 else game.generator[:1]
        yield Update("generator", {"l": layers(data["source"]).square().mean()})

    machine = engine(make(by_turns, period=2))
    first, last = machine.method.generator[0], machine.method.generator[3]  # type: ignore[index,operator]
    for step in range(4):
        before = weights(first), weights(last)
        machine.step([batch(step)])
        assert not torch.equal(before[0], weights(first))
        assert torch.equal(before[1], weights(last)) is (step % 2 == 1)


def test_a_player_without_weights_is_refused() -> None:
    game = make()
    game.discriminator.requires_grad_(False)
    with pytest.raises(MethodError, match="'discriminator' has no weights"):
        engine(game)


def test_weights_are_projected_after_each_step_of_their_player_alone() -> None:
    class Clamp:
        def project(self, discriminator: nn.Module) -> None:
            calls.append(discriminator)
            with torch.no_grad():
                for weight in discriminator.parameters():
                    weight.clamp_(-0.01, 0.01)

    calls: list[nn.Module] = []
    method = make()
    method.adversary = Adversary(method.discriminator, loss=None, regularizers={"clamp": Clamp()})  # type: ignore[arg-type]
    playing = engine(method)
    playing.step([batch(0)])
    assert calls == [method.discriminator]
    assert weights(method.discriminator).abs().max() <= 0.01
    assert weights(method.generator).abs().max() > 0.01


def test_stages_follow_one_another_by_their_shares_and_each_is_checked() -> None:
    class Staged(Game):
        stages = (0.25, 0.75)

    seen: list[int] = []

    def moves(self: Game, batch: Batch, step: int) -> Iterator[Update]:
        seen.append(self.stage)
        fake = self.generator(batch["source"])
        detached = step == 3 and self.stage == 2
        yield Update("generator", {"l1": (fake.detach() if detached else fake).abs().mean()})

    playing = engine(Staged(moves), steps=8)
    for number in range(8):
        playing.step([batch(number)])
    assert seen == [0, 0, 1, 1, 1, 1, 2, 2]
    late = engine(Staged(moves), steps=4)
    for number in range(3):
        late.step([batch(number)])
    with pytest.raises(MethodError, match="generator/l1 has no gradient path"):
        late.step([batch(3)])


def rates(method: Method, steps: int) -> list[float]:
    """The generator's rate in each step, which falls from 1 to 0 over a schedule."""
    playing = engine(method, lambda p: torch.optim.SGD(p, lr=1.0), steps=steps, schedule=lambda at, of: 1 - at / of)
    found = []
    for number in range(steps):
        playing.step([batch(number)])
        found.append(playing.players["generator"].optimizer.param_groups[0]["lr"])
    return found


def test_each_stage_has_a_schedule_of_its_own() -> None:
    class Staged(Game):
        stages: Any = (0.25, 0.75)

    class Going(Staged):
        restarts = (0.75,)

    class Skipping(Staged):
        stages = (0.0, 0.5, 0.5, 1.0)

    assert rates(make(), 4) == [1, 0.75, 0.5, 0.25]
    assert rates(Staged(), 8) == [1, 0.5, 1, 0.75, 0.5, 0.25, 1, 0.5]
    # Shares between two steps: of ten, the stages begin with the third and with the ninth.
    assert rates(Staged(), 10) == pytest.approx([1, 2 / 3, 1 / 3, 1, 0.8, 0.6, 0.4, 0.2, 1, 0.5])
    assert rates(Going(), 8) == pytest.approx([1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 1, 0.5])
    assert rates(Skipping(), 4) == [1, 0.5, 1, 0.5]


def test_a_stage_and_its_schedule_begin_with_the_same_step() -> None:
    class Staged(Game):
        stages = (0.1, 0.3, 0.7)

    for steps in (3, 7, 10, 29):
        begun: list[int] = []
        playing = engine(Staged(lambda *_: iter(())), steps=steps, schedule=lambda at, _: begun.append(at) or 1.0)  # noqa: B023
        stages = []
        for number in range(steps):
            playing.step([batch(number)])
            stages.append(playing.method.stage)
        changes = [number for number in range(steps) if number == 0 or stages[number] != stages[number - 1]]
        assert [number for number, at in enumerate(begun) if at == 0] == changes


def test_a_player_that_moves_twice_in_a_step_has_the_gradients_of_each_move_alone() -> None:
    def twice(game: Game, data: Batch, step: int) -> Iterator[Update]:
        for image in ("source", "target"):
            yield Update("generator", {image: game.generator[0](data[image]).square().mean()})

    ours, theirs = make(twice), make()
    engine(ours, sgd).step([batch(0)])
    optimizer = sgd(list(theirs.generator.parameters()))
    for image in ("source", "target"):
        optimizer.zero_grad()
        theirs.generator[0](batch(0)[image]).square().mean().backward()
        optimizer.step()
    assert torch.equal(weights(ours), weights(theirs))
