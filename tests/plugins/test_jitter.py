"""Colour jitter: small, seeded, the same whatever the batch, and true to the memory format."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from translate.errors import TranslateError
from translate.options import options_of
from translate_datasets.jitter import jitter

SEEDS = torch.arange(1, 65) * 7_919


@pytest.fixture
def photos() -> Tensor:
    return torch.rand(64, 3, 6, 5, generator=torch.Generator().manual_seed(0)) * 1.2 - 0.6


def test_an_image_s_change_depends_on_its_seed_alone(photos: Tensor) -> None:
    change = jitter()
    state = torch.get_rng_state()
    whole = change(photos, SEEDS)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.allclose(change(photos[5:8], SEEDS[5:8]), whole[5:8], atol=1e-6)
    same = change(photos[:1].expand(64, -1, -1, -1), SEEDS)
    assert len(same.flatten(1).unique(dim=0)) == 64


@pytest.mark.parametrize("channels", [1, 3])
def test_changes_are_small_and_stay_in_range(channels: int, photos: Tensor) -> None:
    images = photos[:, :channels]
    changed = jitter()(images, SEEDS)
    assert changed.shape == images.shape
    assert changed.dtype == torch.float32
    assert 0.005 < (changed - images).abs().mean() < 0.2
    strong = jitter(brightness=1, contrast=1, saturation=1, hue=0.5)(images.sign(), SEEDS)
    assert strong.min() >= -1
    assert strong.max() <= 1


def test_brightness_multiplies_evenly_over_its_range() -> None:
    gray = torch.zeros(4096, 1, 1, 1)
    seeds = torch.randint(0, 2**63 - 1, (4096,), generator=torch.Generator().manual_seed(1))
    factors = jitter(brightness=0.5, contrast=0)(gray, seeds).flatten() + 1  # 0.5 in [0, 1] becomes 0.25 to 0.75
    assert factors.min() > 0.5 - 1e-6
    assert factors.max() < 1.5 + 1e-6
    assert abs(float(factors.mean()) - 1) < 0.02
    counts = torch.histc(factors, 8, 0.5, 1.5)
    assert float(((counts - 512) ** 2 / 512).sum()) < 30


def test_contrast_keeps_the_mean_of_the_luma(photos: Tensor) -> None:
    changed = jitter(brightness=0, contrast=0.3, saturation=0, hue=0)(photos, SEEDS)
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    assert torch.allclose((changed * weights).sum(1).mean((1, 2)), (photos * weights).sum(1).mean((1, 2)), atol=1e-3)
    assert not torch.allclose(changed, photos, atol=0.05)


def test_hue_keeps_the_brightest_and_the_darkest_channel(photos: Tensor) -> None:
    changed = jitter(brightness=0, contrast=0, saturation=0, hue=0.3)(photos, SEEDS)
    assert torch.allclose(changed.amax(1), photos.amax(1), atol=1e-4)
    assert torch.allclose(changed.amin(1), photos.amin(1), atol=1e-4)
    assert not torch.allclose(changed, photos, atol=0.05)


def test_gray_of_an_rgb_image_stays_gray_under_saturation_and_hue() -> None:
    gray = torch.linspace(-0.9, 0.9, 16).view(1, 1, 4, 4).expand(1, 3, 4, 4)
    changed = jitter(brightness=0, contrast=0, saturation=0.9, hue=0.4)(gray, SEEDS[:1])
    assert torch.allclose(changed, gray, atol=1e-3)


def test_p_leaves_the_others_exactly_alone(photos: Tensor) -> None:
    images = photos.repeat(8, 1, 1, 1)
    seeds = torch.arange(512) + 3
    changed = jitter(p=0.25)(images, seeds)
    untouched = (changed == images).flatten(1).all(1)
    assert 340 < int(untouched.sum()) < 428
    assert torch.equal(jitter(p=0)(images, seeds), images)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_memory_format_stays(channels: int, photos: Tensor) -> None:
    plain = photos[:, :channels].contiguous()
    last = plain.contiguous(memory_format=torch.channels_last)
    change = jitter()
    assert change(plain, SEEDS).is_contiguous()
    assert change(last, SEEDS).is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(change(last, SEEDS), change(plain, SEEDS), atol=1e-6)


def test_other_images_are_refused() -> None:
    with pytest.raises(TranslateError, match="5 channels"):
        jitter()(torch.zeros(1, 5, 2, 2), SEEDS[:1])


def test_options_are_described_and_bounded() -> None:
    options = options_of(jitter)
    assert list(options) == ["brightness", "contrast", "saturation", "hue", "p"]
    assert all(option.option.help and option.option.ge == 0 for option in options.values())
