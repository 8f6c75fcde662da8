"""Products of matrices by another library: the same products, and only where they may be."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from translate.compute import matrices
from translate.compute.matrices import product, products


def strided(tensor: Tensor) -> Tensor:
    """The same numbers, lying column by column."""
    return tensor.transpose(-1, -2).contiguous().transpose(-1, -2)


@pytest.mark.parametrize("left", [torch.Tensor.contiguous, strided])
@pytest.mark.parametrize("right", [torch.Tensor.contiguous, strided])
@pytest.mark.parametrize(("rows", "inner", "columns"), [(1, 1, 1), (36, 36, 100), (7, 300, 5), (64, 9, 33)])
@torch.no_grad()
def test_they_are_torchs(left: object, right: object, rows: int, inner: int, columns: int) -> None:
    draws = torch.Generator().manual_seed(0)
    one, other = torch.randn(4, rows, inner, generator=draws), torch.randn(4, inner, columns, generator=draws)
    exact = torch.bmm(one.double(), other.double())
    one, other = left(one), right(other)  # type: ignore[operator]
    found = products(one, other)
    assert found.is_contiguous()
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-5 * inner**0.5)
    torch.testing.assert_close(product(one[0], other[0]).double(), exact[0], rtol=1e-5, atol=1e-5 * inner**0.5)


def test_gradients_go_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrices, "_linear", lambda left, right: pytest.fail("this has no gradient"))
    one = torch.rand(2, 3, 4, requires_grad=True)
    products(one, torch.rand(2, 4, 5)).sum().backward()
    product(one[0], torch.rand(4, 5)).sum().backward()
    assert one.grad is not None
    assert one.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@torch.no_grad()
def test_other_types_go_by_torch(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    monkeypatch.setattr(matrices, "_linear", lambda left, right: pytest.fail("not in this type"))
    one, other = torch.rand(2, 3, 4, dtype=dtype), torch.rand(2, 4, 5, dtype=dtype)
    assert torch.equal(products(one, other), torch.bmm(one, other))
    assert torch.equal(product(one[0], other[0]), one[0] @ other[0])


@torch.no_grad()
def test_without_the_library_torch_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.setattr(matrices, "_linear", lambda left, right: pytest.fail("there is no such library"))
    assert product(torch.ones(2, 3), torch.ones(3, 2)).tolist() == [[3, 3], [3, 3]]
