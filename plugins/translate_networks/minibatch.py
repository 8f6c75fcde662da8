"""Minibatch discrimination: similarity of an image to the others of its batch."""

from __future__ import annotations

from torch import Tensor, nn

from translate.precision import to_float32


class MinibatchSimilarity(nn.Module):
    """Similarity of an image's features to those of the others (Salimans et al. 2016, arXiv:1606.03498, section 3.2).

    A learned tensor T maps the features f(x) of A numbers to B ``kernels`` of C ``dimensions``, M(x) = f(x) T. The
    output for image i is, for each kernel b, ``o_b(x_i) = sum_j exp(-|M_b(x_i) - M_b(x_j)|_1)`` over the other images
    j of the batch; the paper also counts j = i, a constant 1 that the following bias can absorb.

    In evaluation the output is 0, so that an image's result does not depend on its batch.
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
        # Differences of bf16 numbers would lose the small distances between similar images.
        embedded = self.embedding(x).view(len(x), self.kernels, self.dimensions)
        embedded = to_float32(embedded)
        distances = (embedded[:, None] - embedded[None]).abs().sum(3)
        similarity: Tensor = (-distances).exp().sum(1) - 1
        return similarity
