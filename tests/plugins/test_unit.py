"""UNIT: the published terms by hand, four ways of tying, classes from the source, the contract."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import translate
from translate import checkpoint
from translate.data import Domain
from translate.engine.step import Engine
from translate.errors import TranslateError
from translate.latent import logged_as
from translate.method import Method, Update
from translate.parts import CatalogParts, build_method
from translate.plugins import discover
from translate.seeds import seed_step
from translate.testing import check_plugin
from translate_unit.latent import LatentDiscriminator, kl_divergence

SMALL = {
    "encoder": "residual(width=4, fold=yes)",
    "decoder": "residual(width=4, fold=yes)",
    "discriminator": "patch(width=4, receptive_field=16)",
}
JUDGE = "semi_supervised(width=4, dropout=0)"
LABELS = ("one", "two", "three")


def make(source: int = 3, target: int = 3, labels: tuple[str, ...] = LABELS, **options: Any) -> Any:
    torch.manual_seed(1)
    parts = CatalogParts(
        discover(), source=Domain(source, labels=labels), target=Domain(target, labels=labels), size=(32, 32)
    )
    return build_method(discover(), "unit", {**SMALL, **options}, parts).train()


def batch(source: int = 3, target: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "source": torch.rand(2, source, 32, 32, generator=generator) * 2 - 1,
        "target": torch.rand(2, target, 32, 32, generator=generator) * 2 - 1,
        "source_label": torch.tensor([0, 2]),
        "target_label": torch.tensor([-1, -1]),
    }


def moves(method: Method, data: dict[str, Tensor]) -> dict[str, Update]:
    """What the players are asked to minimise, without anybody moving."""
    seed_step(0, 0)
    found = list(method.updates(data, 0))
    assert all(isinstance(each, Update) for each in found)
    return {each.player: each for each in found if isinstance(each, Update)}


def test_terms_are_those_of_the_paper() -> None:
    method, data = make(), batch()
    told = moves(method, data)
    # By hand, with the noise in the order of the method's draws.
    seed_step(0, 0)
    e1, e2 = method.encoders["source"], method.encoders["target"]
    g1, g2 = method.decoders["source"], method.decoders["target"]
    d2 = method.adversaries["target"].discriminator
    x1, x2 = data["source"], data["target"]
    m1, m2 = e1(x1), e2(x2)
    z1 = m1 + torch.randn_like(m1)
    z2 = m2 + torch.randn_like(m2)
    x12 = g2(z1)
    back = e2(x12)
    x121 = g1(back + torch.randn_like(back))
    terms = told["translators"].terms
    expected = {
        "source_kl": m1.square().sum() / 2 / 2,
        "source_reconstruction": 100 * (g1(z1) - x1).abs().mean(),
        "target_reconstruction": 100 * (g2(z2) - x2).abs().mean(),
        "source_cycle_kl": back.square().sum() / 2 / 2,
        "source_cycle": 100 * (x121 - x1).abs().mean(),
    }
    for name, value in expected.items():
        assert torch.allclose(terms[name], value, rtol=1e-4), name
    of_fake = torch.cat([d2(half).logits[0] for half in (x12,)])
    assert torch.allclose(terms["target_adversarial"], 10 * F.softplus(-of_fake).mean(), rtol=1e-4)
    of_real = d2(x2).logits[0]
    judged = told["discriminators"].terms["target_adversarial"]
    assert torch.allclose(judged, F.softplus(-of_real).mean() + F.softplus(of_fake).mean(), rtol=1e-4)
    assert set(terms) == {
        f"{domain}_{term}"
        for domain in ("source", "target")
        for term in ("adversarial", "kl", "reconstruction", "cycle_kl", "cycle")
    }


def test_the_divergence_is_logged_in_nats_and_pulls_by_its_weight() -> None:
    mean = torch.randn(4, 3, 2, 2, dtype=torch.float64)
    ours = torch.distributions.Normal(mean, 1.0)
    exact = torch.distributions.kl_divergence(ours, torch.distributions.Normal(0.0, 1.0))
    assert torch.allclose(kl_divergence(mean).double(), exact.flatten(1).sum(1).mean())
    method, data = make(kl=0.1), batch()
    term = moves(method, data)["translators"].terms["source_kl"]
    codes = method.encoders["source"](data["source"])
    weight = next(method.encoders["source"].parameters())
    (pull,) = torch.autograd.grad(term, weight, retain_graph=True)
    (published,) = torch.autograd.grad(0.1 * codes.square().mean(), weight)
    assert torch.allclose(pull, published, rtol=1e-4, atol=1e-8)
    assert torch.allclose(term, codes.square().flatten(1).sum(1).mean() / 2, rtol=1e-4)
    assert float(logged_as(torch.tensor(2.0), 0.25)) == 2.0


@pytest.mark.parametrize(("tied", "fewer"), [(True, True), (False, False)])
def test_shared_weights(tied: bool, fewer: bool) -> None:
    method = make(1, 4, tie_shared=tied)
    same = method.encoders["source"].shared is method.encoders["target"].shared
    assert same is fewer
    assert (method.decoders["source"].shared is method.decoders["target"].shared) is fewer
    owned = list(method.players["translators"].parameters())
    assert len(owned) == len(set(owned))


def test_a_judge_of_codes_learns_the_domain_and_the_encoders_hide_it() -> None:
    for latent in ((6,), (4, 8, 8)):
        judge = LatentDiscriminator(latent).requires_grad_(False)
        last: Any = judge.layers[-1]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        source, target = torch.randn(2, *latent), torch.randn(3, *latent)
        assert judge(source).shape == (2, 1)
        assert math.isclose(float(judge.domain_loss(source, target)), math.log(2), rel_tol=1e-6)
        last.bias.fill_(3.0)
        expected = (math.log1p(math.exp(-3)) + math.log1p(math.exp(3))) / 2
        assert math.isclose(float(judge.domain_loss(source, target)), expected, rel_tol=1e-5)
        assert math.isclose(float(judge.fooled(source, target)), float(judge.domain_loss(target, source)))
    method, data = make(latent_adversary=2.0, cycle=0.0, cycle_kl=0.0), batch()
    told = moves(method, data)
    judged, hidden = told["discriminators"].terms["latent"], told["translators"].terms["latent"]
    weight = next(method.encoders["source"].parameters())
    assert torch.autograd.grad(judged, weight, allow_unused=True, retain_graph=True) == (None,)
    for name in ("source", "target"):
        (unmoved,) = torch.autograd.grad(
            judged, next(method.encoders[name].parameters()), allow_unused=True, retain_graph=True
        )
        assert unmoved is None
    # The judge learns which codes are the source's; the encoders are to make it say the opposite of each.
    seed_step(0, 0)
    means = [method.encoders[name](data[name]) for name in ("source", "target")]
    source, target = (mean + torch.randn_like(mean) for mean in means)
    of_source, of_target = method.latent_judge(source), method.latent_judge(target)
    assert torch.allclose(judged, (F.softplus(-of_source).mean() + F.softplus(of_target).mean()) / 2, rtol=1e-4)
    assert torch.allclose(hidden, F.softplus(of_source).mean() + F.softplus(-of_target).mean(), rtol=1e-4)
    assert torch.autograd.grad(hidden, weight)[0].any()
    assert not any(name.endswith("cycle") for name in told["translators"].terms)


def test_a_translations_code_is_to_be_its_sources() -> None:
    method, data = make(semantic_latent=3.0, cycle=0.0, cycle_kl=0.0), batch()
    terms = moves(method, data)["translators"].terms
    seed_step(0, 0)
    mean = method.encoders["source"](data["source"])
    fake = method.decoders["target"](mean + torch.randn_like(mean))
    apart = (method.encoders["target"](fake) - mean).abs().mean()
    assert torch.allclose(terms["source_semantic"], 3 * apart, rtol=1e-4)


@pytest.mark.parametrize("kind", [JUDGE, "auxiliary(width=4)", "auxiliary_patch(width=4)"])
def test_classes_come_from_the_source_alone(kind: str) -> None:
    method, data = make(discriminator=kind, classify=5.0), batch()
    first, second = (method.adversaries[name].discriminator for name in ("source", "target"))
    assert first.shared is second.shared
    assert method.needs.labels == {"source"}
    told = moves(method, data)
    judged, terms = told["discriminators"].terms, told["translators"].terms
    wanted = F.cross_entropy(first(data["source"]).classes, data["source_label"])
    assert torch.allclose(judged["source_classes"], wanted, rtol=1e-4)
    assert torch.allclose(terms["target_classes"], 5 * judged["target_classes"], rtol=1e-4)
    assert "source_classes" not in terms
    # The target's judge learns them from translations, and its own first layers with it.
    own = next(second.layers.parameters())
    assert torch.autograd.grad(judged["target_classes"], own, retain_graph=True)[0].any()
    assert torch.autograd.grad(judged["source_classes"], own, allow_unused=True) == (None,)
    assert set(method.translators) == {"forward", "backward", "classify"}
    assert method.translators["classify"](data["target"]).shape == (2, 3)
    changed = {**data, "target_label": torch.tensor([1, 1])}
    again = moves(method, changed)
    for player, update in told.items():
        for name, value in update.terms.items():
            assert torch.equal(value, again[player].terms[name]), name


def test_players_and_their_weights() -> None:
    assert set(make().players) == {"translators", "discriminators"}
    assert set(make(gan=0.0).players) == {"translators"}
    assert set(make(gan=0.0, latent_adversary=1.0).players) == {"translators", "discriminators"}
    assert make(adversarial="hinge + critic(updates=3)").period == 3
    alone = make(gan=0.0, cycle=0.0, cycle_kl=0.0)
    terms = moves(alone, batch())["translators"].terms
    assert set(terms) == {"source_kl", "source_reconstruction", "target_kl", "target_reconstruction"}


def test_translators_answer_by_the_mean_and_draw_on_request() -> None:
    method = make(1, 4).eval()
    forward, backward = method.translators["forward"], method.translators["backward"]
    image = torch.rand(2, 1, 32, 32) * 2 - 1
    assert torch.equal(forward(image), forward(image))
    assert forward(image).shape == (2, 4, 32, 32)
    assert backward(torch.rand(2, 4, 32, 32)).shape == (2, 1, 32, 32)
    drawn = forward(image, samples=3)
    assert drawn.shape == (6, 4, 32, 32)
    assert not torch.equal(drawn[0], drawn[1])
    with pytest.raises(TranslateError, match="draws 1 sample or more"):
        forward(image, samples=0)


def test_errors_say_what_to_do() -> None:
    with pytest.raises(TranslateError, match="this data names no classes"):
        make(labels=(), discriminator=JUDGE, classify=1.0)
    with pytest.raises(TranslateError, match="gan=0 has none; leave one out"):
        make(classify=1.0, gan=0.0)
    with pytest.raises(TranslateError, match="patch.* has no layers .* such as auxiliary"):
        make(classify=1.0)


def test_a_short_training_has_a_divergence_and_samples_that_differ(tmp_path: Path) -> None:
    options: dict[str, Any] = {**SMALL, "discriminator": JUDGE, "classify": 1.0}
    run = translate.fit(
        "unit",
        "demo(size=16, count=8)",
        output=tmp_path / "run",
        steps=8,
        batch=2,
        size=16,
        load_size=16,
        log_every=4,
        **options,
    )
    last = run.metrics[-1]
    assert last["translators/source_kl"] > 0
    assert last["translators/target_kl"] > 0
    directions = checkpoint.load(run.translator)[1]["directions"]
    assert directions == ["forward", "backward", "classify"]
    translator = translate.load(run.folder)
    image = torch.rand(1, 3, 16, 16) * 2 - 1
    drawn = translator.translate(image, samples=2, seed=3)
    assert drawn.shape == (2, 3, 16, 16)
    assert (drawn[0] - drawn[1]).abs().max() > 0.01
    assert torch.equal(drawn, translator.translate(image, samples=2, seed=3))


def test_learns_the_identity_of_two_like_domains() -> None:
    """Where both domains are the same few images, what is rebuilt comes close within a few steps."""
    method = make(1, 1, gan=0.0, cycle=0.0, cycle_kl=0.0)

    def adam(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(weights, lr=5e-3, fused=True)

    engine = Engine(method, dict.fromkeys(method.players, adam), steps=60)
    blobs = (torch.linspace(-1, 1, 32)[:, None] * torch.ones(32)).expand(2, 1, 32, 32).clone()
    errors = []
    for _ in range(60):
        engine.step([{"source": blobs, "target": blobs}])
        errors.append(engine.fetch()["translators/source_reconstruction"])
    assert errors[-1] < errors[0] / 3


def test_contract() -> None:
    options = ", ".join(f"{name}={value!r}" for name, value in {**SMALL, "discriminator": JUDGE}.items())
    example = f"unit({options}, latent_adversary=1, semantic_latent=1, classify=1)"
    check_plugin("unit", examples={"unit": example})
