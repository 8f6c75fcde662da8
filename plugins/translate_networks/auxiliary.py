"""The discriminator of AC-GAN, with separate heads for realness and classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
from torch import Tensor, nn

from translate.discriminator import DiscriminatorOutput
from translate.errors import TranslateError
from translate.options import Option
from translate.precision import to_float32
from translate_networks.patch import check_condition
from translate_networks.semi_supervised import SemiSupervised, WeightNorm


class Auxiliary(SemiSupervised):
    """A discriminator with an auxiliary classifier (AC-GAN, Odena et al. 2017, arXiv:1610.09585).

    The layers are those of ``semi_supervised``, with two heads on the last features: one realness logit and K class
    logits, so realness and class are independent. Use it if only images of another domain are labelled: with one
    softmax for both (``semi_supervised``), an unlabelled image can only be real by belonging to some class.

    ``shared`` are the heads, the dense layer and the last ``tied`` convolutions; a method may tie two discriminators
    by assigning it.
    """

    def __init__(
        self,
        inputs: int,
        condition: int = 0,
        size: tuple[int, int] | None = None,
        classes: int = 0,
        *,
        width: Annotated[int, Option("channels of the first map; deeper ones have up to 8 times as many", ge=1)] = 16,
        norm: Annotated[WeightNorm, Option("normalization of weights or activations")] = "weight",
        dropout: Annotated[float, Option("dropout rate of the last features", ge=0, lt=1)] = 0.0,
        noise: Annotated[
            float, Option("standard deviation of the noise added to images and features in training", ge=0)
        ] = 0.0,
        tied: Annotated[int, Option("number of last convolutions that two domains may share", ge=1)] = 1,
    ) -> None:
        super().__init__(inputs, condition, size, 0, width=width, norm=norm, dropout=dropout, noise=noise)
        own = len(self.layers) + 1 - tied
        if own < 1:
            raise TranslateError(
                f"auxiliary has {own + tied} convolutions here, so it can tie {own + tied - 1} at most"
            )
        self.shared.head = Heads(16 * width, classes)
        self.shared = Tied(self.layers[own:], self.shared)
        self.layers = self.layers[:own]

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """Discriminate (N, inputs, H, W), concatenated with a condition (N, condition, H, W) if built for one."""
        check_condition(condition, self.condition, "auxiliary")
        x = self.noise(image if condition is None else torch.cat([image, condition.to(image.dtype)], dim=1))
        features = []
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        deeper, realness, classes = self.shared(x)
        return DiscriminatorOutput(logits=(realness,), classes=classes, features=(*features, *deeper))


class Tied(nn.Module):
    """The last layers and the heads, as one module that two discriminators may share."""

    def __init__(self, layers: Iterable[nn.Module], last: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.last = last

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor, Tensor | None]:
        """Map (N, C, h, w) to the features of all layers, realness logits and class logits."""
        features = []
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        last, dense, realness, classes = self.last(x)
        return [*features, last, dense], realness, classes


class Heads(nn.Module):
    """Features (N, D) to a realness logit (N, 1) and, if built with classes, class logits (N, K)."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.realness = nn.Linear(features, 1)
        self.classes = nn.Linear(features, classes) if classes else None
        for head in self.children():
            if isinstance(head, nn.Linear):
                nn.init.normal_(head.weight, 0.0, 0.02)
                nn.init.zeros_(head.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Realness and class logits, in float32 at least."""
        realness, classes = self.realness(x), None if self.classes is None else self.classes(x)
        return to_float32(realness), None if classes is None else to_float32(classes)
