"""The adversary: terms by hand, the third kind of fake, two heads, penalties, the history."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from translate.adversary import Adversary
from translate.data import Domain
from translate.discriminator import DiscriminatorOutput
from translate.errors import TranslateError
from translate.parts import CatalogParts, build_method
from translate.plugins import discover
from translate.pool import ImagePool
from translate_losses.adversarial import Hinge
from translate_losses.penalties import R1


class Judge(nn.Module):
    """Logits are a weight times the image's mean, plus the condition's; scales and heads on demand."""

    def __init__(self, *, scales: int = 1, two_headed: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.7))
        self.scales = scales
        self.two_headed = two_headed

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        own = self.weight * image.mean((1, 2, 3))
        context = 0 if condition is None else condition.mean((1, 2, 3))
        if self.two_headed:
            return DiscriminatorOutput((own,), match=(own * context,))
        return DiscriminatorOutput(tuple((own + context) * (scale + 1) for scale in range(self.scales)))


class Logistic:
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        assert real is None
        return F.softplus(-fake.float()).mean()


class Relativistic:
    relativistic = True

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(-(real - fake)).mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        assert real is not None
        return F.softplus(-(fake - real)).mean()


def images(*values: float) -> Tensor:
    return torch.tensor(values).reshape(-1, 1, 1, 1).expand(-1, 3, 4, 4).contiguous()


REAL, FAKE, OWN, OTHER = images(0.5), images(-0.3), images(0.2), images(-0.9)


def soft(value: float) -> float:
    return math.log1p(math.exp(value))


def test_one_head() -> None:
    adversary = Adversary(Judge(), Logistic(), weight=0.5)
    terms = adversary.discriminator_terms(REAL, FAKE, OWN)
    assert terms.keys() == {"adversarial"}
    assert terms["adversarial"].item() == pytest.approx(0.5 * (soft(-(0.35 + 0.2)) + soft(-0.21 + 0.2)))
    assert adversary.generator_terms(FAKE, REAL, OWN)["adversarial"].item() == pytest.approx(soft(-(-0.21 + 0.2)))


def test_a_mismatched_condition_is_a_third_kind_of_fake_at_half_the_weight() -> None:
    """Reed et al., algorithm 1: log s_r + (log(1 - s_w) + log(1 - s_f)) / 2."""
    terms = Adversary(Judge(), Logistic()).discriminator_terms(REAL, FAKE, OWN, mismatched=OTHER)
    expected = soft(-(0.35 + 0.2)) + (soft(-0.21 + 0.2) + soft(0.35 - 0.9)) / 2
    assert terms["adversarial"].item() == pytest.approx(expected)


def test_two_heads_are_two_terms() -> None:
    adversary = Adversary(Judge(two_headed=True), Logistic())
    terms = adversary.discriminator_terms(REAL, FAKE, OWN, mismatched=OTHER)
    assert terms["realness"].item() == pytest.approx(soft(-0.35) + soft(-0.21))
    assert terms["match"].item() == pytest.approx(soft(-0.35 * 0.2) + (soft(-0.21 * 0.2) + soft(0.35 * -0.9)) / 2)
    made = adversary.generator_terms(FAKE, REAL, OWN)
    assert {name: value.item() for name, value in made.items()} == {
        "realness": pytest.approx(soft(0.21)),
        "match": pytest.approx(soft(0.21 * 0.2)),
    }


def test_scales_are_summed() -> None:
    terms = Adversary(Judge(scales=3), Logistic()).discriminator_terms(REAL, FAKE)
    assert terms["adversarial"].item() == pytest.approx(sum(soft(-0.35 * k) + soft(-0.21 * k) for k in (1, 2, 3)))


def test_relativistic_losses_see_both_sides() -> None:
    adversary = Adversary(Judge(), Relativistic())
    assert adversary.generator_terms(FAKE, REAL)["adversarial"].item() == pytest.approx(soft(0.35 + 0.21))


def test_penalties_run_in_float32_outside_autocast_and_differentiate_twice() -> None:
    seen: list[Any] = []

    def penalty(discriminate: Any, real: Tensor, fake: Tensor) -> Tensor:
        real = real.detach().requires_grad_()
        logits = discriminate(real).logits[0]
        seen.append((torch.is_autocast_enabled("cpu"), logits.dtype, real.dtype))
        (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
        return slope.square().sum()

    judge = Judge()
    adversary = Adversary(judge, Logistic(), regularizers={"r1": penalty})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = adversary.discriminator_terms(REAL, FAKE.to(torch.bfloat16), OWN)
    assert seen == [(False, torch.float32, torch.float32)]
    # The logit is w * mean of 48 values: the penalty is w^2 / 48, its slope 2 w / 48.
    assert terms["r1"].item() == pytest.approx(0.7**2 / 48)
    terms["r1"].backward()
    assert judge.weight.grad is not None
    assert float(judge.weight.grad) == pytest.approx(2 * 0.7 / 48)


def test_the_history_keeps_a_fake_with_its_condition() -> None:
    torch.manual_seed(0)
    shown: list[tuple[float, float]] = []

    class Watching(Judge):
        def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
            assert condition is not None
            shown.append((round(float(image.mean()), 3), round(float(condition.mean()), 3)))
            return super().forward(image, condition)

    adversary = Adversary(Watching(), Logistic(), pool=ImagePool(2, (6, 4, 4)))
    for step in range(30):
        adversary.discriminator_terms(images(1.0), images(step / 100), images(-step / 100))
    fakes = shown[1::2]
    assert all(fake == -condition for fake, condition in fakes)
    assert any(fake != round(step / 100, 3) for step, (fake, _) in enumerate(fakes))


def test_a_foreign_output_is_named() -> None:
    with pytest.raises(TypeError, match="_TakesTwo must return a DiscriminatorOutput"):
        Adversary(_TakesTwo(), Logistic()).discriminator_terms(REAL, FAKE)


class _TakesTwo(nn.Conv2d):
    def __init__(self) -> None:
        super().__init__(3, 1, 1)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Tensor:  # type: ignore[override]
        return super().forward(image)


class Classes(nn.Module):
    """Two class logits: the image's mean and its negative; realness is their log-sum-exp."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        mean = self.weight * image.mean((1, 2, 3))
        classes = torch.stack([mean, -mean], dim=1)
        return DiscriminatorOutput((classes.logsumexp(1),), classes=classes, features=(image,))


def test_classes_are_learned_where_there_are_labels() -> None:
    adversary = Adversary(Classes(), Logistic())
    seen = images(0.5, -0.3, 0.1)
    terms = adversary.discriminator_terms(REAL, FAKE, labelled=(seen, torch.tensor([0, -1, 1])))
    # The second has no label; softmax of (x, -x) is the sigmoid of 2 x.
    assert terms["classes"].item() == pytest.approx((soft(-1.0) + soft(0.2)) / 2, rel=1e-5)
    assert adversary.generator_terms(FAKE, REAL, labels=torch.tensor([1]))["classes"].item() == pytest.approx(
        soft(-0.6), rel=1e-5
    )
    nobody = adversary.discriminator_terms(REAL, FAKE, labelled=(seen, torch.tensor([-1, -1, -1])))
    assert nobody["classes"].item() == 0
    with pytest.raises(TranslateError, match="Judge tells no classes apart; choose one that does"):
        Adversary(Judge(), Logistic()).generator_terms(FAKE, REAL, labels=torch.tensor([0]))


@pytest.mark.parametrize("images", [REAL, FAKE])
def test_images_with_labels_are_judged_once(images: Tensor) -> None:
    calls = []
    network = Classes()
    network.register_forward_hook(lambda *_: calls.append(1))
    adversary = Adversary(network, Logistic())
    terms = adversary.discriminator_terms(REAL, FAKE, labelled=(images, torch.tensor([0])))
    assert len(calls) == 2
    assert torch.equal(terms["classes"], adversary.generator_terms(images, REAL, labels=torch.tensor([0]))["classes"])


def test_several_kinds_of_fakes_are_judged_apart_and_share_the_fakes_weight() -> None:
    shown: list[Tensor] = []
    network = Judge()
    network.register_forward_pre_hook(lambda _, given: shown.append(given[0]))
    adversary = Adversary(network, Logistic())
    second = images(-0.6)
    terms = adversary.discriminator_terms(REAL, FAKE, others=[second])
    assert [image is wanted for image, wanted in zip(shown, (REAL, FAKE, second), strict=True)] == [True] * 3
    # Logits are 0.7 times the mean: 0.35 for the real image, -0.21 and -0.42 for the fakes.
    assert terms["adversarial"].item() == pytest.approx(soft(-0.35) + (soft(-0.21) + soft(-0.42)) / 2)
    made = adversary.generator_terms(FAKE, REAL, others=[second])
    assert made["adversarial"].item() == pytest.approx((soft(0.21) + soft(0.42)) / 2)
    relative = Adversary(Judge(), Relativistic()).generator_terms(FAKE, REAL, others=[second])
    assert relative["adversarial"].item() == pytest.approx((soft(0.35 + 0.21) + soft(0.35 + 0.42)) / 2)


def test_several_kinds_of_fakes_pass_together_where_that_changes_nothing() -> None:
    torch.manual_seed(0)
    adversary = Adversary(Alone(), Logistic())
    others = [images(-0.6), images(0.9)]
    wanted = adversary.discriminator_terms(REAL, FAKE, OWN, others=others)["adversarial"]
    made = adversary.generator_terms(FAKE, REAL, OWN, others=others)["adversarial"]
    adversary.batch_real_and_fake()
    adversary.discriminator.passes = 0  # type: ignore[assignment]
    torch.testing.assert_close(adversary.discriminator_terms(REAL, FAKE, OWN, others=others)["adversarial"], wanted)
    torch.testing.assert_close(adversary.generator_terms(FAKE, REAL, OWN, others=others)["adversarial"], made)
    assert adversary.discriminator.passes == 2


class Mean:
    """A penalty: the slope of the mean logit between real and fake, squared, and how often it was asked."""

    def __init__(self, *, sees_fakes: bool = True) -> None:
        self.sees_fakes = sees_fakes
        self.asked = 0

    def __call__(self, discriminate: Any, real: Tensor, fake: Tensor) -> Tensor:
        self.asked += 1
        total: Tensor = discriminate(fake if self.sees_fakes else real).logits[0].square().mean()
        return total


def test_a_penalty_of_several_kinds_of_fakes_is_the_mean_and_one_of_real_images_is_asked_once() -> None:
    between, real = Mean(), Mean(sees_fakes=False)
    adversary = Adversary(Judge(), Logistic(), regularizers={"between": between, "real": real})
    terms = adversary.discriminator_terms(REAL, FAKE, others=[images(-0.6)])
    assert terms["between"].item() == pytest.approx((0.21**2 + 0.42**2) / 2)
    assert terms["real"].item() == pytest.approx(0.35**2)
    assert (between.asked, real.asked) == (2, 1)


@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_a_penalty_keeps_its_share_of_the_adversarial_loss_where_that_is_halved(weight: float) -> None:
    """Logits w m, m the mean of 48 values: hinge is (1 - 0.35) + (1 - 0.21), r1 with weight 10 is 10 / 2 w^2 / 48."""
    adversary = Adversary(Judge(), Hinge(), regularizers={"r1": R1(weight=10.0)}, weight=weight)
    terms = adversary.discriminator_terms(REAL, FAKE)
    hinge, r1 = 0.65 + 0.79, 5 * 0.7**2 / 48
    assert terms["adversarial"].item() == pytest.approx(weight * hinge)
    assert terms["r1"].item() == pytest.approx(weight * r1)
    # The share, and with it the direction in which the discriminator moves, is that of the published game.
    assert (terms["r1"] / terms["adversarial"]).item() == pytest.approx(0.0354456, rel=1e-5)


@pytest.mark.parametrize(
    "name", ["pix2pix", "gan", "sgan", "vaegan", "cyclegan", "cut", "stackgan", "pix2pixhd", "unit"]
)
def test_a_penalty_has_one_share_in_every_method(name: str) -> None:
    size = (32, 32)
    parts = CatalogParts(discover(), source=Domain(3), target=Domain(3), size=size)
    options = {"discriminator": "semi_supervised(width=4, dropout=0)", "adversarial": "hinge + r1(weight=10)"}
    if name == "cyclegan":
        options["pool"] = "0"
    method = build_method(discover(), name, options, parts)
    for adversary in (module for module in method.modules() if isinstance(module, Adversary)):
        adversary.discriminator = Judge()
        terms = adversary.discriminator_terms(REAL, FAKE)
        assert (terms["r1"] / terms["adversarial"]).item() == pytest.approx(0.0354456, rel=1e-5)


def test_penalties_see_the_newest_fakes_and_the_loss_the_remembered_ones() -> None:
    """A penalty's place is between the data and what the generator makes now."""
    seen: list[Tensor] = []

    def penalty(discriminate: Any, real: Tensor, fake: Tensor) -> Tensor:
        seen.append(fake)
        return discriminate(fake).logits[0].sum()  # type: ignore[no-any-return]

    adversary = Adversary(Judge(), Logistic(), regularizers={"p": penalty}, pool=ImagePool(1, (3, 4, 4)))
    earlier = images(0.9)
    adversary.discriminator_terms(REAL, earlier)
    terms = {}
    for seed in range(20):
        assert adversary.pool is not None
        adversary.pool.images.copy_(earlier)
        torch.manual_seed(seed)
        found = adversary.discriminator_terms(REAL, FAKE)
        assert torch.equal(seen[-1], FAKE)
        assert found["p"].item() == pytest.approx(0.7 * -0.3)
        terms[round(found["adversarial"].item(), 4)] = seed
    # The loss was shown either one in some of the draws.
    assert terms.keys() == {round(soft(-0.35) + soft(0.7 * fake), 4) for fake in (-0.3, 0.9)}


def test_penalties_alone_are_those_among_the_terms() -> None:
    regularizers = {"size": lambda judge, real, fake: judge(real).logits[0].sum() + fake.sum()}
    adversary = Adversary(Judge(), Logistic(), regularizers=regularizers)
    assert adversary.penalties(REAL, FAKE) == {"size": adversary.discriminator_terms(REAL, FAKE)["size"]}
    assert adversary.penalties(REAL.double(), FAKE.double())["size"].dtype == torch.float64
    assert Adversary(Judge(), Logistic()).penalties(REAL, FAKE) == {}


class Restraint:
    """Every kind of restraint that is no penalty, and a record of what it saw."""

    updates = 3

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def augment(self, image: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor | None]:
        self.seen.append(image)
        return image + 1, condition

    def prepare(self, discriminator: nn.Module) -> None:
        discriminator.prepared = True  # type: ignore[assignment]

    def project(self, discriminator: nn.Module) -> None:
        with torch.no_grad():
            for weight in discriminator.parameters():
                weight.clamp_(-0.5, 0.5)


def test_without_a_regularizer_that_says_otherwise_the_generator_moves_in_each_step() -> None:
    for regularizers in ({}, {"penalty": lambda *given: torch.zeros(())}):
        adversary = Adversary(Judge(), Logistic(), regularizers=regularizers)
        assert adversary.period == 1
        assert all(adversary.generator_moves(step) for step in range(3))


def test_restraints_reach_their_places() -> None:
    restraint = Restraint()
    adversary = Adversary(Judge(), Logistic(), regularizers={"restraint": restraint})
    assert adversary.discriminator.prepared is True  # type: ignore[comparison-overlap]
    assert adversary.period == 3
    assert [adversary.generator_moves(step) for step in range(6)] == [False, False, True] * 2
    terms = adversary.discriminator_terms(REAL, FAKE)
    # Logits are 0.7 times the mean of the image, which the augmentation has raised by 1.
    assert terms["adversarial"].item() == pytest.approx(soft(-0.7 * 1.5) + soft(0.7 * 0.7), rel=1e-5)
    adversary.generator_terms(FAKE, REAL)
    assert [seen is image for seen, image in zip(restraint.seen, (REAL, FAKE, FAKE), strict=True)] == [True] * 3
    adversary.project()
    assert adversary.discriminator.weight.item() == 0.5  # type: ignore[operator,union-attr]


class Alone(nn.Module):
    """Judges each image alone, and counts its passes."""

    judges_each_alone = True

    def __init__(self) -> None:
        super().__init__()
        self.inner = Judge(scales=2)
        self.classes = nn.Linear(3, 4)
        self.passes = 0

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        self.passes += 1
        own = self.inner(image, condition)
        inner = image.mean((2, 3))
        return DiscriminatorOutput(own.logits, classes=self.classes(inner), features=(inner,))


@pytest.mark.parametrize("condition", [None, OWN])
def test_real_and_fake_pass_together_where_that_changes_nothing(condition: Tensor | None) -> None:
    torch.manual_seed(0)
    apart = Adversary(Alone(), Logistic())
    labelled = (REAL, torch.tensor([2]))
    expected = apart.discriminator_terms(REAL, FAKE, condition, labelled=labelled)
    slopes = torch.autograd.grad(torch.stack(list(expected.values())).sum(), list(apart.parameters()))
    apart.batch_real_and_fake()
    found = apart.discriminator_terms(REAL, FAKE, condition, labelled=labelled)
    assert apart.discriminator.passes == 2 + 1
    assert found.keys() == expected.keys()
    for name, term in found.items():
        torch.testing.assert_close(term, expected[name])
    again = torch.autograd.grad(torch.stack(list(found.values())).sum(), list(apart.parameters()))
    for one, other in zip(again, slopes, strict=True):
        torch.testing.assert_close(one, other)


def test_real_and_fake_stay_apart_where_weights_change_or_images_meet() -> None:
    mixing = Adversary(Judge(), Logistic())
    mixing.batch_real_and_fake()
    assert not mixing.together
    changing = Alone()
    spectral_norm(changing.classes)
    constrained = Adversary(changing, Logistic())
    constrained.batch_real_and_fake()
    assert not constrained.together
