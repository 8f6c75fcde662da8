"""Networks that a method uses: feature extractors, frozen or trained on, and losses with weights."""

from __future__ import annotations

from types import MethodType
from typing import TypeVar

import torch
from torch import Tensor, nn

from translate.errors import TranslateError

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


class Features(nn.Module):
    """A network from images to features, which trains with the method that uses it.

    ``channels`` is the number of features, ``latent`` the shape of the output for training images of ``size``, (D,) or
    (D, h, w). Raises ``TranslateError`` for a network that gives no such output.
    """

    def __init__(self, network: nn.Module, size: tuple[int, int], inputs: int) -> None:
        super().__init__()
        self.network = network
        training = network.training
        # In training, a pass would move the statistics of a batch normalization.
        network.eval()
        try:
            with torch.no_grad():
                output = network(torch.zeros(1, inputs, *size))
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise TranslateError(
                f"the feature extractor {type(network).__name__} takes no images of {size[0]}x{size[1]} and {inputs} "
                f"channels: {reason:.200}"
            ) from None
        network.train(training)
        if not isinstance(output, Tensor) or output.dim() not in (2, 4) or len(output) != 1:
            found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise TranslateError(
                f"the feature extractor {type(network).__name__} gives {found} for one image; it must give a tensor "
                "(N, D) or (N, D, h, w)"
            )
        self.latent: tuple[int, ...] = tuple(output.shape[1:])
        self.channels = self.latent[0]

    def forward(self, image: Tensor) -> Tensor:
        """Features (N, D) or (N, D, h, w) of images (N, inputs, H, W) in [-1, 1]."""
        features: Tensor = self.network(image)
        return features


class Frozen(Features):
    """A frozen network: always in evaluation mode; gradients reach its input images, but not its weights."""

    def __init__(self, network: nn.Module, size: tuple[int, int], inputs: int) -> None:
        super().__init__(network.requires_grad_(False).eval(), size, inputs)

    def train(self, mode: bool = True) -> Frozen:
        """Do nothing: a frozen network stays in evaluation mode."""
        return self


class ClassifierFeatures(nn.Module):
    """A classifier used as a feature extractor."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, image: Tensor) -> Tensor:
        """Features (N, D) of images (N, C, H, W)."""
        features: Tensor = self.classifier.features(image)  # type: ignore[operator]
        return features
