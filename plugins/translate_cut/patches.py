"""Patches of inner maps: where they lie, their projection to unit vectors, and the InfoNCE loss between them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.precision import to_float32


class Projector(nn.Module):
    """A perceptron of two layers for each layer of a generator: vectors (N, S, C) to unit vectors (N, S, features).

    H of Park et al. 2020 (arXiv:2007.15651, section 3.2). ``channels`` are those of the generator's layers. Weights
    start from N(0, 0.02), as those of the other networks do.
    """

    def __init__(self, channels: Sequence[int], features: int = 256) -> None:
        super().__init__()
        self.perceptrons = nn.ModuleList(
            nn.Sequential(nn.Linear(each, features), nn.ReLU(), nn.Linear(features, features)) for each in channels
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0.0, 0.02)
                nn.init.zeros_(module.bias)

    def forward(self, *vectors: Tensor) -> tuple[Tensor, ...]:
        """Project the vectors of each layer; float32 also under autocast."""
        pairs = zip(self.perceptrons, vectors, strict=True)
        return tuple(F.normalize(to_float32(perceptron(each)), dim=-1) for perceptron, each in pairs)


def draw_locations(maps: Tensor, count: int) -> Tensor:
    """Draw ``count`` different locations for each of the maps (N, C, h, w), or all of them if there are no more.

    The indices are (N, S) int64 into the h * w locations, row by row.

    >>> draw_locations(torch.zeros(1, 8, 2, 2), 256)
    tensor([[0, 1, 2, 3]])
    """
    number, there = len(maps), maps.shape[2] * maps.shape[3]
    if there <= count:
        return torch.arange(there, device=maps.device).expand(number, there)
    # Nothing here waits for the device, so that CUDA graphs can record it.
    return torch.rand(number, there, device=maps.device).topk(count, dim=1, sorted=False).indices


def mirror_locations(locations: Tensor, width: int) -> Tensor:
    """Where locations (N, S) of maps of this width lie after a horizontal flip.

    >>> mirror_locations(torch.tensor([[0, 4, 5]]), width=3)
    tensor([[2, 4, 3]])
    """
    columns = locations % width
    return locations - columns + (width - 1 - columns)


def take(maps: Tensor, locations: Tensor) -> Tensor:
    """The vectors (N, S, C) of maps (N, C, h, w) at locations (N, S)."""
    indices = locations[:, None].expand(-1, maps.shape[1], -1)
    return maps.flatten(2).gather(2, indices).transpose(1, 2)


def info_nce(queries: Tensor, keys: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The InfoNCE loss of each image, and the share of its queries whose positive is the most similar key, each (N,).

    ``queries`` and ``keys`` are unit vectors (N, S, D). The positive of query s is key s of its image, and the
    negatives are the image's other keys: ``mean_s -log(exp(q_s k_s / tau) / sum_t exp(q_s k_t / tau))``.

    >>> vectors = torch.eye(4)[None]
    >>> info_nce(vectors, vectors, temperature=1.0)
    (tensor([0.7437]), tensor([1.]))
    """
    kind = queries.device.type
    # In bf16 a similarity is off by up to 0.4 %, which the temperature enlarges.
    with torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext():
        logits = queries @ keys.transpose(1, 2) / temperature
    losses = (logits.logsumexp(2) - logits.diagonal(dim1=1, dim2=2)).mean(1)
    nearest = logits.detach().argmax(2) == torch.arange(logits.shape[1], device=logits.device)
    return losses, nearest.to(losses.dtype).mean(1)
