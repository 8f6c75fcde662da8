"""Products of matrices on a CPU, by the faster one of the two libraries that torch has there.

Torch computes products in float32 by MKL, which on processors of AMD reaches half of what they can do, and convolutions
by oneDNN, which reaches all of it on every x86. So products go by oneDNN here, too. Nothing of it is remembered for
gradients: where they are wanted, torch's own products serve.
"""

from __future__ import annotations

import torch
from torch import Tensor


def product(left: Tensor, right: Tensor) -> Tensor:
    """(N, C) times (C, K).

    >>> product(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [4.0]]))
    tensor([[11.]])
    """
    return _linear(left, right) if _fit(left, right) else left @ right


def products(left: Tensor, right: Tensor) -> Tensor:
    """(P, N, C) times (P, C, K), one by one."""
    if not _fit(left, right):
        return torch.bmm(left, right)
    answer = left.new_empty(len(left), left.shape[1], right.shape[2])
    for into, one, other in zip(answer, left, right, strict=True):
        into.copy_(_linear(one, other))
    return answer


def _fit(left: Tensor, right: Tensor) -> bool:
    """Whether oneDNN computes this product and is the faster one: not in bf16, where torch itself asks it."""
    return (
        left.dtype == right.dtype == torch.float32
        and left.device.type == "cpu"
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _linear(left: Tensor, right: Tensor) -> Tensor:
    # What compiled networks call for a linear layer: left times the transposed of its weights, without bias.
    answer: Tensor = torch.ops.mkldnn._linear_pointwise(left, right.t(), None, "none", [], "")
    return answer
