"""Convolutions to few channels by squares, with the weights made once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from translate.compute.squares import Squares, has_few_outputs, is_plain_conv


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(16, 3, 7),
        nn.Conv2d(16, 1, (5, 6), padding=(1, 0), bias=False),
        nn.Conv2d(20, 4, 5, padding=2),
    ],
)
@pytest.mark.parametrize("size", [(8, 8), (9, 14), (15, 7)])
def test_they_are_the_same_convolutions(module: nn.Conv2d, size: tuple[int, int]) -> None:
    module = module.double().requires_grad_(False)
    assert has_few_outputs(module)
    x = torch.randn(2, module.in_channels, *size, dtype=torch.float64)
    torch.testing.assert_close(Squares(module)(x), module(x), rtol=1e-12, atol=1e-12)


def test_its_convolution_is_an_ordinary_one() -> None:
    answer = Squares(nn.Conv2d(16, 3, 7))
    assert [name for name, _ in answer.named_modules()] == ["", "strided"]
    assert {name: tuple(value.shape) for name, value in answer.state_dict().items()} == {
        "strided.weight": (12, 16, 8, 8), "strided.bias": (12,),
    }  # fmt: skip
    assert not any(weight.requires_grad for weight in answer.parameters())


def test_which_are_plain() -> None:
    assert is_plain_conv(nn.Conv2d(3, 3, 3))
    assert not has_few_outputs(nn.Conv2d(16, 5, 7))
    for other in (nn.Conv2d(3, 3, 3, stride=2), nn.ConvTranspose2d(3, 3, 3), nn.Conv2d(3, 3, 3, padding="same")):
        assert not is_plain_conv(other)
