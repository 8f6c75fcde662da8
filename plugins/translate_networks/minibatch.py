"""Minibatch discrimination: how much an image resembles the others of its batch."""

from __future__ import annotations

from torch import Tensor, nn

from translate.precision import to_float32


class MinibatchSimilarity(nn.Module):
    """How close an image's features lie to those of the other images (Salimans et al. 2016, arXiv:1606.03498, 3.2).

    A learned tensor T maps the features f(x) of A numbers to B ``kernels`` of C ``dimensions``, M(x) = f(x) T. The
    answer for image i is, for each kernel b, ``o_b(x_i) = sum_j exp(-|M_b(x_i) - M_b(x_j)|_1)`` over the other images
    j of the batch; the paper also counts j = i, which adds 1 and is left to the bias that follows.

    In evaluation an image is alone: there are no others, and the answer is 0, whatever stands beside it.
    """

    def __init__(self, features: int, *, kernels: int = 50, dimensions: int = 5) -> None:
        super().__init__()
        self.kernels = kernels
        self.dimensions = dimensions
        self.embedding = nn.Linear(features, kernels * dimensions, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, A) to similarities (N, B), in float32 at least."""
        if not self.training:
            return x.new_zeros(len(x), self.kernels)
        # Distances of bf16 numbers would round away the very differences that tell twins apart.
        embedded = self.embedding(x).view(len(x), self.kernels, self.dimensions)
        embedded = to_float32(embedded)
        distances = (embedded[:, None] - embedded[None]).abs().sum(3)
        similarity: Tensor = (-distances).exp().sum(1) - 1
        return similarity
