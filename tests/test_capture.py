"""Recorded steps against played ones: the same to the last bit, for every method, objective and optimizer."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from recorder import Recorder
from test_catalog import CATALOG, OFFERS, small
from test_engine import Game, batch, engine, make, weights
from torch import Tensor, nn

from translate.data import Domain
from translate.engine.capture import capturable, cuda_graphs
from translate.engine.step import Engine
from translate.method import Batch, Method, Update
from translate.options import parse_call
from translate.parts import CatalogParts, build, build_method
from translate.pool import ImagePool


def fused(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=2e-4, betas=(0.5, 0.999), fused=True)


def falling(step: int, steps: int) -> float:
    return 1 - step / steps


def both(first: Method, second: Method, optimizer: Any = fused, **options: Any) -> tuple[Engine, Engine]:
    """Two engines, of which the second records."""
    options = {"seed": 7, "schedule": falling, **options}
    played = engine(first, optimizer, **options)
    recorded = engine(second, optimizer, graphs=Recorder, **options)
    # Rates are tensors there, and rounded so.
    capturable((player.optimizer for player in played.players.values()), played.device)
    return played, recorded


def same(played: Engine, recorded: Engine) -> None:
    found = recorded.tensors()
    for name, value in played.tensors().items():
        assert torch.equal(value, found[name]), name
    assert played.metadata() == recorded.metadata()


def in_a_row(played: Engine, recorded: Engine, steps: int, count: int = 1) -> None:
    for step in range(steps):
        given = [batch(step * count + number) for number in range(count)]
        played.step(given)
        recorded.step([{name: value.clone() for name, value in each.items()} for each in given])


@pytest.mark.parametrize(
    "options", [{}, {"ema": 0.9}, {"clip_norm": 0.1}, {"precision": "bf16"}], ids=lambda options: "-".join(options)
)
def test_a_replay_is_the_step(options: dict[str, Any]) -> None:
    """With dropout, falling rates and an average; in bf16 too, where a weight cache kept across steps would show."""
    played, recorded = both(make(), make(), **options)
    in_a_row(played, recorded, 5)
    assert recorded.replays
    assert played.fetch() == recorded.fetch()
    in_a_row(played, recorded, 4)
    same(played, recorded)
    assert played.fetch() == recorded.fetch()


def test_several_batches_are_not_recorded() -> None:
    """They are played as they are, since each seeds its draws."""
    played, recorded = both(make(), make())
    in_a_row(played, recorded, 5, count=3)
    assert not recorded.replays
    same(played, recorded)


def alternating(game: Game, given: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
    fake = game.generator(given["source"])
    yield Update("discriminator", {"logit": game.judge(given, fake.detach()).square().mean()})
    if step % 3 == 2:
        yield Update("generator", {"logit": -game.judge(given, fake).mean()})


def test_each_step_of_a_period_is_recorded() -> None:
    played, recorded = both(make(alternating, 3), make(alternating, 3))
    in_a_row(played, recorded, 11)
    assert recorded._capture is not None
    assert sorted(recorded._capture._recorded) == [0, 1, 2]
    same(played, recorded)


class Staged(Game):
    """Another game in the second half, with a pool and a quantity that anneals."""

    def __init__(self) -> None:
        super().__init__(Staged.play)
        self.pool = ImagePool(4, (3, 16, 16))

    @property
    def stages(self) -> tuple[float, ...]:
        return (0.5,)

    def play(self, given: Batch, _step: int) -> Iterator[Update | tuple[Update, ...]]:
        fake = self.generator(given["source"])
        earlier = self.pool(fake)
        yield Update("discriminator", {"logit": (self.judge(given, earlier) - self.progress).square().mean()})
        loss = (fake - given["target"]).abs().mean()
        yield Update("generator", {"l1": loss if self.stage else loss * 2})


def test_stages_pools_and_annealing() -> None:
    torch.manual_seed(3)
    first = Staged()
    torch.manual_seed(3)
    played, recorded = both(first, Staged(), steps=12)
    in_a_row(played, recorded, 12)
    assert recorded.replays
    same(played, recorded)


def test_a_run_that_goes_on_records_anew() -> None:
    played, recorded = both(make(), make())
    in_a_row(played, recorded, 3)
    other = make()
    _, resumed = both(make(), other)
    resumed.load({name: value.clone() for name, value in recorded.tensors().items()}, recorded.metadata())
    for machine in (played, resumed):
        for step in range(3, 7):
            machine.step([batch(step)])
    assert resumed.replays
    same(played, resumed)
    resumed.load({name: value.clone() for name, value in played.tensors().items()}, played.metadata())
    assert not resumed.replays


def test_another_batch_size_is_played() -> None:
    played, recorded = both(make(), make())
    in_a_row(played, recorded, 3)
    for machine in (played, recorded):
        machine.step([batch(3, count=1)])
        machine.step([batch(4)])
    assert recorded.replays
    same(played, recorded)


def counting(game: Game, given: Batch, step: int) -> Iterator[Update]:
    """Against the rules: the step's number is in the loss."""
    yield Update("generator", {"l1": (game.generator(given["source"]) * min(1.0, step / 500)).square().mean()})


def reading(game: Game, given: Batch, _step: int) -> Iterator[Update]:
    """The host waits for the device."""
    fake = game.generator(given["source"])
    yield Update("generator", {"l1": fake.square().mean() * float(fake.detach().mean())})


def making(game: Game, given: Batch, _step: int) -> Iterator[Update]:
    """A tensor from the host."""
    yield Update("generator", {"l1": (game.generator(given["source"]) - torch.tensor(0.5)).square().mean()})


CALLS = iter(range(10**6))


def remembering(game: Game, given: Batch, _step: int) -> Iterator[Update]:
    """Something in Python changes."""
    yield Update("generator", {"l1": (game.generator(given["source"]) * next(CALLS)).square().mean()})


@pytest.mark.parametrize(
    ("moves", "reason"),
    [
        (counting, "a replay changes the"),
        (reading, "not permitted when stream is capturing"),
        (making, "not permitted when stream is capturing"),
        (remembering, "a replay changes the"),
    ],
)
def test_what_cannot_be_recorded_is_played_and_said_once(
    moves: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    played, recorded = both(make(moves), make(moves))
    with caplog.at_level(logging.WARNING, logger="translate"):
        in_a_row(played, recorded, 5)
    assert not recorded.replays
    assert len(caplog.records) == 1
    assert reason in caplog.text
    assert played.fetch().keys() == recorded.fetch().keys()
    if moves is not remembering:
        same(played, recorded)


class Inexact(Recorder):
    """Its replays change the weights by a little more than the step does."""

    weight: Tensor
    share = 0.0

    def replay(self) -> None:
        before = self.weight.detach().clone()
        super().replay()
        with torch.no_grad():
            self.weight += self.share * (self.weight - before)


@pytest.mark.parametrize(("share", "replays"), [(0.1, True), (-0.1, True), (0.5, False), (-0.5, False)])
def test_a_replay_may_differ_by_a_part_of_what_the_step_changes(
    share: float, replays: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Not of what there is: weights are far larger than what a step changes of them."""
    game = make(simple)
    weight = next(game.generator.parameters())

    def graph() -> Inexact:
        made = Inexact()
        made.weight, made.share = weight, share
        return made

    recorded = engine(game, fused, graphs=graph)
    for step in range(4):
        recorded.step([batch(step)])
    assert recorded.replays is replays
    assert ("a replay changes the weights of generator differently" in caplog.text) is not replays


def logging_the_step(game: Game, given: Batch, step: int) -> Iterator[Update]:
    loss = game.generator(given["source"]).square().mean()
    yield Update("generator", {"l1": loss, "step": loss.detach() * 0 + loss * 0 + step})


def keeping_the_step(game: Game, given: Batch, step: int) -> Iterator[Update]:
    game.kept.fill_(step)
    yield from simple(game, given, step)


@pytest.mark.parametrize(("moves", "name"), [(logging_the_step, "terms"), (keeping_the_step, "buffers")])
def test_what_a_replay_changes_differently_is_named(moves: Any, name: str, caplog: pytest.LogCaptureFixture) -> None:
    game = make(moves)
    game.register_buffer("kept", torch.zeros(()))
    recorded = engine(game, fused, graphs=Recorder)
    for step in range(4):
        recorded.step([batch(step)])
    assert not recorded.replays
    assert f"a replay changes the {name} differently from the step" in caplog.text


def test_one_step_of_a_period_that_cannot_be_recorded_ends_the_recording_of_all(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def by_turns(game: Game, given: Batch, step: int) -> Iterator[Update]:
        yield from (reading if step % 2 else simple)(game, given, step)

    played, recorded = both(make(by_turns, 2), make(by_turns, 2))
    in_a_row(played, recorded, 5)
    assert not recorded.replays
    assert len(caplog.records) == 1
    same(played, recorded)


def simple(game: Game, given: Batch, _step: int) -> Iterator[Update]:
    yield Update("generator", {"l1": game.generator(given["source"]).square().mean()})


def test_when_the_step_changes_recording_is_tried_again() -> None:
    played, recorded = both(make(reading), make(reading))
    in_a_row(played, recorded, 3)
    for machine in (played, recorded):
        assert isinstance(machine.method, Game)
        machine.method.moves = simple
        machine.forget_graphs()
    in_a_row(played, recorded, 4)
    assert recorded.replays
    same(played, recorded)


def test_on_a_cpu_rates_are_tensors_and_optimizers_stay_as_they_are() -> None:
    weights = [nn.Parameter(torch.zeros(2))]
    adam, sgd = torch.optim.Adam(weights, lr=0.25), torch.optim.SGD(weights, lr=0.5)
    capturable([adam, sgd], torch.device("cpu"))
    assert [float(each.param_groups[0]["lr"]) for each in (adam, sgd)] == [0.25, 0.5]
    assert all(isinstance(each.param_groups[0]["lr"], Tensor) for each in (adam, sgd))
    assert adam.param_groups[0]["capturable"] is False
    assert "capturable" not in sgd.param_groups[0]


def test_rates_that_are_tensors_follow_the_schedule() -> None:
    """Both engines of the other tests have such rates, and would be wrong alike."""
    machine = engine(make(), lambda given: torch.optim.SGD(given, lr=0.25), graphs=Recorder, steps=8, schedule=falling)
    for step in range(7):
        machine.step([batch(step)])
        rates = [float(player.optimizer.param_groups[0]["lr"]) for player in machine.players.values()]
        assert rates == [0.25 * (1 - step / 8)] * 2


def test_an_error_of_the_step_itself_is_raised() -> None:
    def failing(game: Game, given: Batch, step: int) -> Iterator[Update]:
        if step >= 2:
            raise RuntimeError("out of memory")
        yield Update("generator", {"l1": game.generator(given["source"]).square().mean()})

    machine = engine(make(failing), fused, graphs=Recorder)
    machine.step([batch(0)])
    machine.step([batch(1)])
    before = weights(machine.method)
    with pytest.raises(RuntimeError, match="out of memory"):
        machine.step([batch(2)])
    assert torch.equal(before, weights(machine.method))


# --- the catalog ------------------------------------------------------------------------------------------------------

METHODS = sorted(name for kind, name in OFFERS if kind == "methods")
OBJECTIVES = [
    "minimax(smoothing=0.1)",
    "fgan(divergence=kl) + r1",
    "relativistic + gradient_penalty + diffaugment(policy=(translation, cutout))",
    "hinge + spectral_norm + diffaugment(policy=color)",
    "wasserstein + clip + critic(updates=2)",
    "nonsaturating + dragan",
]


def built(call: str, **options: Any) -> Method:
    torch.manual_seed(0)
    parsed = parse_call(call)
    labels = tuple("abc")
    parts = CatalogParts(CATALOG, source=Domain(3, labels=labels), target=Domain(3, labels=labels), size=(32, 32))
    return build_method(CATALOG, parsed.name, {**parsed.options, **options}, parts)


def drawn(method: Method, step: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(step)
    given = {
        name: torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1
        for name in ("source", "target", *method.needs.streams)
    }
    labelled = {f"{name}_label": torch.randint(-1, 3, (2,), generator=generator) for name in given}
    if method.needs.references:
        for name in ("reference", "reference2"):
            given[name] = torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1
        labelled["reference_label"] = torch.randint(0, 3, (2,), generator=generator)
    return given | labelled


def replayed(first: Method, second: Method, name: str = "adam") -> int:
    """Train one method as it is and another by recordings to the same state; how often a step was replayed."""

    def optimizer(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        made: torch.optim.Optimizer = build(CATALOG, "optimizers", name, parameters=parameters)
        return made

    steps = max(4, 2 * first.period + 2) * (len(first.stages) + 1)
    played, recorded = both(first, second, optimizer, steps=steps)
    seen = 0
    for step in range(steps):
        for machine in (played, recorded):
            machine.step([drawn(first, step)])
        seen += recorded.replays
    same(played, recorded)
    return seen


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_recorded(name: str) -> None:
    method = built(small("methods", name))
    assert replayed(method, built(small("methods", name))) > len(method.stages)


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


class Stream:
    """Notes for which other stream it waits."""

    def __init__(self, name: str, noted: list[str]) -> None:
        self.name, self.noted = name, noted

    def wait_stream(self, other: Stream) -> None:
        self.noted.append(f"{self.name} waits for {other.name}")


def test_a_cuda_graph_is_warmed_and_recorded_on_a_stream_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which waits for what was begun before, and for which waits what comes after; all graphs share their memory."""
    noted: list[str] = []
    replayed: list[object] = []

    class Graph:
        def replay(self) -> None:
            replayed.append(self)

    @contextmanager
    def on(stream: Stream) -> Iterator[None]:
        noted.append(f"on {stream.name}")
        yield
        noted.append(f"off {stream.name}")

    @contextmanager
    def recording(graph: Graph, *, pool: str, stream: Stream, capture_error_mode: str) -> Iterator[None]:
        assert (pool, stream.name, capture_error_mode) == ("pool", "side", "thread_local")
        noted.append(f"recording {graphs.index(graph)}")
        yield

    fakes = {
        "CUDAGraph": lambda: graphs.append(Graph()) or graphs[-1], "Stream": lambda _device: Stream("side", noted),
        "graph_pool_handle": lambda: "pool", "current_stream": lambda: Stream("main", noted),
        "device": lambda _device: nullcontext(), "stream": on, "graph": recording,
    }  # fmt: skip
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    graphs: list[Graph] = []
    make_graph = cuda_graphs(torch.device("cuda"))
    one, two = make_graph(), make_graph()
    two.warm(lambda: noted.append("played"))
    assert noted == ["side waits for main", "on side", "played", "off side", "main waits for side"]
    noted.clear()
    two.record(lambda: noted.append("played"))
    one.record(lambda: noted.append("played"))
    assert noted == ["recording 1", "played", "recording 0", "played"]
    two.replay()
    assert replayed == [graphs[1]]


def test_a_recording_that_fails_leaves_no_generator_that_captures(monkeypatch: pytest.MonkeyPatch) -> None:
    states: list[str] = []
    device = torch.device("cuda", 0)
    fresh = SimpleNamespace(graphsafe_get_state=lambda: "fresh")
    monkeypatch.setattr(torch, "Generator", {device: fresh}.__getitem__)
    monkeypatch.setattr(torch.cuda, "default_generators", [SimpleNamespace(graphsafe_set_state=states.append)])
    for name in ("CUDAGraph", "Stream", "graph_pool_handle"):
        monkeypatch.setattr(torch.cuda, name, lambda *given: None)
    for name in ("device", "graph"):
        monkeypatch.setattr(torch.cuda, name, lambda *given, **named: nullcontext())
    graph = cuda_graphs(device)()
    graph.record(lambda: None)
    assert states == []

    def fail() -> None:
        raise RuntimeError("operation not permitted")

    with pytest.raises(RuntimeError, match="not permitted"):
        graph.record(fail)
    assert states == ["fresh"]


@pytest.mark.parametrize("name", METHODS)
def test_no_discriminators_term_leads_to_a_generator(name: str) -> None:
    """They judge detached images, in every stage, so no graph of what made them is kept for their backward pass."""
    method = built(small("methods", name))
    for stage in range(len(method.stages) + 1):
        method.stage = stage
        for moves in method.updates(drawn(method, 0), method.period - 1):
            for move in moves if isinstance(moves, tuple) else (moves,):
                own = {weight for player in move.players for weight in method.players[player].parameters()}
                others = [weight for weight in method.parameters() if weight.requires_grad and weight not in own]
                if not move.label.startswith("discriminator") or not others:
                    continue
                total = torch.stack(list(move.terms.values())).sum()
                found = torch.autograd.grad(total, others, allow_unused=True, retain_graph=True)
                assert all(slope is None for slope in found)


@needs_gpu
@pytest.mark.parametrize("name", METHODS)
def test_cuda_graphs_are_the_step(name: str) -> None:
    device = torch.device("cuda")
    first, second = (built(small("methods", name)).to(device).double() for _ in range(2))
    played = engine(first, fused, seed=7, device=device, steps=8)
    recorded = engine(second, fused, seed=7, device=device, steps=8, graphs=cuda_graphs(device))
    for step in range(8):
        given = {
            name: value.to(device).double() if value.is_floating_point() else value.to(device)
            for name, value in drawn(first, step).items()
        }
        played.step([given])
        recorded.step([given])
    assert recorded.replays
    torch.testing.assert_close(weights(second), weights(first), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])
def test_objectives_are_recorded(name: str, objective: str) -> None:
    first, second = (built(small("methods", name), adversarial=objective) for _ in range(2))
    assert replayed(first, second) > 0


# RMSprop waits for the host where it has no form for graphs, which is on a CPU.
@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_optimizers_are_recorded(name: str) -> None:
    assert replayed(built(small("methods", "pix2pix")), built(small("methods", "pix2pix")), name) > 0
