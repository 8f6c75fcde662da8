"""sgan: the published game by hand, what each player is told, labels or none, and that few labels become a classifier."""

from __future__ import annotations

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
from translate.method import Method
from translate.parts import CatalogParts, build_method
from translate.plugins import discover
from translate.saved import load_classifier, load_sampler
from translate.seeds import seed_step
from translate.testing import check_method

SMALL: dict[str, Any] = {
    "generator": "dcgan(width=4)",
    "discriminator": "semi_supervised(width=4)",
    "latent": 8,
}
LABELS = ("zero", "one", "two")


def make(labels: tuple[str, ...] = LABELS, size: tuple[int, int] = (16, 16), **options: Any) -> Any:
    torch.manual_seed(1)
    domain = Domain(1, labels=labels)
    parts = CatalogParts(discover(), source=domain, target=domain, size=size)
    return build_method(discover(), "sgan", {**SMALL, **options}, parts).train()


def adam(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(weights, lr=1e-3, betas=(0.5, 0.999))


def engine(method: Method, **options: Any) -> Engine:
    return Engine(method, dict.fromkeys(method.players, adam), steps=100, **options)


def batch(index: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(index)
    return {
        "source": torch.rand(4, 1, 16, 16, generator=generator) * 2 - 1,
        "labelled": torch.rand(4, 1, 16, 16, generator=generator) * 2 - 1,
        "labelled_label": torch.tensor([0, 1, 2, 1]),
    }


def terms(method: Method) -> dict[str, float]:
    machine = engine(method)
    for index in range(method.period):
        machine.step([batch(index)])
    return machine.fetch()


def test_steps_equal_the_published_loop_by_hand() -> None:
    ours, theirs = make(), make()
    machine = engine(ours, seed=3)
    generator, judge = theirs.sampler.decoder, theirs.adversary.discriminator
    for_generator, for_judge = adam(list(generator.parameters())), adam(list(judge.parameters()))
    for step in range(4):
        machine.step([batch(step)])

        data = batch(step)
        seed_step(3, step)
        fake = generator(torch.randn(4, 8))
        of_real, of_fake, of_labelled = (judge(x).classes for x in (data["source"], fake.detach(), data["labelled"]))
        of_real, of_fake = of_real.logsumexp(1), of_fake.logsumexp(1)
        supervised = F.cross_entropy(of_labelled, data["labelled_label"])
        unsupervised = (-of_real + F.softplus(of_real)).mean() / 2 + F.softplus(of_fake).mean() / 2
        for_judge.zero_grad()
        (supervised + unsupervised).backward()
        for_judge.step()
        wanted = judge(data["source"]).features[-1].mean(0).detach()
        for_generator.zero_grad()
        (wanted - judge(fake).features[-1].mean(0)).square().sum().backward()
        for_generator.step()
    for name, value in ours.state_dict().items():
        assert torch.allclose(value, theirs.state_dict()[name], rtol=1e-3, atol=1e-4), name


def test_contract() -> None:
    options = ", ".join(f"{name}={value!r}" for name, value in SMALL.items())
    check_method(
        f"sgan({options}, adversarial='hinge + critic(updates=2)')", data="demo(size=32, count=12, labels_per_class=1)"
    )


def test_contract_with_dense_networks_and_all_options() -> None:
    check_method(
        "sgan(generator='mlp(width=8)', discriminator='mlp(width=8, minibatch=yes, explicit=yes)', latent=4, "
        "objective=odena, feature_matching=no)"
    )


def test_terms() -> None:
    assert terms(make()).keys() == {"discriminator/adversarial", "discriminator/classes", "generator/features"}
    assert terms(make(feature_matching=False)).keys() == {
        "discriminator/adversarial", "discriminator/classes", "generator/adversarial",
    }  # fmt: skip
    assert terms(make(labels=())).keys() == {"discriminator/adversarial", "generator/adversarial"}
    assert terms(make(labels=(), feature_matching=True)).keys() == {"discriminator/adversarial", "generator/features"}
    assert "discriminator/r1" in terms(make(adversarial="hinge + r1(weight=1)"))
    assert "generator/features" in terms(make(adversarial="wasserstein + critic(updates=3)"))
    plain, heavy = terms(make()), terms(make(supervised=3.0))
    assert heavy["discriminator/classes"] == pytest.approx(3 * plain["discriminator/classes"], rel=1e-5)


def test_odena_adds_what_is_missing_to_a_softmax_over_classes_and_fakes() -> None:
    method = make(objective="odena")
    with torch.no_grad():
        logits = method.adversary.discriminator(batch()["labelled"]).classes
    found = terms(method)
    whole = F.cross_entropy(F.pad(logits, (0, 1)), batch()["labelled_label"])
    assert found["discriminator/classes"] + found["discriminator/labelled"] == pytest.approx(float(whole), rel=1e-5)
    explicit = make(objective="odena", discriminator="semi_supervised(width=4, explicit=yes)")
    head = explicit.adversary.discriminator.shared.head
    with torch.no_grad():
        logits = head.linear(explicit.adversary.discriminator(batch()["labelled"]).features[-1])
    assert logits.shape == (4, 4)
    found = terms(explicit)
    whole = F.cross_entropy(logits, batch()["labelled_label"])
    assert found["discriminator/classes"] + found["discriminator/labelled"] == pytest.approx(float(whole), rel=1e-5)


def test_feature_matching_pulls_the_generator_alone() -> None:
    method = make()
    updates = method.updates(batch(), 0)
    next(updates)
    (term,) = next(updates).terms.values()
    slopes = torch.autograd.grad(term, list(method.sampler.parameters()))
    assert all(bool(slope.any()) for slope in slopes)
    real, fake = (torch.rand(4, 1, 16, 16) for _ in range(2))
    features = [method.adversary.discriminator(x).features[-1].mean(0) for x in (real, fake)]
    from translate_sgan.method import feature_distance

    distance = feature_distance(method.adversary, real, fake)
    assert torch.allclose(distance, (features[0] - features[1]).pow(2).sum())
    assert float(feature_distance(method.adversary, real, real.flip(0)).detach()) == pytest.approx(0, abs=1e-9)


def test_the_target_is_learned_where_there_is_one() -> None:
    method = make()
    torch.manual_seed(0)
    alone = next(method.updates(batch(), 0)).terms["adversarial"]
    torch.manual_seed(0)
    both = {**batch(), "source": torch.zeros(4, 1, 16, 16), "target": batch()["source"]}
    assert torch.equal(next(method.updates(both, 0)).terms["adversarial"], alone)


def test_it_needs_labels_only_where_there_are_classes() -> None:
    assert make().needs.streams == ("labelled",)
    assert set(make().translators) == {"sample", "classify"}
    assert make(labels=()).needs.streams == ()
    assert set(make(labels=()).translators) == {"sample"}


def test_a_discriminator_without_classes_is_refused() -> None:
    with pytest.raises(TranslateError, match="tells no classes apart; choose one that does, such as semi_supervised"):
        terms(make(discriminator="patch(width=4, receptive_field=16)"))


def bars(path: Path, count: int, labelled: bool) -> Path:
    """Images of 16x16 with a bright bar, upright or across, on noise; a label says which, where they have one."""
    chance = np.random.default_rng(0)
    pixels = chance.integers(0, 60, (count, 16, 16), dtype=np.uint8)
    labels = np.arange(count) % 2
    for row, (label, place) in enumerate(zip(labels, chance.integers(2, 12, count), strict=True)):
        if label:
            pixels[row, place : place + 3] = 230
        else:
            pixels[row, :, place : place + 3] = 230
    np.savez(path, **({"image": pixels, "label": labels} if labelled else {"image": pixels}))
    return path


def fit(data: str, folder: Path, **options: Any) -> Any:
    asked = {"size": 16, "load_size": 16, "flip": False, "batch": 8, "log_every": 10, **SMALL, **options}
    return translate.fit("sgan", data, output=folder, **asked)


def test_few_labels_become_a_classifier_and_noise_becomes_images(tmp_path: Path) -> None:
    data = bars(tmp_path / "bars.npz", 200, labelled=True)
    adam = ("adam(lr=0.002, betas=(0.5, 0.999))",)
    run = fit(str(data), tmp_path / "run", layout="arrays(labels_per_class=15)", steps=80, ema=0.9, optimizer=adam)
    judge = load_classifier(run.folder)
    with np.load(data) as arrays:
        images = torch.from_numpy(arrays["image"])[:, None] / 127.5 - 1
        right = judge.classify(images).argmax(1) == torch.from_numpy(arrays["label"])
    assert judge.labels == ("0", "1")
    assert float(right.float().mean()) > 0.9
    sampler = load_sampler(run.folder)
    drawn = sampler.draw(range(8))
    assert drawn.shape == (8, 1, 16, 16)
    assert not torch.allclose(drawn[0], drawn[1])


def test_without_labels_it_is_dcgan_with_a_sampler_only(tmp_path: Path) -> None:
    data = bars(tmp_path / "bars.npz", 20, labelled=False)
    run = fit(str(data), tmp_path / "run", layout="arrays(source=image)", steps=2, discriminator="dcgan(width=4)")
    assert load_sampler(run.folder).draw([5]).shape == (1, 1, 16, 16)
    with pytest.raises(TranslateError, match="keeps no classifier"):
        load_classifier(run.folder)
