"""Winograd's algorithm is the convolution, with all its derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from translate.compute import custom_op, winograd
from translate.compute.winograd import Tile, convolve, convolve_transformed, transform_weights

TILES: list[Tile] = [(2, 2), (2, 4), (4, 2), (4, 4)]
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def test_the_matrices_of_two_outputs_are_those_of_the_paper() -> None:
    """Lavin & Gray 2016, section 4.1; there the sign of the last rows lies in B and A alike."""
    windows, weights, collecting = winograd._ROWS[2]
    np.testing.assert_allclose(weights, [[-1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    np.testing.assert_allclose(windows, [[-1, 0, 1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]])
    np.testing.assert_allclose(collecting, [[1, 1, 1, 0], [0, 1, -1, 1]])


def drawn(count: int, inputs: int, outputs: int, size: tuple[int, int], seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    shapes = (count, inputs, size[0] + 2, size[1] + 2), (outputs, inputs, 3, 3), (outputs,)
    return tuple(torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes)


@settings(max_examples=30, deadline=None)
@given(
    tile=st.sampled_from(TILES),
    rows=st.integers(1, 3),
    columns=st.integers(1, 3),
    count=st.integers(1, 3),
    channels=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    layout=st.sampled_from(LAYOUTS),
    biased=st.booleans(),
    largest=st.sampled_from([1, 300, 2**22]),
)
def test_it_is_the_convolution_with_its_gradients(
    tile: Tile,
    rows: int,
    columns: int,
    count: int,
    channels: tuple[int, int],
    layout: torch.memory_format,
    biased: bool,
    largest: int,
) -> None:
    x, weight, bias = drawn(count, *channels, (tile[0] * rows, tile[1] * columns))
    x = x.contiguous(memory_format=layout)
    leaves = [each.requires_grad_() for each in (x, weight, *([bias] if biased else []))]
    wanted = F.conv2d(x, weight, bias if biased else None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "LARGEST", largest)
        found = convolve(x, weight, bias if biased else None, tile, torch.float64)
        slope = torch.randn_like(wanted)
        gradients = torch.autograd.grad(found, leaves, slope)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(gradients, torch.autograd.grad(wanted, leaves, slope), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("largest", [1, 2**22])
@pytest.mark.parametrize("tile", TILES)
def test_it_can_be_differentiated_twice(tile: Tile, largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As penalties on gradients do."""
    monkeypatch.setattr(winograd, "LARGEST", largest)
    given_ = tuple(each.requires_grad_() for each in drawn(2, 2, 1, (tile[0], 2 * tile[1])))
    assert torch.autograd.gradgradcheck(lambda *leaves: convolve(*leaves, tile, torch.float64), given_)


@pytest.mark.parametrize(("dtype", "tile", "error"), [(torch.float32, (4, 4), 3e-6), (torch.bfloat16, (2, 4), 1.2e-2)])
def test_the_rounding_is_small(dtype: torch.dtype, tile: Tile, error: float) -> None:
    """For 256 channels after a ReLU the answers lie as near as promised; with the usual points they would not."""
    x, weight, bias = drawn(1, 256, 64, (16, 16))
    x = x.relu()
    wanted = F.conv2d(x, weight, bias)
    found = convolve(x.to(dtype), weight.float(), bias.float(), tile, dtype)
    assert found.dtype == dtype
    assert ((found.double() - wanted).norm() / wanted.norm()).item() < error


def test_an_image_does_not_depend_on_its_neighbours() -> None:
    x, weight, bias = (each.float() for each in drawn(3, 8, 8, (8, 8)))
    made = transform_weights(weight, (4, 4), torch.float32)
    together = convolve_transformed(x, made, bias, (4, 4))
    for number in range(3):
        alone = convolve_transformed(x[number : number + 1], made, bias, (4, 4))[0]
        torch.testing.assert_close(alone, together[number], rtol=1e-4, atol=1e-4)


def test_what_is_made_while_inferring_serves_training() -> None:
    with torch.inference_mode():
        convolve(*drawn(1, 1, 1, (2, 2)), (2, 2), torch.float64)
    leaves = [each.requires_grad_() for each in drawn(1, 1, 1, (2, 2))]
    (slope,) = torch.autograd.grad(
        convolve(*leaves, (2, 2), torch.float64).square().sum(), leaves[:1], create_graph=True
    )
    slope.square().sum().backward()
    assert leaves[1].grad is not None


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("tile", TILES)
def test_as_one_operation_it_has_the_same_bits(tile: Tile, biased: bool, layout: torch.memory_format) -> None:
    x, weight, bias = drawn(2, 3, 5, (2 * tile[0], 3 * tile[1]))
    x = x.contiguous(memory_format=layout)
    leaves = [each.requires_grad_() for each in (x, weight, *([bias] if biased else []))]
    given_ = x, weight, bias if biased else None, tile, torch.float64
    wanted, found = winograd.convolve(*given_), custom_op.convolve(*given_)
    assert torch.equal(found, wanted)
    slope = torch.randn_like(wanted)
    for number in range(len(leaves)):
        # Each alone, as where only some are wanted.
        (ours,) = torch.autograd.grad(found, leaves[number], slope, retain_graph=True)
        (theirs,) = torch.autograd.grad(wanted, leaves[number], slope, retain_graph=True)
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_compiler_is_told_the_truth_of_it(layout: torch.memory_format) -> None:
    """Shapes, strides and what is remembered, as torch's own check of operations has them."""
    x, weight, bias = drawn(2, 3, 5, (4, 8))
    x = x.contiguous(memory_format=layout)
    leaves = [each.requires_grad_() for each in (x, weight, bias)]
    torch.library.opcheck(custom_op._convolve, (*leaves, 4, 4))
    slope = torch.randn(2, 5, 4, 8, dtype=torch.float64)
    plain = x.detach(), weight.detach(), slope, 4, 4
    for for_x, for_weight in ((True, True), (True, False), (False, True)):
        torch.library.opcheck(
            custom_op._gradients, (*plain, for_x, for_weight), test_utils=("test_schema", "test_faketensor")
        )
