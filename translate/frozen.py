"""Frozen networks: feature extractors, and losses with weights."""

from __future__ import annotations

from types import MethodType
from typing import TypeVar

import torch
from torch import Tensor, nn

N = TypeVar("N", bound=nn.Module)


def freeze(network: N) -> N:
    """Freeze a network: it has no gradients of its own, and stays in evaluation mode whatever becomes of its owner.

    It keeps its class and the names of its tensors.
    """
    network.requires_grad_(False).eval()
    network.train = MethodType(_stay, network)  # type: ignore[method-assign]
    return network


def is_frozen(network: nn.Module) -> bool:
    """Whether no training changes a network."""
    train = vars(network).get("train")
    return isinstance(network, Frozen) or (isinstance(train, MethodType) and train.__func__ is _stay)


def _stay(network: N, mode: bool = True) -> N:
    del mode  # as Module.train takes it
    return network


class Frozen(nn.Module):
    """A frozen network: always in evaluation mode; gradients reach its input images, but not its weights.

    ``channels`` is the number of features, ``latent`` the shape of the output for training images of ``size``, (D,) or
    (D, h, w).
    """

    def __init__(self, network: nn.Module, size: tuple[int, int], inputs: int) -> None:
        super().__init__()
        self.network = network.requires_grad_(False).eval()
        with torch.no_grad():
            self.latent: tuple[int, ...] = tuple(network(torch.zeros(1, inputs, *size)).shape[1:])
        self.channels = self.latent[0]

    def train(self, mode: bool = True) -> Frozen:
        """Do nothing: a frozen network stays in evaluation mode."""
        return self

    def forward(self, image: Tensor) -> Tensor:
        """Features (N, D) or (N, D, h, w) of images (N, inputs, H, W) in [-1, 1]."""
        features: Tensor = self.network(image)
        return features


class ClassifierFeatures(nn.Module):
    """A classifier used as a feature extractor."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, image: Tensor) -> Tensor:
        """Features (N, D) of images (N, C, H, W)."""
        features: Tensor = self.classifier.features(image)  # type: ignore[operator]
        return features
