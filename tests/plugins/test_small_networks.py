"""The small and the shallow networks: counts, receptive fields, and that they are the published ones, made narrow."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from translate.errors import TranslateError
from translate_networks.patch import Patch
from translate_networks.resnet import ResNet
from translate_networks.shallow import Shallow
from translate_networks.small import small_patch, small_resnet, small_unet
from translate_networks.unet import UNet


def parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def seen(network: nn.Module, image: Tensor) -> tuple[int, int]:
    """Rows and columns of the image that the middle value of the answer depends on."""
    for weight in network.parameters():
        nn.init.constant_(weight, 0.01)  # all paths add up, none cancel
    image.requires_grad_()
    answer = network(image)
    answer = answer if isinstance(answer, Tensor) else answer.logits[0]
    height, width = answer.shape[-2:]
    (slope,) = torch.autograd.grad(answer[0, 0, height // 2, width // 2], image)
    return int(slope[0, 0].any(dim=1).sum()), int(slope[0, 0].any(dim=0).sum())


# --- small ----------------------------------------------------------------------------------------------------------


def test_small_resnet_has_a_quarter_of_the_channels() -> None:
    network = small_resnet(3, 3, (32, 32))
    assert isinstance(network, ResNet)
    ends = 49 * 3 * 16 + 16 + 49 * 16 * 3 + 3
    between = 2 * 9 * (16 * 32 + 32 * 64) + 32 + 64 + 32 + 16
    block = 2 * (9 * 64 * 64 + 64)
    assert parameters(network) == ends + between + 6 * block == 494_083


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (128, 64), None], ids=str)
def test_small_unet_halves_at_most_5_times(size: tuple[int, int] | None) -> None:
    network = small_unet(3, 3, size)
    assert isinstance(network, UNet)
    encoder = [3, 16, 32, 64, 128, 128]
    decoder = [(128, 128), (256, 64), (128, 32), (64, 16), (32, 3)]
    convolutions = sum(16 * a * b for a, b in itertools.pairwise(encoder)) + sum(16 * a * b for a, b in decoder)
    norms = 2 * (32 + 64 + 128 + 128 + 64 + 32 + 16)
    assert network.size_multiple == 32
    assert parameters(network) == convolutions + norms + 3 == 1_043_619


def test_small_unet_follows_smaller_sizes_and_refuses_awkward_ones() -> None:
    assert small_unet(1, 1, (28, 28)).size_multiple == 4
    assert small_unet(1, 1, (48, 48)).size_multiple == 16
    assert small_unet(1, 1, (64, 64), depth=3).size_multiple == 8
    with pytest.raises(TranslateError, match=r"--size 64x64 or 96x96"):
        small_unet(1, 1, (72, 72))


def test_small_patch_counts() -> None:
    network = small_patch(3, 0, (32, 32))
    assert isinstance(network, Patch)
    assert parameters(network) == sum(16 * a * b + b for a, b in itertools.pairwise([3, 32, 64, 128, 256, 1]))
    assert parameters(network) == 694_241


@pytest.mark.parametrize(("field", "strides"), [(70, (2, 2, 2, 1, 1)), (16, (2, 1, 1))])
def test_small_patch_sees_what_it_says(field: Any, strides: tuple[int, ...]) -> None:
    """By hand, from the last layer to the first: 4x4 kernels, so f -> stride * (f - 1) + 4."""
    by_hand = 1
    for stride in reversed(strides):
        by_hand = stride * (by_hand - 1) + 4
    assert by_hand == field
    side = 2 * field + 4
    network = small_patch(1, 0, receptive_field=field, width=1, norm="none")
    assert seen(network, torch.ones(1, 1, side, side)) == (field, field)


def test_small_patch_judges_the_whole_of_a_small_image() -> None:
    """At 32 px each of its 2x2 logits depends on every pixel."""
    network = small_patch(1, 0, (32, 32), width=1, norm="none")
    assert network(torch.ones(1, 1, 32, 32)).logits[0].shape == (1, 1, 2, 2)
    assert seen(network, torch.ones(1, 1, 32, 32)) == (32, 32)
    assert small_patch(1, 0, (28, 28))(torch.ones(1, 1, 28, 28)).logits[0].shape == (1, 1, 1, 1)
    with pytest.raises(TranslateError, match="20x20 are too small for patch with receptive_field=70"):
        small_patch(1, 0, (20, 20))


@pytest.mark.parametrize(("options", "kind"), [({"norm": "batch"}, "BatchNorm"), ({"spectral": True}, "_SpectralNorm")])
def test_options_are_passed_on(options: dict[str, Any], kind: str) -> None:
    assert any(type(module).__name__ == kind for module in small_patch(3, 0, None, **options).modules())
    assert small_resnet(3, 3, upsample="resize", dropout=0.5, blocks=2, width=4).dropout == 0.5
    assert small_unet(3, 3, dropout=0.25, width=4).dropout == 0.25


# --- shallow --------------------------------------------------------------------------------------------------------


def test_shallow_has_few_parameters() -> None:
    assert parameters(Shallow(3, 3)) == (27 * 32 + 32) + (9 * 32 * 32 + 32) + (9 * 32 * 3 + 3) == 11_011
    assert parameters(Shallow(3, 1, layers=1)) == 28
    assert parameters(Shallow(1, 1, width=8, norm="batch")) == 9 * 8 + 16 + 9 * 64 + 16 + 9 * 8 + 1


@pytest.mark.parametrize("layers", [1, 3, 5])
def test_shallow_sees_a_few_pixels(layers: int) -> None:
    field = 2 * layers + 1
    assert seen(Shallow(1, 1, layers=layers, width=2), torch.rand(1, 1, 19, 23)) == (field, field)


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (33, 17)])
def test_shallow_takes_any_size(size: tuple[int, int]) -> None:
    answer = Shallow(2, 3, width=4)(torch.rand(2, 2, *size) * 2 - 1)
    assert answer.shape == (2, 3, *size)
    assert float(answer.detach().abs().max()) < 1


def test_shallow_starts_where_tanh_is_alive() -> None:
    torch.manual_seed(0)
    for layers in (2, 4, 8):
        answer = Shallow(1, 1, layers=layers)(torch.rand(8, 1, 32, 32) * 2 - 1)
        assert 0.01 < float(answer.detach().std()) < 0.7, layers


def test_shallow_is_float32_under_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert Shallow(1, 1, width=4)(torch.rand(1, 1, 8, 8)).dtype == torch.float32
