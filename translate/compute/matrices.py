"""Matrix products on a CPU, by the faster of the two libraries that torch has there, MKL and oneDNN.

torch computes float32 products by MKL, which reaches half the peak speed of AMD processors, and convolutions by oneDNN,
which reaches all of it on every x86. So products use oneDNN here, too. This op is not differentiable: where gradients
are wanted, torch's own products are used.
"""

from __future__ import annotations

import torch
from torch import Tensor


def product(left: Tensor, right: Tensor) -> Tensor:
    """The matrix product (N, C) times (C, K).

    >>> product(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [4.0]]))
    tensor([[11.]])
    """
    return _linear(left, right) if _suits_onednn(left, right) else left @ right


def products(left: Tensor, right: Tensor) -> Tensor:
    """The batched matrix product (P, N, C) times (P, C, K)."""
    if not _suits_onednn(left, right):
        return torch.bmm(left, right)
    result = left.new_empty(len(left), left.shape[1], right.shape[2])
    for into, one, other in zip(result, left, right, strict=True):
        into.copy_(_linear(one, other))
    return result


def _suits_onednn(left: Tensor, right: Tensor) -> bool:
    """Whether oneDNN can compute this product and is faster; in bf16 torch uses oneDNN itself."""
    return (
        left.dtype == right.dtype == torch.float32
        and left.device.type == "cpu"
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _linear(left: Tensor, right: Tensor) -> Tensor:
    # The op that compiled networks call for a linear layer: left times its transposed weights, without bias.
    result: Tensor = torch.ops.mkldnn._linear_pointwise(left, right.t(), None, "none", [], "")
    return result
