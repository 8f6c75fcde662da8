"""cgan: its losses by hand, conditions that matter, what it takes at use, every lever, and the small world."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forking import ran
from test_capture import both, same
from torch import Tensor, nn
from torch.nn import functional as F

import translate
from translate.adversary import Adversary
from translate.checkpoint import load as load_tensors
from translate.compute.compilation import Compilation
from translate.compute.compiler import missing_compiler
from translate.compute.flops import flops_of_step
from translate.compute.settings import recompute
from translate.data import Domain
from translate.discriminator import DiscriminatorOutput
from translate.engine.step import Engine
from translate.errors import TranslateError
from translate.method import Method, Needs, Update
from translate.parts import CatalogParts, build_method
from translate.plugins import discover
from translate.ranks import ProcessGroup
from translate.run import Run
from translate.saved import load_sampler
from translate.streams import Streams
from translate.taken import taken_by
from translate.testing import check_plugin
from translate_cgan.condition import Condition
from translate_losses.adversarial import NonSaturating
from translate_losses.diffaugment import DiffAugment
from translate_networks.concatenation import Concatenation
from translate_networks.projection import Projection

CLASSES = {
    "generator": "dcgan(width=4)", "discriminator": "projection(width=4, norm=layer)", "latent": 6, "embedding": 5,
}  # fmt: skip
TEXT = {**CLASSES, "condition": "text", "discriminator": "concatenation(width=4, norm=layer, heads=2)"}
WORLD = {
    "condition": "text, action", "translator": "resnet(blocks=1, width=4)", "embedding": 3,
    "discriminator": "projection(width=4, norm=layer)",
}  # fmt: skip
MODES = {"classes": CLASSES, "text": {**TEXT, "interpolation": 0.5}, "world": WORLD}
STREAMS = Streams({}, {"text": 4, "action": 2})


def parts(labels: tuple[str, ...] = ("0", "1", "2"), streams: Streams = STREAMS, side: int = 16) -> CatalogParts:
    target = Domain(3, labels=labels)
    return CatalogParts(discover(), source=Domain(1), target=target, size=(side, side), streams=streams)


def make(mode: str = "classes", given: CatalogParts | None = None, **options: Any) -> Any:
    torch.manual_seed(1)
    return build_method(discover(), "cgan", {**MODES[mode], **options}, given or parts()).train()


def batch(index: int = 0, count: int = 4, side: int = 16) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(index)

    def drawn(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator) * 2 - 1

    found = {"source": drawn(1, side, side), "target": drawn(3, side, side), "labelled": drawn(3, side, side)}
    found["labelled_label"] = torch.randint(0, 3, (count,), generator=generator)
    for name, width in STREAMS.vectors.items():
        found |= {name: drawn(width), f"mismatched_{name}": drawn(width)}
    return found


def engine(method: Method, **options: Any) -> Engine:
    def adam(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(weights, lr=2e-4, betas=(0.5, 0.999))

    return Engine(method, dict.fromkeys(method.players, adam), steps=100, **options)


def moves(method: Method, data: dict[str, Tensor], step: int = 0) -> dict[str, dict[str, Tensor]]:
    found = {}
    torch.manual_seed(5)
    for update in method.updates(data, step):
        assert isinstance(update, Update)
        found[update.label] = dict(update.terms)
    return found


# --- the losses by hand -----------------------------------------------------------------------------------------------


class Told(nn.Module):
    """A discriminator whose logits are the first number of its condition plus the mean of its image."""

    takes_vectors = True
    heads = 1

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        assert condition is not None
        realness, match = image.mean((1, 2, 3))[:, None], condition[:, :1] + image.mean((1, 2, 3))[:, None]
        return DiscriminatorOutput((realness,), (match,)) if self.heads == 2 else DiscriminatorOutput((match,))


@pytest.mark.parametrize("share", [0.5, 0.25, 0.0, None])
def test_the_matching_aware_loss_of_three_logits_by_hand(share: float | None) -> None:
    """Real pair 0.5 + 1, fake 0.5 - 1, real image with another condition -2 + 1."""
    real, fake = torch.ones(1, 1, 2, 2), -torch.ones(1, 1, 2, 2)
    own, other = torch.tensor([[0.5, 9.0]]), torch.tensor([[-2.0, 9.0]])
    s = lambda x: 1 / (1 + math.exp(-x))  # noqa: E731
    m = 0.5 if share is None else share
    match = -math.log(s(1.5)) - (1 - m) * math.log(1 - s(-0.5)) - m * math.log(1 - s(-1.0))
    adversary = Adversary(Told(), NonSaturating())
    found = adversary.discriminator_terms(real, fake, condition=own, mismatched=other, share=share)
    assert found.keys() == {"adversarial"}
    assert found["adversarial"].item() == pytest.approx(match, rel=1e-6)
    # With two heads the mismatched pair is none of the realness's fakes.
    adversary.discriminator.heads = 2
    found = adversary.discriminator_terms(real, fake, condition=own, mismatched=other, share=share)
    assert found["match"].item() == pytest.approx(match, rel=1e-6)
    assert found["realness"].item() == pytest.approx(-math.log(s(1)) - math.log(1 - s(-1)), rel=1e-6)


def test_the_terms_of_a_step_are_those_of_the_formula() -> None:
    method = make("text", matching_aware=0.25, interpolation=2.0, discriminator=CLASSES["discriminator"])
    data = batch()
    found = moves(method, data)
    torch.manual_seed(5)
    noise = torch.randn(4, 6)
    judge, fake = method.adversary.discriminator, method.generator(noise, text=data["text"])

    def logit(image: Tensor, text: Tensor) -> Tensor:
        return judge(image, text).logits[0]

    real, own, other = data["target"], data["text"], data["mismatched_text"]
    by_hand = (
        F.softplus(-logit(real, own)).mean()
        + 0.75 * F.softplus(logit(fake, own)).mean()
        + 0.25 * F.softplus(logit(real, other)).mean()
    )
    torch.testing.assert_close(found["discriminator"]["adversarial"], by_hand)
    torch.testing.assert_close(found["generator"]["adversarial"], F.softplus(-logit(fake, own)).mean())
    halfway = (own + other) / 2
    between = method.generator(noise, text=halfway)
    torch.testing.assert_close(
        found["generator"]["interpolated_adversarial"], 2 * F.softplus(-logit(between, halfway)).mean()
    )
    assert found["generator"].keys() == {"adversarial", "interpolated_adversarial"}


def test_the_projection_by_hand() -> None:
    """psi of the summed features, and the inner product of V y with them."""
    torch.manual_seed(0)
    network = Projection(1, 2, (8, 8), width=3, norm="none", heads=2)
    image, vector = torch.rand(2, 1, 8, 8), torch.tensor([[1.0, 0.0], [0.5, -2.0]])
    found = network(image, vector)
    phi = found.features[-1].sum((2, 3))
    assert phi.shape == (2, 3)
    for row in range(2):
        projected = [sum(network.projection.weight[c, d] * vector[row, d] for d in range(2)) for c in range(3)]
        by_hand = sum((network.psi.weight[0, c] + projected[c]) * phi[row, c] for c in range(3)) + network.psi.bias[0]
        torch.testing.assert_close(found.match[0][row, 0], by_hand)
    torch.testing.assert_close(found.logits[0], F.linear(phi, network.realness.weight, network.realness.bias))
    # Without a projection the condition has no say.
    nn.init.zeros_(network.projection.weight)
    torch.testing.assert_close(network(image, vector).match[0], network(image, -vector).match[0])


def test_the_concatenation_by_hand() -> None:
    torch.manual_seed(0)
    network = Concatenation(1, 2, (8, 8), width=3, norm="none", embedding=4)
    image, vector = torch.rand(2, 1, 8, 8), torch.randn(2, 2, requires_grad=True)
    found = network(image, vector)
    embedded = F.leaky_relu(vector @ network.embedding[0].weight.T + network.embedding[0].bias, 0.2)
    joint = network.joint[0]
    total = torch.zeros(2)
    for y in range(4):
        for x in range(4):
            column = torch.cat([found.features[-1][:, :, y, x], embedded], dim=1)
            hidden = F.leaky_relu(column @ joint.weight[:, :, 0, 0].T + joint.bias, 0.2)
            total = total + hidden @ network.match.weight[0, :, y, x]
    torch.testing.assert_close(found.logits[0][:, 0], total + network.match.bias)
    assert found.match is None
    # The gradient goes through the vector.
    (slope,) = torch.autograd.grad(found.logits[0].sum(), vector)
    step = torch.zeros_like(vector)
    step[1, 0] = 1e-2
    with torch.no_grad():
        change = (network(image, vector + step).logits[0] - network(image, vector - step).logits[0])[1, 0] / 2e-2
    assert slope[1, 0].item() == pytest.approx(change.item(), rel=0.02)
    assert slope.all()


@pytest.mark.parametrize("part", ["projection(width=4)", "concatenation(width=4)"])
def test_a_condition_that_is_an_image_counts_by_its_mean(part: str) -> None:
    network = parts().discriminator(part, condition=2).eval()
    image, vector = torch.rand(1, 3, 16, 16), torch.tensor([[0.5, -1.0]])
    planes = vector[:, :, None, None].expand(-1, -1, 16, 16)
    torch.testing.assert_close(network(image, planes).logits[0], network(image, vector).logits[0])
    # Images of other sizes are pooled.
    assert network(torch.rand(1, 3, 40, 24), vector).logits[0].shape == (1, 1)


def test_vectors_are_not_moved_with_their_images() -> None:
    torch.manual_seed(0)
    image, vector = torch.rand(4, 3, 16, 16), torch.rand(4, 5)
    moved, beside = DiffAugment().augment(image, vector)
    assert torch.equal(beside, vector)
    assert not torch.equal(moved, image)
    torch.manual_seed(0)
    image = torch.rand(4, 3, 16, 16)
    torch.rand(4, 5)
    assert torch.equal(DiffAugment().augment(image)[0], moved)


# --- conditions -------------------------------------------------------------------------------------------------------


def test_a_mismatched_class_is_another_one_and_all_are_as_likely() -> None:
    torch.manual_seed(0)
    label = torch.arange(4).repeat(500)
    other = Condition(4, {}).other(label)
    assert not bool((other == label).any())
    counts = torch.bincount(4 * label + other, minlength=16).view(4, 4)
    assert counts.diagonal().sum() == 0
    assert counts[counts > 0].min() > 120
    assert (counts > 0).sum() == 12


def test_the_noise_chooses_the_class_where_none_is_given() -> None:
    method = make()
    assert method.generator.noise == (7,)
    noise = torch.randn(300, 7)
    chosen = Condition(3, {}).chosen(noise[:, -1])
    assert torch.bincount(chosen, minlength=3).min() > 70
    with torch.no_grad():
        torch.testing.assert_close(method.generator(noise), method.generator(noise, label=chosen))
    assert Condition(3, {}).chosen(torch.tensor([-99.0, 0.0, 99.0])).tolist() == [0, 1, 2]


def test_without_a_weight_for_the_condition_it_is_the_decoder_of_noise() -> None:
    method = make("text")
    nn.init.zeros_(method.generator.embedding.weight)
    noise, data = torch.randn(4, 6), batch()
    alone = method.generator.decoder(torch.cat([noise, torch.zeros(4, 5)], dim=1))
    for name in ("text", "mismatched_text"):
        torch.testing.assert_close(method.generator(noise, text=data[name]), alone)


@pytest.mark.parametrize("mode", MODES)
def test_the_condition_reaches_image_and_logit(mode: str) -> None:
    method = make(mode)
    data = {name: value.requires_grad_(value.is_floating_point()) for name, value in batch().items()}
    if mode == "classes":
        first, second = (method.generator(torch.ones(1, 7), label=torch.tensor([each])) for each in (0, 1))
        assert not torch.allclose(first, second)
        return
    terms = moves(method, data)
    names = ["text"] if mode == "text" else ["text", "action"]
    own = torch.autograd.grad(terms["generator"]["adversarial" if mode == "world" else "match"],
                              [data[name] for name in names], retain_graph=True)  # fmt: skip
    assert all(slope.abs().min() > 0 for slope in own)
    key = "adversarial" if mode == "world" else "match"
    other = torch.autograd.grad(terms["discriminator"][key], [data[f"mismatched_{name}"] for name in names])
    assert all(slope.any() for slope in other)


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_a_vector_is_not_lost_where_a_generator_begins_with_a_normalization(norm: str) -> None:
    """Constant planes would be: their mean is subtracted, whatever they are."""
    method = make("world", translator=f"resnet(blocks=1, width=4, norm={norm})").eval()
    data = batch()
    first, second = (method.generator(data["source"], text=data["text"], action=sign * data["action"])
                     for sign in (1, -1))  # fmt: skip
    assert float((first - second).detach().abs().max()) > 0.01


def test_needs_and_what_is_kept() -> None:
    assert make().needs == Needs(streams=("labelled",))
    assert make("text").needs == Needs(vectors=frozenset({"text", "mismatched_text"}))
    assert make("text", matching_aware=0.0, interpolation=0.0).needs == Needs(vectors=frozenset({"text"}))
    world = frozenset({"text", "action", "mismatched_text", "mismatched_action"})
    assert make("world").needs == Needs(paired=True, vectors=world)
    assert make("world", l1=0.0).translators.keys() == {"forward"}
    assert make().translators.keys() == {"sample"}
    data = batch()
    assert moves(make("world"), data)["generator"].keys() == {"adversarial", "l1"}
    assert moves(make("world", l1=0.0), data)["generator"].keys() == {"adversarial"}
    source = data.pop("source")
    torch.testing.assert_close(
        moves(make("text"), data)["discriminator"],
        moves(make("text"), {**{key: each for key, each in data.items() if key != "target"}, "source": data["target"]})[
            "discriminator"
        ],
    )
    assert source.shape[1] == 1


def test_discriminators_with_planes_see_the_condition() -> None:
    method = make("text", discriminator="patch(width=4, receptive_field=16)")
    data = batch()
    found = moves(method, data)
    assert method.adversary.discriminator.condition == 4
    assert (
        found["discriminator"]["adversarial"]
        != moves(method, {**data, "text": -data["text"]})["discriminator"]["adversarial"]
    )
    two = make("classes", discriminator="two_headed(width=4, receptive_field=16)")
    assert moves(two, data)["discriminator"].keys() == {"realness", "match"}


@pytest.mark.parametrize(
    ("options", "given", "told"),
    [
        ({}, parts(labels=()), "cgan makes images of classes, and the data has no labels; .* --condition text, action"),
        ({}, parts(labels=("cat",)), "the data has one class, so none is mismatched; train with --matching-aware 0"),
        ({"condition": "words"}, parts(), r"vectors 'words', and the data has only text, action; .*vectors=words"),
        ({"condition": "text"}, parts(streams=Streams()), "and the data has none; name them in its layout"),
        ({"condition": "class, text"}, parts(), "cgan takes a class or vectors, not both"),
        ({"condition": " , "}, parts(), "name one: --condition class"),
        ({"condition": "from"}, parts(streams=Streams({}, {"from": 2})), "called 'from' cannot be given"),
        ({"condition": "noise"}, parts(streams=Streams({}, {"noise": 2})), "called 'noise' cannot be given"),
        ({"interpolation": 1.0}, parts(), "--interpolation takes vectors, and the condition is a class"),
        ({"translator": "unet(width=4)"}, parts(), "--translator takes vectors, and the condition is a class"),
        ({"matching_aware": 1.0}, parts(), "matching_aware must be .* < 1"),
        ({"discriminator": "mlp"}, None, ""),
    ],
)
def test_what_cannot_be_is_told(options: dict[str, Any], given: CatalogParts | None, told: str) -> None:
    if not told:
        # A discriminator of planes, whatever it is.
        assert moves(make(**options), batch())
        return
    with pytest.raises(TranslateError, match=told):
        make(given=given, **options)


@pytest.mark.parametrize("part", ["projection", "concatenation"])
def test_what_a_discriminator_of_vectors_refuses(part: str) -> None:
    with pytest.raises(TranslateError, match=f"{part} compares an image with its condition and there is none"):
        parts().discriminator(part)
    with pytest.raises(TranslateError, match=f"images of 3x3 are too small for {part}"):
        parts(side=3).discriminator(part, condition=2)
    network = parts().discriminator(f"{part}(width=4)", condition=2)
    with pytest.raises(TranslateError, match="takes a condition of 2 channels, not of 3"):
        network(torch.rand(1, 3, 16, 16), torch.rand(1, 3))
    with pytest.raises(TranslateError, match="needs a condition of 2 channels"):
        network(torch.rand(1, 3, 16, 16))


# --- levers -----------------------------------------------------------------------------------------------------------

each_mode = pytest.mark.parametrize("mode", MODES)


@each_mode
def test_what_is_recomputed_is_the_same(mode: str) -> None:
    methods = []
    for recomputed in (False, True):
        given = parts()
        method = make(mode, given)
        if recomputed:
            assert method.generator in given.translating
            recompute(given.translating)
        machine = engine(method, seed=3)
        for step in range(2):
            machine.step([batch(step)])
        methods.append(method)
    for key, value in methods[0].state_dict().items():
        assert torch.equal(value, methods[1].state_dict()[key]), key


@pytest.mark.compiled
@pytest.mark.skipif(missing_compiler(torch.device("cpu")) is not None, reason="nothing compiles here")
@each_mode
def test_what_is_compiled_is_the_same(mode: str) -> None:
    given = parts()
    first, second = make(mode, given).double(), make(mode).double()
    Compilation("yes", given.networks, left=0, group=ProcessGroup(), device=torch.device("cpu"))
    assert taken_by(first.generator, domains={"target": given.target}, vectors=given.vectors)
    for method in (first, second):
        machine = engine(method, seed=3)
        for step in range(2):
            machine.step([{key: value.double() if value.is_floating_point() else value
                           for key, value in batch(step).items()}])  # fmt: skip
    for key, value in first.state_dict().items():
        torch.testing.assert_close(value, second.state_dict()[key], rtol=1e-8, atol=1e-8)


@each_mode
def test_bf16_is_near_float32(mode: str) -> None:
    found = []
    for precision in ("float32", "bf16"):
        machine = engine(make(mode), precision=precision)
        machine.step([batch()])
        found.append(machine.fetch())
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        assert found[1][name] == pytest.approx(value, rel=0.1, abs=0.05), name


@each_mode
def test_together_and_apart_are_the_same(mode: str) -> None:
    method = make(mode).double()
    data = {key: value.double() if value.is_floating_point() else value for key, value in batch().items()}
    apart = moves(method, data)
    method.pass_together()
    assert method.adversary.together
    for player, terms in moves(method, data).items():
        for name, term in terms.items():
            torch.testing.assert_close(term, apart[player][name], rtol=1e-12, atol=1e-12)


@each_mode
def test_two_batches_a_step_are_one_large_batch(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # What is drawn for a large batch is not drawn for its parts.
    batches = [batch(step) for step in range(2)]
    monkeypatch.setattr(torch, "randn", lambda *shape, **how: torch.zeros(*shape, **how))
    monkeypatch.setattr(torch, "randint", lambda low, _high, shape, device: torch.full(shape, low))
    ends = []
    for halves in (False, True):
        method = make(mode).double()
        machine = engine(method)
        for each in batches:
            whole = {name: value.double() if value.is_floating_point() else value for name, value in each.items()}
            cut = [{key: value[part] for key, value in whole.items()} for part in (slice(2), slice(2, None))]
            machine.step(cut if halves else [whole])
        ends.append(method.state_dict())
    for key, value in ends[0].items():
        torch.testing.assert_close(value, ends[1][key], rtol=1e-7, atol=1e-9)


@each_mode
def test_a_recorded_step_is_the_same(mode: str) -> None:
    played, recorded = both(make(mode), make(mode))
    for step in range(5):
        for machine in (played, recorded):
            machine.step([batch(step)])
    assert recorded.replays
    same(played, recorded)


def test_two_ranks_of_one_train_as_one_of_two(tmp_path: Path) -> None:
    """Each rank has the vectors of its images, and the mismatched ones that one rank would have."""
    data = "demo(size=16, count=8, vectors=text)"
    options = {
        "condition": "text", "translator": "resnet(blocks=1, width=4)", "embedding": 3, "size": 16, "load_size": 16,
        "discriminator": "projection(width=4, norm=none)", "optimizer": ("sgd(lr=0.02)",), "steps": 3, "compile": "no",
        # A weight of 100 would make much of rounding.
        "l1": 1.0,
    }  # fmt: skip
    alone = translate.fit("cgan", data, output=tmp_path / "alone", batch=2, **options)
    flags = [
        f"--{name.replace('_', '-')}={each[0] if isinstance(each, tuple) else each}" for name, each in options.items()
    ]
    done = ran("fit", "cgan", data, "-o", tmp_path / "two", "--devices=2", *flags)
    assert done.returncode == 0, done.stderr
    one, two = (load_tensors(Run.open(tmp_path / name).checkpoints[-1])[0] for name in (alone.folder.name, "two"))
    for name, value in one.items():
        if name.startswith("method/"):
            torch.testing.assert_close(value, two[name], rtol=0, atol=2e-6)


def test_its_operations_are_counted() -> None:
    assert all(flops_of_step(make(mode), batch()) for mode in MODES)


# --- from end to end --------------------------------------------------------------------------------------------------


def test_contract() -> None:
    def text(mode: str, **more: Any) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in {**MODES[mode], **more}.items())

    check_plugin("cgan", examples={"cgan": f"cgan({text('classes')})"})


@pytest.mark.parametrize("mode", ["text", "world"])
def test_contract_of_vectors(mode: str) -> None:
    from translate.testing import check_method

    options = {**MODES[mode], "condition": "text"}
    check_method(f"cgan({', '.join(f'{name}={value!r}' for name, value in options.items())})")


def colours(path: Path, count: int = 64) -> Path:
    """Images of one colour of two classes, with a vector that tells it in other words."""
    label = np.arange(count) % 2
    image = np.where(label[:, None, None, None], [[[200, 40, 40]]], [[[40, 40, 200]]]).astype(np.uint8)
    image = np.broadcast_to(image, (count, 16, 16, 3))
    text = np.stack([1.0 - label, label, np.full(count, 0.5)], axis=1)
    np.savez(path, image=image, label=label, text=text)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two colours learned by their class, and by their vectors."""
    folder = tmp_path_factory.mktemp("colours")
    data = colours(folder / "colours.npz")
    runs = {}
    for mode, layout in (("class", "arrays(vectors=none)"), ("text", "arrays(vectors=text)")):
        run = translate.fit(
            "cgan", data, output=folder / mode, condition=mode, layout=layout, steps=80, batch=8, size=16,
            load_size=16, log_every=60, seed=1, ema=0.8, generator="dcgan(width=4)", latent=4, embedding=8,
            discriminator="projection(width=8, norm=none)", adversarial="hinge", compile="no",
            optimizer=("adam(lr=0.01, betas=(0.5, 0.99))",),
        )  # fmt: skip
        runs[mode] = run.folder
    return runs


def test_the_condition_matters_after_a_short_training(trained: dict[str, Path]) -> None:
    sampler = load_sampler(trained["class"])
    for label, (bright, dark) in enumerate([(2, 0), (0, 2)]):
        means = sampler.draw(range(4), given={"label": label}).mean((0, 2, 3))
        # 200 and 40 of 255 are 0.57 and -0.69.
        assert means[bright].item() > means[dark].item() + 0.6
        assert means.tolist() == pytest.approx([0.57 if each == bright else -0.69 for each in range(3)], abs=0.6)
    by_name = sampler.draw(range(4), given={"label": "1"})
    assert torch.equal(by_name, sampler.draw(range(4), given={"label": 1}))
    texts = load_sampler(trained["text"])
    drawn = texts.draw(range(2), given={"text": np.array([[1, 0, 0.5], [0, 1, 0.5]])}).mean((2, 3))
    assert drawn[0, 2] > drawn[0, 0] + 0.5
    assert drawn[1, 0] > drawn[1, 2] + 0.5


def test_a_batch_of_eight_is_eight_of_one(trained: dict[str, Path]) -> None:
    sampler = load_sampler(trained["class"])
    labels = [0, 1, 1, 0, 1, 0, 0, 1]
    whole = sampler.draw(range(8), given={"label": labels})
    alone = torch.cat([sampler.draw([number], given={"label": labels}) for number in range(8)])
    torch.testing.assert_close(whole, alone, atol=1e-5, rtol=1e-5)
    # Each depends on the seed, its number and its row alone.
    one = sampler.draw([3], given={"label": labels[3]})
    torch.testing.assert_close(whole[3:4], one, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(whole[3:4], sampler.draw([3], 1, given={"label": labels[3]}))


def test_samples_of_the_command_line_take_rows(trained: dict[str, Path], tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.npy"
    np.save(prompts, np.array([[1, 0, 0.5], [0, 1, 0.5], [1, 0, 0.5]]))
    made = translate.sample(trained["text"], tmp_path / "out", given={"text": str(prompts)})
    assert [path.name for path in made] == ["000000.png", "000001.png", "000002.png"]
    assert len(translate.sample(trained["class"], tmp_path / "seven", given={"label": 1}, count=5)) == 5
    for run, given, told in (
        ("text", {}, "needs text, a vector of the text of 3 numbers; give it with --with text=VALUE"),
        ("text", {"text": [1.0, 2.0]}, "2 numbers"),
        ("class", {"label": 7}, "7 is none; there are 0 to 1"),
        ("class", {"label": "cat"}, "none is called 'cat'; choose from 0, 1"),
        ("class", {"labels": 1}, "takes no 'labels'; did you mean label"),
        ("class", {"text": 1}, "takes no 'text'"),
    ):
        with pytest.raises(TranslateError, match=told):
            translate.sample(trained[run], tmp_path / "none", given=given)
    assert not (tmp_path / "none").exists()


def test_only_the_sampler_is_kept(trained: dict[str, Path]) -> None:
    tensors, metadata = load_tensors(trained["text"] / "translator.safetensors")
    assert metadata["directions"] == ["sample"]
    assert metadata["takes"]["sample"]["inputs"]["text"]["length"] == 3
    assert all(name.startswith("sample/") for name in tensors)


# --- the small world --------------------------------------------------------------------------------------------------

WORLD_FILE = Path(__file__).parents[2] / "examples" / "disc_world.py"


@pytest.fixture(scope="module")
def world() -> Any:
    import importlib.util

    spec = importlib.util.spec_from_file_location("disc_world_example", WORLD_FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_a_disc_moves_by_its_velocity_and_its_push_and_rebounds(world: Any) -> None:
    disc = world.Disc(np.array([0.5, 0.8]), np.array([0.05, 0.1]))
    then = disc.after(np.array([-1.0, 0.0]))
    # Down 0.05 - 0.1; right 0.1 to 0.9, of which 0.05 are beyond the wall at 0.85.
    assert then.place == pytest.approx([0.45, 0.8])
    assert then.velocity == pytest.approx([-0.05, -0.1])
    assert world.Disc(np.array([0.5, 0.5]), np.zeros(2)).picture(32).sum() / 255 == pytest.approx(
        math.pi * (0.15 * 32) ** 2, rel=0.05
    )


def test_the_next_image_follows_from_image_state_and_action(world: Any, tmp_path: Path) -> None:
    """Trained for seconds, a push to one side and to the other move the disc apart; without them it would not move."""
    run = translate.fit(
        "cgan", "disc_world(count=400, side=16)", plugins=[str(WORLD_FILE)], output=tmp_path / "run",
        condition="state, action", translator="small_resnet(blocks=1, width=8)", embedding=8,
        discriminator="projection(width=4)", steps=150, batch=8, size=16, load_size=16, flip=False, log_every=150,
        sample_every=1000, optimizer=("adam(lr=0.002)",), convolutions="direct", compile="no",
    )  # fmt: skip
    network = translate.load(run.folder, plugins=[str(WORLD_FILE)])
    listed = world.disc_world(count=400, side=16).splits["test"]

    def stacked(domain: str) -> Tensor:
        pixels = np.stack([example.pixels() for example in listed[domain]])
        return torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1

    now, then = stacked("source"), stacked("target")
    given = {name: np.stack([each.extras[name] for each in listed["source"]]) for name in ("state", "action")}

    def error(**changed: Any) -> float:
        return float((network.translate(now, given={**given, **changed}) - then).abs().mean())

    still = float((now - then).abs().mean())
    assert error() < 0.65 * still
    assert error(action=-given["action"]) > 1.3 * error()
    assert error(state=-given["state"]) > 1.1 * error()
