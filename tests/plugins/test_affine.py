"""The affine augmentation: hand cases, limits, seeds."""

from __future__ import annotations

import math

import pytest
import torch

from translate.errors import TranslateError
from translate.seeds import uniform
from translate_datasets.affine import affine

SEEDS = torch.arange(64)


def dot(height: int, width: int, row: int, column: int) -> torch.Tensor:
    image = torch.full((1, 1, height, width), -1.0)
    image[..., row, column] = 1.0
    return image


def middle(images: torch.Tensor) -> torch.Tensor:
    """Where the light is, (N, 2) in pixels from the middle, right and down."""
    light = images[:, 0] + 1
    height, width = light.shape[1:]
    down = torch.arange(height) - (height - 1) / 2
    across = torch.arange(width) - (width - 1) / 2
    total = light.sum((1, 2))
    return torch.stack([(light.sum(1) * across).sum(1) / total, (light.sum(2) * down).sum(1) / total], dim=1)


def test_without_limits_nothing_changes() -> None:
    images = torch.rand(3, 2, 9, 12) * 2 - 1
    torch.testing.assert_close(affine(shift=0)(images, SEEDS[:3]), images, atol=1e-5, rtol=0)


def test_a_move_is_a_share_of_the_side_and_what_it_uncovers_is_filled() -> None:
    images = dot(33, 33, 16, 16).expand(64, 1, 33, 33)
    moved = affine(shift=0.25, fill=-1)(images, SEEDS)
    across, down = uniform(SEEDS, 2)
    wanted = torch.stack([-across, -down], dim=1) * 0.25 * 33
    torch.testing.assert_close(middle(moved), wanted, atol=0.02, rtol=0)
    assert moved.min() == -1
    gray = torch.full((1, 1, 8, 8), 0.5)
    torch.testing.assert_close(affine(shift=0.5)(gray, SEEDS[:1]), gray)


def test_a_turn_keeps_the_distance_from_the_middle() -> None:
    images = dot(33, 33, 16, 26).expand(64, 1, 33, 33)
    turned = middle(affine(shift=0, rotate=90, fill=-1)(images, SEEDS))
    torch.testing.assert_close(turned.norm(dim=1), torch.full((64,), 10.0), atol=0.15, rtol=0)
    angles = torch.atan2(turned[:, 1], turned[:, 0])
    assert angles.abs().max() <= math.pi / 2 + 0.02
    assert angles.std() > 0.5


def test_scales_lie_between_their_limits() -> None:
    images = dot(33, 33, 16, 24).expand(64, 1, 33, 33)
    scaled = middle(affine(shift=0, smallest=0.5, largest=1.5, fill=-1)(images, SEEDS))[:, 0] / 8
    assert 0.48 < scaled.min() < 0.6
    assert 1.4 < scaled.max() < 1.52
    with pytest.raises(TranslateError, match="the smallest scale, 2, is larger than the largest, 1"):
        affine(smallest=2)
