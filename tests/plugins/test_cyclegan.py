"""CycleGAN: the published game by hand, its options, what it keeps, and the class term."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import translate
from translate.data import Domain
from translate.engine.step import Engine
from translate.errors import TranslateError
from translate.images import Image, write
from translate.method import Method, Update
from translate.parts import CatalogParts, build_method
from translate.plugins import discover
from translate.testing import check_method, check_plugin
from translate.translator import load

SMALL = {"generator": "resnet(blocks=1, width=4)", "discriminator": "patch(receptive_field=16, width=4, norm=instance)"}
CLASSES = {**SMALL, "discriminator": "semi_supervised(width=4, dropout=0)", "semantic": 1.5}
LABELS = ("one", "two", "three")


def make(source: Domain | int = 3, target: Domain | int = 3, **options: Any) -> Any:
    torch.manual_seed(1)
    domains = [Domain(domain) if isinstance(domain, int) else domain for domain in (source, target)]
    parts = CatalogParts(discover(), source=domains[0], target=domains[1], size=(16, 16))
    return build_method(discover(), "cyclegan", {**SMALL, **options}, parts).train()


def batch(index: int = 0, source: int = 3, target: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(index)

    def images(channels: int) -> Tensor:
        return torch.rand(2, channels, 16, 16, generator=generator) * 2 - 1

    return {
        "source": images(source),
        "target": images(target),
        "labelled": images(target),
        "labelled_label": torch.tensor([2, 0]),
    }


def engine(method: Method, rate: float = 2e-4) -> Engine:
    def adam(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(weights, lr=rate, betas=(0.5, 0.999))

    return Engine(method, dict.fromkeys(method.players, adam), steps=100)


def value(term: Tensor) -> float:
    return term.detach().item()


def moves(method: Method, data: dict[str, Tensor], step: int = 0) -> dict[str, dict[str, Tensor]]:
    """The terms of a step's updates, without any being done."""
    found = {}
    for update in method.updates(data, step):
        assert isinstance(update, Update)
        found[update.player] = dict(update.terms)
    return found


def test_steps_equal_the_published_loop() -> None:
    """In float64, with the least squares as the paper prints them: no factors 1/2, D's objective halved."""
    ours, theirs = make(pool=0).double(), make(pool=0).double()
    machine = engine(ours)
    g, f = theirs.to_target, theirs.to_source
    d_x, d_y = theirs.source_adversary.discriminator, theirs.target_adversary.discriminator
    generators, discriminators = nn.ModuleList([g, f]), nn.ModuleList([d_x, d_y])
    move_g = torch.optim.Adam(generators.parameters(), lr=2e-4, betas=(0.5, 0.999))
    move_d = torch.optim.Adam(discriminators.parameters(), lr=2e-4, betas=(0.5, 0.999))

    def judged(discriminator: nn.Module, image: Tensor) -> Tensor:
        logits: Tensor = discriminator(image).logits[0]
        return logits

    for step in range(3):
        data = {name: value.double() if value.is_floating_point() else value for name, value in batch(step).items()}
        machine.step([data])
        x, y = data["source"], data["target"]
        fake_y, fake_x = g(x), f(y)
        loss = torch.zeros((), dtype=torch.float64)
        for discriminator, real, fake in ((d_x, x, fake_x), (d_y, y, fake_y)):
            on_real, on_fake = judged(discriminator, real), judged(discriminator, fake.detach())
            loss = loss + ((on_real - 1).square().mean() + on_fake.square().mean()) / 2
        move_d.zero_grad()
        loss.backward()
        move_d.step()
        loss = (judged(d_y, fake_y) - 1).square().mean() + (judged(d_x, fake_x) - 1).square().mean()
        loss = loss + 10 * (F.l1_loss(f(fake_y), x) + F.l1_loss(g(fake_x), y))
        loss = loss + 10 * 0.5 * (F.l1_loss(g(y), y) + F.l1_loss(f(x), x))
        move_g.zero_grad()
        loss.backward()
        move_g.step()
    for name, value in ours.state_dict().items():
        assert torch.allclose(value, theirs.state_dict()[name], rtol=0, atol=1e-6), name


def test_terms_and_their_weights() -> None:
    data = batch()
    plain = moves(make(), data)
    assert plain["discriminators"].keys() == {"target_adversarial", "source_adversarial"}
    assert plain["generators"].keys() == {
        f"{way}_{name}" for way in ("forward", "backward") for name in ("adversarial", "cycle", "identity")
    }
    heavy = moves(make(cycle=30.0, gan=1.0), data)["generators"]
    for name, factor in (("cycle", 3), ("identity", 3), ("adversarial", 0.5)):
        for way in ("forward", "backward"):
            term = f"{way}_{name}"
            assert value(heavy[term]) == pytest.approx(factor * value(plain["generators"][term]), rel=1e-4), term
    without = moves(make(identity=0.0), data)["generators"]
    assert not any("identity" in name for name in without)
    assert moves(make(cycle=0.0), data)["generators"].keys() == {"forward_adversarial", "backward_adversarial"}


def test_defaults_are_the_published_networks() -> None:
    parts = CatalogParts(discover(), source=Domain(3), target=Domain(3), size=(256, 256))
    with torch.device("meta"):
        method: Any = build_method(discover(), "cyclegan", {}, parts)

    def count(module: nn.Module) -> int:
        return sum(weight.numel() for weight in module.parameters())

    assert count(method.to_target) == count(method.to_source) == 11_378_179
    channels = [3, 64, 128, 256, 512, 1]
    convolutions = sum(16 * a * b + b for a, b in itertools.pairwise(channels))
    assert count(method.target_adversary.discriminator) == convolutions == 2_764_737
    assert method.source_adversary.pool.size == method.target_adversary.pool.size == 50


@pytest.mark.parametrize(
    ("generator", "passes"),
    [("resnet(blocks=1, width=4)", 2), ("resnet(blocks=1, width=4, norm=batch)", 3), ("unet(width=4)", 3)],
)
def test_passes_are_put_together_where_that_is_exact(generator: str, passes: int) -> None:
    torch.manual_seed(0)
    method = make(generator=generator, discriminator="patch(width=4, receptive_field=16)").double()
    data = {name: value.double() for name, value in batch().items()}
    seen: list[int] = []
    method.to_target.register_forward_hook(lambda _network, given, _answer: seen.append(len(given[0])))
    torch.manual_seed(1)
    apart = moves(method, data)["generators"]
    assert len(seen) == 3
    method.pass_together()
    seen.clear()
    torch.manual_seed(1)
    together = moves(method, data)["generators"]
    assert len(seen) == passes
    for name, term in apart.items():
        torch.testing.assert_close(together[name], term, rtol=1e-12, atol=1e-12)


def test_identity_follows_the_channels() -> None:
    data = batch(source=1, target=3)
    assert not any("identity" in name for name in moves(make(1, 3), data)["generators"])
    with pytest.raises(TranslateError, match=r"identity shows .* different channels \(1 and 3\); leave it out"):
        make(1, 3, identity=0.5)
    maps = Domain(3, classes=3)
    assert not any("identity" in name for name in moves(make(maps, 3), batch())["generators"])


def test_both_pools_remember_their_domain_and_stay_out_of_the_translators() -> None:
    method = make(1, 3, pool=5)
    machine = engine(method)
    machine.step([batch(source=1)])
    tensors = machine.tensors()
    assert tensors["method/target_adversary.pool.images"].shape == (5, 3, 16, 16)
    assert tensors["method/source_adversary.pool.images"].shape == (5, 1, 16, 16)
    assert bool(tensors["method/source_adversary.pool.images"].any())
    for module in method.translators.values():
        assert not any("pool" in name for name in module.state_dict())


def test_forward_goes_to_the_target_and_backward_to_the_source() -> None:
    method = make(1, 3)
    kept = method.translators
    assert kept["forward"] is method.to_target
    assert kept["backward"] is method.to_source
    gray, colour = torch.zeros(1, 1, 16, 16), torch.zeros(1, 3, 16, 16)
    assert kept["forward"](gray).shape == (1, 3, 16, 16)
    assert kept["backward"](colour).shape == (1, 1, 16, 16)


def test_each_player_moves_its_own_weights() -> None:
    """A method that is stopped between its updates has moved the discriminators only."""
    method = make()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    for adversary in (method.target_adversary, method.source_adversary):
        adversary.period = 2
    machine = engine(method)
    machine.step([batch()])
    changed = {
        name.split(".")[0] for name, value in method.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == {"target_adversary", "source_adversary"}
    assert method.period == 2
    machine.step([batch()])
    assert not torch.equal(method.to_source.state_dict()["encoder.1.weight"], before["to_source.encoder.1.weight"])


def test_penalties_reach_both_discriminators() -> None:
    terms = moves(make(adversarial="hinge + r1(weight=1)"), batch())["discriminators"]
    assert {"target_r1", "source_r1"} < terms.keys()


# --- classes --------------------------------------------------------------------------------------------------------


def with_classes(source: Domain, target: Domain | None = None, **options: Any) -> Any:
    return make(source, target or Domain(3, labels=LABELS), **{**CLASSES, **options})


def cross_entropy(method: Any, images: Tensor, labels: list[int]) -> float:
    logits = method.target_adversary.discriminator(images).classes
    return value(F.cross_entropy(logits, torch.tensor(labels)))


def test_known_classes_of_sources_are_asked_for() -> None:
    """The source numbers its classes otherwise: names decide."""
    method = with_classes(Domain(3, labels=("three", "four", "one")))
    assert method.needs.streams == ("labelled",)
    assert make().needs.streams == ()
    data = {**batch(), "source_label": torch.tensor([0, 2])}
    terms = moves(method, data)
    fake = method.to_target(data["source"])
    assert value(terms["generators"]["forward_classes"]) == pytest.approx(1.5 * cross_entropy(method, fake, [2, 0]))
    told = cross_entropy(method, data["labelled"], [2, 0])
    assert value(terms["discriminators"]["target_classes"]) == pytest.approx(told)
    assert "backward_classes" not in terms["generators"]


@pytest.mark.parametrize("labels", [None, [-1, -1], [1, -1]], ids=str)
def test_unknown_classes_are_those_seen_in_the_source(labels: list[int] | None) -> None:
    """Class 1 of the source has no counterpart in the target."""
    method = with_classes(Domain(3, labels=("three", "four")))
    data = batch()
    if labels is not None:
        data["source_label"] = torch.tensor(labels)
    seen = method.target_adversary.discriminator(data["source"]).classes.argmax(dim=1).tolist()
    fake = method.to_target(data["source"])
    term = moves(method, data)["generators"]["forward_classes"]
    assert value(term) == pytest.approx(1.5 * cross_entropy(method, fake, seen))


def test_a_source_of_other_channels_has_its_labels_only() -> None:
    method = with_classes(Domain(1, labels=LABELS))
    data = {**batch(source=1), "source_label": torch.tensor([1, -1])}
    fake = method.to_target(data["source"])
    term = moves(method, data)["generators"]["forward_classes"]
    assert value(term) == pytest.approx(1.5 * cross_entropy(method, fake[:1], [1]), rel=1e-5)


def test_the_class_term_is_refused_where_it_cannot_be() -> None:
    with pytest.raises(TranslateError, match="the target has no classes; leave it out"):
        with_classes(Domain(3), Domain(3))
    with pytest.raises(TranslateError, match="must know the sources' classes"):
        with_classes(Domain(1, labels=("four",)))
    with pytest.raises(TranslateError, match="Patch tells no classes apart; choose one that does"):
        moves(with_classes(Domain(3), discriminator=SMALL["discriminator"]), batch())


def test_the_class_term_teaches_the_generator_classes() -> None:
    """Brightness is the class; one labelled image a class tells a generator that inverts what to do."""
    method = make(Domain(1, labels=("dark", "light")), Domain(1, labels=("dark", "light")), **{
        **CLASSES, "generator": "shallow(width=8)", "gan": 0.0, "cycle": 0.0, "semantic": 1.0,
    })  # fmt: skip
    machine = engine(method, rate=5e-3)
    images = torch.tensor([-0.5, 0.5])[:, None, None, None].expand(-1, 1, 16, 16).contiguous()
    data = {"source": images, "target": images, "labelled": images, "labelled_label": torch.tensor([0, 1])}
    data["source_label"] = torch.tensor([1, 0])
    for _ in range(60):
        machine.step([data])
    fake = method.to_target(images).mean((1, 2, 3))
    assert fake[0] > fake[1], "the labels say that dark sources are light targets"
    kept = method.translators["classify"]
    assert kept(images).argmax(dim=1).tolist() == [0, 1]


# --- from end to end ------------------------------------------------------------------------------------------------


def test_contract() -> None:
    options = ", ".join(f"{name}={value!r}" for name, value in SMALL.items())
    examples = {"cyclegan": f"cyclegan({options}, pool=3)", "plain_loops/cyclegan": f"cyclegan({options})"}
    check_plugin("cyclegan", examples=examples)


def test_contract_with_classes() -> None:
    options = ", ".join(f"{name}={value!r}" for name, value in CLASSES.items())
    check_method(f"cyclegan({options}, pool=0)")


def test_a_run_keeps_both_directions(tmp_path: Path) -> None:
    run = translate.fit(
        "cyclegan", "demo(size=16, count=4)", output=tmp_path / "run", steps=2, batch=2, size=16, **SMALL
    )
    image = torch.rand(1, 3, 16, 16) * 2 - 1
    forward, backward = load(run.folder), load(run.folder, direction="backward")
    assert forward.translate(image).shape == (1, 3, 16, 16)
    assert not torch.equal(forward.translate(image), backward.translate(image))


def test_the_domains_of_the_kept_directions_are_each_others(tmp_path: Path) -> None:
    """Gray sources and coloured targets, so that a direction with the wrong domains cannot pass."""
    draws = np.random.default_rng(0)
    for side, channels in (("trainA", 1), ("trainB", 3)):
        for number in range(2):
            (tmp_path / "data" / side).mkdir(parents=True, exist_ok=True)
            pixels = draws.integers(0, 256, (16, 16, channels), dtype=np.uint8)
            write(tmp_path / "data" / side / f"{number}.png", Image(pixels, None))
    run = translate.fit("cyclegan", tmp_path / "data", output=tmp_path / "run", steps=1, size=16, **SMALL)
    forward, backward = load(run.folder, direction="forward"), load(run.folder, direction="backward")
    assert (forward.source.channels, forward.target.channels) == (1, 3)
    assert (backward.source.channels, backward.target.channels) == (3, 1)
    assert forward(np.zeros((16, 16), dtype=np.uint8)).shape == (16, 16, 3)
    assert backward(np.zeros((16, 16, 3), dtype=np.uint8)).shape[:2] == (16, 16)
    assert backward.translate(torch.zeros(1, 3, 16, 16)).shape == (1, 1, 16, 16)
