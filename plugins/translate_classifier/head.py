"""A classifier on top of a feature extractor."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from translate.precision import to_float32
from translate.traits import Traits

Pooling = Literal["mean", "none"]


class FeatureClassifier(nn.Module):
    """Class logits from the features of ``body``, whose shape is its trait ``latent``: (D,) or (D, h, w).

    The head is linear, or with ``hidden`` units one hidden layer with ReLU before it. Its last layer starts at 0, so
    the first logits are equal and the body's first gradient is 0: no random head disturbs it. A map of features is
    averaged over its positions, or taken whole with the ``pooling`` "none". ``domain`` is the domain whose images it
    is trained on.
    """

    def __init__(
        self,
        body: nn.Module,
        classes: int,
        *,
        hidden: int = 0,
        pooling: Pooling = "mean",
        domain: Literal["source", "target"] = "target",
    ) -> None:
        super().__init__()
        self.body = body
        self.pooling = pooling
        self.domain = domain
        latent = Traits(body).latent
        width = latent[0] if pooling == "mean" else torch.Size(latent).numel()
        self.head = nn.Sequential()
        if hidden:
            self.head.append(nn.Linear(width, hidden))
            self.head.append(nn.ReLU())
        last = nn.Linear(hidden or width, classes)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.head.append(last)

    def forward(self, image: Tensor) -> Tensor:
        """Class logits (N, K) of images (N, C, H, W) in [-1, 1]."""
        logits: Tensor = self.head(self.features(image))
        return logits

    def features(self, image: Tensor) -> Tensor:
        """The features (N, D) that the head sees."""
        found = to_float32(self.body(image))
        if found.dim() > 2:
            found = found.flatten(2).mean(2) if self.pooling == "mean" else found.flatten(1)
        return found
