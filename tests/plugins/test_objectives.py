"""What the theory says of the objectives, on problems small enough to have a known answer."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.adversary import Adversary
from translate.discriminator import AdversarialLoss, DiscriminatorOutput
from translate.parts import build
from translate.plugins import discover
from translate_losses.adversarial import Hinge, LeastSquares, Minimax, NonSaturating, Wasserstein
from translate_losses.constraints import Clip, SpectralNorm
from translate_losses.divergences import DIVERGENCES, FGAN, STEEPEST, Name, exponential
from translate_losses.penalties import GradientPenalty
from translate_losses.relativistic import Base, RelativisticAverage

P = torch.tensor([0.5, 0.2, 0.2, 0.1], dtype=torch.float64)
Q = torch.tensor([0.1, 0.1, 0.3, 0.5], dtype=torch.float64)


def drawn(shares: Tensor, count: int = 20) -> Tensor:
    """Draws in the exact proportions of a distribution over a few values."""
    return torch.repeat_interleave(torch.arange(len(shares)), (shares * count).round().long())


def best_table(loss: AdversarialLoss, p: Tensor, q: Tensor) -> tuple[Tensor, float]:
    """The discriminator that minimises its side, as a table of one logit a value, and the game's value there."""
    real, fake = drawn(p), drawn(q)
    table = torch.tensor([0.5, -0.5, 0.2, 0.3], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [table], max_iter=500, tolerance_grad=1e-13, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        optimizer.zero_grad()
        value = loss.discriminator(table[real], table[fake])
        value.backward()
        return value

    optimizer.step(objective)
    return table.detach(), -objective().item()


# --- f-GAN ----------------------------------------------------------------------------------------------------------

# f, its derivative and its conjugate as the paper's tables have them, written down apart from the code.
F_OF: dict[Name, Callable[[Tensor], Tensor]] = {
    "kl": lambda u: u * u.log(),
    "reverse_kl": lambda u: -u.log(),
    "pearson": lambda u: (u - 1).square(),
    "squared_hellinger": lambda u: (u.sqrt() - 1).square(),
    "jensen_shannon": lambda u: u * u.log() - (u + 1) * ((u + 1) / 2).log(),
}
SLOPE: dict[Name, Callable[[Tensor], Tensor]] = {
    "kl": lambda u: 1 + u.log(),
    "reverse_kl": lambda u: -1 / u,
    "pearson": lambda u: 2 * (u - 1),
    "squared_hellinger": lambda u: 1 - u.rsqrt(),
    "jensen_shannon": lambda u: (2 * u / (1 + u)).log(),
}
CONJUGATE: dict[Name, Callable[[Tensor], Tensor]] = {
    "kl": lambda t: (t - 1).exp(),
    "reverse_kl": lambda t: -1 - (-t).log(),
    "pearson": lambda t: t.square() / 4 + t,
    "squared_hellinger": lambda t: t / (1 - t),
    "jensen_shannon": lambda t: -(2 - t.exp()).log(),
}
each_divergence = pytest.mark.parametrize("name", list(DIVERGENCES))


@each_divergence
def test_the_best_discriminator_tells_the_density_ratio_and_the_value_is_the_divergence(name: Name) -> None:
    table, value = best_table(FGAN(divergence=name), P, Q)
    torch.testing.assert_close(DIVERGENCES[name].activation(table), SLOPE[name](P / Q), atol=1e-5, rtol=1e-5)
    assert value == pytest.approx((Q * F_OF[name](P / Q)).sum().item(), abs=1e-9)


@each_divergence
def test_no_divergence_between_equals(name: Name) -> None:
    table, value = best_table(FGAN(divergence=name), P, P)
    assert value == pytest.approx(0, abs=1e-10)
    torch.testing.assert_close(DIVERGENCES[name].activation(table), SLOPE[name](torch.ones_like(P)), atol=1e-5, rtol=0)


@each_divergence
def test_any_other_discriminator_gives_a_lower_bound(name: Name) -> None:
    generator = torch.Generator().manual_seed(0)
    divergence = (Q * F_OF[name](P / Q)).sum().item()
    for _ in range(20):
        table = 2 * torch.randn(4, dtype=torch.float64, generator=generator)
        assert -FGAN(divergence=name).discriminator(table[drawn(P)], table[drawn(Q)]).item() < divergence


@each_divergence
def test_activation_and_conjugate_are_those_of_the_tables(name: Name) -> None:
    row, v = DIVERGENCES[name], torch.linspace(-6, 6, 49, dtype=torch.float64, requires_grad=True)
    t = row.activation(v)
    torch.testing.assert_close(row.conjugate(v), CONJUGATE[name](t), atol=1e-10, rtol=1e-8)
    # Both rise with the logit (Pearson's conjugate from a density ratio of 0 on), so a larger one is more real.
    (rises,) = torch.autograd.grad(t.sum(), v)
    assert (rises > 0).all()
    (rises,) = torch.autograd.grad(row.conjugate(v).sum(), v)
    assert (rises[v > -2] > 0).all()


@each_divergence
def test_the_generator_plays_the_value_or_the_practical_form(name: Name) -> None:
    real, one, other = torch.tensor([0.3, 1.2]), torch.tensor([-0.4, 0.9]), torch.tensor([0.1, -1.5])
    game = FGAN(divergence=name, saturating=True)
    change = game.discriminator(real, other) - game.discriminator(real, one)
    assert change.item() == pytest.approx((game.generator(one) - game.generator(other)).item(), abs=1e-6)
    practical = FGAN(divergence=name).generator(one)
    torch.testing.assert_close(practical, -DIVERGENCES[name].activation(one).mean())


def test_jensen_shannon_is_the_original_game_less_log_4() -> None:
    real, fake = torch.tensor([0.5, 2.0]), torch.tensor([-0.5, 3.0])
    shifted = Minimax().discriminator(real, fake) - math.log(4)
    torch.testing.assert_close(FGAN().discriminator(real, fake), shifted)
    torch.testing.assert_close(FGAN().generator(fake), NonSaturating().generator(fake) - math.log(2))


@each_divergence
@pytest.mark.parametrize("saturating", [False, True])
@pytest.mark.parametrize("logit", [-1e4, -90.0, 90.0, 1e4])
def test_large_logits_stay_finite(name: Name, saturating: bool, logit: float) -> None:
    logits = torch.full((2,), logit, requires_grad=True)
    game = FGAN(divergence=name, saturating=saturating)
    value = game.discriminator(logits, logits) + game.generator(logits)
    value.backward()
    assert logits.grad is not None
    assert value.isfinite()
    assert logits.grad.isfinite().all()


def test_the_exponential_goes_on_along_its_tangent() -> None:
    x = torch.tensor([-3.0, STEEPEST - 1, STEEPEST + 2], dtype=torch.float64, requires_grad=True)
    value = exponential(x)
    (slope,) = torch.autograd.grad(value.sum(), x)
    edge = math.exp(STEEPEST)
    assert value.tolist() == pytest.approx([math.exp(-3), edge / math.e, 3 * edge])
    assert slope.tolist() == pytest.approx([math.exp(-3), edge / math.e, edge])


# --- disjoint supports ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", [0.5, 2.0, 8.0])
def test_jensen_shannon_saturates_between_disjoint_supports(distance: float) -> None:
    # Real at 0, fake at the distance: D = s(k (1/2 - x / distance)) tends to the best discriminator with k.
    real = torch.zeros(1, 1, dtype=torch.float64)
    for k in (20, 80):
        fake = torch.full((1, 1), distance, dtype=torch.float64, requires_grad=True)

        def logits(x: Tensor, k: int = k) -> Tensor:
            return k * (0.5 - x / distance)

        value = -Minimax().discriminator(logits(real), logits(fake)).item()
        # Goodfellow et al. 2014, theorem 1: the value is -log 4 + 2 JSD.
        assert (value + math.log(4)) / 2 == pytest.approx(math.log(2), abs=2 * math.exp(-k / 2))
        (pull,) = torch.autograd.grad(Minimax().generator(logits(fake)), fake)
        assert 0 < pull.item() <= k / distance * math.exp(-k / 2)  # towards the real one, and vanishing
        (pull,) = torch.autograd.grad(NonSaturating().generator(logits(fake)), fake)
        assert pull.item() == pytest.approx(k / distance, rel=1e-3)


@pytest.mark.parametrize("distance", [0.5, 2.0, 8.0])
@pytest.mark.parametrize("constraint", ["clip", "spectral_norm"])
def test_wasserstein_between_disjoint_supports_is_the_distance(distance: float, constraint: str) -> None:
    torch.manual_seed(0)
    critic = nn.Linear(1, 1)
    if constraint == "spectral_norm":
        SpectralNorm().prepare(critic)
    optimizer = torch.optim.SGD(critic.parameters(), lr=0.5)
    real, fake = torch.zeros(1, 1), torch.full((1, 1), distance, requires_grad=True)
    for _ in range(20):
        optimizer.zero_grad()
        value = Wasserstein().discriminator(critic(real), critic(fake.detach()))
        # The normed slope is 1 or -1 from the start, and its gradient therefore 0: a nudge decides for the better.
        if constraint == "spectral_norm" and value > 0:
            with torch.no_grad():
                critic.parametrizations.weight.original.neg_()  # type: ignore[union-attr,operator]
        value.backward()
        optimizer.step()
        if constraint == "clip":
            Clip(c=1.0).project(critic)
    value = Wasserstein().discriminator(critic(real), critic(fake))
    assert -value.item() == pytest.approx(distance, rel=1e-5)
    (pull,) = torch.autograd.grad(Wasserstein().generator(critic(fake)), fake)
    assert pull.item() == pytest.approx(1, rel=1e-5)  # whatever the distance


# --- 1-Lipschitz ----------------------------------------------------------------------------------------------------


class Plane(nn.Module):
    """A small critic of points in the plane, given as images (N, 2, 1, 1)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(2, width, 1), nn.LeakyReLU(0.2), nn.Conv2d(width, width, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(width, 1, 1),
        )  # fmt: skip

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        return DiscriminatorOutput((self.layers(image),))


def points(count: int, centre: float) -> Tensor:
    return (0.3 * torch.randn(count, 2) + torch.tensor([centre, 0.0]))[:, :, None, None]


def trained(regularizer: object | None, steps: int = 200) -> tuple[Adversary, float]:
    """A Wasserstein critic between two clouds that are 2 apart, and its estimate of their distance."""
    torch.manual_seed(0)
    adversary = Adversary(Plane(), Wasserstein(), regularizers={"it": regularizer} if regularizer else {})
    optimizer = torch.optim.Adam(adversary.discriminator.parameters(), lr=5e-3, betas=(0.5, 0.9))
    for _ in range(steps):
        optimizer.zero_grad()
        terms = adversary.discriminator_terms(points(64, -1.0), points(64, 1.0))
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
        adversary.project()
    # A cloud and its shifted copy are exactly as far from one another as the shift.
    real = points(500, -1.0)
    fake = real + torch.tensor([2.0, 0.0])[:, None, None]
    return adversary, -adversary.discriminator_terms(real, fake)["adversarial"].item()


def steepness(adversary: Adversary, reach: float) -> Tensor:
    """Slopes between random pairs of points."""
    a, b = (reach * torch.randn(4000, 2, 1, 1) for _ in range(2))
    with torch.no_grad():
        rise = adversary.discriminate(a).logits[0] - adversary.discriminate(b).logits[0]
    return rise.flatten().abs() / (a - b).flatten(1).norm(dim=1)


def test_a_critic_without_restraint_is_not_1_lipschitz() -> None:
    adversary, estimate = trained(None)
    assert steepness(adversary, 1.0).max() > 20
    assert estimate > 20


def test_a_gradient_penalty_makes_the_critic_1_lipschitz_within_tolerance() -> None:
    adversary, estimate = trained(GradientPenalty())
    # The penalty is soft: over the distance 2 a slope s gains 2 s - 10 (s - 1)^2, most at s = 1.1.
    assert 0.95 < steepness(adversary, 0.5).max() < 1.2
    assert estimate == pytest.approx(2 * 1.1, rel=0.05)


def test_spectral_norm_makes_the_critic_1_lipschitz() -> None:
    adversary, estimate = trained(SpectralNorm())
    adversary.discriminator.eval()
    assert steepness(adversary, 3.0).max() < 1.001
    assert 0.5 < estimate < 2.002  # a lower bound of the distance: a product of norms of 1 is rarely 1


def test_clipped_weights_bound_the_slope() -> None:
    adversary, _ = trained(Clip(c=0.1))
    assert max(weight.abs().max().item() for weight in adversary.discriminator.parameters()) <= 0.1 + 1e-8
    # By the layers' largest possible norms: 0.1 sqrt(2 * 32), 0.1 * 32, 0.1 sqrt(32).
    assert steepness(adversary, 1.0).max() <= 0.1**3 * math.sqrt(64) * 32 * math.sqrt(32)


# --- relativistic ---------------------------------------------------------------------------------------------------

REAL, FAKE = torch.tensor([1.0, 3.0]), torch.tensor([-1.0, 2.0])  # means 2 and 0.5


def soft(x: float) -> float:
    return math.log1p(math.exp(x))


@pytest.mark.parametrize(
    ("base", "discriminator", "generator"),
    [
        # real less the fakes' mean: 0.5, 2.5; fake less the reals' mean: -3, 0.
        ("standard", (soft(-0.5) + soft(-2.5) + soft(-3) + soft(0)) / 2, (soft(0.5) + soft(2.5) + soft(3) + soft(0)) / 2),
        ("least_squares", (0.25 + 2.25 + 4 + 1) / 2, (2.25 + 12.25 + 16 + 1) / 2),
        ("hinge", (0.5 + 0 + 0 + 1) / 2, (1.5 + 3.5 + 4 + 1) / 2),
    ],
)  # fmt: skip
def test_relativistic_by_hand(base: Base, discriminator: float, generator: float) -> None:
    loss = RelativisticAverage(base=base)
    assert loss.discriminator(REAL, FAKE).item() == pytest.approx(discriminator)
    assert loss.generator(FAKE, REAL).item() == pytest.approx(generator)


@pytest.mark.parametrize("base", ["standard", "least_squares", "hinge"])
def test_only_differences_matter_to_a_relativistic_loss(base: Base) -> None:
    loss = RelativisticAverage(base=base)
    torch.testing.assert_close(loss.discriminator(REAL + 7, FAKE + 7), loss.discriminator(REAL, FAKE))
    torch.testing.assert_close(loss.generator(FAKE + 7, REAL + 7), loss.generator(FAKE, REAL))


def test_the_relativistic_mean_is_over_all_of_a_patch_map() -> None:
    real, fake = torch.randn(2, 1, 3, 3), torch.randn(2, 1, 3, 3)
    loss = RelativisticAverage()
    torch.testing.assert_close(loss.discriminator(real, fake), loss.discriminator(real.flatten(), fake.flatten()))
    # Even one image has an average then: its map's.
    assert loss.discriminator(real[:1], fake[:1]).isfinite()


def test_a_relativistic_generator_needs_both_sides() -> None:
    with pytest.raises(TypeError, match="compares fakes with real images"):
        RelativisticAverage().generator(FAKE)


@pytest.mark.parametrize("base", ["standard", "least_squares", "hinge"])
def test_the_adversary_shows_a_relativistic_loss_real_images_too(base: Base) -> None:
    torch.manual_seed(0)
    adversary = Adversary(Plane(), RelativisticAverage(base=base))
    real, fake = points(8, -1.0), points(8, 1.0).requires_grad_()
    value = adversary.generator_terms(fake, real)["adversarial"]
    logits = [adversary.discriminate(images).logits[0] for images in (fake, real)]
    torch.testing.assert_close(value, RelativisticAverage(base=base).generator(*logits))
    (pull,) = torch.autograd.grad(value, fake)
    assert pull.flatten(1).any(1).all()


# --- label smoothing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [Minimax(smoothing=0.1), NonSaturating(smoothing=0.1), LeastSquares(smoothing=0.1)])
def test_the_best_discriminator_of_smooth_labels(loss: AdversarialLoss) -> None:
    """Salimans et al. 2016, section 3.4: D* = (1 - smoothing) p / (p + q)."""
    table, _ = best_table(loss, P, Q)
    found = table if isinstance(loss, LeastSquares) else torch.sigmoid(table)
    torch.testing.assert_close(found, 0.9 * P / (P + Q), atol=1e-5, rtol=0)


def test_smoothing_pulls_a_sure_discriminator_back_on_real_images_only() -> None:
    real, fake = torch.tensor([5.0], requires_grad=True), torch.tensor([-5.0], requires_grad=True)
    Minimax(smoothing=0.1).discriminator(real, fake).backward()
    assert real.grad is not None
    assert fake.grad is not None
    assert real.grad.item() > 0  # back: s(5) lies above 0.9
    assert fake.grad.item() == pytest.approx(torch.sigmoid(torch.tensor(-5.0)).item())  # and fakes are pushed on


def test_hinge_and_wasserstein_agree_within_the_margin() -> None:
    real, fake = torch.tensor([0.2, -0.7]), torch.tensor([0.4, -0.1])
    torch.testing.assert_close(Hinge().discriminator(real, fake), 2 + Wasserstein().discriminator(real, fake))
    torch.testing.assert_close(Hinge().generator(fake), Wasserstein().generator(fake))


# --- by name --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "logits", "expected"),
    [
        ("fgan(divergence=kl, saturating=yes)", 1.0, -1.0),
        ("fgan(divergence=pearson)", 1.0, -1.0),
        ("lsgan(smoothing=0.2)", 0.8, 0.0),
        ("wasserstein", 2.0, -2.0),
    ],
)
def test_losses_by_name(name: str, logits: float, expected: float) -> None:
    loss = build(discover(), "adversarial_losses", name)
    assert loss.generator(torch.tensor([logits])).item() == pytest.approx(expected, abs=1e-6)


def test_relativistic_by_name() -> None:
    loss = build(discover(), "adversarial_losses", "relativistic(base=least_squares)")
    assert loss.relativistic is True
    assert loss.generator(FAKE, REAL).item() == pytest.approx(
        F.mse_loss(FAKE - 2, torch.ones(2)) + F.mse_loss(REAL - 0.5, -torch.ones(2))
    )
