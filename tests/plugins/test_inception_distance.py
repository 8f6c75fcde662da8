"""FID: its distance two ways and by hand, few images, sizes, what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import scipy.linalg
import torch
from PIL import Image
from torch import Tensor, nn

from translate.data import Domain
from translate.errors import TranslateError
from translate.evaluation import compare
from translate.method import Parts
from translate_features.inception import Inception
from translate_metrics import sets
from translate_metrics.distances import Moments, frechet, frechet_of_factors, frechet_of_gaussians, weighted_factor
from translate_metrics.inception_distance import FID


class Means(nn.Module):
    """Features that are the means of the channels."""

    def forward(self, image: Tensor) -> Tensor:
        return image.mean((2, 3))


class Given:
    """Parts whose extractor is this one, whatever it is called; the name is kept."""

    source = target = Domain(3)
    size = (4, 4)
    asked = ""

    def feature_extractor(self, name: str, *, inputs: int | None = None) -> nn.Module:
        Given.asked = name
        return Means()


def fid(fake: Tensor, target: Tensor, **options: Any) -> FID:
    metric = FID(cast(Parts, Given()), weights=Path("w.pth"), **options)
    metric.prepare_resampling()
    metric.update({"fake": fake[:2], "target": target[:2]})
    metric.update({"fake": fake[2:]})
    metric.update({"target": target[2:]})
    return metric


def points(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, 1, 1, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_the_distance_in_two_ways() -> None:
    """Singular values of a product of factors, and the square root by eigenvalues as the formula has it."""
    generator = np.random.default_rng(0)
    one = generator.normal(size=(70, 24)) @ generator.normal(size=(24, 24))
    two = generator.normal(size=(50, 24)) @ generator.normal(size=(24, 24)) + 0.3
    means, covariances = [each.mean(0) for each in (one, two)], [np.cov(each, rowvar=False) for each in (one, two)]
    values, vectors = np.linalg.eigh(covariances[0])
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    between = np.sqrt(np.linalg.eigvalsh(root @ covariances[1] @ root).clip(0)).sum()
    apart = np.square(means[0] - means[1]).sum()
    by_eigenvalues = apart + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * between
    by_schur = apart + np.trace(
        covariances[0] + covariances[1] - 2 * scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    )
    assert frechet(one, two) == pytest.approx(by_eigenvalues, rel=1e-9)
    assert frechet(one, two) == pytest.approx(by_schur, rel=1e-6)


@pytest.mark.parametrize("count", [5, 12])
def test_the_distance_of_fewer_samples_than_features(count: int) -> None:
    """By the samples themselves, and by their singular covariances."""
    generator = np.random.default_rng(1)
    one, two = generator.normal(size=(count, 8)), generator.normal(size=(6, 8)) + 0.5
    by_samples = frechet_of_factors(*weighted_factor(one, np.ones(count)), *weighted_factor(two, np.ones(6)))
    covariances = [np.cov(each, rowvar=False) for each in (one, two)]
    assert by_samples == pytest.approx(frechet_of_gaussians(one.mean(0), covariances[0], two.mean(0), covariances[1]))
    moments = Moments()
    for part in np.split(one, [2, 3]):
        moments.update(part)
    np.testing.assert_allclose(moments.factor @ moments.factor.T, covariances[0], atol=1e-12)
    assert frechet(one, two) == pytest.approx(by_samples, rel=1e-9)
    # A sample that is there twice counts twice.
    times = np.arange(count) % 3
    again = np.repeat(one, times, axis=0)
    weighted = frechet_of_factors(*weighted_factor(one, times), *weighted_factor(two, np.ones(6)))
    assert weighted == pytest.approx(frechet(again, two), rel=1e-9)


def test_fid_of_images() -> None:
    fake, target = points(9), points(7, 1)
    metric = fid(fake, target)
    assert metric.result() == {"fid": pytest.approx(frechet(fake[:, :, 0, 0].numpy(), target[:, :, 0, 0].numpy()))}
    assert Given.asked == "inception(weights='w.pth', resize='clean', quantize=True)"
    once = metric.resampled({"fake": np.ones((1, 9), np.int32), "target": np.ones((1, 7), np.int32)})
    assert once["fid"] == pytest.approx([metric.result()["fid"]])
    assert metric.warnings == [
        "fid rests on 7 images, and is too large with fewer than 10,000: compare it only with distances of as many "
        "images, or use kid"
    ]
    fid(fake, target, resize="legacy_pytorch")
    assert "resize='legacy_pytorch'" in Given.asked


def test_resamples_that_take_long_are_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    metric = fid(points(9), points(7, 1))
    monkeypatch.setattr(sets, "LONG", 0)
    metric.resampled({"fake": np.ones((3, 9), np.int32), "target": np.ones((3, 7), np.int32)})
    assert caplog.messages == ["the interval of fid takes about 1 minutes; --bootstrap 100 takes less"]


def test_few_images_have_a_distance_and_a_warning() -> None:
    metric = fid(points(3), points(3, 1))
    assert metric.result()["fid"] > 0
    assert metric.warnings == [
        "fid rests on 3 images, of whose 3 features the covariance has a rank of at most 2: the number of images "
        "counts for much of it; compare it only with distances of as many images, or use kid"
    ]
    same = fid(points(3), points(3))
    assert same.result()["fid"] == pytest.approx(0, abs=1e-12)
    with pytest.raises(TranslateError, match="fid needs at least 2 images of each set, and here is 1"):
        fid(points(1), points(5)).result()


def test_values_that_are_no_numbers_are_told() -> None:
    bad = points(4)
    bad[1, 0] = torch.inf
    with pytest.raises(TranslateError, match="features that are no numbers in 1 of 2 images"):
        fid(bad, points(4))


def test_it_is_nothing_without_weights() -> None:
    with pytest.raises(TranslateError, match="fid is a distance by published weights; give their file"):
        FID(cast(Parts, Given()), weights=Path("none"))


def test_folders_from_end_to_end(tmp_path: Path) -> None:
    """With random weights under the published names, of images of several sizes, gray ones among them."""
    torch.manual_seed(0)
    network = Inception(3, weights=None, layer="logits").eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    generator = np.random.default_rng(0)
    features: list[Tensor] = []
    plain = Inception(3, weights=None).eval()
    plain.load_state_dict({name: each for name, each in network.state_dict().items() if not name.startswith("fc")})
    for side, sizes in (("made", [(20, 30), (40, 40)]), ("true", [(33, 24), (20, 30), (20, 30)])):
        (tmp_path / side).mkdir()
        rows = []
        for number, size in enumerate(sizes):
            values = generator.integers(0, 256, (*size, 3), np.uint8)
            image = Image.fromarray(values).convert("L" if number == 1 else "RGB")
            image.save(tmp_path / side / f"{number}.png")
            stored = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None]
            with torch.no_grad():
                rows.append(plain(stored / 127.5 - 1))
        features.append(torch.cat(rows))
    metrics = [f"fid(weights='{tmp_path}/w.pth')"]
    found = compare(tmp_path / "made", tmp_path / "true", metrics=metrics, bootstrap=100)
    assert found.scores["fid"] == pytest.approx(frechet(*(each.numpy() for each in features)), rel=1e-4)
    assert found.counts == {"fake": 2, "target": 3}
    assert "inception(weights='w.pth', resize='clean', quantize=True), weights " in found.protocol["metrics"]["fid"]
    assert found.protocol["size"] == "the size of each image"
    low, high = found.intervals["fid"]
    assert low < found.scores["fid"] < high
