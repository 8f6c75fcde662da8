"""StarGAN v2: its losses by hand, heads and branches by class, what it keeps, its levers, and what it refuses."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forking import ran
from ranked import assert_same_weights, draw_as_ranks
from torch import Tensor, nn

import translate
from translate import images
from translate.checkpoint import load as load_tensors
from translate.cli import main
from translate.compute.compilation import Compilation
from translate.compute.compiler import missing_compiler
from translate.compute.settings import recompute
from translate.data import Domain
from translate.discriminator import DiscriminatorOutput
from translate.engine.step import Engine
from translate.errors import TranslateError
from translate.method import Method, Update
from translate.parts import CatalogParts, build_method
from translate.plugins import discover
from translate.ranks import ProcessGroup
from translate.run import Run
from translate.setup import optimizer_texts
from translate.testing import check_plugin
from translate.translator import Translator
from translate_stargan.layers import AdaIN, Block, StyledBlock, normalize

CLASSES = ("day", "dusk", "night")
SMALL: dict[str, Any] = {
    "width": 4,
    "widest": 8,
    "blocks": 1,
    "style_width": 5,
    "latent": 3,
    "hidden": 16,
    "downs": 1,
    "discriminator": "multi_branch(width=4, widest=8)",
}
PLAYERS = "generator+mapping+encoder"


def parts(source: Domain | None = None, target: Domain | None = None, side: int = 16) -> CatalogParts:
    source = source or Domain(3, labels=CLASSES)
    return CatalogParts(discover(), source=source, target=target or source, size=(side, side))


def make(given: CatalogParts | None = None, **options: Any) -> Any:
    torch.manual_seed(1)
    return build_method(discover(), "stargan", {**SMALL, **options}, given or parts()).train()


def batch(index: int = 0, count: int = 4, side: int = 16, channels: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(index)
    shape = (count, channels, side, side)
    found = {name: torch.rand(shape, generator=generator) * 2 - 1 for name in ("source", "reference", "reference2")}
    found["source_label"] = torch.randint(0, 3, (count,), generator=generator)
    return found | {"reference_label": torch.arange(count) % 3}


def engine(method: Method, **options: Any) -> Engine:
    def adam(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(weights, lr=1e-3, betas=(0.0, 0.99))

    return Engine(method, dict.fromkeys(method.players, adam), steps=100, **options)


def moves(method: Method, data: dict[str, Tensor], step: int = 0) -> list[Update]:
    torch.manual_seed(5)
    found = []
    for update in method.updates(data, step):
        assert isinstance(update, Update)
        found.append(update)
    return found


# --- by hand --------------------------------------------------------------------------------------------------------


def test_adain_by_hand() -> None:
    """A map of 1 and 3 has the mean 2 and the deviation 1; the style 2 gives scale 1 + 2 * 0.5 and shift 2 * 3."""
    layer = AdaIN(1, 1)
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor([[0.5], [3.0]]))
        layer.linear.bias.zero_()
    found = layer(torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[2.0]])).flatten().tolist()
    one = 1 / math.sqrt(1 + 1e-5)
    assert found == pytest.approx([6 - 2 * one, 6 + 2 * one])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("count", [1, 3])
def test_the_gradient_of_the_normalization(layout: torch.memory_format, count: int) -> None:
    x = torch.randn(count, 2, 3, 4, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    weight, bias = (torch.randn(2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(normalize, (x, weight, bias))
    plain = normalize(x)
    torch.testing.assert_close(plain.mean((2, 3)), torch.zeros(count, 2, dtype=torch.float64))
    assert torch.equal(normalize(x[:, :, :1, :1]), x[:, :, :1, :1])


def test_blocks_keep_the_variance_and_halve_or_double_the_sides() -> None:
    """Without residual the skip alone is left, divided by the root of 2, as a mean of 2 x 2 or repeated."""
    x = torch.arange(32.0).view(1, 2, 4, 4)
    down, up = Block(2, 2, down=True), StyledBlock(2, 2, 1, up=True)
    for block in (down, up):
        nn.init.zeros_(block.second.weight)
        nn.init.zeros_(block.second.bias)
    torch.testing.assert_close(down(x), nn.functional.avg_pool2d(x, 2) / math.sqrt(2))
    wanted = x.repeat_interleave(2, 2).repeat_interleave(2, 3) / math.sqrt(2)
    torch.testing.assert_close(up(x, torch.zeros(1, 1)), wanted)


class Branches(nn.Module):
    """The branch of class k is k + 1 times the sum of all values."""

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        total = image.flatten(1).sum(1, keepdim=True)
        return DiscriminatorOutput((total,), classes=torch.cat([total, 2 * total, 3 * total], 1))


class Adding(nn.Module):
    """An image and its style's only number."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, image: Tensor, style: Tensor) -> Tensor:
        return self.scale * image + style[:, :, None, None]


class Mapping(nn.Module):
    """The latent, shifted by a tenth of the class."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        return self.scale * latent + 0.1 * label[:, None]


class Encoder(nn.Module):
    """Half of the mean, shifted by a tenth of the class."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        return self.scale * image.mean((1, 2, 3))[:, None] / 2 + 0.1 * label[:, None]


def tiny(monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[Any, dict[str, Tensor]]:
    """A game whose networks are closed forms, with latents 0.4 and -0.2, on one image of one pixel."""
    monkeypatch.setattr(torch, "randn", lambda *_, **__: torch.tensor([[[0.4]], [[-0.2]]]))
    method = make(parts(Domain(1, labels=CLASSES)), **options)
    method.generator, method.mapping, method.encoder = Adding(), Mapping(), Encoder()
    method.adversary.discriminator.discriminator = Branches()
    pixel = torch.ones(1, 1, 1, 1)
    data = {"source": 0.6 * pixel, "reference": 0.2 * pixel, "reference2": -0.4 * pixel}
    return method, data | {"source_label": torch.tensor([0]), "reference_label": torch.tensor([2])}


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


def test_all_terms_of_one_pixel_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """x = 0.6 of class 0 to class 2, whose branch is 3 times the pixel; references 0.2 and -0.4."""
    method, data = tiny(monkeypatch)
    method.progress.fill_(0.25)
    found = [{name: term.item() for name, term in move.terms.items()} for move in moves(method, data)]
    # F(0.4) = 0.6, so the first fake is 1.2; E(0.2) = 0.3, so the second is 0.9. R1 is half of the squared slope 3.
    assert found[0] == pytest.approx(
        {"latent_adversarial": softplus(-3 * 0.2) + softplus(3 * 1.2), "latent_r1": 4.5}, rel=1e-5
    )
    assert found[1] == pytest.approx(
        {"reference_adversarial": softplus(3 * 0.4) + softplus(3 * 0.9), "reference_r1": 4.5}, rel=1e-5
    )
    # E of the fake in class 2 is 1.2 / 2 + 0.2; F(-0.2) = 0, so the other fake is 0.6; E of the source in class 0 is
    # 0.3, which gives 1.5 for 0.6.
    assert found[2] == pytest.approx(
        {
            "latent_adversarial": softplus(-3 * 1.2),
            "latent_style": abs(0.8 - 0.6),
            "latent_diversity": -0.75 * abs(1.2 - 0.6),
            "latent_cycle": abs(1.5 - 0.6),
        },
        rel=1e-5,
    )
    # E(0.9) = 0.65 beside 0.3; E(-0.4) = 0, so the other fake is 0.6; 0.9 + 0.3 for 0.6.
    assert found[3] == pytest.approx(
        {
            "reference_adversarial": softplus(-3 * 0.9),
            "reference_style": abs(0.65 - 0.3),
            "reference_diversity": -0.75 * abs(0.9 - 0.6),
            "reference_cycle": abs(1.2 - 0.6),
        },
        rel=1e-5,
    )


def test_the_diversity_falls_linearly_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = []
    for progress in (0.0, 0.5, 1.0):
        method, data = tiny(monkeypatch, diversity=2.0)
        method.progress.fill_(progress)
        values.append(moves(method, data)[2].terms["latent_diversity"].item())
    assert values == pytest.approx([-1.2, -0.6, 0.0], rel=1e-5)


def test_weights_scale_their_terms_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, heavy = (
        moves(*tiny(monkeypatch, **options)) for options in ({}, {"style": 3.0, "diversity": 2.0, "cycle": 0.5})
    )
    for number, kind in ((2, "latent"), (3, "reference")):
        for name, factor in (("adversarial", 1), ("style", 3), ("diversity", 2), ("cycle", 0.5)):
            key = f"{kind}_{name}"
            assert heavy[number].terms[key].item() == pytest.approx(factor * plain[number].terms[key].item()), key
    without = moves(*tiny(monkeypatch, diversity=0.0, cycle=0.0))
    assert [list(move.terms) for move in without[2:]] == [
        [f"{kind}_adversarial", f"{kind}_style"] for kind in ("latent", "reference")
    ]


def test_an_image_without_a_class_has_no_cycle(monkeypatch: pytest.MonkeyPatch) -> None:
    method, data = tiny(monkeypatch)
    twice = {name: torch.cat([value, value]) for name, value in data.items()}
    twice["source"] = torch.cat([data["source"], 9 * data["source"]])
    twice["source_label"] = torch.tensor([0, -1])
    monkeypatch.setattr(torch, "randn", lambda *_, **__: torch.tensor([[[0.4], [0.4]], [[-0.2], [-0.2]]]))
    assert moves(method, twice)[2].terms["latent_cycle"].item() == pytest.approx(0.9, rel=1e-5)
    twice["source_label"].fill_(-1)
    assert moves(method, twice)[2].terms["latent_cycle"].item() == 0


# --- the game -------------------------------------------------------------------------------------------------------


def test_the_order_of_the_moves() -> None:
    method = make()
    assert [move.label for move in moves(method, batch())] == ["discriminator", "discriminator", PLAYERS, "generator"]
    waiting = make(adversarial="nonsaturating + critic(updates=2)")
    assert waiting.period == 2
    assert [[move.label for move in moves(waiting, batch(), step)] for step in range(2)] == [
        ["discriminator"] * 2,
        ["discriminator", "discriminator", PLAYERS, "generator"],
    ]


def gradient_of(term: Tensor, module: nn.Module) -> dict[str, bool]:
    """Which weights of a module a term moves."""
    named = dict(module.named_parameters())
    found = torch.autograd.grad(term, list(named.values()), retain_graph=True, allow_unused=True)
    return {name: slope is not None and bool(slope.any()) for name, slope in zip(named, found, strict=True)}


@pytest.mark.parametrize("label", [0, 2])
def test_only_the_heads_of_the_class_move(label: int) -> None:
    method = make(cycle=0.0)
    data = batch()
    data["reference_label"].fill_(label)
    found = moves(method, data)
    terms = found[2].terms
    for module in (method.mapping, method.encoder):
        moved = gradient_of(terms["latent_style"], module)
        heads = {name.split(".")[1] for name, each in moved.items() if each and name.startswith("heads.")}
        assert heads == {str(label)}
        assert any(each for name, each in moved.items() if not name.startswith("heads."))
    inner = method.adversary.discriminator.discriminator
    (slope,) = torch.autograd.grad(found[0].terms["latent_adversarial"], [inner.branches.weight])
    assert [bool(row.any()) for row in slope] == [number == label for number in range(3)]


def test_the_own_style_is_that_of_the_sources_class() -> None:
    method = make(diversity=0.0)
    data = batch()
    data["reference_label"].fill_(0)
    data["source_label"].fill_(1)
    moved = gradient_of(moves(method, data)[2].terms["latent_cycle"], method.encoder)
    assert {name.split(".")[1] for name, each in moved.items() if each and name.startswith("heads.")} == {"1"}


def test_each_row_gets_the_head_of_its_class() -> None:
    method = make().eval()
    latent, image = torch.randn(3, 3), torch.rand(3, 3, 16, 16)
    labels = torch.tensor([2, 0, 1])
    together = method.mapping(latent, labels), method.encoder(image, labels)
    for row, label in enumerate(labels.tolist()):
        shared = method.mapping.shared(latent[row : row + 1])
        torch.testing.assert_close(together[0][row], method.mapping.heads[label](shared)[0])
        trunk = method.encoder.trunk(image[row : row + 1])
        torch.testing.assert_close(together[1][row], method.encoder.heads[label](trunk)[0])


def test_gradients_go_where_they_belong() -> None:
    method = make()
    found = moves(method, batch())
    players = dict(method.players)

    def reached(term: Tensor, names: tuple[str, ...]) -> set[str]:
        return {name for name in names if any(gradient_of(term, players[name]).values())}

    everyone = ("generator", "mapping", "encoder")
    for term, wanted in (
        ("latent_adversarial", {"generator", "mapping"}),
        ("latent_style", {"generator", "mapping", "encoder"}),
        ("latent_diversity", {"generator", "mapping"}),
        ("latent_cycle", {"generator", "mapping", "encoder"}),
    ):
        assert reached(found[2].terms[term], everyone) == wanted, term
    # By references the generator moves alone, and styles are constants; the encoder judges the translation.
    for term in found[3].terms.values():
        assert reached(term, ("mapping",)) == set()
    for move in found[:2]:
        for term in move.terms.values():
            assert reached(term, everyone) == set()


def test_who_moves_in_a_step() -> None:
    method = make()
    machine = engine(method)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    data = batch()
    data["reference_label"].fill_(1)
    data["source_label"].fill_(1)
    machine.step([data])
    moved = {name for name, value in method.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.partition(".")[0] for name in moved} == {"generator", "mapping", "encoder", "adversary"}
    assert not any(name.startswith(("mapping.heads.0", "mapping.heads.2", "encoder.heads.0")) for name in moved)


def test_the_second_image_is_a_constant() -> None:
    """The slope of the diversity is that of the first style's image alone."""
    method = make()
    term = moves(method, batch())[2].terms["latent_diversity"]
    torch.manual_seed(5)
    data = batch()
    latents = torch.randn(2, 4, 3)
    style, other = (method.mapping(each, data["reference_label"]) for each in latents)
    first = method.generator(data["source"], style)
    second = method.generator(data["source"], other).detach()
    wanted = -(first - second).abs().mean()
    weight = method.generator.last.weight
    torch.testing.assert_close(
        torch.autograd.grad(term, [weight])[0], torch.autograd.grad(wanted, [weight])[0], rtol=1e-4, atol=1e-6
    )


def test_discriminators_are_told_by_their_class_logits() -> None:
    assert len(moves(make(discriminator="auxiliary(width=4)", adversarial="hinge"), batch())) == 4
    with pytest.raises(
        TranslateError, match="needs a discriminator with class logits, and Patch has none; choose anot"
    ):
        moves(make(discriminator="patch(width=4, receptive_field=16)"), batch())


@pytest.mark.parametrize(
    "adversarial", ["hinge + diffaugment + r1(weight=1)", "relativistic", "lsgan + gradient_penalty", "hinge + dragan"]
)
def test_other_objectives(adversarial: str) -> None:
    machine = engine(make(adversarial=adversarial))
    machine.step([batch()])
    assert all(math.isfinite(value) for value in machine.fetch().values())


def test_the_published_networks_and_rates() -> None:
    with torch.device("meta"):
        method: Any = build_method(discover(), "stargan", {}, parts(side=256))
    assert method.generator.size_multiple == 16
    assert [block.first.in_channels for block in method.generator.encoder] == [64, 128, 256, 512, 512, 512]
    assert [block.second.out_channels for block in method.generator.decoder] == [512, 512, 512, 256, 128, 64]
    assert [block.second.out_channels for block in method.encoder.trunk.blocks] == [128, 256, 512, 512, 512, 512]
    linear = [layer for layer in method.mapping.shared if isinstance(layer, nn.Linear)]
    assert [layer.in_features for layer in linear] == [16, 512, 512, 512]
    assert [layer.out_features for layer in method.mapping.heads[0] if isinstance(layer, nn.Linear)] == [512] * 3 + [64]

    def config(**options: Any) -> Any:
        return Run(Path("run"), translate.run.Config(method="stargan", data="x", **options)).config

    adam = "adam(lr=0.0001, betas=(0.0, 0.99))"
    published = {**dict.fromkeys(method.players, adam), "mapping": "adam(lr=0.000001, betas=(0.0, 0.99))"}
    assert optimizer_texts(config(), method) == published
    mine = {"encoder": "sgd", **{name: "adam(lr=0.1)" for name in published if name != "encoder"}}
    assert optimizer_texts(config(optimizer=("adam(lr=0.1)", "encoder=sgd")), method) == mine
    assert optimizer_texts(config(optimizer=("encoder=sgd",)), method) == {**published, "encoder": "sgd"}
    # Who asks for the default of other methods gets it.
    assert optimizer_texts(config(optimizer=("adam",)), method) == dict.fromkeys(published, "adam")
    assert optimizer_texts(config(optimizer=("mapping=adam",)), method) == {**published, "mapping": "adam"}


def test_an_optimizer_that_is_asked_for_wins(folder: Path, tmp_path: Path) -> None:
    """Also if it is the one that other methods have by default; runs of early versions keep those of the paper."""
    options = {**SMALL, "size": 16, "load_size": 16, "steps": 1, "log_every": 1, "schedule": "none", "compile": "no"}

    def rates(run: Run) -> tuple[float, float]:
        row = run.metrics[-1]
        return row["learning_rate/generator"], row["learning_rate/mapping"]

    published, mine = (
        translate.fit("stargan", folder / "data", output=tmp_path / name, **asked, **options)
        for name, asked in (("published", {}), ("mine", {"optimizer": "adam"}))
    )
    assert rates(published) == (1e-4, 1e-6)
    assert rates(mine) == (2e-4, 2e-4)
    assert rates(translate.resume(mine.folder, steps=2)) == (2e-4, 2e-4)
    # Early versions wrote the name of the default where nothing was asked for.
    file = published.folder / "config.json"
    values = json.loads(file.read_text(encoding="utf-8"))
    assert values["config"]["optimizer"] == []
    file.write_text(json.dumps({**values, "config": {**values["config"], "optimizer": ["adam"]}}), encoding="utf-8")
    early = translate.resume(published.folder, steps=2)
    assert rates(early) == (1e-4, 1e-6)
    assert [each.what for each in early.changes] == ["steps"]
    changed = translate.resume(published.folder, steps=3, optimizer=["adam"])
    assert rates(changed) == (2e-4, 2e-4)
    assert [each.what for each in changed.changes if "rate" in each.what] == [
        "learning rate of generator, encoder, discriminator", "learning rate of mapping",
    ]  # fmt: skip


def test_initial_weights_are_those_of_he() -> None:
    method = make(width=64, widest=64)
    for module in method.generator.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            assert module.weight.std().item() == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.05)
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
            assert not module.bias.any()


@pytest.mark.parametrize(("side", "downs"), [(28, 1), (32, 1), (64, 2), (256, 4), (512, 4)])
def test_networks_fit_the_size(side: int, downs: int) -> None:
    with torch.device("meta"):
        method: Any = build_method(discover(), "stargan", {**SMALL, "downs": None}, parts(side=side))
        image = torch.zeros(2, 3, side, side)
        style = method.encoder(image, torch.zeros(2, dtype=torch.int64))
        assert style.shape == (2, 5)
        assert method.generator(image, style).shape == image.shape
    assert method.generator.size_multiple == 2**downs


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "target", "side", "options", "told"),
    [
        (Domain(3), None, 16, {}, "two or more, and this data has none; put its images into a folder for each class"),
        (Domain(3, labels=("cat",)), None, 16, {}, "two or more, and this data has one, cat; put its images"),
        (Domain(1, labels=CLASSES), Domain(3, labels=CLASSES), 16, {}, "channels, not 1 channel and 3 chan"),
        (Domain(3), Domain(3, labels=CLASSES), 16, {}, "the same classes in both domains, and these have others"),
        (
            None,
            None,
            18,
            {"downs": 2},
            "sides that divide by 4, which 18x18 does not; train with --size 16x16 or 20x20",
        ),
    ],
)
def test_data_that_does_not_fit_is_refused(
    source: Domain | None, target: Domain | None, side: int, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(TranslateError, match=told):
        make(parts(source, target, side), **options)


# --- what is kept ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of three brightnesses."""
    root = tmp_path_factory.mktemp("times")
    generator = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        for place in range(4):
            pixels = generator.integers(80 * number, 80 * number + 60, (24, 24, 3), dtype=np.uint8)
            (root / "data" / name).mkdir(parents=True, exist_ok=True)
            images.write(root / "data" / name / f"{place}.png", images.Image(pixels))
    return root


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return translate.fit(
        "stargan", folder / "data", output=folder / "run", size=16, load_size=16, batch=3, steps=2, ema=0.5,
        log_every=1, sample_every=1, **SMALL,
    )  # fmt: skip


@pytest.fixture
def translator(run: Run) -> Translator:
    return translate.load(run.folder)


def pictures(count: int = 8, height: int = 17, width: int = 21) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(3)) * 2 - 1


def test_a_batch_of_eight_is_eight_of_one(translator: Translator) -> None:
    x, seeds = pictures(), list(range(8))
    labels = torch.arange(8) % 3
    references = pictures(8, 16, 16).flip(3)
    for given in ({"label": labels}, {"label": labels, "reference": references}):
        for samples in (None, 2):
            whole = translator.translate(x, given=given, samples=samples, seed=seeds)
            rows = [
                translator.translate(
                    x[row : row + 1],
                    given={name: value[row : row + 1] for name, value in given.items()},
                    samples=samples,
                    seed=row,
                )
                for row in range(8)
            ]
            torch.testing.assert_close(whole, torch.cat(rows), rtol=1e-4, atol=1e-5)


def test_a_label_draws_a_style(translator: Translator) -> None:
    x = pictures(1, 18, 22)
    before = torch.get_rng_state()
    found = translator(x, given={"label": "night"}, seed=4)
    assert torch.equal(found, translator(x, given={"label": 2}, seed=4))
    assert not torch.allclose(found, translator(x, given={"label": "night"}, seed=5))
    assert not torch.allclose(found, translator(x, given={"label": "day"}, seed=4))
    several = translator(x, given={"label": "night"}, seed=4, samples=3)
    torch.testing.assert_close(several[:1], found, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(several[0], several[1])
    assert torch.equal(torch.get_rng_state(), before)
    network: Any = translator.network
    latent = torch.tensor([0.5, -1.0, 0.0])
    wanted = network.generator(x, network.mapping(latent[None], torch.tensor([1])))
    given = {"label": "dusk", "latent": latent.tolist()}
    torch.testing.assert_close(translator(x, given=given), wanted.detach(), rtol=1e-4, atol=1e-5)


def test_a_reference_gives_its_style(translator: Translator) -> None:
    x, reference = pictures(1, 18, 22), pictures(1, 16, 16)[0].flip(2)
    given = {"label": "dusk", "reference": reference}
    found = translator(x, given=given, seed=4)
    network: Any = translator.network
    style = network.encoder(reference[None], torch.tensor([1]))
    wanted = network.generator(x, style)
    torch.testing.assert_close(found, wanted.detach(), rtol=1e-4, atol=1e-5)
    # Nothing of it is drawn, and its class matters.
    assert torch.equal(found, translator(x, given=given, seed=5))
    assert not torch.allclose(found, translator(x, given={**given, "label": "day"}, seed=4))


def test_from_the_command_line(folder: Path, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def convert(inputs: Path, name: str, *arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["convert", str(run.folder), str(inputs), str(tmp_path / name), *arguments])
        found = capsys.readouterr()
        return int(ended.value.code or 0), " ".join((found.out + found.err).split())

    inputs, night = folder / "data" / "day", folder / "data" / "night" / "0.png"
    assert convert(inputs, "by-label", "--with", "label=night")[0] == 0
    assert convert(inputs, "several", "--with", "label=night", "--samples", "2")[0] == 0
    assert convert(inputs, "by-reference", "--with", "label=night", "--with", f"reference={night}")[0] == 0
    assert [len(list((tmp_path / name).glob("*.png"))) for name in ("by-label", "several", "by-reference")] == [4, 8, 4]
    one, first, second = (
        images.read(tmp_path / name).pixels.astype(int)
        for name in ("by-label/0.png", "several/0-1.png", "several/0-2.png")
    )
    assert np.abs(one - first).max() <= 1 < np.abs(first - second).max()
    for arguments, told in (
        ((), "needs label, a class of the target: day, dusk, night; give it with --with label=VALUE"),
        (("--with", f"reference={night}"), "needs label, a class of the target: day, dusk, night"),
        (("--with", "label=nigth"), "label is a class, and none is called 'nigth'; did you mean night"),
        (("--with", "label=3"), "there are 0 to 2 (day, dusk, night)"),
    ):
        code, text = convert(inputs, "no", *arguments)
        assert code == 2
        assert told in text
        assert "Traceback" not in text
    shown = "\n".join(translate.show(run.folder).lines())
    assert "label: a class of the target: day, dusk, night (needed)" in shown
    assert "latent: 3 numbers, drawn" in shown


@pytest.mark.parametrize("classes", [(), ("only",)])
def test_data_of_fewer_classes_is_refused_by_fit(tmp_path: Path, classes: tuple[str, ...]) -> None:
    for name in classes or ("",):
        (tmp_path / "data" / name).mkdir(parents=True, exist_ok=True)
        for place in range(2):
            images.write(tmp_path / "data" / name / f"{place}.png", images.Image(np.zeros((16, 16, 3), np.uint8)))
    has = "has one, only" if classes else "has none"
    with pytest.raises(TranslateError, match=f"{has}; put its images into a folder for each class"):
        translate.fit("stargan", tmp_path / "data", layout="classes", output=tmp_path / "run", size=16, **SMALL)


def test_arrays_with_labels(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    labels = np.arange(9) % 3
    np.savez(tmp_path / "data.npz", x=draws.integers(0, 256, (9, 16, 16), dtype=np.uint8), y=labels)
    made = translate.fit(
        "stargan", tmp_path / "data.npz", output=tmp_path / "run", size=16, load_size=16, batch=2, steps=1, **SMALL
    )
    assert translate.load(made.folder)(np.zeros((16, 16), np.uint8), given={"label": "2"}).shape == (16, 16, 1)
    np.savez(tmp_path / "gap.npz", x=draws.integers(0, 256, (9, 16, 16), dtype=np.uint8), y=2 * (labels > 0))
    with pytest.raises(TranslateError, match="the class 1 of the source of gap has no image; add two, or number"):
        translate.fit("stargan", tmp_path / "gap.npz", output=tmp_path / "no", size=16, load_size=16, **SMALL)


# --- levers ---------------------------------------------------------------------------------------------------------


def test_contract() -> None:
    options = ", ".join(f"{name}={value!r}" for name, value in SMALL.items())
    check_plugin(
        "stargan",
        examples={"stargan": f"stargan({options})", "multi_branch": "multi_branch(width=4, widest=8)"},
    )


def test_the_adversary_is_in_checkpoints_and_not_in_the_translator(run: Run) -> None:
    assert any("adversary" in name for name in load_tensors(run.checkpoints[-1])[0])
    saved = load_tensors(run.translator)[0]
    assert {name.split(".")[0] for name in saved} == {"forward/generator", "forward/mapping", "forward/encoder"}


def test_passes_are_put_together_exactly() -> None:
    method = make().double()
    data = {name: value.double() if value.is_floating_point() else value for name, value in batch().items()}
    apart = moves(method, data)
    method.pass_together()
    assert method.adversary.together
    for one, other in zip(moves(method, data), apart, strict=True):
        for name, term in one.terms.items():
            torch.testing.assert_close(term, other.terms[name], rtol=1e-10, atol=1e-12)


def test_what_is_recomputed_is_the_same() -> None:
    given = parts()
    first, second = make(), make(given)
    recompute(given.translating)
    assert [type(each).__name__ for each in given.translating] == ["Generator", "MappingNetwork", "StyleEncoder"]
    for method in (first, second):
        machine = engine(method, seed=3)
        for step in range(2):
            machine.step([batch(step)])
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key


@pytest.mark.compiled
@pytest.mark.skipif(missing_compiler(torch.device("cpu")) is not None, reason="nothing compiles here")
def test_what_is_compiled_is_the_same() -> None:
    given = parts()
    first = make(given, adversarial="nonsaturating").double()
    Compilation("yes", given.networks, left=0, group=ProcessGroup(), device=torch.device("cpu"))
    second = make(adversarial="nonsaturating").double()
    for method in (first, second):
        machine = engine(method, seed=3)
        for step in range(2):
            data = batch(step).items()
            machine.step([{key: value.double() if value.is_floating_point() else value for key, value in data}])
    for key, value in first.state_dict().items():
        torch.testing.assert_close(value, second.state_dict()[key], rtol=1e-8, atol=1e-8)


def test_bf16_is_near_float32() -> None:
    found = []
    for precision in ("float32", "bf16"):
        machine = engine(make(), precision=precision)
        machine.step([batch()])
        found.append(machine.fetch())
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        assert found[1][name] == pytest.approx(value, rel=0.1, abs=0.1), name


def test_the_weights_of_two_batches_are_those_of_a_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # What is drawn for a large batch is not drawn for its parts.
    monkeypatch.setattr(torch, "randn", torch.zeros)
    first, second = (make(adversarial="nonsaturating + r1(weight=1)").double() for _ in range(2))

    def sgd(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(weights, lr=0.01)

    one, other = (Engine(method, dict.fromkeys(method.players, sgd), steps=9) for method in (first, second))
    for step in range(2):
        data = {key: value.double() if value.is_floating_point() else value for key, value in batch(step).items()}
        one.step([{key: value.chunk(2)[number] for key, value in data.items()} for number in range(2)])
        other.step([data])
    for key, value in first.state_dict().items():
        torch.testing.assert_close(value, second.state_dict()[key], rtol=1e-9, atol=1e-11)
    assert one.fetch() == pytest.approx(other.fetch(), rel=1e-8)


def test_two_ranks_train_as_one_with_their_draws(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two devices, started by the command line, against one process whose two batches a step have the ranks' latents."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    options = {"size": 16, "load_size": 16, "steps": 2, "log_every": 1, "compile": "no", "optimizer": "sgd(lr=0.02)"}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in {**options, **SMALL}.items()]
    done = ran("fit", "stargan", folder / "data", "-o", tmp_path / "two", "--devices=2", *flags)
    assert done.returncode == 0, done.stderr
    two = Run.open(tmp_path / "two")
    draw_as_ranks(monkeypatch)
    one = translate.fit("stargan", folder / "data", output=tmp_path / "one", accumulate=2, **options, **SMALL)
    assert_same_weights(one, two)
    assert [line["step"] for line in two.metrics] == [1, 2]
    for ours, theirs in zip(one.metrics, two.metrics, strict=True):
        for name in (name for name in ours if name.startswith(("discriminator/", "generator"))):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4, abs=1e-6), name


# --- from end to end ------------------------------------------------------------------------------------------------


def test_it_learns_the_brightness_of_a_class() -> None:
    """Plain images of three brightnesses: translations to the brightest are brighter, by label and by reference."""
    method = make(parts(Domain(1, labels=CLASSES), side=8), downs=0, latent=2, cycle=0.0, diversity=0.0)
    machine = engine(method)
    for player in machine.players.values():
        player.rates = [1e-2 for _ in player.rates]
    levels = torch.tensor([-0.8, 0.0, 0.8])

    def plain(labels: Tensor) -> Tensor:
        return levels[labels][:, None, None, None] + 0.05 * torch.randn(len(labels), 1, 8, 8)

    labels = torch.arange(6) % 3
    for step in range(60):
        torch.manual_seed(step)
        of_source = torch.randint(0, 3, (6,))
        data = {"source": plain(of_source), "source_label": of_source, "reference_label": labels}
        machine.step([{**data, "reference": plain(labels), "reference2": plain(labels)}])
    with torch.no_grad():
        source = plain(torch.zeros(6, dtype=torch.int64))
        for style in (method.mapping(torch.randn(6, 2), labels), method.encoder(plain(labels), labels)):
            found = method.generator(source, style).mean((1, 2, 3))
            assert found[labels == 2].mean() > found[labels == 0].mean() + 0.3
