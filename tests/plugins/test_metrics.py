"""The metrics, against closed forms, numbers computed by hand, and second implementations."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor, nn

from translate.data import Domain
from translate.errors import TranslateError
from translate.method import Parts
from translate.options import options_of
from translate_metrics import kernels, metrics
from translate_metrics.averages import Average
from translate_metrics.class_diversity import ClassDiversity, mean_distance
from translate_metrics.classes import ClassificationError, ContentAccuracy, Numbering
from translate_metrics.distances import Moments, frechet, frechet_of_gaussians
from translate_metrics.diversity import Diversity, pairwise
from translate_metrics.extraction import fingerprint
from translate_metrics.kernels import kernel_distance
from translate_metrics.likelihood import BitsPerDimension
from translate_metrics.pixels import L1, PSNR, SSIM, Pairwise
from translate_metrics.sets import KID, Frechet


class Pixels(nn.Module):
    """An extractor whose features are the image itself, all of it as a map."""

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.register_buffer("weights", torch.ones(1))

    def forward(self, image: Tensor) -> Tensor:
        return image[..., :: self.stride, :: self.stride]


class Level(nn.Module):
    """A classifier by the mean of an image: classes at -1, 0 and 1."""

    def __init__(self, labels: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.labels = labels

    def forward(self, image: Tensor) -> Tensor:
        return -(image.mean((1, 2, 3))[:, None] - torch.tensor([-1.0, 0.0, 1.0])).abs()


class Made:
    """Parts that answer with what they were given."""

    def __init__(self, network: nn.Module, source: Domain | None = None, target: Domain | None = None) -> None:
        self.network = network
        self.source, self.target, self.size = source or Domain(3), target or Domain(3), (16, 16)

    def feature_extractor(self, name: str, *, inputs: int | None = None) -> nn.Module:
        assert inputs == self.target.channels
        return self.network

    def classifier(self, path: Path) -> nn.Module:
        return self.network


def parts(network: nn.Module, source: Domain | None = None, target: Domain | None = None) -> Parts:
    return cast(Parts, Made(network, source, target))


def some(count: int = 4, side: int = 16, seed: int = 0, channels: int = 3) -> Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_offers_name_what_exists() -> None:
    for name, path in metrics().items():
        module, _, attribute = path.partition(":")
        factory = getattr(__import__(module, fromlist=[attribute]), attribute)
        assert factory.needs, name
        assert callable(factory.update), name
        assert callable(factory.result), name
    assert options_of(Frechet)["extractor"].required


def test_the_average_and_its_error() -> None:
    average = Average("x")
    assert average.result() == {}
    average.add(torch.tensor([1.0]))
    assert average.result() == {"x": 1.0}
    average.add(torch.tensor([3.0, 8.0]))
    assert average.result() == {"x": 4.0, "x_standard_error": pytest.approx(math.sqrt(13 / 3))}


# --- pairs ----------------------------------------------------------------------------------------------------------


def measured(metric: Pairwise, fake: Tensor, target: Tensor) -> dict[str, float]:
    for rows in torch.arange(len(fake)).split(3):
        metric.update({"fake": fake[rows], "target": target[rows]})
    return dict(metric.result())


def test_equals() -> None:
    same = some()
    assert measured(L1(), same, same) == {"l1": 0, "l1_standard_error": 0}
    assert measured(PSNR(), same, same) == {"psnr": math.inf}
    assert measured(SSIM(), same, same)["ssim"] == pytest.approx(1)


def test_l1_and_psnr_of_a_known_difference() -> None:
    target = torch.zeros(2, 3, 8, 8)
    fake = target.clone()
    fake[0] += 0.2
    fake[1] -= 0.02
    assert measured(L1(), fake, target)["l1"] == pytest.approx(0.11)
    # 20 log10(2 / 0.2) = 20 dB, and 20 dB more for a tenth of it: a mean of decibels, not of squares.
    found = measured(PSNR(), fake, target)
    assert found["psnr"] == pytest.approx(30)
    assert found["psnr_standard_error"] == pytest.approx(10)


def test_psnr_of_noise_of_known_variance() -> None:
    noise = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.1
    assert measured(PSNR(), noise, torch.zeros_like(noise))["psnr"] == pytest.approx(10 * math.log10(4 / 0.01), abs=0.1)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_psnr_and_ssim_as_scikit_image_has_them(channels: int) -> None:
    target = some(3, 24, channels=channels)
    fake = (target + 0.3 * some(3, 24, 1, channels)).clamp(-1, 1)
    pairs = [((first.numpy() + 1) / 2, (second.numpy() + 1) / 2) for first, second in zip(target, fake, strict=True)]
    psnr = [peak_signal_noise_ratio(real, made, data_range=1) for real, made in pairs]
    ssim = [
        structural_similarity(
            real, made, channel_axis=0, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for real, made in pairs
    ]
    assert measured(PSNR(), fake, target)["psnr"] == pytest.approx(np.mean(psnr), rel=1e-5)
    assert measured(SSIM(), fake, target)["ssim"] == pytest.approx(np.mean(ssim), rel=1e-4)


def test_ssim_of_two_constants() -> None:
    real, fake = torch.full((1, 1, 16, 16), 0.2), torch.full((1, 1, 16, 16), -0.4)
    expected = (2 * 0.6 * 0.3 + 1e-4) / (0.6**2 + 0.3**2 + 1e-4)
    assert measured(SSIM(), fake, real)["ssim"] == pytest.approx(expected, rel=1e-4)


def test_what_cannot_be_compared_is_told() -> None:
    with pytest.raises(TranslateError, match=r"l1 compares images of one shape, not \(1, 3, 8, 8\) and \(1, 1, 8, 8\)"):
        measured(L1(), torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8))
    with pytest.raises(TranslateError, match="at least 11 pixels, not 8x16"):
        measured(SSIM(), torch.zeros(1, 3, 8, 16), torch.zeros(1, 3, 8, 16))


# --- sets -----------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-3, 3)] * 2, *[st.floats(0.01, 4)] * 2), min_size=1, max_size=5))
def test_frechet_of_independent_gaussians(sides: list[tuple[float, float, float, float]]) -> None:
    """Diagonal covariances: the sum of squared differences of means and of deviations; turned, the same."""
    first, second, deviation1, deviation2 = (np.array(each) for each in zip(*sides, strict=True))
    expected = ((first - second) ** 2).sum() + ((deviation1 - deviation2) ** 2).sum()
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(len(sides), len(sides))))
    found = frechet_of_gaussians(
        turn @ first, turn @ np.diag(deviation1**2) @ turn.T, turn @ second, turn @ np.diag(deviation2**2) @ turn.T
    )
    assert found == pytest.approx(expected, abs=1e-6)


def test_frechet_of_covariances_that_do_not_commute() -> None:
    """In two dimensions tr (S1 S2)^(1/2) = sqrt(tr(S1 S2) + 2 sqrt(det(S1 S2)))."""
    first, second = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[1.0, -0.7], [-0.7, 3.0]])
    between = np.sqrt(np.trace(first @ second) + 2 * np.sqrt(np.linalg.det(first) * np.linalg.det(second)))
    expected = np.trace(first) + np.trace(second) - 2 * between
    assert frechet_of_gaussians(np.zeros(2), first, np.zeros(2), second) == pytest.approx(expected)


def test_frechet_of_samples() -> None:
    generator = np.random.default_rng(0)
    samples = generator.normal(size=(400, 6))
    assert frechet(samples, samples) == pytest.approx(0, abs=1e-9)
    assert frechet(samples, samples + 2) == pytest.approx(6 * 4)
    few = generator.normal(size=(4, 6))  # rank-deficient: still finite, still zero to itself
    assert 0 <= frechet(few, few) < 1e-12


@pytest.mark.parametrize("rank", [3, 40, 64])
def test_frechet_of_equal_sets_is_0_and_not_less(rank: int) -> None:
    """Of features of any size, also where some never vary or follow from others."""
    generator = np.random.default_rng(0)
    samples = 100 * np.maximum(generator.normal(size=(200, rank)) @ generator.normal(size=(rank, 64)), 0)
    flat = 100 * generator.normal(size=(200, rank)) @ generator.normal(size=(rank, 64))
    samples[:, :5] = 0
    for same in (samples, flat):
        trace = float(np.trace(np.cov(same, rowvar=False)))
        for other in (same, same[::-1]):
            assert 0 <= frechet(same, other) < 1e-12 * trace


@pytest.mark.parametrize("zero", [0.0, 1e-9])
def test_frechet_of_diagonal_covariances_of_which_some_are_singular(zero: float) -> None:
    first, second = np.array([4.0, zero, 9.0, zero]), np.array([1.0, 16.0, zero, zero])
    expected = (2 - 1) ** 2 + (math.sqrt(zero) - 4) ** 2 + (3 - math.sqrt(zero)) ** 2
    found = frechet_of_gaussians(np.zeros(4), np.diag(first), np.zeros(4), np.diag(second))
    assert found == pytest.approx(expected, rel=1e-12)
    one = frechet_of_gaussians(np.array([1.0]), np.array([[4.0]]), np.array([3.0]), np.array([[9.0]]))
    assert one == pytest.approx((1 - 3) ** 2 + (2 - 3) ** 2)


def test_kernel_distance_of_pairs_by_hand() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 5, 3))
    y = y + 1
    pairs = [(i, j) for i in range(5) for j in range(5) if i != j]

    def kernel(a: Any, b: Any) -> float:
        return float((a @ b / 3 + 1) ** 3)

    def among(rows: list[tuple[int, int]]) -> float:
        terms = [kernel(x[i], x[j]) + kernel(y[i], y[j]) - kernel(x[i], y[j]) - kernel(x[j], y[i]) for i, j in rows]
        return float(np.mean(terms))

    found, error = kernel_distance(x, y, paired=True)
    assert found == pytest.approx(among(pairs))
    # The variance: the square, less the mean of products of pairs of pairs that have none in common.
    apart = [among([(i, j)]) * among([(a, b)]) for i, j, a, b in itertools.permutations(range(5), 4)]
    assert error == pytest.approx(math.sqrt(among(pairs) ** 2 - np.mean(apart)))


def test_kernel_distance_of_equal_and_of_different_sets() -> None:
    generator = np.random.default_rng(0)
    same = generator.normal(size=(10, 4))
    assert kernel_distance(same, same, paired=True) == (0, 0)
    close = [kernel_distance(*generator.normal(size=(2, 30, 4)), paired=True)[0] for _ in range(60)]
    assert abs(np.mean(close)) < 4 * np.std(close) / np.sqrt(60)
    far, error = kernel_distance(generator.normal(size=(30, 4)) + 2, generator.normal(size=(30, 4)), paired=True)
    assert far > 3 * error > 0


def test_kernel_distance_of_independent_sets_by_hand() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(5, 3)), generator.normal(size=(4, 3)) + 0.5

    def kernel(a: Any, b: Any) -> float:
        return float((a @ b / 3 + 1) ** 3)

    def by_hand(x: Any, y: Any) -> float:
        within = sum(np.mean([kernel(a, b) for a, b in itertools.permutations(each, 2)]) for each in (x, y))
        return float(within - 2 * np.mean([kernel(a, b) for a in x for b in y]))

    found, error = kernel_distance(x, y, paired=False)
    assert found == pytest.approx(by_hand(x, y))
    # Two of each set on either side of a product, no sample on both sides.
    apart = [
        by_hand(x[[i, j]], y[[a, b]]) * by_hand(x[[k, h]], y[[c, d]])
        for i, j, k, h in itertools.permutations(range(5), 4)
        for a, b, c, d in itertools.permutations(range(4), 4)
        if i < j and k < h and a < b and c < d
    ]
    assert error == pytest.approx(math.sqrt(by_hand(x, y) ** 2 - np.mean(apart)))


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(("count", "width", "apart"), [(30, 4, 0.0), (60, 4, 0.0), (60, 32, 0.0), (60, 4, 0.5)])
def test_the_standard_error_is_how_far_the_distances_of_many_draws_lie_apart(
    paired: bool, count: int, width: int, apart: float
) -> None:
    """Within 15 %, of like sets too, for which a jackknife says 1.4 times as much."""
    generator = np.random.default_rng(0)
    drawn = []
    for _ in range(400):
        x, y = generator.normal(size=(2, count, width))
        drawn.append(kernel_distance(x, y[: None if paired else count * 3 // 4] + apart, paired=paired))
    values, errors = np.array(drawn).T
    assert 0.85 < errors.mean() / values.std() < 1.15


def test_an_error_that_is_estimated_below_half_of_its_second_part_is_that() -> None:
    generator = np.random.default_rng(0)
    errors = [kernel_distance(*generator.normal(size=(2, 6, 1)), paired=True)[1] for _ in range(200)]
    assert min(errors) > 0


def test_the_standard_error_of_large_features_keeps_its_digits() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 50, 8))
    for paired in (True, False):
        near = kernel_distance(x / 1000, y / 1000, paired=paired)
        # (1 + e)^3 is 1 + 3 e up to squares of e: the distance is that of the means, by 3 / 8.
        means = (x.mean(0) - y.mean(0)) ** 2 - (0 if paired else 1) * (x.var(0, ddof=1) + y.var(0, ddof=1)) / 50
        if not paired:
            assert near[0] == pytest.approx(3 / 8 * means.sum() / 1e6, rel=1e-3)
        assert near[1] > 0


def test_kernel_distance_is_unbiased_and_its_error_is_right() -> None:
    """Over many draws of two distributions: right on average, and as far apart as the standard error says."""
    generator = np.random.default_rng(0)
    drawn = [
        kernel_distance(generator.normal(size=(40, 4)), generator.normal(size=(30, 4)) + 0.4, paired=False)
        for _ in range(200)
    ]
    values, errors = np.array(drawn).T
    far = generator.normal(size=(2, 3000, 4))
    expected, _ = kernel_distance(far[0], far[1] + 0.4, paired=False)
    assert abs(values.mean() - expected) < 4 * values.std() / math.sqrt(200) + 0.02
    assert 0.85 < errors.mean() / values.std() < 1.15


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 10, 3))
    whole = [kernel_distance(x, y, paired=True), kernel_distance(x, y[:7], paired=False)]
    monkeypatch.setattr(kernels, "BLOCK", 4)
    np.testing.assert_allclose([kernel_distance(x, y, paired=True), kernel_distance(x, y[:7], paired=False)], whole)


def test_few_samples_have_no_kernel_distance() -> None:
    assert all(math.isnan(value) for value in kernel_distance(np.ones((1, 2)), np.ones((3, 2)), paired=False))
    found, error = kernel_distance(np.ones((2, 2)), np.ones((2, 2)), paired=True)
    assert (found, math.isnan(error)) == (0, True)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 7), min_size=1, max_size=5), st.integers(0, 99))
def test_moments_of_parts_are_those_of_the_whole(sizes: list[int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    moments, rows = Moments(), generator.normal(size=(sum(sizes) + 2, 3)) + 1000
    for part in np.split(rows, np.cumsum(sizes)):
        moments.update(part)
    assert moments.count == len(rows)
    np.testing.assert_allclose(moments.mean, rows.mean(0))
    np.testing.assert_allclose(moments.covariance, np.cov(rows, rowvar=False), atol=1e-9)


def test_frechet_as_scipy_has_it() -> None:
    first = np.random.default_rng(0).normal(size=(60, 8)) @ np.random.default_rng(1).normal(size=(8, 8))
    second = np.random.default_rng(2).normal(size=(50, 8)) + 0.3
    one, two = (np.cov(each, rowvar=False) for each in (first, second))
    root = scipy.linalg.sqrtm(one @ two)
    apart = ((first.mean(0) - second.mean(0)) ** 2).sum()
    assert frechet(first, second) == pytest.approx(apart + np.trace(one + two - 2 * np.real(root)))


def test_frechet_of_images() -> None:
    metric = Frechet(parts(Pixels(8), target=Domain(1)), extractor="pixels", positions=False)
    fake, real = some(9, channels=1), some(7, seed=1, channels=1) + 1
    metric.update({"fake": fake[:5], "target": real[:5]})
    metric.update({"fake": fake[5:]})
    metric.update({"target": real[5:]})
    features = [each[..., ::8, ::8].mean((2, 3)).numpy() for each in (fake, real)]
    assert metric.result() == {"frechet": pytest.approx(frechet(*features))}
    told = f"pixels, weights {fingerprint(Pixels())}; 9 translated, 7 real images, features pooled"
    assert metric.protocol == told


def test_frechet_of_positions() -> None:
    metric = Frechet(parts(Pixels(8)), extractor="pixels", positions=True)
    fake, real = some(3), some(3, seed=1)
    metric.update({"fake": fake, "target": real})
    rows = [each[..., ::8, ::8].flatten(2).transpose(1, 2).flatten(0, 1).numpy() for each in (fake, real)]
    assert metric.result() == {"frechet": pytest.approx(frechet(*rows), rel=1e-5)}
    assert "12 translated, 12 real positions" in metric.protocol


def test_too_few_samples_are_told() -> None:
    metric = Frechet(parts(Pixels()), extractor="pixels")
    metric.update({"fake": some(3), "target": some(5)})
    with pytest.raises(TranslateError, match=r"features \(3\).*here are 3; use kid, or frechet with positions=yes"):
        metric.result()
    kid = KID(parts(Pixels()), extractor="pixels")
    kid.update({"fake": some(2), "target": some(5)})
    with pytest.raises(TranslateError, match="at least 4 images of each set, and here are 2 and 5"):
        kid.result()


@pytest.mark.parametrize("together", [True, False])
def test_kid_of_images(together: bool) -> None:
    metric = KID(parts(Pixels()), extractor="pixels")
    fake, real = some(6), some(6, seed=1)
    if together:
        metric.update({"fake": fake[:4], "target": real[:4]})
        metric.update({"fake": fake[4:], "target": real[4:]})
    else:
        metric.update({"fake": fake})
        metric.update({"target": real})
    found, error = kernel_distance(fake.mean((2, 3)).numpy(), real.mean((2, 3)).numpy(), paired=together)
    assert metric.result() == pytest.approx({"kid": found, "kid_standard_error": error}, rel=1e-4)
    assert ("is not compared with its own target" in metric.protocol) == together


def test_scaled_kid_has_no_unit() -> None:
    class Large(Pixels):
        def forward(self, image: Tensor) -> Tensor:
            return 100 * image

    found = []
    for network in (Pixels(), Large()):
        metric = KID(parts(network), extractor="pixels", scaled=True)
        metric.update({"fake": some(6), "target": some(6, seed=1)})
        found.append(metric.result()["kid"])
    assert found[0] == pytest.approx(found[1], rel=1e-3)


def test_an_extractor_of_another_shape_is_told() -> None:
    metric = KID(parts(nn.Flatten(0)), extractor="flat")
    with pytest.raises(TranslateError, match=r"an extractor answers \(N, D\) or \(N, D, h, w\)"):
        metric.update({"fake": some()})


def test_the_fingerprint_is_of_names_and_values() -> None:
    network = nn.Linear(2, 2)
    before = fingerprint(network)
    assert fingerprint(network) == before
    with torch.no_grad():
        network.bias[0] += 1e-7 + network.bias[0].abs() * 1e-5
    assert fingerprint(network) != before


# --- classes --------------------------------------------------------------------------------------------------------


def levels(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 3, 16, 16).clone()


def test_content_accuracy_beside_what_nothing_and_what_reality_score() -> None:
    metric = ContentAccuracy(parts(Level()), classifier=Path("runs/level"))
    metric.update(
        {
            "fake": levels(-1, 0.1, 0.9, 1.0, 0.0),
            "source": levels(1, 0, 0, -1, 0),
            "source_label": torch.tensor([0, 1, 2, 0, -1]),
            "target": levels(-1, 0, 1, 0, 0),
            "target_label": torch.tensor([0, 1, 2, 2, 1]),
        }
    )
    found = metric.result()
    assert (found["content_accuracy"], found["untranslated"], found["ceiling"]) == (75, 50, 80)
    assert found["content_accuracy_standard_error"] == pytest.approx(100 * math.sqrt(0.75 * 0.25 / 3))
    assert "classifier level, weights" in metric.protocol
    assert metric.protocol.endswith("4 labelled translated, 5 real images")


def test_content_accuracy_alone_where_there_is_nothing_beside_it() -> None:
    """Targets without labels have no ceiling; sources of other channels cannot be shown to the classifier."""
    metric = ContentAccuracy(parts(Level(), Domain(1)), classifier=Path("runs/level"))
    grey = torch.zeros(2, 1, 16, 16)
    metric.update({"fake": levels(-1, 0), "source": grey, "source_label": torch.tensor([0, 1])})
    metric.update({"target": levels(-1, 0)})
    assert metric.result() == {"content_accuracy": 100, "content_accuracy_standard_error": 0}


def test_classes_are_matched_by_name() -> None:
    source, target = Domain(3, labels=("high", "low", "mid")), Domain(3, labels=("low", "mid", "high"))
    metric = ContentAccuracy(parts(Level(("low", "mid", "high")), source, target), classifier=Path("runs/level"))
    metric.update({"fake": levels(1, -1, 0), "source_label": torch.tensor([0, 1, 2])})
    metric.update({"target": levels(1, -1, 0), "target_label": torch.tensor([2, 0, 1])})
    found = metric.result()
    assert (found["content_accuracy"], found["ceiling"]) == (100, 100)


def test_diversity_within_classes_by_hand() -> None:
    """Made: -1, -0.8 and 0, 0.1, 0.3 and one of the third; real: -1, -0.6 and 0, 0.2 and two of the third."""
    metric = ClassDiversity(parts(Level()), classifier=Path("runs/level"))
    metric.update({"fake": levels(-1, 0.1, 0.9, 0)})
    metric.update({"target": levels(-1, 0.2, 1.0), "fake": levels(-0.8, 0.3)})
    metric.update({"target": levels(-0.6, 0, 0.8)})
    found = metric.result()
    made, real = (0.2 + (0.1 + 0.3 + 0.2) / 3) / 2, (0.4 + 0.2) / 2
    assert found["class_diversity_made"] == pytest.approx(made, rel=1e-5)
    assert found["class_diversity_real"] == pytest.approx(real, rel=1e-5)
    assert found["class_diversity"] == pytest.approx(made / real, rel=1e-5)
    assert metric.protocol.startswith("mean absolute difference of pixels in [-1, 1] within 2 classes")
    assert metric.protocol.endswith("6 made, 6 real images")
    rows = torch.randn(9, 4)
    by_hand = torch.stack([(a - b).abs().mean() for n, a in enumerate(rows) for b in rows[:n]]).mean()
    assert mean_distance(rows) == pytest.approx(by_hand.item(), rel=1e-5)


def test_diversity_within_classes_needs_two_of_a_kind() -> None:
    metric = ClassDiversity(parts(Level()), classifier=Path("runs/level"))
    metric.update({"fake": levels(-1, 0), "target": levels(-1, -1)})
    with pytest.raises(TranslateError, match="two made and two real images of some class; draw more images"):
        metric.result()
    same = ClassDiversity(parts(Level()), classifier=Path("runs/level"), extractor="mine")
    same.update({"fake": levels(-1, -1), "target": levels(-1, -1)})
    assert same.result()["class_diversity"] == 1.0
    assert "pooled features of mine, weights" in same.protocol


def test_classes_that_do_not_fit_are_told() -> None:
    with pytest.raises(TranslateError, match="knows no class 'c', only a, b"):
        Numbering(("a", "c"), ("a", "b"), 2)
    with pytest.raises(TranslateError, match="has the label 3, but the classifier tells 2 classes apart"):
        Numbering((), (), 2)(torch.tensor([0, 3]))

    class Frozen(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return nn.Linear(5, 3)(image.flatten(1))

    with pytest.raises(TranslateError, match="does not take images of 3 channels and 16x16 pixels"):
        ContentAccuracy(parts(Frozen()), classifier=Path("runs/level"))


def test_classification_error() -> None:
    domain = Domain(3, labels=("a", "b"))
    metric = ClassificationError(parts(nn.Identity(), domain, Domain(3, labels=("b", "a"))))
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    metric.update({"logits": logits, "label": torch.tensor([1, 0, 0, -1, 0])})
    assert metric.result()["classification_error"] == 25
    assert metric.protocol == "percent; 4 labelled images"


# --- likelihood and diversity ---------------------------------------------------------------------------------------


def test_bits() -> None:
    metric = BitsPerDimension()
    metric.update({"bits": torch.tensor([1.0, 2.0])})
    metric.update({"bits": torch.tensor([6.0])})
    assert metric.result()["bits_per_dim"] == 3


def test_diversity_of_pixels_and_of_features() -> None:
    samples = torch.stack([levels(0, 1, 0.5), levels(-1, -1, -1)])
    metric = Diversity(parts(Pixels()))
    metric.update({"samples": samples})
    assert metric.result() == {"diversity": pytest.approx(1 / 3), "diversity_standard_error": pytest.approx(1 / 3)}
    assert metric.protocol.endswith("pixels in [-1, 1]; 3 samples of each of 2 images")
    noise = 1 - 2 * (torch.arange(16) % 2.0)  # of the features' mean nothing is left
    features = Diversity(parts(Pixels()), extractor="pixels")
    features.update({"samples": samples + noise * torch.tensor([0.0, 1.0, 2.0]).view(3, 1, 1, 1)})
    assert features.result()["diversity"] == pytest.approx(1 / 3)


def test_diversity_of_normal_samples() -> None:
    """The mean absolute difference of two standard normal numbers is 2 / sqrt(pi)."""
    drawn = torch.randn(4, 6, 2000, generator=torch.Generator().manual_seed(0))
    assert pairwise(drawn).mean().item() == pytest.approx(2 / math.sqrt(math.pi), abs=0.02)


def test_one_sample_is_not_diverse() -> None:
    with pytest.raises(TranslateError, match="ask for at least 2 --samples"):
        Diversity(parts(Pixels())).update({"samples": torch.zeros(2, 1, 3, 8, 8)})
