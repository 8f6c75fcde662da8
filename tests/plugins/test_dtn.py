"""DTN: its terms by hand, who is pulled where, what it sees through, and what it keeps."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import translate
from translate.checkpoint import load as load_tensors
from translate.data import Domain
from translate.discriminator import DiscriminatorOutput
from translate.engine.step import Engine
from translate.errors import TranslateError
from translate.parts import CatalogParts, build_method
from translate.plugins import discover
from translate.run import Run
from translate.testing import check_plugin
from translate_dtn.decoded import Decoded
from translate_dtn.method import cosine
from translate_dtn.ternary import ThreeKinds

SEES = "squeezenet(weights=none, resize=no, layer=2)"
JUDGE = "semi_supervised(width=4, dropout=0)"
SMALL = {"features": SEES, "generator": "unet(width=4)", "discriminator": JUDGE}


def made(channels: int = 3, **options: Any) -> Any:
    torch.manual_seed(0)
    domain = Domain(channels)
    parts = CatalogParts(discover(), source=domain, target=domain, size=(32, 32))
    return build_method(discover(), "dtn", {**SMALL, **options}, parts).train()


def engine(method: Any) -> Engine:
    def adam(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(weights, lr=1e-3, betas=(0.5, 0.999))

    return Engine(method, dict.fromkeys(method.players, adam), steps=100)


def batch(index: int = 0, channels: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(index)
    return {name: torch.rand(2, channels, 32, 32, generator=generator) * 2 - 1 for name in ("source", "target")}


def terms(method: Any) -> dict[str, float]:
    machine = engine(method)
    machine.step([batch()])
    return machine.fetch()


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A classifier of the demonstration's sources, hardly trained."""
    return translate.fit(
        "classifier", "demo(size=32, count=6)", output=tmp_path_factory.mktemp("runs") / "classifier", size=32,
        batch=2, steps=2, network=JUDGE,
    )  # fmt: skip


def test_contract() -> None:
    options = ", ".join(f"{name}={value!r}" for name, value in SMALL.items())
    check_plugin("dtn", examples={"dtn": f"dtn({options}, gamma=1)"})


# --- the ternary game -----------------------------------------------------------------------------------------------


class Told(nn.Module):
    """A discriminator that reads its three logits off the first pixels of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        logits = self.scale * image[:, 0, 0, :3]
        return DiscriminatorOutput((logits[:, :1],), classes=logits)


def telling(logits: list[float]) -> Tensor:
    image = torch.zeros(1, 3, 32, 32)
    image[0, 0, 0, :3] = torch.tensor(logits)
    return image


def test_the_published_game_by_hand() -> None:
    method = made()
    method.adversary.discriminator.discriminator = Told()
    fake, same, real = telling([1, 0, 0]), telling([0, 2, 0]), telling([0, 0, 3])
    found = method.ternary.discriminator_terms(real, fake, same)
    d1, d2, d3 = (math.exp(n) / (math.exp(n) + 2) for n in (1, 2, 3))
    assert found.keys() == {"ternary"}
    assert found["ternary"].item() == pytest.approx(-math.log(d1) - math.log(d2) - math.log(d3), rel=1e-6)
    fooled = -math.log(1 / (math.e + 2)) - math.log(1 / (math.exp(2) + 2))
    assert method.ternary.generator_terms(fake, same)["ternary"].item() == pytest.approx(fooled, rel=1e-6)


def test_realness_is_the_log_odds_of_the_third_kind() -> None:
    chances = torch.tensor([[0.2, 0.3, 0.5], [0.05, 0.05, 0.9]])
    image = torch.zeros(2, 3, 32, 32)
    image[:, 0, 0, :3] = chances.log() + 7
    (realness,) = ThreeKinds(Told())(image).logits
    torch.testing.assert_close(realness[:, 0], torch.tensor([0.0, math.log(9)]), atol=1e-5, rtol=1e-5)


def test_terms_of_both_players() -> None:
    both = {"discriminator/ternary", "generator/ternary", "generator/preservation", "generator/identity"}
    assert terms(made()).keys() == both
    assert terms(made(gamma=0.1)).keys() == {*both, "generator/variation"}
    assert terms(made(alpha=0.0, beta=0.0)).keys() == {"discriminator/ternary", "generator/ternary"}


def test_penalties_and_rhythm_restrain_the_ternary_game_too() -> None:
    found = terms(made(adversarial="ternary + r1(weight=1)"))
    assert {"discriminator/ternary", "discriminator/r1"} < found.keys()
    assert "discriminator/adversarial" not in found
    slow = made(adversarial="ternary + critic(updates=3)")
    assert slow.period == 3
    moved = [{update.player for update in slow.updates(batch(), step)} for step in range(3)]
    assert moved == [{"discriminator"}, {"discriminator"}, {"discriminator", "generator"}]


@pytest.mark.parametrize("loss", ["hinge", "hinge + gradient_penalty"])
def test_any_loss_makes_a_game_of_two(loss: str) -> None:
    method = made(adversarial=loss, discriminator="patch(width=4, receptive_field=16)")
    assert method.ternary is None
    assert {"discriminator/adversarial", "generator/adversarial"} < terms(method).keys()


def test_a_game_of_two_counts_both_kinds_of_fakes_by_half() -> None:
    method = made(adversarial="lsgan", discriminator="patch(width=4, receptive_field=16)").eval()
    given = batch()
    first, second = (move.terms["adversarial"] for move in method.updates(given, 0))
    judge, real = method.adversary.discriminator, given["target"]
    on_real, on_fake, on_same = (
        judge(image).logits[0] for image in (real, method.generator(given["source"]), method.generator(real))
    )
    of_fakes = (on_fake.square().mean() + on_same.square().mean()) / 2
    torch.testing.assert_close(first, ((on_real - 1).square().mean() + of_fakes) / 2)
    fooled = ((on_fake - 1).square() / 2).mean() / 2 + ((on_same - 1).square() / 2).mean() / 2
    torch.testing.assert_close(second, fooled)


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(TranslateError, match="Patch tells no three kinds of images apart; choose one that tells"):
        terms(made(discriminator="patch(width=4, receptive_field=16)"))
    with pytest.raises(TranslateError, match="ternary has no options"):
        made(adversarial="ternary(weight=1)")
    with pytest.raises(TranslateError, match="dtn needs the option 'features'"):
        build_method(discover(), "dtn", {}, CatalogParts(
            discover(), source=Domain(3), target=Domain(3), size=(32, 32)))  # fmt: skip
    parts = CatalogParts(discover(), source=Domain(3), target=Domain(1), size=(32, 32))
    with pytest.raises(TranslateError, match="kind and number of channels, not 3 channels and 1 channel; convert"):
        build_method(discover(), "dtn", SMALL, parts)


# --- what the generator minimises -----------------------------------------------------------------------------------


def test_terms_of_the_generator_by_hand() -> None:
    method = made(alpha=2.0, beta=3.0, gamma=0.5)
    given = batch()
    fake, same = method.generator.eval()(given["source"]), method.generator(given["target"])
    for update in method.updates(given, 0):
        found = update
    seen = (method.features(fake) - method.features(given["source"])).square().mean()
    torch.testing.assert_close(found.terms["preservation"], 2 * seen)
    torch.testing.assert_close(found.terms["identity"], 3 * (same - given["target"]).square().mean())
    both = torch.cat([fake, same])
    variation = both.diff(dim=-1).abs().mean() + both.diff(dim=-2).abs().mean()
    torch.testing.assert_close(found.terms["variation"], 0.5 * variation)


def test_cosine_looks_at_directions_alone() -> None:
    first, second = torch.randn(2, 5, 4, 4), torch.randn(2, 5, 4, 4)
    torch.testing.assert_close(cosine(first, 3 * first), torch.zeros(()), atol=1e-6, rtol=0)
    torch.testing.assert_close(cosine(first, -second), 2 - cosine(first, second))
    hand = torch.stack([
        1 - torch.dot(a, b) / (a.norm() * b.norm())
        for a, b in zip(first.flatten(2).transpose(1, 2).flatten(0, 1), second.flatten(2).transpose(1, 2).flatten(0, 1),
                        strict=True)
    ]).mean()  # fmt: skip
    torch.testing.assert_close(cosine(first, second), hand)


def test_the_fixed_network_stays_and_everything_else_moves() -> None:
    method = made()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    machine = engine(method)
    machine.step([batch()])
    moved = {name for name, value in method.state_dict().items() if not torch.equal(value, before[name])}
    trained = {name for name, _ in method.named_parameters() if not name.startswith("features")}
    assert not any(name.startswith("features") for name in moved)
    assert len(moved & trained) > 0.9 * len(trained)
    assert not any(weight.requires_grad for weight in method.features.parameters())


def through(network: nn.Module, latent: tuple[int, ...], **options: Any) -> Any:
    """A method for gray images that sees through a network of ours, and draws what that sees."""

    class Seeing(CatalogParts):
        def feature_extractor(self, name: str, *, inputs: int | None = None) -> nn.Module:
            network.latent = latent  # type: ignore[assignment]
            return network

    torch.manual_seed(0)
    parts = Seeing(discover(), source=Domain(1), target=Domain(1), size=(32, 32))
    asked = {"features": "any", "decoder": "dcgan(width=8)", "discriminator": JUDGE, **options}
    return build_method(discover(), "dtn", asked, parts).train()


# --- G = g(f(x)) ----------------------------------------------------------------------------------------------------


def drawn(run: Path, **options: Any) -> dict[str, Any]:
    return {"features": str(run), "generator": "", "decoder": "dcgan(width=4)", "discriminator": JUDGE, **options}


def test_as_published_the_generator_draws_what_the_classifier_sees(classifier: Run) -> None:
    method = made(**drawn(classifier.folder))
    assert isinstance(method.generator, Decoded)
    assert method.generator.fixed_size == (32, 32)
    assert method.features.latent == (method.features.channels,)
    given = batch()["source"]
    torch.testing.assert_close(method.generator(given), method.generator.decoder(method.features(given)))
    trained = [name for name, weight in method.players["generator"].named_parameters() if weight.requires_grad]
    assert trained
    assert all(name.startswith("decoder.") for name in trained)


def test_a_map_of_features_is_drawn_by_a_decoder_of_maps() -> None:
    method = through(nn.AvgPool2d(4), (1, 8, 8), decoder="residual(width=4)")
    assert method.generator(batch(channels=1)["source"]).shape == (2, 1, 32, 32)
    with pytest.raises(TranslateError, match="dcgan cannot draw what any sees, 1x8x8 numbers .*or translate by"):
        through(nn.AvgPool2d(4), (1, 8, 8), decoder="dcgan")


def test_the_translator_holds_what_it_sees_through_and_nothing_by_path(classifier: Run, tmp_path: Path) -> None:
    sees = tmp_path / "sees"
    shutil.copytree(classifier.folder, sees)
    run = translate.fit(
        "dtn", "demo(size=32, count=6)", output=tmp_path / "run", size=32, batch=2, steps=2, save_every=1, keep=9,
        **drawn(sees),
    )  # fmt: skip
    image = torch.rand(1, 3, 45, 37, generator=torch.Generator().manual_seed(0)) * 2 - 1
    wanted = translate.load(run.folder).translate(image)
    assert wanted.shape == image.shape
    shutil.rmtree(sees)
    alone = tmp_path / "alone.safetensors"
    shutil.copy(run.translator, alone)
    assert torch.equal(translate.load(alone).translate(image), wanted)
    kept = load_tensors(run.translator)[0]
    original = load_tensors(classifier.translator)[0]
    own = {name.removeprefix("classify/"): value for name, value in original.items()}
    inside = {name.rpartition("classifier.")[2]: value for name, value in kept.items() if "classifier." in name}
    assert inside.keys() == own.keys()
    assert all(torch.equal(inside[name], value) for name, value in own.items())
    # The run goes on without the classifier, and to the same end.
    last = load_tensors(run.checkpoints[-1])[0]
    run.checkpoints[-1].unlink()
    again = load_tensors(translate.resume(run.folder).checkpoints[-1])[0]
    assert all(torch.equal(again[name], value) for name, value in last.items())


def test_a_generator_of_images_needs_no_features_to_translate(classifier: Run, tmp_path: Path) -> None:
    run = translate.fit(
        "dtn", "demo(size=32, count=6)", output=tmp_path / "run", size=32, batch=2, steps=1,
        **{**drawn(classifier.folder), "generator": "unet(width=4)"},
    )  # fmt: skip
    assert not any("classifier" in name for name in load_tensors(run.translator)[0])
    assert translate.load(run.folder).translate(torch.zeros(1, 3, 32, 32)).shape == (1, 3, 32, 32)


def test_preservation_keeps_what_the_fixed_network_sees() -> None:
    """f is the mean brightness: nothing but L_CONST says which source becomes which target."""
    off = {}
    for alpha in (0.0, 60.0):
        method = through(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), (1,), alpha=alpha, beta=0.0)
        machine = engine(method)
        for step in range(60):
            level = torch.rand(2, 4, 1, 1, 1, generator=torch.Generator().manual_seed(step)) * 2 - 1
            source, target = level.expand(-1, -1, 1, 32, 32).contiguous()
            machine.step([{"source": source, "target": target}])
        shades = torch.linspace(-0.8, 0.8, 9).view(9, 1, 1, 1).expand(9, 1, 32, 32)
        with torch.no_grad():
            made = method.translators["forward"].eval()(shades)
        off[alpha] = (made.mean((1, 2, 3)) - shades[:, 0, 0, 0]).abs().mean().item()
    assert off[60.0] < 0.5 * off[0.0]
