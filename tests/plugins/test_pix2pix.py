"""pix2pix: the paper's loop by hand, to the bit; its options; its contract."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.data import Domain
from translate.engine.step import Engine
from translate.errors import TranslateError
from translate.method import Method
from translate.parts import CatalogParts, build_method
from translate.plugins import discover
from translate.seeds import seed_step
from translate.testing import check_plugin

SMALL = {"generator": "unet(width=8)", "discriminator": "patch(width=8, receptive_field=16)"}


LABELS = ("one", "two", "three")


def make(source: int = 3, target: int = 3, labels: tuple[str, ...] = (), **options: Any) -> Any:
    torch.manual_seed(1)
    parts = CatalogParts(discover(), source=Domain(source), target=Domain(target, labels=labels), size=(32, 32))
    return build_method(discover(), "pix2pix", {**SMALL, **options}, parts).train()


def engine(method: Method, rate: float = 2e-4, **options: Any) -> Engine:
    def adam(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(weights, lr=rate, betas=(0.5, 0.999), fused=True)

    return Engine(method, dict.fromkeys(method.players, adam), steps=100, **options)


def batch(index: int, source: int = 3, target: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(index)
    return {
        "source": torch.rand(2, source, 32, 32, generator=generator) * 2 - 1,
        "target": torch.rand(2, target, 32, 32, generator=generator) * 2 - 1,
        "mismatched": torch.rand(2, source, 32, 32, generator=generator) * 2 - 1,
    }


def test_ten_steps_equal_a_plain_hand_written_loop_to_the_bit() -> None:
    ours, theirs = make(), make()
    machine = engine(ours, seed=3)
    generator, discriminator = theirs.generator, theirs.adversary.discriminator
    for_generator = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True)
    for_discriminator = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True)
    for step in range(10):
        machine.step([batch(step)])

        data = batch(step)
        seed_step(3, step)
        fake = generator(data["source"])
        discriminator.requires_grad_(True)
        for_discriminator.zero_grad()
        on_real = discriminator(data["target"], data["source"]).logits[0]
        on_fake = discriminator(fake.detach(), data["source"]).logits[0]
        loss = (F.softplus(-on_real).mean() + F.softplus(on_fake).mean()) * 0.5
        loss.backward()
        for_discriminator.step()
        discriminator.requires_grad_(False)
        for_generator.zero_grad()
        on_fake = discriminator(fake, data["source"]).logits[0]
        loss = F.softplus(-on_fake).mean() + 100.0 * F.l1_loss(fake, data["target"])
        loss.backward()
        for_generator.step()
    for name, value in ours.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name


def test_contract() -> None:
    options = ", ".join(f"{name}={value!r}" for name, value in SMALL.items())
    whole = {"pix2pix": f"pix2pix({options}, pool=3, matching_aware=yes)", "plain_loops/pix2pix": f"pix2pix({options})"}
    check_plugin("pix2pix", examples=whole)


def terms(method: Method) -> dict[str, float]:
    machine = engine(method)
    machine.step([batch(0)])
    return machine.fetch()


def test_terms_and_weights() -> None:
    plain, heavy = terms(make()), terms(make(l1=10.0, gan=2.0))
    assert plain.keys() == {"discriminator/adversarial", "generator/adversarial", "generator/l1"}
    assert heavy["generator/l1"] == pytest.approx(plain["generator/l1"] / 10)
    assert heavy["generator/adversarial"] == pytest.approx(2 * plain["generator/adversarial"], rel=1e-5)


def test_two_heads_log_realness_and_match() -> None:
    found = terms(make(discriminator="two_headed(width=8)", matching_aware=True))
    assert found.keys() == {
        "discriminator/realness", "discriminator/match", "generator/realness", "generator/match", "generator/l1",
    }  # fmt: skip


def test_matching_aware_training_needs_and_uses_a_mismatched_source() -> None:
    method = make(matching_aware=True)
    assert method.needs.streams == ("mismatched",)
    assert make().needs.streams == ()
    aware, plain = terms(method), terms(make())
    assert aware["discriminator/adversarial"] != plain["discriminator/adversarial"]


def test_a_matching_aware_discriminator_tells_matches_from_mismatches() -> None:
    """The source names the target's colour: only a discriminator that is shown mismatches must look at it."""
    scores = {}
    for aware in (False, True):
        method = make(1, 1, matching_aware=aware, l1=0.0)
        machine = engine(method, rate=1e-3)
        torch.manual_seed(0)
        for _ in range(60):
            code = torch.randint(0, 2, (4, 1, 1, 1)).float() * 2 - 1
            source = code.expand(-1, 1, 32, 32).contiguous()
            machine.step([{"source": source, "target": source.clone(), "mismatched": -source}])
        judge = method.adversary.discriminator
        with torch.no_grad():
            ones = torch.ones(4, 1, 32, 32)
            scores[aware] = float(judge(ones, ones).logits[0].mean() - judge(ones, -ones).logits[0].mean())
    assert scores[True] > 0.5
    assert scores[True] > scores[False]


def test_classes_are_learned_from_targets_and_asked_of_fakes() -> None:
    """By hand: the discriminator learns the classes of targets, the generator is to make them of sources."""
    judge = "semi_supervised(width=4, dropout=0)"
    method = make(labels=LABELS, discriminator=judge, semantic=2.0, gan=3.0)
    assert method.needs.labels == {"target"}
    data = {**batch(0), "target_label": torch.tensor([2, -1])}
    seed_step(0, 0)
    told = {move.player: move.terms for move in method.updates(data, 0)}
    seed_step(0, 0)
    fake = method.generator(data["source"])
    on_real, on_fake = (method.adversary.discriminator(image, data["source"]) for image in (data["target"], fake))
    assert on_real.classes.shape == (2, 3)
    torch.testing.assert_close(
        told["discriminator"]["classes"], F.cross_entropy(on_real.classes[:1], torch.tensor([2]))
    )
    torch.testing.assert_close(
        told["generator"]["classes"], 2 * F.cross_entropy(on_fake.classes[:1], torch.tensor([2]))
    )
    torch.testing.assert_close(told["generator"]["adversarial"], 3 * F.softplus(-on_fake.logits[0]).mean())
    assert make().needs.labels == set()
    with pytest.raises(TranslateError, match="semantic needs a discriminator, and gan=0 has none"):
        make(labels=LABELS, semantic=2.0, gan=0.0)
    assert make(labels=LABELS, gan=0.0).adversary is None


def test_without_a_discriminator_only_l1_is_left() -> None:
    method = make(gan=0.0)
    assert method.period == 1
    assert set(method.players) == {"generator"}
    assert terms(method).keys() == {"generator/l1"}


def test_penalties_by_name() -> None:
    assert "discriminator/r1" in terms(make(adversarial="hinge + r1(weight=1)"))


def test_the_pool_is_saved_with_the_method_and_not_with_the_translator() -> None:
    method = make(pool=5)
    machine = engine(method)
    machine.step([batch(0)])
    names = machine.tensors()
    assert names["method/adversary.pool.images"].shape == (5, 6, 32, 32)
    assert bool(names["method/adversary.pool.images"].any())
    assert not any("pool" in name for name in method.translators["forward"].state_dict())


def test_it_learns_a_simple_map() -> None:
    """Inverting a flat image: 150 steps of the whole game bring the L1 distance down by more than half."""
    method = make(generator="unet(width=8, dropout=0.0)")
    machine = engine(method, rate=2e-3)
    distances = []
    for step in range(150):
        value = (torch.rand(4, 3, 1, 1, generator=torch.Generator().manual_seed(step)) * 2 - 1).expand(-1, -1, 32, 32)
        machine.step([{"source": value.contiguous(), "target": -value.contiguous()}])
        if step % 10 == 9:
            distances.append(machine.fetch()["generator/l1"])
    assert distances[-1] < 0.5 * distances[0]
