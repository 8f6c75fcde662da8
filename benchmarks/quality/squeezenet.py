"""SqueezeNet 1.0, the small ImageNet classifier whose last feature map the distances are computed on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.errors import TranslateError

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's red, green and blue in [0, 1]."""

SIDE = 224
"""Side in pixels that the network was trained at; images are resized to it."""

WIDTH = 512
"""Channels of the last feature map."""


class Fire(nn.Module):
    """A squeeze to few channels by 1x1, then an expansion by 1x1 and by 3x3 beside each other, with ReLUs."""

    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, 2 * expanded, H, W)."""
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x).relu(), self.expand3x3(x).relu()], dim=1)


class SqueezeNet(nn.Module):
    """SqueezeNet 1.0 (Iandola et al. 2016, arXiv:1602.07360, table 1) under the key names of torchvision's weights.

    735,424 parameters make the features and 513,000 the classifier of 1,000 classes. Poolings take the maximum of 3x3
    with stride 2 and round their output's size up.

    >>> network = SqueezeNet()
    >>> sum(weight.numel() for weight in network.features.parameters())
    735424
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 96, 7, stride=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            Fire(96, 16, 64),
            Fire(128, 16, 64),
            Fire(128, 32, 128),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            Fire(256, 32, 128),
            Fire(256, 48, 192),
            Fire(384, 48, 192),
            Fire(384, 64, 256),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            Fire(512, 64, 256),
        )
        # Weights are always loaded; the dropout of training in place 0 has none and does nothing here.
        self.classifier = nn.Sequential(nn.Identity(), nn.Conv2d(WIDTH, 1000, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """Class logits (N, 1000) of standardized images (N, 3, H, W)."""
        logits: Tensor = self.classifier(self.features(x)).mean((2, 3))
        return logits


def load(path: Path) -> SqueezeNet:
    """The network with the weights of a file of tensors by torchvision's names."""
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise TranslateError(f"there are no SqueezeNet weights at {path}; give their file with --weights") from None
    network = SqueezeNet()
    try:
        network.load_state_dict(tensors)
    except (RuntimeError, TypeError):
        raise TranslateError(f"{path} does not hold the weights of SqueezeNet 1.0 by torchvision's names") from None
    return network.eval().requires_grad_(False)


def fingerprint(path: Path) -> str:
    """The SHA-256 of a weights file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def standardize(photos: Tensor) -> Tensor:
    """Bring photos (N, H, W, 3) uint8 to what the network was trained on: (N, 3, 224, 224), bilinearly resized."""
    shares = photos.permute(0, 3, 1, 2).float() / 255
    resized = F.interpolate(shares, (SIDE, SIDE), mode="bilinear", align_corners=False)
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
    return (resized - mean) / deviation


@torch.inference_mode()
def features(network: SqueezeNet, photos: Tensor) -> Tensor:
    """The last feature map of photos (N, H, W, 3) uint8: (N, 169, 512), one row a position of its 13 x 13."""
    maps = torch.cat([network.features(standardize(each)) for each in photos.split(10)])
    return maps.flatten(2).transpose(1, 2)
