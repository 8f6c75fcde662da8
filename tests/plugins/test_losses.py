"""The losses, against closed forms and numbers computed by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from translate.discriminator import AdversarialLoss, DiscriminatorOutput
from translate.errors import TranslateError
from translate.options import options_of
from translate_losses import adversarial_losses, losses, regularizers
from translate_losses.adversarial import Hinge, LeastSquares, Minimax, NonSaturating, Wasserstein
from translate_losses.image import L1, L2, TotalVariation
from translate_losses.penalties import R1, GradientPenalty

GAMES: list[AdversarialLoss] = [
    Minimax(),
    NonSaturating(),
    LeastSquares(),
    Hinge(),
    Wasserstein(),
    Minimax(smoothing=0.1),
]
RESTRAINTS = ("__call__", "augment", "prepare", "project", "updates")
REAL = torch.tensor([0.5, 2.0])
FAKE = torch.tensor([-0.5, 3.0])


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_offers_name_what_exists() -> None:
    kinds = ((adversarial_losses, ("generator",)), (losses, ("__call__",)), (regularizers, RESTRAINTS))
    for offered, roles in kinds:
        for name, path in offered().items():
            module, _, attribute = path.partition(":")
            factory = getattr(__import__(module, fromlist=[attribute]), attribute)
            assert any(hasattr(factory(), role) for role in roles), name
    assert options_of(R1)["weight"].default == options_of(GradientPenalty)["weight"].default == 10


# --- adversarial ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "discriminator", "generator"),
    [
        (
            Minimax(),
            (softplus(-0.5) + softplus(-2) + softplus(-0.5) + softplus(3)) / 2,
            -(softplus(-0.5) + softplus(3)) / 2,
        ),
        (
            NonSaturating(),
            (softplus(-0.5) + softplus(-2) + softplus(-0.5) + softplus(3)) / 2,
            (softplus(0.5) + softplus(-3)) / 2,
        ),
        (LeastSquares(), 0.5 * (0.25 + 1) / 2 + 0.5 * (0.25 + 9) / 2, 0.5 * (2.25 + 4) / 2),
        (Hinge(), (0.5 + 0) / 2 + (0.5 + 4) / 2, -1.25),
        (Wasserstein(), 1.25 - 1.25, -1.25),
        # Labels of 0.9: -0.9 log s(x) - 0.1 log(1 - s(x)), where -log(1 - s(x)) is the softplus of x.
        (
            NonSaturating(smoothing=0.1),
            (0.9 * (softplus(-0.5) + softplus(-2)) + 0.1 * (softplus(0.5) + softplus(2)) + softplus(-0.5) + softplus(3))
            / 2,
            (softplus(0.5) + softplus(-3)) / 2,
        ),
        (LeastSquares(smoothing=0.1), 0.5 * (0.16 + 1.21) / 2 + 0.5 * (0.25 + 9) / 2, 0.5 * (1.96 + 4.41) / 2),
    ],
)
def test_by_hand(loss: AdversarialLoss, discriminator: float, generator: float) -> None:
    assert loss.discriminator(REAL, FAKE).item() == pytest.approx(discriminator, rel=1e-6)
    assert loss.generator(FAKE, REAL).item() == pytest.approx(generator, rel=1e-6)
    assert loss.generator(FAKE).item() == pytest.approx(generator, rel=1e-6)


@pytest.mark.parametrize(("p", "q"), [((0.25,) * 4, (0.25,) * 4), ((0.5, 0.2, 0.2, 0.1), (0.1, 0.1, 0.3, 0.5))])
@pytest.mark.parametrize("loss", [Minimax(), LeastSquares()])
def test_the_best_discriminator_is_p_over_p_plus_q(loss: AdversarialLoss, p: Any, q: Any) -> None:
    # 20 draws in the exact proportions of the discrete distributions; the discriminator is a table of logits.
    real = torch.repeat_interleave(torch.arange(4), torch.tensor([round(20 * share) for share in p]))
    fake = torch.repeat_interleave(torch.arange(4), torch.tensor([round(20 * share) for share in q]))
    table = torch.tensor([1.0, -1.0, 2.0, 0.3], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [table], max_iter=200, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        optimizer.zero_grad()
        value = loss.discriminator(table[real], table[fake])
        value.backward()
        return value

    optimizer.step(objective)
    best = torch.tensor(p, dtype=torch.float64) / (torch.tensor(p) + torch.tensor(q)).double()
    found = table.detach() if isinstance(loss, LeastSquares) else torch.sigmoid(table.detach())
    torch.testing.assert_close(found, best, atol=1e-5, rtol=0)
    if isinstance(loss, Minimax):
        # Goodfellow et al. 2014, theorem 1: -log 4 + 2 JSD(p, q).
        middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
        divergence = sum((a * math.log(a / m) + b * math.log(b / m)) / 2 for a, b, m in zip(p, q, middle, strict=True))
        assert -objective().item() == pytest.approx(-math.log(4) + 2 * divergence, abs=1e-9)


def test_minimax_saturates_where_nonsaturating_pushes() -> None:
    for loss, slope in ((Minimax(), 0.0), (NonSaturating(), -1.0)):
        logits = torch.full((1,), -80.0, requires_grad=True)
        loss.generator(logits).backward()
        assert logits.grad is not None
        assert logits.grad.item() == pytest.approx(slope, abs=1e-12)


def test_minimax_players_play_for_one_value() -> None:
    # Up to the term that the generator does not touch, its loss is minus the discriminator's.
    other = torch.tensor([4.0, -1.0])
    game = Minimax()
    change = game.discriminator(REAL, other) - game.discriminator(REAL, FAKE)
    assert change.item() == pytest.approx((game.generator(FAKE) - game.generator(other)).item(), rel=1e-6)


def test_hinge_ignores_what_is_beyond_the_margin() -> None:
    real = torch.tensor([1.5, 0.5], requires_grad=True)
    fake = torch.tensor([-1.5, -0.5], requires_grad=True)
    Hinge().discriminator(real, fake).backward()
    assert real.grad is not None
    assert fake.grad is not None
    assert real.grad.tolist() == [0, -0.5]
    assert fake.grad.tolist() == [0, 0.5]


@pytest.mark.parametrize("loss", GAMES)
@given(shape=st.lists(st.integers(1, 4), min_size=0, max_size=4), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_any_shape_gives_the_mean(loss: AdversarialLoss, shape: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    real, fake = torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)
    value = loss.discriminator(real, fake)
    assert value.shape == loss.generator(fake).shape == ()
    torch.testing.assert_close(value, loss.discriminator(real.flatten(), fake.flatten()))
    torch.testing.assert_close(value, loss.discriminator(real.repeat(2, *shape), fake.repeat(2, *shape)))


@pytest.mark.parametrize("loss", GAMES)
def test_precision(loss: AdversarialLoss) -> None:
    half = torch.randn(5, generator=torch.Generator().manual_seed(0)).bfloat16()
    for given_type, answered in ((torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
        logits = half.to(given_type)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            values = loss.discriminator(logits, -logits), loss.generator(logits)
        exact = loss.discriminator(half.double(), -half.double()), loss.generator(half.double())
        for value, expected in zip(values, exact, strict=True):
            assert value.dtype == answered
            assert value.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("loss", GAMES)
@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_large_logits_stay_finite(loss: AdversarialLoss, logit: float) -> None:
    logits = torch.full((2,), logit, requires_grad=True)
    value = loss.discriminator(logits, logits) + loss.generator(logits)
    value.backward()
    assert logits.grad is not None
    assert value.isfinite()
    assert logits.grad.isfinite().all()


# --- images ---------------------------------------------------------------------------------------------------------


def test_l1_and_l2_by_hand() -> None:
    image, target = torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([[[[0.5, -1.0]]]])
    assert L1()(image, target).item() == 1.25
    assert L2()(image, target).item() == (0.25 + 4) / 2


def test_total_variation_by_hand() -> None:
    image = torch.tensor([[[[0.0, 1.0, 3.0], [0.0, 0.0, 0.0]]]])
    down, right = (0 + 1 + 3) / 3, (1 + 2 + 0 + 0) / 4
    assert TotalVariation()(image, image).item() == pytest.approx(down + right)
    assert TotalVariation()(torch.full((2, 3, 4, 4), 0.3)).item() == 0
    assert TotalVariation()(torch.zeros(1, 1, 1, 1)).item() == 0


@pytest.mark.parametrize("loss", [L1(), L2(), TotalVariation()])
def test_image_losses_are_float32(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    image, target = torch.rand(2, 3, 4, 4).bfloat16(), torch.rand(2, 3, 4, 4)
    for one, answered in ((image, torch.float32), (image.double(), torch.float64)):
        assert loss(one, target.to(one.dtype)).dtype == answered
        torch.testing.assert_close(
            loss(one, target.bfloat16()).double(), loss(image.double(), target.bfloat16().double())
        )


@pytest.mark.parametrize("loss", [L1(), L2()])
def test_shapes_are_not_broadcast(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    with pytest.raises(TranslateError, match=r"one shape, not \(2, 1, 4, 4\) and \(2, 3, 4, 4\)"):
        loss(torch.zeros(2, 1, 4, 4), torch.zeros(2, 3, 4, 4))


# --- penalties ------------------------------------------------------------------------------------------------------


class Linear(nn.Module):
    """``D(x) = <w, x>``, whose gradient is w everywhere."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, image: Tensor) -> DiscriminatorOutput:
        return DiscriminatorOutput(logits=((image * self.weight.to(image.dtype)).sum((1, 2, 3)),))


class Curved(nn.Module):
    """A small discriminator with two scales and a match head, so smooth that finite differences are exact."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Conv2d(2, 3, 3)
        self.outer = nn.Conv2d(3, 3, 2)

    def forward(self, image: Tensor) -> DiscriminatorOutput:
        one, two, match = self.outer(torch.tanh(self.inner(image))).square().split(1, dim=1)
        return DiscriminatorOutput(logits=(one, two), match=(match,))


def images(count: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 2, 5, 5, generator=generator), torch.rand(count, 2, 5, 5, generator=generator)


def test_r1_of_a_linear_discriminator() -> None:
    weight = torch.randn(2, 5, 5, generator=torch.Generator().manual_seed(1))
    value = R1(weight=6.0)(Linear(weight), *images())
    assert value.item() == pytest.approx(3 * weight.square().sum().item(), rel=1e-5)
    assert value.dtype == torch.float32


@pytest.mark.parametrize(("norm", "expected"), [(1.0, 0.0), (3.0, 4.0), (0.5, 0.25)])
def test_gradient_penalty_of_a_linear_discriminator(norm: float, expected: float) -> None:
    weight = torch.randn(2, 5, 5, generator=torch.Generator().manual_seed(1))
    value = GradientPenalty(weight=10.0)(Linear(norm * weight / weight.norm()), *images())
    assert value.item() == pytest.approx(10 * expected, abs=1e-4)


def test_gradient_penalty_of_a_constant_discriminator_has_a_finite_gradient() -> None:
    network = Linear(torch.zeros(2, 5, 5))
    value = GradientPenalty()(network, *images())
    value.backward()
    assert value.item() == 10
    assert network.weight.grad is not None
    assert network.weight.grad.isfinite().all()


def test_gradient_penalty_looks_between_real_and_fake_at_one_point_for_each_image() -> None:
    seen: list[Tensor] = []

    def discriminate(x: Tensor) -> DiscriminatorOutput:
        seen.append(x.detach())
        return DiscriminatorOutput(logits=(x.square().sum((1, 2, 3)),))

    torch.manual_seed(0)
    real, fake = torch.ones(200, 2, 3, 3), torch.zeros(200, 2, 3, 3)
    GradientPenalty()(discriminate, real, fake)
    shares = seen[0].flatten(1)
    assert torch.equal(shares, shares[:, :1].expand_as(shares))
    assert 0 <= shares.min() < 0.05
    assert 0.95 < shares.max() <= 1
    assert shares[:, 0].unique().numel() > 190


def test_r1_looks_at_real_images_only() -> None:
    real, fake = images()
    network = Curved()
    assert torch.equal(R1()(network, real, fake), R1()(network, real, 5 * fake))
    assert not torch.equal(R1()(network, real, fake), R1()(network, fake, real))
    assert real.requires_grad is False


def test_heads_and_scales_are_penalised_apart() -> None:
    network = Curved()
    real, fake = images()

    def only(number: int) -> Callable[[Tensor], DiscriminatorOutput]:
        def discriminate(x: Tensor) -> DiscriminatorOutput:
            output = network(x)
            assert output.match is not None
            return DiscriminatorOutput(logits=((*output.logits, *output.match)[number],))

        return discriminate

    parts = [R1()(only(number), real, fake) for number in range(3)]
    torch.testing.assert_close(R1()(network, real, fake), torch.stack(parts).sum())


@pytest.mark.parametrize("penalty", [R1(), GradientPenalty()])
def test_penalties_are_differentiated_by_the_weights(penalty: Callable[..., Tensor]) -> None:
    torch.manual_seed(2)
    network = Curved().double()
    real, fake = (image.double() for image in images())

    def objective() -> Tensor:
        torch.manual_seed(3)
        return penalty(network, real, fake)

    weights = list(network.parameters())
    value = objective()
    assert value.dtype == torch.float64
    found = torch.autograd.grad(value, weights, allow_unused=True)
    for weight, gradient in zip(weights, found, strict=True):
        direction = torch.randn_like(weight)
        moved = []
        for sign in (1, -2, 1):
            with torch.no_grad():
                weight.add_(direction, alpha=sign * 1e-6)
            moved.append(objective().item())
        expected = (moved[0] - moved[1]) / 2e-6
        slope = 0.0 if gradient is None else (gradient * direction).sum().item()
        assert slope == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("penalty", [R1(), GradientPenalty()])
def test_penalties_are_float32(penalty: Callable[..., Tensor]) -> None:
    real, fake = images()
    value = penalty(Curved(), real.bfloat16(), fake.bfloat16())
    assert value.dtype == torch.float32
    assert value.shape == ()
