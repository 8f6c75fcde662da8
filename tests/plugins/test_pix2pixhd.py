"""pix2pixHD: its networks' sizes, the three stages, feature matching by hand, what is kept at each stage, its contract."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import translate
from translate import testing
from translate.data import Domain
from translate.discriminator import DiscriminatorOutput
from translate.engine.step import Engine
from translate.errors import TranslateError
from translate.method import Method
from translate.parts import CatalogParts, build_method
from translate.plugins import discover
from translate_networks.global_local import GlobalLocal
from translate_networks.multiscale import MultiScale, halve
from translate_networks.patch import Patch

GENERATOR = "global_local(width=4, halvings=1, blocks=1, enhancer_blocks=1)"
SMALL: dict[str, Any] = {"generator": GENERATOR, "discriminator": "multiscale(width=4, scales=2, receptive_field=16)"}


def make(target: int = 2, **options: Any) -> Any:
    torch.manual_seed(1)
    parts = CatalogParts(discover(), source=Domain(3), target=Domain(target), size=(32, 32))
    return build_method(discover(), "pix2pixhd", {**SMALL, **options}, parts).train()


def engine(method: Method, steps: int, rate: float = 2e-4) -> Engine:
    def adam(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(weights, lr=rate, betas=(0.5, 0.999))

    return Engine(method, dict.fromkeys(method.players, adam), steps=steps)


def batch(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "source": torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1,
        "target": torch.rand(2, 2, 32, 32, generator=generator) * 2 - 1,
    }


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(before: dict[str, Tensor], module: nn.Module) -> bool:
    return all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


# --- networks -------------------------------------------------------------------------------------------------------


def test_the_global_network_has_the_published_layers() -> None:
    """Convolutions keep their bias: c7s1-64, four halvings, nine blocks of two at 1024, four doublings."""
    with torch.device("meta"):
        network = GlobalLocal(3, 3)
    widths = [64, 128, 256, 512, 1024]
    wanted = 3 * 64 * 49 + 64 + 9 * 2 * (1024 * 1024 * 9 + 1024)
    wanted += sum(a * b * 9 + b for a, b in itertools.pairwise(widths))
    wanted += sum(a * b * 9 + a for a, b in itertools.pairwise(widths))
    assert sum(weight.numel() for weight in network.coarse.parameters()) == wanted
    enhancer = 3 * 32 * 49 + 32 + 32 * 64 * 9 + 64 + 3 * 2 * (64 * 64 * 9 + 64) + 64 * 32 * 9 + 32 + 32 * 3 * 49 + 3
    assert sum(weight.numel() for weight in network.parameters()) == wanted + enhancer
    assert network.size_multiple == 32


def test_the_networks_keep_their_contracts() -> None:
    testing.check_generator(GENERATOR)
    testing.check_discriminator("multiscale(width=4)")
    testing.check_discriminator("multiscale(width=4, scales=1, receptive_field=16, spectral=yes)")


def test_each_scale_is_a_patch_discriminator_of_a_halved_pair() -> None:
    network = MultiScale(2, 3, (64, 64), scales=3, receptive_field=16, width=4)
    image, condition = torch.rand(2, 2, 64, 64), torch.rand(2, 3, 64, 64)
    output = network(image, condition)
    assert [tuple(logit.shape[-2:]) for logit in output.logits] == [(30, 30), (14, 14), (6, 6)]
    assert len(output.features) == 6
    for scale, judge in enumerate(network.scales):
        alone = judge(image, condition)
        assert torch.equal(alone.logits[0], output.logits[scale])
        image, condition = halve(image), halve(condition)
    one = sum(weight.numel() for weight in Patch(2, 3, receptive_field=16, width=4, norm="instance").parameters())
    assert sum(weight.numel() for weight in network.parameters()) == 3 * one


def test_small_images_get_small_patches_or_a_sentence() -> None:
    def layers(side: int) -> int:
        return len(MultiScale(3, 0, (side, side)).scales[0].layers)  # type: ignore[arg-type]

    assert layers(96) == layers(256) == 4
    assert layers(24) == layers(92) == 2
    with pytest.raises(TranslateError, match=r"side of 8 px at scale 3.*receptive_field=16, scales=1, or larger"):
        MultiScale(3, 0, (32, 32), receptive_field=70)
    with pytest.raises(TranslateError, match="choose scales=1, or larger images"):
        MultiScale(3, 0, (8, 8))


@pytest.mark.parametrize(("field", "scales", "weight"), [(70, 3, 10 / 6), (70, 2, 2.5), (16, 3, 10 / 3)])
def test_the_lambda_that_weighs_feature_matching_as_the_reference_does(field: int, scales: int, weight: float) -> None:
    """There: squares without 1/2, and 10 / scales * 4 / (L + 1) for each of L + 1 layers; 10 and 1/2 are the paper's."""
    torch.manual_seed(0)
    side = 192
    judge = f"multiscale(width=4, scales={scales}, receptive_field={field})"
    parts = CatalogParts(discover(), source=Domain(3), target=Domain(2), size=(side, side))
    options = {"generator": GENERATOR, "discriminator": judge, "enhance": 0.0, "joint": 0.0}
    method: Any = build_method(discover(), "pix2pixhd", {**options, "feature_matching": weight}, parts)
    network = method.adversary.discriminator
    fake, real, source = (torch.rand(1, channels, side, side) for channels in (2, 2, 3))
    made, wanted = network(fake, source), network(real, source)
    layers = len(made.features) // scales
    squares = sum((logit - 1).square().mean() for logit in made.logits)
    apart = sum((one - other).abs().mean() for one, other in zip(made.features, wanted.features, strict=True))
    reference = 10 / scales * 4 / layers * apart / squares
    ours = weight * method._matching(method.adversary, fake, real, source)
    game = method.adversary.generator_terms(fake, real, condition=source)["adversarial"]
    torch.testing.assert_close(ours / game, reference)
    # The published formula is the default, and weighs as many times as much.
    by_default = build_method(discover(), "pix2pixhd", options, parts)
    assert by_default.feature_matching / weight == pytest.approx(2 * scales * layers / 4)  # type: ignore[operator]


# --- the stages -----------------------------------------------------------------------------------------------------


def test_three_stages_follow_one_another_and_train_what_they_should() -> None:
    """Ten steps: five of the global network, one of the enhancer alone, four of both."""
    method = make()
    machine = engine(method, 10)
    generator = method.growing.generator
    coarse, enhancer = generator.coarse, nn.ModuleList([generator.opening, generator.enhancer])
    head = method.growing.head
    judges = method.players["discriminator"]
    trained = []
    for step in range(10):
        parts = {"coarse": coarse, "enhancer": enhancer, "head": head, "D": judges["fine"], "d": judges["coarse"]}
        before = {name: state(part) for name, part in parts.items()}
        machine.step([batch(step)])
        trained.append({name for name, part in parts.items() if not same(before[name], part)})
        terms = machine.fetch()
        assert any("coarse_" in name for name in terms) == (step < 5)
        assert bool(method.growing.refined) == (step >= 5)
    assert trained == [{"coarse", "head", "d"}] * 5 + [{"enhancer", "D"}] + [{"coarse", "enhancer", "D"}] * 4


def test_the_joint_stage_goes_on_with_the_enhancers_schedule() -> None:
    seen: list[tuple[int, int]] = []
    method = make()
    machine = Engine(
        method,
        dict.fromkeys(method.players, lambda weights: torch.optim.SGD(weights, lr=0.0)),
        steps=10,
        schedule=lambda step, steps: seen.append((step, steps)) or 1.0,  # type: ignore[func-returns-value]
    )
    for step in range(10):
        machine.step([batch(step)])
    assert seen == [(step, 5) for step in range(5)] * 2
    assert method.stage == 2


def test_a_network_that_waits_starts_with_a_fresh_optimizer() -> None:
    """The enhancer's first step is Adam's first: as large as the rate, not swollen by a second moment of nothing."""
    method = make(enhance=0.5, joint=0.5)
    machine = engine(method, 4, rate=1e-3)
    before = state(method.growing.generator.enhancer)
    for step in range(3):
        machine.step([batch(step)])
    moved = [
        float((value - before[name]).abs().max())
        for name, value in method.growing.generator.enhancer.state_dict().items()
        if name in before and value.is_floating_point()
    ]
    assert 0 < max(moved) <= 1.001e-3


def test_what_is_kept_answers_at_every_stage() -> None:
    method = make().eval()
    kept, image = method.translators["forward"], batch()["source"]
    with torch.no_grad():
        early = kept(image)
        enlarged = F.interpolate(kept.coarse(image), (32, 32), mode="bilinear", align_corners=False)
        assert torch.equal(early, enlarged)
        kept.refined.fill_(True)
        assert torch.equal(kept(image), method.growing.generator(image))
        assert not torch.equal(kept(image), early)
    again = make(enhance=0.0, joint=0.0)
    again.translators["forward"].load_state_dict(kept.state_dict())
    assert bool(again.growing.refined)


def test_shares_of_the_training_are_checked_and_kept() -> None:
    with pytest.raises(TranslateError, match=r"joint=0.2 must not be less than enhance=0.5"):
        make(joint=0.2)
    assert make(enhance=0.25, joint=0.5).stages == (0.25, 0.5)


# --- the objective --------------------------------------------------------------------------------------------------


def test_the_terms_by_hand() -> None:
    method = make(enhance=0.0, joint=0.0, feature_matching=3.0)
    method.stage = 2
    data = batch()
    source, target = data["source"], data["target"]
    updates = method.updates(data, 0)
    first = next(updates)
    judge = method.adversary.discriminator
    fake = method.growing.generator(source)
    real, made = judge(target, source), judge(fake, source)
    wanted = sum(
        0.5 * (r - 1).square().mean() + 0.5 * f.square().mean() for r, f in zip(real.logits, made.logits, strict=True)
    )
    assert float(first.terms["adversarial"].detach()) == pytest.approx(float(wanted.detach()), rel=1e-5)
    second = next(updates)
    matching = sum((a - b).abs().mean() for a, b in zip(real.features, made.features, strict=True))
    assert float(second.terms["feature_matching"].detach()) == pytest.approx(3 * float(matching.detach()), rel=1e-5)
    assert len(real.features) == 4
    assert second.terms.keys() == {"adversarial", "feature_matching"}


def test_what_a_fixed_network_sees_of_the_fake_is_to_be_the_targets() -> None:
    sees = "squeezenet(weights=none, resize=no, layer=2)"
    method = make(3, enhance=0.0, joint=0.0, extractor=sees, perceptual=4.0)
    method.stage = 2
    data = {"source": batch(0)["source"], "target": batch(1)["source"]}
    *_, update = method.updates(data, 0)
    fake = method.growing.generator(data["source"])
    apart = (method.extractor(fake) - method.extractor(data["target"])).abs().mean()
    torch.testing.assert_close(update.terms["perceptual"], 4 * apart)
    assert make(3, extractor=sees, perceptual=0.0).extractor is None
    assert make().extractor is None


def test_feature_matching_may_be_left_out_or_impossible() -> None:
    machine = engine(make(feature_matching=0.0), 2)
    machine.step([batch()])
    assert machine.fetch().keys() == {"discriminator/coarse_adversarial", "generator/coarse_adversarial"}
    method = make()
    judge = method.coarse_adversary.discriminator
    judge.register_forward_hook(lambda _module, _given, output: DiscriminatorOutput(logits=output.logits))
    with pytest.raises(TranslateError, match="no inner activations"):
        engine(method, 2).step([batch()])


def test_a_generator_without_stages_is_refused() -> None:
    with pytest.raises(TranslateError, match=r"from coarse to fine, which resnet\(width=4\) is not made for"):
        make(generator="resnet(width=4)")


def test_it_obeys_the_adversary_about_who_moves() -> None:
    method = make()
    method.adversary.period = method.coarse_adversary.period = 2
    assert method.period == 2
    machine = engine(method, 4)
    machine.step([batch(0)])
    assert all(name.startswith("discriminator/") for name in machine.fetch())
    machine.step([batch(1)])
    assert "generator/coarse_adversarial" in machine.fetch()


def test_contract() -> None:
    options = ", ".join(f"{name}={value!r}" for name, value in SMALL.items())
    testing.check_method(f"pix2pixhd({options}, feature_matching=1)")


def test_it_learns_a_simple_map_in_all_its_stages() -> None:
    """Inverting blocks of gray: what is kept comes near in the first stage, and the later ones do not lose it."""

    def blocks(seed: int) -> dict[str, Tensor]:
        small = torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1
        source = F.interpolate(small, (32, 32), mode="nearest")
        return {"source": source.expand(-1, 3, -1, -1).contiguous(), "target": -source.expand(-1, 2, -1, -1)}

    method = make(
        generator="global_local(width=16, halvings=2, blocks=1)", discriminator="multiscale(width=16, scales=2)"
    )
    machine = engine(method, 120, rate=1e-3)
    data, distances = blocks(999), []
    for step in range(120):
        if step % 60 == 0:
            distances.append(distance(method, data))
        machine.step([blocks(step)])
    distances.append(distance(method, data))
    assert distances[1] < 0.6 * distances[0]
    assert distances[2] < 0.6 * distances[0]


@torch.no_grad()
def distance(method: Any, data: dict[str, Tensor]) -> float:
    method.eval()
    answer = method.translators["forward"](data["source"])
    method.train()
    return float((answer - data["target"]).abs().mean())


def test_it_trains_and_converts(tmp_path: Path) -> None:
    run = translate.fit(
        "pix2pixhd", "demo(size=32, count=8)", output=tmp_path / "run", size=32, load_size=32, batch=2, steps=6,
        log_every=1, **SMALL,
    )  # fmt: skip
    lines = [set(line) for line in run.metrics]
    assert "generator/coarse_feature_matching" in lines[0]
    assert "generator/feature_matching" in lines[-1]
    answer = translate.load(run.folder)(torch.zeros(3, 45, 33))
    assert answer.shape == (3, 45, 33)
