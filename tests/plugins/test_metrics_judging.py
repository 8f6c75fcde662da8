"""MS-SSIM, perceptual distance, CMMD, precision and recall, copies, cycles and segmentation, by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.ndimage import correlate1d
from torch import Tensor, nn

from translate.data import Domain
from translate.errors import TranslateError
from translate.method import Parts
from translate.translator import Translator
from translate_metrics import segmentation
from translate_metrics.copies import CopyDistance
from translate_metrics.cycles import CycleError
from translate_metrics.manifolds import PrecisionRecall
from translate_metrics.maximum_mean import CMMD
from translate_metrics.multiscale import MSSSIM, WEIGHTS
from translate_metrics.perceptual import PerceptualDistance
from translate_metrics.segmentation import Segmentation


class Flat(nn.Module):
    """Features that are the pixels of an image of one pixel, or the channels' means."""

    def forward(self, image: Tensor) -> Tensor:
        return image.mean((2, 3))


class Made:
    """Parts that answer with what they were given."""

    def __init__(self, network: nn.Module | None = None, source: Domain | None = None, target: Domain | None = None):
        self.network, self.size = network or Flat(), (4, 4)
        self.source, self.target = source or Domain(3), target or Domain(3)

    def feature_extractor(self, name: str, *, inputs: int | None = None) -> nn.Module:
        return self.network


def parts(network: nn.Module | None = None, source: Domain | None = None, target: Domain | None = None) -> Parts:
    return cast(Parts, Made(network, source, target))


def points(*rows: Sequence[float]) -> Tensor:
    """Images (N, D, 4, 4) whose features are these rows."""
    return torch.tensor(rows)[:, :, None, None].expand(-1, -1, 4, 4)


def some(count: int = 4, side: int = 16, seed: int = 0, channels: int = 3) -> Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


# --- MS-SSIM --------------------------------------------------------------------------------------------------------


def ms_ssim(one: Any, two: Any) -> float:
    """Of one channel (H, W) in [0, 1], written from the paper with scipy, for even sides."""
    line = np.exp(-(np.arange(-5.0, 6) ** 2) / (2 * 1.5**2))
    line /= line.sum()

    def blur(image: Any) -> Any:
        return correlate1d(correlate1d(image, line, axis=0), line, axis=1)[5:-5, 5:-5]

    found = 1.0
    for scale, weight in enumerate(WEIGHTS):
        if scale:
            one, two = (each.reshape(each.shape[0] // 2, 2, each.shape[1] // 2, 2).mean((1, 3)) for each in (one, two))
        m1, m2 = blur(one), blur(two)
        v1, v2, cov = blur(one * one) - m1**2, blur(two * two) - m2**2, blur(one * two) - m1 * m2
        value = (2 * cov + 0.0009) / (v1 + v2 + 0.0009)
        if scale == 4:
            value = value * (2 * m1 * m2 + 0.0001) / (m1**2 + m2**2 + 0.0001)
        found *= value.mean() ** weight
    return found


def test_ms_ssim_as_the_paper_has_it() -> None:
    clean = torch.nn.functional.interpolate(some(2, 12, channels=1), (192, 176), mode="bicubic").clamp(-1, 1)
    noisy = (clean + 0.3 * some(2, 192, seed=1, channels=1)[..., :176]).clamp(-1, 1)
    metric = MSSSIM()
    metric.update({"fake": noisy[:1], "target": clean[:1]})
    metric.update({"fake": noisy[1:], "target": clean[1:]})
    pairs = zip(noisy.double().numpy()[:, 0], clean.double().numpy()[:, 0], strict=True)
    expected = [ms_ssim((one + 1) / 2, (two + 1) / 2) for one, two in pairs]
    assert metric.per_image()["fake"]["ms_ssim"].tolist() == pytest.approx(expected, rel=1e-6)
    assert 0.3 < metric.result()["ms_ssim"] < 0.98


def test_ms_ssim_of_constants_is_the_luminance_of_the_coarsest_scale() -> None:
    metric = MSSSIM()
    # 0.5 and 0.25 in [0, 1]; contrast and structure are 1. A side of 161 is odd at the first scales.
    metric.update({"fake": torch.zeros(1, 3, 161, 161), "target": torch.full((1, 3, 161, 161), -0.5)})
    luminance = (2 * 0.125 + 1e-4) / (0.25 + 0.0625 + 1e-4)
    assert metric.result()["ms_ssim"] == pytest.approx(luminance**0.1333)
    with pytest.raises(TranslateError, match="sides of at least 161 pixels for its five scales, not 160x200"):
        MSSSIM().update({"fake": torch.zeros(1, 3, 160, 200), "target": torch.zeros(1, 3, 160, 200)})


def test_ms_ssim_of_opposites_is_0_and_a_number() -> None:
    image = some(1, 161)
    metric = MSSSIM()
    metric.update({"fake": image, "target": -image})
    assert metric.result()["ms_ssim"] == 0


# --- perceptual distance --------------------------------------------------------------------------------------------


class Two(nn.Module):
    """Two layers: twice the image, then the differences of its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 2, 1, bias=False)
        self.second = nn.Conv2d(2, 1, 1, bias=False)
        with torch.no_grad():
            self.first.weight.copy_(2 * torch.eye(2)[:, :, None, None])
            self.second.weight.copy_(torch.tensor([[[[1.0]], [[-1.0]]]]))

    def forward(self, image: Tensor) -> Tensor:
        answer: Tensor = self.second(self.first(image))
        return answer


def perceptual(**options: Any) -> PerceptualDistance:
    metric = PerceptualDistance(parts(Two(), target=Domain(2)), extractor="two", **options)
    metric.update({"fake": points([0.6, 0.8], [0.5, 0.0]), "target": points([1.0, 0.0], [0.1, 0.0])})
    return metric


def test_the_perceptual_distance_by_hand(tmp_path: Path) -> None:
    # Of length 1: (0.6, 0.8) and (1, 0) are 0.16 + 0.64 apart; the sign of the output turns, which is 4 apart.
    assert perceptual(layers="first").per_image()["fake"]["perceptual_distance"].tolist() == pytest.approx([0.8, 0])
    assert perceptual().per_image()["fake"]["perceptual_distance"].tolist() == pytest.approx([4, 0])
    both = perceptual(layers="first, output")
    assert both.result()["perceptual_distance"] == pytest.approx(2.4)
    assert "layers first, output; all channels weigh 1" in both.protocol
    file = tmp_path / "lin.safetensors"
    save_file(
        {
            "lin0.model.1.weight": torch.tensor([0.5, 0.25])[None, :, None, None],
            "lin1.model.1.weight": torch.tensor([0.1])[None, :, None, None],
        },
        file,
    )
    learned = perceptual(layers="first, output", weights=file)
    assert learned.result()["perceptual_distance"] == pytest.approx((0.16 * 0.5 + 0.64 * 0.25 + 0.4) / 2)
    assert "weights lin.safetensors, " in learned.protocol


def test_weights_that_do_not_fit_are_told(tmp_path: Path) -> None:
    file = tmp_path / "lin.safetensors"
    save_file({"lin0.model.1.weight": torch.ones(1, 3, 1, 1)}, file)
    with pytest.raises(
        TranslateError, match="weights of LPIPS for layers of 2 channels: lin0.model.1.weight is missing"
    ):
        perceptual(layers="first", weights=file)
    save_file({"lin0.model.1.weight": -torch.ones(1, 2, 1, 1)}, file)
    with pytest.raises(TranslateError, match="holds weights below 0"):
        perceptual(layers="first", weights=file)
    with pytest.raises(TranslateError, match="frist"):
        perceptual(layers="frist")


# --- sets -----------------------------------------------------------------------------------------------------------


def given(metric: Any, fake: Tensor, target: Tensor, **further: Tensor) -> Any:
    for part in fake.split(2):
        metric.update({"fake": part})
    metric.update({"target": target} | further)
    return metric


@pytest.mark.parametrize("biased", [True, False])
def test_cmmd_by_hand(biased: bool) -> None:
    fake, target = points([3.0, 4.0, 0.0], [0.0, 2.0, 0.0]), points([1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 5.0])
    metric = given(CMMD(parts(), extractor="flat", biased=biased), fake, target)
    x, y = [(0.6, 0.8, 0), (0, 1, 0)], [(1, 0, 0), (0, 0, 1), (0, 0, 1)]

    def kernel(one: Sequence[float], two: Sequence[float]) -> float:
        return math.exp(-sum((a - b) ** 2 for a, b in zip(one, two, strict=True)) / 200)

    def mean(one: Sequence[Any], two: Sequence[Any]) -> float:
        same = one is two and not biased
        pairs = [(i, j) for i in range(len(one)) for j in range(len(two)) if not (same and i == j)]
        return sum(kernel(one[i], two[j]) for i, j in pairs) / len(pairs)

    expected = 1000 * (mean(x, x) + mean(y, y) - 2 * mean(x, y))
    assert metric.result()["cmmd"] == pytest.approx(expected, rel=1e-6)
    drawn = {"fake": np.ones((1, 2), np.int32), "target": np.ones((1, 3), np.int32)}
    assert metric.resampled(drawn)["cmmd"] == pytest.approx([expected])
    if biased:
        assert metric.warnings[0].startswith("cmmd rests on 2 images, and is too large with fewer than 100")
    told = f"sigma 10, scale 1000, {'biased' if biased else 'unbiased'}; 2 translated, 3 real images"
    assert told in metric.protocol


def test_precision_and_recall_by_hand() -> None:
    """On a line, k = 1: the real balls are 0 +- 1, 1 +- 1 and 5 +- 4; those of the made ones 1.5 +- 0.5, 2 +- 0.5, 10 +- 8."""
    fake, target = points([1.5], [2.0], [10.0]), points([0.0], [1.0], [5.0])
    metric = given(PrecisionRecall(parts(target=Domain(1)), extractor="flat", k=1), fake, target)
    found = metric.result()
    assert found["precision"] == pytest.approx(200 / 3)
    assert found["recall"] == pytest.approx(200 / 3)
    assert metric.per_image()["fake"]["precision"].tolist() == [100, 100, 0]
    assert metric.per_image()["target"]["recall"].tolist() == [0, 100, 100]
    assert "rough with fewer than 1,000" in metric.warnings[0]
    with pytest.raises(TranslateError, match="k=3 needs more than 3 images of each set, and here are 3 and 3"):
        given(PrecisionRecall(parts(target=Domain(1)), extractor="flat"), fake, target).result()


def test_equal_sets_have_all_precision_and_recall() -> None:
    rows = some(20)
    found = given(PrecisionRecall(parts(), extractor="flat"), rows, rows).result()
    assert (found["precision"], found["recall"]) == (100, 100)


def test_copies_by_hand() -> None:
    seen = points([0.0], [10.0])
    made, real = points([0.0], [0.0], [10.5], [4.0]), points([1.0], [2.0], [7.0])
    metric = given(CopyDistance(parts(target=Domain(1)), extractor="flat"), made, real, training=seen)
    found = metric.result()
    assert found["copy_distance_made"] == pytest.approx(4.5 / 4)
    assert found["copy_distance_real"] == pytest.approx(2)
    assert found["copy_distance"] == pytest.approx(4.5 / 8)
    # Five percent between the real distances 1, 2 and 3 is at 1.1.
    assert found["copies"] == 75
    assert metric.per_image()["fake"]["copies"].tolist() == [100, 100, 100, 0]
    drawn = {"fake": np.array([[0, 0, 0, 4]]), "target": np.array([[3, 0, 0]])}
    assert metric.resampled(drawn)["copy_distance"].tolist() == [4]
    # In pixels the root mean square of all values.
    pixels = given(CopyDistance(parts(target=Domain(1))), made, real, training=seen).result()
    assert pixels["copy_distance_made"] == pytest.approx(4.5 / 4)
    assert "2 training images" in metric.protocol


def test_real_images_that_are_training_images_are_told() -> None:
    seen = points([0.0], [10.0])
    metric = CopyDistance(parts(target=Domain(1)), extractor="flat")
    metric.update({"fake": points([0.0]), "target": points([0.0], [10.0], [1.0])})
    # The images of the training come in parts, and are compared as they come.
    for part in seen.split(1):
        metric.update({"training": part})
    assert metric.result()["copy_distance_real"] == pytest.approx(1 / 3)
    assert metric.result()["copies"] == 0
    assert metric.warnings[1].startswith("2 of 3 real images are among those of the training, so copies is 0 whatever")
    with pytest.raises(TranslateError, match="copy_distance needs made, real and training images"):
        CopyDistance(parts(target=Domain(1))).result()


@pytest.mark.parametrize("metric", [CMMD, PrecisionRecall, CopyDistance])
def test_features_that_are_no_numbers_are_told(metric: Any) -> None:
    with pytest.raises(TranslateError, match="features that are no numbers in 1 of 2 images"):
        given(metric(parts(target=Domain(1)), extractor="flat"), points([math.nan], [1.0]), points([1.0], [2.0]))


def test_the_cycle_error() -> None:
    metric = CycleError()
    metric.update({"source": points([0.0], [0.5]), "cycle": points([0.25], [0.5])})
    assert metric.result()["cycle_error"] == 0.125
    assert metric.per_image()["source"]["cycle_error"].tolist() == [0.25, 0]


# --- segmentation ---------------------------------------------------------------------------------------------------


def planes(*rows: Sequence[int], classes: int = 3) -> Tensor:
    """One-hot planes (N, K, 1, W) of rows of classes; -1 for none."""
    found = torch.tensor(rows)[:, None, None, :]
    return torch.where(found == torch.arange(classes)[None, :, None, None], 1.0, -1.0)


MAPS = Domain(3, classes=3)


def test_segmentation_of_maps_by_hand() -> None:
    metric = Segmentation(parts(source=MAPS, target=MAPS), opened(None))
    metric.update({"fake": planes([0, 0, 1, 1]), "source": planes([0, 1, 1, -1])})
    metric.update({"fake": planes([1, 1, 0, 0]), "source": planes([1, 1, 1, 1])})
    # Of 7 pixels with a class 4 are right; class 0: 1 of 4 in the union, class 1: 3 of 6; class 2 is nowhere.
    assert metric.result()["pixel_accuracy"] == pytest.approx(400 / 7)
    assert metric.result()["mean_iou"] == pytest.approx(100 * (1 / 4 + 3 / 6) / 2)
    assert metric.per_image()["fake"]["pixel_accuracy"].tolist() == pytest.approx([200 / 3, 50])
    drawn = metric.resampled({"fake": np.array([[2, 0], [0, 2]], np.int32)})
    assert drawn["pixel_accuracy"].tolist() == pytest.approx([200 / 3, 50])
    assert drawn["mean_iou"].tolist() == pytest.approx([50, 25])


def test_pixels_of_which_the_network_is_unsure_count() -> None:
    """Outputs of -0.2 and -0.6 in a file are of the first class, and so they are here."""
    metric = Segmentation(parts(source=MAPS, target=MAPS), opened(None))
    unsure = torch.tensor([-0.2, -0.6, -0.9])[None, :, None, None].expand(1, 3, 1, 2)
    metric.update({"fake": unsure, "source": planes([0, 1])})
    assert metric.result()["pixel_accuracy"] == 50
    nothing = Segmentation(parts(source=MAPS, target=MAPS), opened(None))
    nothing.update({"fake": unsure, "source": planes([-1, -1])})
    with pytest.raises(TranslateError, match="segmentation finds no pixel with a class in the source"):
        nothing.result()


def test_ignored_pixels_of_a_palette_do_not_count() -> None:
    maps = Domain(3, classes=2, palette=((255, 0, 0), (0, 0, 255)), ignore=255)
    red, blue, ignored = (
        torch.tensor(each)[None, :, None, None] for each in ((1.0, -1, -1), (-1.0, -1, 1), (-1.0, -1, -1))
    )
    metric = Segmentation(parts(source=maps, target=maps), opened(None))
    # What was made has a class everywhere: the nearest colour.
    metric.update({"fake": torch.cat([red * 0.8, blue, ignored], 3), "source": torch.cat([red, ignored, blue], 3)})
    assert metric.result()["pixel_accuracy"] == 50


class Segmenter:
    """Where a pixel is bright, class 1, otherwise 0."""

    def __init__(self, channels: int = 1, classes: int = 2) -> None:
        self.network, self.source, self.target = nn.Identity(), Domain(channels), Domain(2, classes=classes)

    def translate(self, image: Tensor) -> Tensor:
        return torch.cat([-image, image], dim=1)


def test_segmentation_by_a_segmenter(tmp_path: Path) -> None:
    maps, photos = Domain(2, classes=2), Domain(1)
    photo = torch.tensor([[[[0.3, 0.4, -0.2, -0.9]]]])
    metric = Segmentation(parts(source=maps, target=photos), opened(Segmenter()), segmenter=tmp_path)
    metric.update(
        {"fake": photo, "source": planes([1, 0, 0, 0], classes=2), "target": photo * torch.tensor([1, -1, 1, 1])}
    )
    assert metric.result()["pixel_accuracy"] == 75
    assert metric.result()["mean_iou"] == pytest.approx(100 * (1 / 2 + 2 / 3) / 2)
    assert metric.result()["ceiling_accuracy"] == 100
    # Between photos the truth is what it finds in the source, or in the target of a pair.
    for truth in ("source", "target"):
        both = Segmentation(parts(source=photos, target=photos), opened(Segmenter()), segmenter=tmp_path, truth=truth)  # type: ignore[arg-type]
        assert both.needs >= {"fake", truth}
        both.update({"fake": photo, truth: -photo})
        assert both.result()["pixel_accuracy"] == 0
        assert f"truth: what it finds in the {truth}" in both.protocol


def opened(segmenter: Segmenter | None) -> Callable[[Path], Translator]:
    """What loads this one, whatever path is given."""
    return cast(Any, lambda path: segmenter)


@pytest.mark.parametrize(
    ("made", "source", "target", "sentence"),
    [
        (None, MAPS, Domain(3), "segmentation needs a segmenter for translations that are no class maps"),
        (Segmenter(3), Domain(1), Domain(1), "segments images of 3 channels, and translations have 1"),
        (Segmenter(1, 0), Domain(1), Domain(1), "makes no class maps"),
        (Segmenter(1), MAPS, Domain(1), "compares maps of 2 and of 3 classes"),
    ],
)
def test_segmenters_that_do_not_fit_are_told(
    made: Segmenter | None, source: Domain, target: Domain, sentence: str
) -> None:
    with pytest.raises(TranslateError, match=sentence):
        Segmentation(parts(source=source, target=target), opened(made), segmenter=None if made is None else Path("run"))


def test_colours_of_a_palette_are_classes() -> None:
    palette = Domain(3, classes=2, palette=((0, 0, 0), (255, 0, 0)))
    image = torch.tensor([[[[0.8, -0.9]], [[-1.0, -1.0]], [[-1.0, -1.0]]]])
    assert segmentation.indices(image, palette).tolist() == [[[1, 0]]]


def test_every_metric_says_what_is_better() -> None:
    scores: Mapping[str, str] = {
        **MSSSIM.better, **PerceptualDistance.better, **CMMD.better, **PrecisionRecall.better, **CopyDistance.better,
        **CycleError.better, **Segmentation.better,
    }  # fmt: skip
    assert {name for name, which in scores.items() if which == "higher"} == {
        "ms_ssim", "precision", "recall", "pixel_accuracy", "mean_iou",
    }  # fmt: skip
