"""Holes: what a mask marks, what a network sees of it, what is kept, and the loss inside, by hand."""

from __future__ import annotations

import pytest
import torch

from translate.holes import EXTRA_CHANNELS, compose, hole_of, masked_input, mean_in_hole

HOLE = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])


def test_the_hole_is_where_the_last_plane_is_white() -> None:
    gray = torch.tensor([[[[-1.0, 127.0 / 127.5 - 1, 128 / 127.5 - 1, 1.0]]]])
    assert hole_of(gray).flatten().tolist() == [0, 0, 1, 1]
    # Of the two classes of a map the second; the last pixel has no class.
    of_classes = torch.tensor([[[[1.0, -1.0, -1.0]], [[-1.0, 1.0, -1.0]]]])
    assert hole_of(of_classes).shape == (1, 1, 1, 3)
    assert hole_of(of_classes).flatten().tolist() == [0, 1, 0]
    assert hole_of(gray.bfloat16()).dtype == torch.bfloat16


def test_of_alpha_all_that_is_not_wholly_opaque_is_a_hole() -> None:
    alpha = torch.tensor([[[[0.0, 127.0, 254.0, 255.0]]]]) / 127.5 - 1
    assert hole_of(alpha, opaque=True).flatten().tolist() == [1, 1, 1, 0]


def test_a_network_sees_gray_in_the_hole_and_the_hole_beside() -> None:
    image = torch.tensor([[[[0.5, 0.0], [-1.0, float("nan")]]]])
    seen = masked_input(image, HOLE)
    assert seen.shape[1] == image.shape[1] + EXTRA_CHANNELS
    assert seen[0, 0].tolist() == [[0.0, 0.0], [-1.0, 0.0]]
    assert seen[:, 1:].equal(HOLE)
    assert masked_input(image.bfloat16(), HOLE).dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_known_pixels_are_kept_to_the_bit_whatever_fills_the_hole(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    image, filled = torch.rand(2, 3, 2, 2) * 2 - 1, torch.full((2, 3, 2, 2), float("nan"), dtype=dtype)
    hole = HOLE.expand(2, 1, 2, 2)
    found = compose(filled, image, hole)
    known = hole.expand_as(image) == 0
    assert found.dtype == torch.float32
    assert found[known].equal(image[known])
    assert found[~known].isnan().all()


def test_samples_of_an_image_keep_its_pixels() -> None:
    image = torch.tensor([1.0, 2.0]).reshape(2, 1, 1, 1).expand(2, 1, 2, 2)
    found = compose(torch.zeros(6, 1, 2, 2), image, HOLE.expand(2, 1, 2, 2))
    assert found[:, 0, 0, 1].tolist() == [1, 1, 1, 2, 2, 2]
    assert found[:, 0, 0, 0].tolist() == [0] * 6


def test_only_what_fills_the_hole_gets_a_gradient() -> None:
    filled, image = torch.zeros(1, 2, 2, 2, requires_grad=True), torch.ones(1, 2, 2, 2, requires_grad=True)
    compose(filled, image, HOLE).sum().backward()
    assert filled.grad is not None
    assert image.grad is not None
    assert filled.grad.equal(HOLE.expand(1, 2, 2, 2))
    assert image.grad.equal(1 - HOLE.expand(1, 2, 2, 2))


def test_a_loss_is_the_mean_inside_the_hole_of_each_image() -> None:
    # One pixel of two planes, (4 + 8) / 2; no hole at all; every pixel of two planes, (8 * 1) / 8.
    values = torch.ones(3, 2, 2, 2)
    values[0, :, 0, 0] = torch.tensor([4.0, 8.0])
    hole = torch.zeros(3, 1, 2, 2)
    hole[0, 0, 0, 0] = 1
    hole[2] = 1
    assert mean_in_hole(values, hole).item() == pytest.approx((6 + 0 + 1) / 3)
    halves = (mean_in_hole(values[:1], hole[:1]) + 2 * mean_in_hole(values[1:], hole[1:])) / 3
    assert mean_in_hole(values, hole).item() == pytest.approx(halves.item())


def test_a_loss_has_finite_gradients_also_where_there_is_no_hole() -> None:
    values = torch.tensor([[[[2.0, float("inf")], [float("nan"), 4.0]]]], requires_grad=True)
    for hole, expected in ((HOLE, [0.5, 0.0, 0.0, 0.5]), (torch.zeros_like(HOLE), [0.0] * 4)):
        values.grad = None
        loss = mean_in_hole(values, hole)
        loss.backward()
        assert loss.item() == (3 if hole is HOLE else 0)
        assert values.grad is not None
        assert values.grad.flatten().tolist() == expected


def test_a_loss_in_bf16_is_summed_in_float32() -> None:
    values = torch.full((1, 1, 64, 64), 1.01, dtype=torch.bfloat16)
    loss = mean_in_hole(values, torch.ones(1, 1, 64, 64, dtype=torch.bfloat16))
    assert loss.dtype == torch.float32
    assert loss.item() == values.float().mean().item()
