"""What restrains a discriminator: DRAGAN, clipping, spectral norm, DiffAugment, several updates."""

from __future__ import annotations

import math
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from translate.adversary import Adversary
from translate.discriminator import DiscriminatorOutput
from translate.errors import TranslateError
from translate.parts import build
from translate.plugins import discover
from translate_losses.adversarial import Wasserstein
from translate_losses.constraints import Clip, Critic, SpectralNorm
from translate_losses.diffaugment import DiffAugment, Policy, color, draw_shifts, draw_window, shift
from translate_losses.penalties import R1, Dragan, GradientPenalty


def images(count: int = 3, channels: int = 2, side: int = 8, seed: int = 0) -> Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


class Recorder(nn.Module):
    """Judges by a linear layer, and remembers what it was shown."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.seen: list[tuple[Tensor, Tensor | None]] = []

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        self.seen.append((image.detach(), condition))
        return DiscriminatorOutput(((image * self.weight).sum((1, 2, 3)),))


# --- DRAGAN ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("norm", "expected"), [(1.0, 0.0), (3.0, 4.0), (0.5, 0.25)])
def test_dragan_of_a_linear_discriminator(norm: float, expected: float) -> None:
    weight = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(1))
    value = Dragan(weight=10.0)(Recorder(norm * weight / weight.norm()), images(), images(seed=1))
    assert value.item() == pytest.approx(10 * expected, abs=1e-4)
    assert value.dtype == torch.float32


def test_dragan_looks_around_real_images() -> None:
    network = Recorder(torch.ones(2, 8, 8))
    real = images(count=200)
    torch.manual_seed(0)
    Dragan(spread=0.5)(network, real, images())
    shares = (network.seen[0][0] - real) / real.std()
    assert -1e-6 < shares.min() < 0.01
    assert 0.45 < shares.max() < 0.5001
    # The product of two draws from [0, 1) is 1/4 on average, times 0.5.
    assert shares.mean().item() == pytest.approx(0.125, abs=0.01)
    # How far along its noise an image lies is its own: the means of images spread as 0.25 a does, 0.25 / sqrt(12).
    assert shares.mean((1, 2, 3)).std().item() == pytest.approx(0.25 / math.sqrt(12), rel=0.15)


def test_dragan_with_the_paper_s_gaussian_noise() -> None:
    network = Recorder(torch.ones(2, 8, 8))
    real = images(count=200)
    torch.manual_seed(0)
    Dragan(spread=0.5, noise="gaussian")(network, real, images())
    shares = (network.seen[0][0] - real) / real.std(correction=0)
    assert shares.mean().item() == pytest.approx(0, abs=0.01)
    assert shares.std().item() == pytest.approx(0.5, rel=0.02)
    assert shares.mean((1, 2, 3)).std().item() == pytest.approx(0.5 / math.sqrt(128), rel=0.15)


@pytest.mark.parametrize("noise", ["uniform", "gaussian"])
def test_dragan_s_noise_by_hand(noise: Literal["uniform", "gaussian"]) -> None:
    """Real values 1 and 3, std 1, spread 0.5; D(x) = x^2 / 2, whose gradient is the place it is asked at."""

    def discriminate(x: Tensor) -> DiscriminatorOutput:
        return DiscriminatorOutput((x.square().sum((1, 2, 3)) / 2,))

    real = torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1)
    torch.manual_seed(3)
    drawn = (torch.rand(2), torch.rand(2)) if noise == "uniform" else (torch.randn(2), torch.ones(2))
    places = [value + 0.5 * u * a for value, u, a in zip((1, 3), *(each.tolist() for each in drawn), strict=True)]
    by_hand = sum((abs(place) - 1) ** 2 for place in places) / 2
    torch.manual_seed(3)
    assert Dragan(weight=1.0, noise=noise)(discriminate, real, real).item() == pytest.approx(by_hand, rel=1e-5)


def test_dragan_of_a_curved_discriminator_by_hand() -> None:
    # D(x) = x^2 / 2 has the gradient x; real images without any spread have no noise.
    def discriminate(x: Tensor) -> DiscriminatorOutput:
        return DiscriminatorOutput((x.square().sum((1, 2, 3)) / 2,))

    real = torch.full((2, 1, 1, 1), 3.0, requires_grad=True)
    assert Dragan(weight=1.0)(discriminate, real, real).item() == pytest.approx(4)
    assert Dragan(weight=1.0, spread=0.0)(discriminate, images(1, 1, 2), real).item() == pytest.approx(
        (images(1, 1, 2).norm() - 1).square().item()
    )
    assert real.grad is None


def test_dragan_of_one_image_has_a_spread() -> None:
    network = Recorder(torch.ones(1, 1, 1))
    assert Dragan()(network, torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1)).isfinite()


# --- clip -----------------------------------------------------------------------------------------------------------


def test_clip_keeps_all_weights_within_c() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    with torch.no_grad():
        network[0].weight.copy_(torch.linspace(-2, 2, 12).reshape(4, 3))
    before = network[0].weight.detach().clone()
    Clip(c=0.5).project(network)
    assert torch.equal(network[0].weight, before.clamp(-0.5, 0.5))
    assert all(weight.abs().max() <= 0.5 for weight in network.parameters())
    assert all(weight.requires_grad for weight in network.parameters())


def test_the_adversary_clips_after_each_step_only() -> None:
    network = Recorder(torch.full((2, 8, 8), 0.3))
    adversary = Adversary(network, Wasserstein(), regularizers={"clip": Clip()})
    assert network.weight.max().item() == pytest.approx(0.3)
    assert adversary.discriminator_terms(images(), images(seed=1)).keys() == {"adversarial"}
    adversary.project()
    assert network.weight.max().item() == pytest.approx(0.01)


# --- spectral norm --------------------------------------------------------------------------------------------------


def layers() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 3, 3), nn.InstanceNorm2d(3, affine=True), nn.Flatten(),
        nn.Linear(192, 2),
    )  # fmt: skip


def test_spectral_norm_of_every_layer_is_1() -> None:
    torch.manual_seed(0)
    network = layers()
    SpectralNorm().prepare(network)
    for _ in range(30):
        network(images())
    normed = [network[0].weight.flatten(1), network[2].weight.transpose(0, 1).flatten(1), network[5].weight]
    for weight in normed:
        assert torch.linalg.matrix_norm(weight, 2).item() == pytest.approx(1, abs=1e-3)
    assert not hasattr(network[3], "parametrizations")


def test_spectral_norm_leaves_a_normed_layer_as_it_is() -> None:
    network = layers()
    nn.utils.parametrizations.spectral_norm(network[0])
    SpectralNorm().prepare(network)
    SpectralNorm().prepare(network)
    for number in (0, 2, 5):
        assert len(network[number].parametrizations.weight) == 1


def test_the_adversary_prepares_once_and_its_weights_are_trained() -> None:
    adversary = Adversary(nn.Conv2d(2, 1, 3), Wasserstein(), regularizers={"spectral_norm": SpectralNorm()})
    names = {name for name, _ in adversary.discriminator.named_parameters()}
    assert names == {"bias", "parametrizations.weight.original"}


# --- several updates ------------------------------------------------------------------------------------------------


def test_the_generator_moves_once_in_so_many_steps() -> None:
    adversary = Adversary(nn.Identity(), Wasserstein(), regularizers={"critic": Critic(updates=3), "clip": Clip()})
    assert adversary.period == 3
    assert [step for step in range(9) if adversary.generator_moves(step)] == [2, 5, 8]


# --- DiffAugment ----------------------------------------------------------------------------------------------------


def test_shift_by_hand() -> None:
    image = torch.arange(1.0, 10).reshape(1, 1, 3, 3).repeat(2, 2, 1, 1)
    moved = shift(image, torch.tensor([1, 0]), torch.tensor([0, -2]))
    assert moved[0, 1].tolist() == [[0, 0, 0], [1, 2, 3], [4, 5, 6]]
    assert moved[1, 0].tolist() == [[3, 0, 0], [6, 0, 0], [9, 0, 0]]


def test_shifts_reach_an_eighth_of_each_side_and_no_further() -> None:
    torch.manual_seed(0)
    down, right = draw_shifts(torch.zeros(500, 1, 16, 40))
    assert down.unique().tolist() == [-2, -1, 0, 1, 2]
    assert right.unique().tolist() == list(range(-5, 6))
    assert (down * right).float().mean().abs() < 0.5  # apart from one another


@pytest.mark.parametrize("side", [8, 10, 7])
def test_cutout_is_half_of_each_side_around_any_centre(side: int) -> None:
    torch.manual_seed(0)
    length = {8: 4, 10: 5, 7: 4}[side]
    kept = draw_window(torch.zeros(600, 3, side, side))
    assert kept.shape == (600, 1, side, side)
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    gone = (1 - kept[:, 0]).amax(2)  # which rows are touched
    assert gone.sum(1).max() == length
    assert gone.sum(1).min() == (length + 1) // 2  # at the border half of it lies outside
    # In every image the hole is a full rectangle.
    assert torch.equal((1 - kept).sum((1, 2, 3)), gone.sum(1) * (1 - kept[:, 0]).amax(1).sum(1))
    # Each row is as likely to be cut as its mirror.
    share = gone.mean(0)
    torch.testing.assert_close(share, share.flip(0), atol=0.12, rtol=0)


def test_color_by_hand() -> None:
    image = images(count=2, channels=3)
    torch.manual_seed(5)
    b, s, c = torch.rand(3, 2)
    torch.manual_seed(5)
    changed = color(image)
    for number in range(2):
        x = image[number] + b[number] - 0.5
        gray = x.mean(0)
        x = gray + 2 * s[number] * (x - gray)
        x = x.mean() + (0.5 + c[number]) * (x - x.mean())
        torch.testing.assert_close(changed[number], x)


def test_color_may_leave_the_range_and_takes_any_channels() -> None:
    for channels in (1, 2, 5):
        assert color(torch.ones(50, channels, 4, 4)).max() > 1.2


@pytest.mark.parametrize("policy", [("color",), ("translation",), ("cutout",), ("color", "translation", "cutout")])
def test_gradients_pass_and_are_right(policy: tuple[Policy, ...]) -> None:
    image = images(count=2, side=4).double().requires_grad_()
    augment = DiffAugment(policy=policy).augment

    def changed(x: Tensor) -> Tensor:
        torch.manual_seed(3)
        return augment(x)[0]

    assert torch.autograd.gradcheck(changed, image)
    assert torch.autograd.gradgradcheck(changed, image)
    assert not torch.equal(changed(image), image)


def test_every_image_has_draws_of_its_own() -> None:
    torch.manual_seed(0)
    changed, _ = DiffAugment().augment(images(count=1).repeat(8, 1, 1, 1))
    assert len(changed.flatten(1).unique(dim=0)) == 8


def test_draws_come_from_the_seed() -> None:
    answers = []
    for _ in range(2):
        torch.manual_seed(7)
        answers.append(DiffAugment().augment(images())[0])
    assert torch.equal(*answers)


def test_a_condition_moves_with_its_image_and_keeps_its_values() -> None:
    torch.manual_seed(0)
    image = images(count=16, channels=1)
    moved, beside = DiffAugment(policy=("translation", "cutout")).augment(image, 2 * image)
    assert beside is not None
    assert torch.equal(2 * moved, beside)
    _, beside = DiffAugment(policy=("color",)).augment(image, image)
    assert beside is image


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_augmentation_keeps_the_type(dtype: torch.dtype) -> None:
    assert DiffAugment().augment(images().to(dtype))[0].dtype == dtype


def test_real_and_fake_are_augmented_alike_for_both_players() -> None:
    network = Recorder(torch.ones(1, 8, 8))
    adversary = Adversary(network, Wasserstein(), regularizers={"it": DiffAugment(policy=("translation", "cutout"))})
    real, fake = torch.full((64, 1, 8, 8), 0.5), torch.full((64, 1, 8, 8), -0.5).requires_grad_()
    torch.manual_seed(0)
    adversary.discriminator_terms(real, fake.detach())
    value = adversary.generator_terms(fake, real)["adversarial"]
    assert len(network.seen) == 3
    for (seen, _), level in zip(network.seen, (0.5, -0.5, -0.5), strict=True):
        assert set(seen.unique().tolist()) == {0.0, level}
        assert 0.1 < (seen == 0).float().mean() < 0.5  # about a quarter is cut, and the shift's margins
    # What was cut has no say in the generator's gradient.
    (pull,) = torch.autograd.grad(value, fake)
    assert 0.5 < (pull < 0).float().mean() < 0.9


@pytest.mark.parametrize("penalty", [R1(), GradientPenalty(), Dragan()])
def test_penalties_are_differentiated_through_the_augmentation(penalty: Any) -> None:
    torch.manual_seed(0)
    network = Recorder(torch.ones(2, 8, 8))
    adversary = Adversary(network, Wasserstein(), regularizers={"it": penalty, "augment": DiffAugment()})
    terms = adversary.discriminator_terms(images(), images(seed=1))
    (slope,) = torch.autograd.grad(terms["it"], network.weight)
    assert slope.isfinite().all()
    assert slope.any()


# --- by name --------------------------------------------------------------------------------------------------------


def test_policies_by_name() -> None:
    catalog = discover()
    for text, policy in (
        ("diffaugment", ("color", "translation", "cutout")),
        ("diffaugment(policy=translation)", ("translation",)),
        ("diffaugment(policy=(color, cutout))", ("color", "cutout")),
    ):
        assert build(catalog, "regularizers", text).policy == policy
    with pytest.raises(TranslateError, match="policy must be a list of which each is 'color' or 'translation'"):
        build(catalog, "regularizers", "diffaugment(policy=colour)")
    with pytest.raises(TranslateError, match="c must be a number > 0"):
        build(catalog, "regularizers", "clip(c=0)")
    with pytest.raises(TranslateError, match="updates must be a whole number >= 1"):
        build(catalog, "regularizers", "critic(updates=0)")
